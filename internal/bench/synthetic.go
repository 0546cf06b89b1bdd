package bench

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	gproto "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// template is the encoded events of a batch with the places of their ids.
type template struct {
	body []byte // fields of PublishRequest.events
	ids  []int  // where each id begins
	lead int    // how long the tag and length before each event are
	size int    // of an event
}

// errSmall says that an event cannot be so short.
var errSmall = errors.New("size is too small for an event")

// newTemplate makes batch events of exactly size bytes each.
func newTemplate(host, agent string, batch, size int, now time.Time) (*template, error) {
	encoded, err := newEvent(host, agent, size, now)
	if err != nil {
		return nil, err
	}
	at := strings.Index(string(encoded), idMark)
	t := &template{ids: make([]int, 0, batch), size: size}
	for range batch {
		t.body = protowire.AppendTag(t.body, 3, protowire.BytesType)
		t.body = protowire.AppendVarint(t.body, uint64(len(encoded)))
		if t.lead == 0 {
			t.lead = len(t.body)
		}
		t.ids = append(t.ids, len(t.body)+at)
		t.body = append(t.body, encoded...)
	}
	return t, nil
}

// idMark stands where the id goes.
const idMark = "\x00bench-id-here\xff\xfe"

// newEvent is one event as the process agent sends them, with a command line
// that fills it up to size bytes.
func newEvent(host, agent string, size int, now time.Time) ([]byte, error) {
	const longest = 1 << 20
	ev := &pb.Event{
		Id: []byte(idMark), Time: timestamppb.New(now), Type: event.TypeProcessExecution,
		Severity: pb.Severity_SEVERITY_INFORMATIONAL,
		Agent:    &pb.Agent{Id: agent, Kind: "synth", Version: "0"}, Host: &pb.Host{Name: host},
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
	// a length grows by a byte there is none, and the agent's version makes up for it.
	n := max(0, size-gproto.Size(ev))
	for n > 0 && fill(n) > size {
		n--
	}
	ev.Agent.Version += strings.Repeat("x", max(0, size-fill(n)))
	b, err := gproto.Marshal(ev)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return b, nil
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

// synthetic is the load of one client with events that differ only by their ids.
type synthetic struct {
	*template

	ids numbering
}

// Append implements load. There are as many events as the template has.
func (s *synthetic) Append(dst []byte, _ int, _ time.Time) []byte {
	at := len(dst)
	dst = append(dst, s.body...)
	for _, id := range s.template.ids {
		s.ids.put(dst[at+id:])
	}
	return dst
}

// AppendEvent implements load.
func (s *synthetic) AppendEvent(dst []byte, _ time.Time) []byte {
	at := len(dst)
	dst = append(dst, s.body[s.lead:s.lead+s.size]...)
	s.ids.put(dst[at+s.template.ids[0]-s.lead:])
	return dst
}

// put writes the next id.
func (n *numbering) put(b []byte) {
	n.next++
	copy(b, n.prefix[:])
	binary.BigEndian.PutUint64(b[8:], n.next|1<<63) // RFC 9562 variant
}
