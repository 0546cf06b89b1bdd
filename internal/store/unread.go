package store

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/identity"
)

// An answer to a single request is in memory until its client has read it, long after its
// call has ended for us: HTTP/2 lets a client read nothing and ask again. So what was made
// and not read is bounded, of a certificate and of all.
const (
	unreadOfOne = 48 << 20 // bytes of one certificate: some pages as large as they may be
	unreadOfAll = 96 << 20
	// smallAnswer is what is not worth counting, in bytes: max_streams of them are little.
	smallAnswer = 16 << 10
	// unreadPatience is how long an answer waits for others to be read.
	unreadPatience = 10 * time.Second
)

// unread counts answers that were made and not read.
type unread struct {
	mu    sync.Mutex // guards what follows
	all   int64
	of    map[identity.ID]int64
	moved chan struct{} // closed when some were read
}

func newUnread() *unread { return &unread{of: map[identity.ID]int64{}, moved: make(chan struct{})} }

// enter waits until there is room for n bytes, and reports false when there was none for
// unreadPatience. One answer has room in any case where its certificate has no other.
func (u *unread) enter(ctx context.Context, who identity.ID, n int64) bool {
	late := time.NewTimer(unreadPatience)
	defer late.Stop()
	for {
		u.mu.Lock()
		own, moved := u.of[who], u.moved
		if own == 0 || own+n <= unreadOfOne && u.all+n <= unreadOfAll {
			u.of[who], u.all = own+n, u.all+n
			u.mu.Unlock()
			return true
		}
		u.mu.Unlock()
		select {
		case <-moved:
		case <-late.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (u *unread) leave(who identity.ID, n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all -= n
	if u.of[who] -= n; u.of[who] <= 0 {
		delete(u.of, who)
	}
	close(u.moved)
	u.moved = make(chan struct{})
}

// bytes is how much is not read now.
func (u *unread) bytes() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all
}

// encode encodes an answer, which counts until gRPC has written it, or given it up with
// its stream, or until its connection has ended.
func (u *unread) encode(ctx context.Context, p *peer, answer any) (any, error) {
	m, ok := answer.(proto.Message)
	if !ok {
		return answer, nil
	}
	size := proto.Size(m)
	if size <= smallAnswer {
		return answer, nil
	}
	if !u.enter(ctx, p.id, int64(size)) {
		if ctx.Err() != nil {
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		return nil, status.Error(codes.ResourceExhausted, "too many large answers to this certificate are not read: read them and ask again")
	}
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(make([]byte, 0, size), m)
	if err != nil {
		u.leave(p.id, int64(size))
		return nil, status.Errorf(codes.Internal, "encode the answer: %v", err)
	}
	held := &heldAnswer{release: sync.OnceFunc(func() { u.leave(p.id, int64(size)) })}
	held.unlink = context.AfterFunc(p.life, held.release) //nolint:contextcheck // the connection's life, not the call's
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
