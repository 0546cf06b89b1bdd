package hub

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// message is a message in its encoded form, going in or out. What goes out is
// given to gRPC with its buffers; what comes in is the receiver's to free.
type message struct {
	data mem.BufferSlice
	// pieces views data as plain slices; they live until free.
	pieces [][]byte
}

// free gives the buffers back.
func (m *message) free() {
	m.data.Free()
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

// codec passes a *message through as it is and leaves all else to protobuf. Its
// name is protobuf's, because on the wire it is the same.
type codec struct {
	encoding.CodecV2
}

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Marshal gives the buffers of a *message away.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*message); ok {
		return m.data, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal lets a *message share the buffers.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*message); ok {
		m.take(data)
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}
