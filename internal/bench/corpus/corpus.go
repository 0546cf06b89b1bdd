// Package corpus holds events that our process agent recorded on a machine at ordinary
// work, and gives them out again and again as many agents would send them: each time
// with new ids and times and the sender's own names, so that a measurement meets the
// sizes, fields and repetitions of real events. README.md says what was recorded.
package corpus

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// recorded is what keep writes: events with their lengths before them, packed.
//
//go:embed events.zst
var recorded []byte

// errRecording says that the recording is not what keep writes.
var errRecording = errors.New("recording of events")

// maxBytes bounds what the recording may unpack to.
const maxBytes = 64 << 20

// slot is how often the recording agent kept a reading of each process, as agents do
// where their configuration is silent.
const slot = event.Slots(5 * time.Minute)

// Recorded returns the events as they were recorded, encoded, with the readings marked
// that the agents of today mark as ones for the metrics alone. What is random in their
// ids is left out.
func Recorded() ([][]byte, error) {
	events, err := unpack()
	if err != nil {
		return nil, err
	}
	last := map[string]*event.Slot{}
	for i, b := range events {
		ev, err := event.Decode(b)
		if err != nil {
			return nil, fmt.Errorf("%w: event %d: %w", errRecording, i, err)
		}
		if ev.GetType() != event.TypeProcessSample {
			continue
		}
		uid := ev.GetProcess().GetProcess().GetUid()
		if last[uid] == nil {
			last[uid] = &event.Slot{}
		}
		if ev.MetricsOnly = !slot.Keep(last[uid], uid, event.Time(ev)); !ev.GetMetricsOnly() {
			continue
		}
		if events[i], err = event.Encode(ev); err != nil {
			return nil, fmt.Errorf("%w: event %d: %w", errRecording, i, err)
		}
	}
	return events, nil
}

// unpack returns the recording itself.
func unpack() ([][]byte, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBytes))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRecording, err)
	}
	defer decoder.Close()
	b, err := decoder.DecodeAll(recorded, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRecording, err)
	}
	var events [][]byte
	for len(b) > 0 {
		one, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return nil, fmt.Errorf("%w: cut short behind %d events", errRecording, len(events))
		}
		events, b = append(events, one), b[n:]
	}
	return events, nil
}

// place says where in one event is what a sender changes.
type place struct {
	from, to    int // the event with tag and length, in Events.fields
	event       int // where the event itself begins
	id          int
	host, agent int
	seconds     []int // of its times: when it happened, when its processes began
	millis      int64 // of its id
	unix        int64 // when it happened, in seconds
}

// Events are the recorded events, made ready for senders whose names have one length.
// They do not change, so senders share them.
type Events struct {
	fields      []byte // of PublishRequest.events
	places      []place
	host, agent int   // how long the names are
	lap         int64 // seconds from the first event to behind the last
}

// Load makes the recorded events ready for senders with names as long as these.
func Load(host, agent string) (*Events, error) {
	all, err := Recorded()
	if err != nil {
		return nil, err
	}
	return ready(all, host, agent)
}

// LoadKept is Load of agents that mark no reading, as their configuration may say: the
// store keeps all of them.
func LoadKept(host, agent string) (*Events, error) {
	all, err := unpack()
	if err != nil {
		return nil, err
	}
	return ready(all, host, agent)
}

func ready(all [][]byte, host, agent string) (*Events, error) {
	e := &Events{host: len(host), agent: len(agent)}
	for i, b := range all {
		if err := e.take(b, host, agent); err != nil {
			return nil, fmt.Errorf("%w: event %d: %w", errRecording, i, err)
		}
	}
	if len(e.places) == 0 {
		return nil, fmt.Errorf("%w: it is empty", errRecording)
	}
	e.lap = e.places[len(e.places)-1].unix - e.places[0].unix + 1
	return e, nil
}

// take adds one event under these names.
func (e *Events) take(b []byte, host, agent string) error {
	var ev pb.Event
	if err := proto.Unmarshal(b, &ev); err != nil {
		return err
	}
	ev.Host.Name, ev.Agent.Id = host, agent
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&ev)
	if err != nil {
		return err
	}
	p := place{from: len(e.fields), unix: ev.GetTime().GetSeconds()}
	e.fields = protowire.AppendTag(e.fields, 3, protowire.BytesType)
	e.fields = protowire.AppendVarint(e.fields, uint64(len(b)))
	p.event = len(e.fields)
	e.fields = append(e.fields, b...)
	p.to = len(e.fields)
	for _, path := range [][]protowire.Number{{2, 1}, {20, 2, 9, 1}, {20, 3, 9, 1}} {
		if at, ok := find(b, path...); ok {
			p.seconds = append(p.seconds, p.event+at)
		}
	}
	ok := make([]bool, 3)
	p.id, ok[0] = find(b, 1)
	p.agent, ok[1] = find(b, 5, 1)
	p.host, ok[2] = find(b, 6, 1)
	if !ok[0] || !ok[1] || !ok[2] || len(p.seconds) == 0 || len(ev.GetId()) != idBytes {
		return errors.New("no id, time, agent or host")
	}
	p.id, p.agent, p.host = p.id+p.event, p.agent+p.event, p.host+p.event
	p.millis = int64(binary.BigEndian.Uint64(ev.GetId()[:8]) >> 16)
	e.places = append(e.places, p)
	return nil
}

// idBytes is how long an id is: UUIDv7, of which the first six bytes are milliseconds.
const idBytes = 16

// find returns where the value of a field begins, inside the messages that contain it.
// Text and messages begin behind their length.
func find(b []byte, path ...protowire.Number) (int, bool) {
	from := 0
	for _, number := range path {
		at, size, ok := findField(b, number)
		if !ok {
			return 0, false
		}
		from, b = from+at, b[at:at+size]
	}
	return from, true
}

// findField returns where the value of a message's field begins, and how long it is.
func findField(b []byte, want protowire.Number) (from, size int, ok bool) {
	for at := 0; at < len(b); {
		number, wire, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return 0, 0, false
		}
		at += n
		if size = protowire.ConsumeFieldValue(number, wire, b[at:]); size < 0 {
			return 0, 0, false
		}
		if number != want {
			at += size
			continue
		}
		if wire == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b[at:])
			return at + size - len(value), len(value), true
		}
		return at, size, true
	}
	return 0, 0, false
}

// Len returns how many events there are.
func (e *Events) Len() int { return len(e.places) }

// MeanBytes returns how long an event is on average.
func (e *Events) MeanBytes() float64 {
	n := 0
	for i := range e.places {
		n += e.places[i].to - e.places[i].event
	}
	return float64(n) / float64(len(e.places))
}

// secondsBytes is how long the varint of a time's seconds is, from 1978 to 3058.
const secondsBytes = 5

// putSeconds writes over a varint of secondsBytes.
func putSeconds(b []byte, v int64) {
	for i := range secondsBytes - 1 {
		b[i] = byte(v)&0x7f | 0x80
		v >>= 7
	}
	b[secondsBytes-1] = byte(v) & 0x7f
}

// readSeconds reads what putSeconds writes.
func readSeconds(b []byte) int64 {
	v, _ := protowire.ConsumeVarint(b)
	return int64(v)
}
