package scan

import (
	"time"

	"github.com/amoskys/amoskys/internal/scan/probe"
)

// What became of a probe, in the two low bits of its state; the three above are how
// often it was sent, and waiting says that its last try may still be answered:
//
//	unsent ──▶ waiting ──(answer)──▶ open, closed, filtered
//	             │  ▲
//	   (silence) ▼  │ (another try is due)
//	           silent
const (
	outcomeNone     = 0
	outcomeOpen     = 1
	outcomeClosed   = 2
	outcomeFiltered = 3
	outcomeBits     = 3
	triesShift      = 2
	triesBits       = 7
	waitingBit      = 1 << 5
)

// subject is a host of which an engine asks something.
type subject struct {
	candidate
	at          int      // in engine.active
	next        int      // of the order, the first that was not sent
	again       []uint32 // to be sent once more
	silent      []uint32 // got no answer
	state       []uint8
	sent        []uint32 // when each was sent last, in units of tick
	before      []uint32 // when those that were sent again were sent before that
	outstanding int
	expired     int
	open        int
	closed      int
	filtered    int
	mute        bool
	finished    bool
	nextAt      time.Duration // by its own rate
	traits      probe.Traits
	hasTraits   bool
}

// tick is the unit of subject.sent: 32 bits of it are twelve hours.
const tick = 10 * time.Microsecond

// candidate is an address that answered, or is to be asked whether it does.
type candidate struct {
	host *Host
	path probe.Path
	hop  probe.MAC // of the host, or of the gateway to it
}

func newSubject(c candidate, probes int) *subject {
	return &subject{candidate: c, state: make([]uint8, probes), sent: make([]uint32, probes)}
}

// answered is how many probes got an answer of any kind.
func (s *subject) answered() int { return s.open + s.closed + s.filtered }

// window is how many of its probes may wait at once.
func (s *subject) window() int {
	if s.open+s.closed == 0 && !s.mute {
		return hostFirst
	}
	return hostWindow
}

// ready says whether there is a probe to be sent now.
func (s *subject) ready(now time.Duration) bool {
	return (s.next < len(s.state) || len(s.again) > 0) && s.outstanding < s.window() && s.nextAt <= now
}

// take gives the next probe to be sent.
func (s *subject) take() (index uint32, ok bool) {
	for len(s.again) > 0 {
		index = s.again[len(s.again)-1]
		s.again = s.again[:len(s.again)-1]
		if s.state[index]&outcomeBits == outcomeNone { // an answer came late
			return index, true
		}
	}
	if s.next < len(s.state) {
		s.next++
		return uint32(s.next - 1), true
	}
	return 0, false
}

// idle says that all was sent and nothing is waited for.
func (s *subject) idle() bool {
	return s.next == len(s.state) && len(s.again) == 0 && s.outstanding == 0
}

// stubborn are the silent probes that have not been sent so often; they are to be sent
// again.
func (s *subject) stubborn(tries int) bool {
	kept := s.silent[:0]
	for _, i := range s.silent {
		switch {
		case s.state[i]&outcomeBits != outcomeNone:
		case int(s.state[i]>>triesShift&triesBits) < tries:
			s.again = append(s.again, i)
		default:
			kept = append(kept, i)
		}
	}
	s.silent = kept
	return len(s.again) > 0
}

// everywhere says that a host accepts on nearly all of many ports.
func (s *subject) everywhere() bool {
	const many = 200
	return s.open >= many && s.open*20 >= s.answered()*19
}
