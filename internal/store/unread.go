package store

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/unread"
)

// encode encodes the answer to a single request, which counts as its caller's until it
// is read (package unread).
func (g *guard) encode(ctx context.Context, answer any) (any, error) {
	m, ok := answer.(proto.Message)
	if !ok {
		return answer, nil
	}
	who := CallerOf(ctx).Key()
	data, err := unread.Encode(m, &unread.Share{
		Take: func(n int64) error {
			if err := g.memory.Take(who, n); err != nil {
				return status.Errorf(codes.ResourceExhausted,
					"the answer of %d KiB has no room beside those that are not read yet (%v): read them and ask again", n>>10, err)
			}
			return nil
		},
		Release:    func(n int64) { g.memory.Release(who, n) },
		Connection: peerOf(ctx).life,
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // it is a status
	}
	if data == nil {
		return answer, nil
	}
	return &encoded{data}, nil
}

// encoded is an answer as it goes out.
type encoded struct{ data mem.BufferSlice }

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
