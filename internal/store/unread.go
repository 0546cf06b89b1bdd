package store

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// smallAnswer is what is not worth counting, in bytes: max_streams of them are little.
const smallAnswer = 16 << 10

// encode encodes the answer to a single request. It is in memory until its client has read
// it, long after its call has ended for us: HTTP/2 lets a client read nothing and ask
// again. So it counts as its caller's until gRPC has written it, or given it up with its
// stream, or until its connection has ended.
func (g *guard) encode(ctx context.Context, answer any) (any, error) {
	m, ok := answer.(proto.Message)
	if !ok {
		return answer, nil
	}
	size := proto.Size(m)
	if size <= smallAnswer {
		return answer, nil
	}
	who, n := CallerOf(ctx).Key(), int64(size)
	if err := g.memory.Take(who, n); err != nil {
		return nil, status.Errorf(codes.ResourceExhausted,
			"the answer of %d KiB has no room beside those that are not read yet (%v): read them and ask again", n>>10, err)
	}
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(make([]byte, 0, size), m)
	if err != nil {
		g.memory.Release(who, n)
		return nil, status.Errorf(codes.Internal, "encode the answer: %v", err)
	}
	held := &heldAnswer{release: sync.OnceFunc(func() { g.memory.Release(who, n) })}
	held.unlink = context.AfterFunc(peerOf(ctx).life, held.release) //nolint:contextcheck // the connection's life, not the call's
	return &encoded{mem.BufferSlice{mem.NewBuffer(&b, held)}}, nil
}

// encoded is an answer as it goes out.
type encoded struct{ data mem.BufferSlice }

// heldAnswer is the pool of one buffer, by which it learns that gRPC is done with it. With
// a connection gRPC drops what is queued for it without a word.
type heldAnswer struct {
	release func()
	unlink  func() bool // from the end of the connection
}

var _ mem.BufferPool = (*heldAnswer)(nil)

// Get implements mem.BufferPool; nothing is taken from this one.
func (*heldAnswer) Get(n int) *[]byte { b := make([]byte, n); return &b }

// Put implements mem.BufferPool.
func (h *heldAnswer) Put(*[]byte) {
	h.unlink()
	h.release()
}

// answerCodec passes on answers that are encoded already. Its name is protobuf's, because
// on the wire it is the same.
type answerCodec struct{ encoding.CodecV2 }

func newAnswerCodec() answerCodec { return answerCodec{encoding.GetCodecV2(grpcproto.Name)} }

// Marshal gives the buffers of an encoded answer away.
func (c answerCodec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*encoded); ok {
		return m.data, nil
	}
	return c.CodecV2.Marshal(v) //nolint:wrapcheck // gRPC's own, to gRPC
}
