package bench

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	gproto "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
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

// template is the encoded events of a batch with the places of their ids.
type template struct {
	body []byte // fields of PublishRequest.events
	ids  []int  // where each id begins
}

// errSmall says that an event cannot be so short.
var errSmall = errors.New("size is too small for an event")

// newTemplate makes batch events of exactly size bytes each.
func newTemplate(agent string, batch, size int, now time.Time) (*template, error) {
	encoded, err := newEvent(agent, size, now)
	if err != nil {
		return nil, err
	}
	at := strings.Index(string(encoded), idMark)
	t := &template{ids: make([]int, 0, batch)}
	for range batch {
		t.body = protowire.AppendTag(t.body, 3, protowire.BytesType)
		t.body = protowire.AppendVarint(t.body, uint64(len(encoded)))
		t.ids = append(t.ids, len(t.body)+at)
		t.body = append(t.body, encoded...)
	}
	return t, nil
}

// idMark stands where the id goes.
const idMark = "\x00bench-id-here\xff\xfe"

// newEvent is one event as the process agent sends them, with a command line
// that fills it up to size bytes.
func newEvent(agent string, size int, now time.Time) ([]byte, error) {
	const longest = 1 << 20
	ev := &pb.Event{
		Id: []byte(idMark), Time: timestamppb.New(now), Type: event.TypeProcessExecution,
		Severity: pb.Severity_SEVERITY_INFORMATIONAL,
		Agent:    &pb.Agent{Id: agent, Kind: "synth"}, Host: &pb.Host{Name: "bench"},
	}
	short := gproto.Size(ev)
	body := &pb.ProcessActivity{Action: pb.ProcessAction_PROCESS_ACTION_LAUNCH, Process: &pb.Process{Pid: 4711}}
	ev.Body = &pb.Event_Process{Process: body}
	if gproto.Size(ev) >= size {
		ev.Body = nil
	}
	if size > longest || size < short {
		return nil, fmt.Errorf("%w: it must be from %d to %d", errSmall, short, longest)
	}
	fill := func(n int) int {
		if ev.Body == nil {
			ev.Message = strings.Repeat("x", n)
		} else {
			body.Process.CmdLine = strings.Repeat("/usr/bin/amoskys-bench --with some --arguments ", n/46+1)[:n]
		}
		return gproto.Size(ev)
	}
	// Lengths are varints, so the fill that gives the size is found by trying; where
	// a length grows by a byte there is none, and the host's name makes up for it.
	n := max(0, size-gproto.Size(ev))
	for n > 0 && fill(n) > size {
		n--
	}
	ev.Host.Name += strings.Repeat("x", max(0, size-fill(n)))
	b, err := gproto.Marshal(ev)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return b, nil
}

// request is a batch under way: a header that changes with each sending, and a
// body of which only the ids change. It is used again when its ack is in.
type request struct {
	header []byte
	body   []byte
	ids    []int
	sentAt time.Time
	frame  frame
}

func newRequest(t *template) *request {
	return &request{body: append([]byte(nil), t.body...), ids: t.ids, header: make([]byte, 0, 32)}
}

// numbering gives ids that no other client or run gives.
type numbering struct {
	prefix [8]byte
	next   uint64
}

func newNumbering() (numbering, error) {
	var n numbering
	if _, err := rand.Read(n.prefix[:]); err != nil {
		return n, fmt.Errorf("make ids: %w", err)
	}
	n.prefix[6] = n.prefix[6]&0x0f | 0x70 // version 7, as event ids are
	return n, nil
}

// prepare fills in what is new in this sending.
func (r *request) prepare(producer *[16]byte, sequence uint64, n *numbering) {
	for _, at := range r.ids {
		n.next++
		copy(r.body[at:], n.prefix[:])
		binary.BigEndian.PutUint64(r.body[at+8:], n.next|1<<63) // RFC 9562 variant
	}
	r.header = protowire.AppendTag(r.header[:0], 1, protowire.BytesType)
	r.header = protowire.AppendBytes(r.header, producer[:])
	r.header = protowire.AppendTag(r.header, 2, protowire.VarintType)
	r.header = protowire.AppendVarint(r.header, sequence)
	r.frame.out = append(r.frame.out[:0], mem.SliceBuffer(r.header), mem.SliceBuffer(r.body))
}

// ack is what a client needs of a PublishAck.
type ack struct {
	sequence uint64
	status   pb.PublishAck_Status
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
	case 4:
		a.accepted = v
	}
}
