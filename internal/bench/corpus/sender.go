package corpus

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// errNames says that the events were made ready for other names.
var errNames = errors.New("names have another length than those the events were loaded for")

// Sender gives the recorded events out, one batch behind the other and from the first
// again after the last. It is for one goroutine.
type Sender struct {
	events      *Events
	host, agent string
	next        int // the event that comes next
	random      *rand.PCG
}

// NewSender returns a sender with these names that begins at event first.
func (e *Events) NewSender(host, agent string, first int) (*Sender, error) {
	if len(host) != e.host || len(agent) != e.agent {
		return nil, fmt.Errorf("%w: %s, %s", errNames, host, agent)
	}
	var seed [16]byte
	if _, err := crand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("make ids: %w", err)
	}
	return &Sender{
		events: e, host: host, agent: agent, next: first % len(e.places),
		random: rand.NewPCG(binary.NativeEndian.Uint64(seed[:]), binary.NativeEndian.Uint64(seed[8:])),
	}, nil
}

// Len returns how many events there are before they come again.
func (s *Sender) Len() int { return len(s.events.places) }

// MeanBytes returns how long an event is on average.
func (s *Sender) MeanBytes() float64 { return s.events.MeanBytes() }

// Append adds the next n events to dst as the fields of PublishRequest.events. Their ids
// are new, and their times are as far apart as they were when recorded, to the second,
// and end at now.
func (s *Sender) Append(dst []byte, n int, now time.Time) []byte {
	e, at := s.events, len(dst)
	last := s.next + n - 1
	end := e.places[last%len(e.places)].unix + int64(last/len(e.places))*e.lap
	for round := int64(0); n > 0; round++ {
		run := min(n, len(e.places)-s.next)
		first, behind := e.places[s.next].from, e.places[s.next+run-1].to
		dst = append(dst, e.fields[first:behind]...)
		// How much later everything is than it was recorded.
		later := now.Unix() - end + round*e.lap
		for i := s.next; i < s.next+run; i++ {
			s.renew(dst[at:], first, &e.places[i], later)
		}
		at, n = len(dst), n-run
		s.next = (s.next + run) % len(e.places)
	}
	return dst
}

// AppendEvent adds the next event alone to dst, with no tag and no length.
func (s *Sender) AppendEvent(dst []byte, now time.Time) []byte {
	at, p := len(dst), &s.events.places[s.next]
	dst = s.Append(dst, 1, now)
	return append(dst[:at], dst[at+p.event-p.from:]...)
}

// renew makes an event of b, where the fields begin from first on, another than it was
// when recorded.
func (s *Sender) renew(b []byte, first int, p *place, later int64) {
	copy(b[p.host-first:], s.host)
	copy(b[p.agent-first:], s.agent)
	for _, at := range p.seconds {
		at -= first
		putSeconds(b[at:], readSeconds(b[at:])+later)
	}
	id := b[p.id-first:]
	binary.BigEndian.PutUint64(id, uint64(p.millis+later*1000)<<16|0x7000|s.random.Uint64()>>52)
	binary.BigEndian.PutUint64(id[8:], 1<<63|s.random.Uint64()>>2)
}
