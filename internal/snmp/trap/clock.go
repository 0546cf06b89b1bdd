package trap

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// window is how much older than what its engine's clock shows a message may be, in
	// seconds (RFC 3414, section 2.2.3).
	window = 150
	// drift is the part of the time since an engine spoke last by which its clock may have
	// fallen behind ours: without it a cheap clock that nobody heard for weeks is refused.
	drift = 100
	// maxClocks is how many engines are remembered. Of more, only what was taken is refused
	// when it comes again.
	maxClocks = 16_384
	// maxTaken is how many messages are remembered as taken, and keptTaken how many of them
	// outlast a restart.
	maxTaken, keptTaken = 32_768, 4096
	// mostBoots is the value of snmpEngineBoots of an engine that has to be configured anew,
	// whose messages are never in time (RFC 3414, section 2.2.2).
	mostBoots = math.MaxInt32
)

// State is what a Reader has to remember over a restart. The zero value is that of one that
// has read nothing. It holds nothing secret.
type State struct {
	// Boots is how often our own engine has started (snmpEngineBoots).
	Boots   int64         `json:"boots"`
	Engines []EngineClock `json:"engines,omitempty"`
	// Taken are the messages that were taken last, the oldest first.
	Taken []Taken `json:"taken,omitempty"`
}

// EngineClock is the newest time that an engine has proven.
type EngineClock struct {
	Engine  string `json:"engine"` // snmpEngineID, in hexadecimal
	Boots   int64  `json:"boots"`
	Seconds int64  `json:"seconds"`
	// Floor is the first time of which all messages are remembered.
	Floor int64 `json:"floor,omitempty"`
}

// Taken is a message that was taken.
type Taken struct {
	Engine  string `json:"engine"` // in hexadecimal
	Boots   int64  `json:"boots"`
	Seconds int64  `json:"seconds"`
	Sum     string `json:"sum"` // of all of it, in hexadecimal
}

// fingerprint tells messages apart: a proven one cannot be changed and still be proven.
type fingerprint [16]byte

func fingerprintOf(message []byte) fingerprint {
	sum := sha256.Sum256(message)
	return fingerprint(sum[:])
}

// clocks remember the newest time of each engine that has proven who it is, and what it
// sent. The zero value is ready.
//
//	boots against the newest | seconds                              | is
//	-------------------------+--------------------------------------+------------------------
//	more                     | any                                  | taken, and the newest
//	as many                  | within the window, or later          | taken, if it is new
//	as many                  | before the window                    | refused
//	as many                  | as old as what is forgotten          | refused
//	fewer, or the most       | any                                  | refused
//
// The window begins 150 s before what the engine's clock shows now (RFC 3414, section 3.2,
// 7b): its newest time, and what has passed since. Over a restart nothing has passed, as
// the time of day may be wrong. What is within the window is new if it was not taken
// before, which the RFC leaves open. An engine that was made anew and has lost its boots is
// refused until they are as many again: nothing tells it from a replay.
type clocks struct {
	mu    sync.Mutex // guards what follows
	at    map[string]engineClock
	taken map[fingerprint]struct{}
	order []taken // a ring of those, once it is full
	next  int     // of order, the oldest
	turns uint64  // how often something was taken
}

type engineClock struct {
	boots, seconds, floor int64
	heard                 time.Time // zero over a restart
}

type taken struct {
	sum            fingerprint
	engine         string
	boots, seconds int64
}

// accept says whether a proven message is new, and remembers it.
func (c *clocks) accept(engine string, boots, seconds int64, sum fingerprint, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest, known := c.at[engine]
	if boots >= mostBoots {
		return false
	}
	if known {
		passed := int64(0)
		if !newest.heard.IsZero() {
			passed = max(0, int64(now.Sub(newest.heard)/time.Second))
		}
		if boots < newest.boots || boots == newest.boots && (seconds < newest.seconds+passed-passed/drift-window || seconds < newest.floor) {
			return false
		}
	}
	if !c.first(taken{sum, engine, boots, seconds}) {
		return false
	}
	switch {
	case !known && len(c.at) >= maxClocks:
	case !known || boots > newest.boots:
		if c.at == nil {
			c.at = map[string]engineClock{}
		}
		c.at[engine] = engineClock{boots: boots, seconds: seconds, heard: now}
	case seconds > newest.seconds:
		newest.seconds, newest.heard = seconds, now
		c.at[engine] = newest
	}
	return true
}

// once says whether a proven message to our own engine is new, and remembers it.
func (c *clocks) once(engine string, boots, seconds int64, sum fingerprint) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first(taken{sum, engine, boots, seconds})
}

// first says whether a message was not taken before, and remembers it in place of the
// oldest; c is locked.
func (c *clocks) first(t taken) bool {
	if _, again := c.taken[t.sum]; again {
		return false
	}
	c.turns++
	if c.taken == nil {
		c.taken = map[fingerprint]struct{}{}
	}
	c.taken[t.sum] = struct{}{}
	if len(c.order) < maxTaken {
		c.order = append(c.order, t)
		return true
	}
	oldest := c.order[c.next]
	delete(c.taken, oldest.sum)
	c.lift(oldest)
	c.order[c.next] = t
	c.next = (c.next + 1) % maxTaken
	return true
}

// lift has nothing taken any more that is as old as a message which is forgotten; c is
// locked.
func (c *clocks) lift(t taken) {
	if e, known := c.at[t.engine]; known && e.boots == t.boots {
		e.floor = max(e.floor, t.seconds+1)
		c.at[t.engine] = e
	}
}

// state is what outlasts a restart, but for what was taken of one engine: ours, which has
// other boots then.
func (c *clocks) state(but string) State {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Concat(c.order[c.next:], c.order[:c.next])
	all = slices.DeleteFunc(all, func(t taken) bool { return t.engine == but })
	floors := map[string]int64{}
	for _, t := range all[:max(0, len(all)-keptTaken)] {
		if e := c.at[t.engine]; e.boots == t.boots {
			floors[t.engine] = max(floors[t.engine], t.seconds+1)
		}
	}
	var s State
	for _, t := range all[max(0, len(all)-keptTaken):] {
		s.Taken = append(s.Taken, Taken{hex.EncodeToString([]byte(t.engine)), t.boots, t.seconds, hex.EncodeToString(t.sum[:])})
	}
	for engine, e := range c.at {
		s.Engines = append(s.Engines, EngineClock{hex.EncodeToString([]byte(engine)), e.boots, e.seconds, max(e.floor, floors[engine])})
	}
	slices.SortFunc(s.Engines, func(x, y EngineClock) int { return strings.Compare(x.Engine, y.Engine) })
	return s
}

// restore takes over what was kept. What does not have its form is left out.
func (c *clocks) restore(s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range s.Engines[:min(len(s.Engines), maxClocks)] {
		if id, err := hex.DecodeString(e.Engine); err == nil && len(id) <= maxID && e.Boots >= 0 && e.Seconds >= 0 {
			if c.at == nil {
				c.at = map[string]engineClock{}
			}
			c.at[string(id)] = engineClock{boots: e.Boots, seconds: e.Seconds, floor: e.Floor}
		}
	}
	for _, t := range s.Taken[:min(len(s.Taken), keptTaken)] {
		id, err := hex.DecodeString(t.Engine)
		sum, sumErr := hex.DecodeString(t.Sum)
		if err == nil && sumErr == nil && len(id) <= maxID && len(sum) == len(fingerprint{}) {
			c.first(taken{fingerprint(sum), string(id), t.Boots, t.Seconds})
		}
	}
}

// changes is how often something was taken.
func (c *clocks) changes() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.turns
}
