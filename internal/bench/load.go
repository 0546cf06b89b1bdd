package bench

import (
	"time"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/codec"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// frame is a message in its encoded form.
type frame struct {
	out mem.BufferSlice // to send
	in  []byte          // received, reused
}

// rawCodec passes frames through and leaves all else to protobuf.
type rawCodec struct{ encoding.CodecV2 }

func newRawCodec() rawCodec { return rawCodec{encoding.GetCodecV2(proto.Name)} }

// Marshal gives a frame's buffers away; they are not pooled, so that nothing has
// to be given back.
func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return f.out, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal copies what came.
func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	f.in = f.in[:0]
	for _, b := range data {
		f.in = append(f.in, b.ReadOnlyData()...)
	}
	return nil
}

// request is a batch under way: a header, which changes with each sending, and a body.
// It is used again when its ack is in.
type request struct {
	header []byte
	body   []byte // event fields, or packed, with what comes behind them
	events int
	// thinned are the readings among them that the store leaves out.
	thinned uint64
	sentAt  time.Time
	frame   frame
}

// Field numbers of PublishRequest.
const (
	fieldProducer   = 1
	fieldSequence   = 2
	fieldCompressed = 4
	fieldCodec      = 5
)

// prepare fills in what is new in this sending of a body.
func (r *request) prepare(producer *[16]byte, sequence uint64, c codec.Codec) {
	r.header = protowire.AppendTag(r.header[:0], fieldProducer, protowire.BytesType)
	r.header = protowire.AppendBytes(r.header, producer[:])
	r.header = protowire.AppendTag(r.header, fieldSequence, protowire.VarintType)
	r.header = protowire.AppendVarint(r.header, sequence)
	if c != codec.None {
		r.header = protowire.AppendTag(r.header, fieldCompressed, protowire.BytesType)
		r.header = protowire.AppendVarint(r.header, uint64(len(r.body)-codecBytes))
	}
	r.frame.out = append(r.frame.out[:0], mem.SliceBuffer(r.header), mem.SliceBuffer(r.body))
}

// codecBytes is how long the field is that appendBody puts behind a packed body.
const codecBytes = 2

// appendBody adds event fields to dst as the body of a request.
func appendBody(dst, fields []byte, c codec.Codec) []byte {
	if c == codec.None {
		return append(dst, fields...)
	}
	dst = c.Pack(dst, fields)
	dst = protowire.AppendTag(dst, fieldCodec, protowire.VarintType)
	return protowire.AppendVarint(dst, uint64(c))
}

// ack is what a client needs of a PublishAck.
type ack struct {
	sequence uint64
	status   pb.PublishAck_Status
	first    uint64 // offset
	accepted uint64
	refused  bool
}

// parse reads an encoded PublishAck.
func (a *ack) parse(b []byte) error {
	*a = ack{}
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
			return protowire.ParseError(n)
		}
		if wire == protowire.VarintType {
			v, _ := protowire.ConsumeVarint(b)
			a.number(number, v)
		} else {
			a.refused = a.refused || number == 5
		}
		b = b[n:]
	}
	return nil
}

func (a *ack) number(field protowire.Number, v uint64) {
	switch int32(field) {
	case 1:
		a.sequence = v
	case 2:
		a.status = pb.PublishAck_Status(v)
	case 3:
		a.first = v
	case 4:
		a.accepted = v
	}
}
