package hub

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/hub/weigh"
)

// message is a message in its encoded form, going in or out. What goes out is
// given to gRPC with its buffers; what comes in is the receiver's to free.
type message struct {
	data mem.BufferSlice
	// pieces views data as plain slices; they live until free.
	pieces [][]byte
}

// keepBuffers is how many buffers a message has room for while it waits to be used again.
// An agent's batch comes in up to twenty; a client may send each byte in one of its own.
const keepBuffers = 64

// free gives the buffers back.
func (m *message) free() {
	m.data.Free()
	if max(cap(m.data), cap(m.pieces)) > keepBuffers {
		m.data, m.pieces = nil, nil
		return
	}
	clear(m.data)
	clear(m.pieces)
	m.data, m.pieces = m.data[:0], m.pieces[:0]
}

// take keeps a reference to what arrived.
func (m *message) take(data mem.BufferSlice) {
	m.data, m.pieces = append(m.data[:0], data...), m.pieces[:0]
	for _, b := range m.data {
		b.Ref()
		m.pieces = append(m.pieces, b.ReadOnlyData())
	}
}

// request is where a call's message is received, and why it was refused: gRPC
// passes on only the text of a codec's errors.
type request struct {
	into    any
	refused error // a status
}

// wireCodec passes a *message through as it is, and weighs all else before protobuf
// decodes it. Its name is protobuf's, because on the wire it is the same.
type wireCodec struct {
	encoding.CodecV2
	scales *scales
}

func newCodec() wireCodec { return wireCodec{encoding.GetCodecV2(grpcproto.Name), newScales()} }

// Marshal gives the buffers of a *message away.
func (c wireCodec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*message); ok {
		return m.data, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal lets a *message share the buffers.
func (c wireCodec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v := v.(type) {
	case *message:
		v.take(data)
		return nil
	case *request:
		if m, ok := v.into.(*message); ok {
			m.take(data)
			return nil
		}
		v.refused = c.decode(data, v.into)
		return nil
	default:
		return c.decode(data, v)
	}
}

// decode decodes what is within its type's bounds; its errors are statuses.
func (c wireCodec) decode(data mem.BufferSlice, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("decode into %T: it is no message", v)
	}
	b := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer b.Free()
	encoded := b.ReadOnlyData()
	err := c.scales.check(m.ProtoReflect().Descriptor(), encoded)
	if err == nil {
		err = proto.Unmarshal(encoded, m)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, weigh.ErrTooHeavy):
		return status.Error(codes.ResourceExhausted, err.Error())
	default:
		return status.Error(codes.InvalidArgument, err.Error())
	}
}
