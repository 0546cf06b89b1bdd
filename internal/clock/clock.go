// Package clock decides whether the wall clock can be believed. Whatever removes or
// forgets by age asks it: a wall clock that is a month ahead for a minute must not
// cost a month of events.
//
// It compares two readings: the wall clock, and the time that passed since the
// machine started, which nobody sets and which goes on while it sleeps. Their
// difference stays the same while both agree. What is made of a change of it:
//
//	the wall clock                            the clock goes by
//	within a day of the believed difference   the wall clock: steps and slews of NTP, leap
//	                                          seconds; no more than a day in all, each hour
//	is set further ahead, or back             the time that passed since, until both have
//	                                          agreed for an hour, or Trust is called
//	comes back within a day                   the wall clock again, at once
//	never agrees (runs at double speed)       the time that passed
//	the machine slept                         the wall clock: the other one went on too
//	a virtual machine stood still             as one set ahead: neither clock saw it pass
//	the program starts again, same boot       as if it had run on: State has both readings
//	the machine starts again                  the last believed time; the wall clock if it
//	                                          is within a day, else as one set ahead or back
//	a first start, nothing on disk            the wall clock; see Known
//
// When a clock that was set ahead while the machine ran is believed by itself, Age
// still knows that the time between did not pass: a machine that starts in 1970 and
// then learns the date has no events of 56 years. After Trust it goes by the wall
// clock alone, as whoever calls it says that the time did pass.
//
// Tokens, sessions and certificates keep the wall clock: their ends are written down
// as dates by others too, and a clock that is ahead ends them early, which is safe.
package clock

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/vfs"
)

const (
	// jump is how far the wall clock may move without being doubted.
	jump = 24 * time.Hour
	// agreement is how far both clocks may part in the time in which they must agree.
	agreement = 10 * time.Minute
	// settleTime is how long both clocks must agree for a jump to be believed.
	settleTime = time.Hour

	tickEvery = 10 * time.Second
	saveEvery = time.Minute
)

// Readings are the two clocks. The zero value reads those of the system.
type Readings struct {
	Wall func() time.Time
	// Passed is the time since the start of the machine, or of this program where
	// the system does not tell; Boot names that start, and is empty then.
	Passed func() time.Duration
	Boot   string
}

func (r Readings) orSystem() Readings {
	if r.Wall == nil {
		r.Wall = time.Now
	}
	if r.Passed == nil {
		r.Passed, r.Boot = SincePower()
	}
	return r
}

// Options say what a Clock reads and where it keeps what it believes. The zero value
// keeps nothing.
type Options struct {
	Readings Readings
	FS       vfs.FS // of File; the operating system's where nil
	File     string // see State; empty for none
	Logger   *slog.Logger
}

// Clock is a wall clock that is believed when it may be. It is safe for concurrent use.
type Clock struct {
	o    Options
	read Readings

	mu      sync.Mutex // guards what follows
	state   State
	last    int64 // difference of the readings at the last look, ns
	pending []Step
	fresh   bool          // nothing was on disk, and nobody said otherwise
	doubted bool          // it has been said
	saved   time.Duration // when the state was last written, or that failed
	failing bool          // writing it does
}

// Open returns a clock that goes on where the file says. A file that cannot be read or
// believed is as good as none; the error of reading it is logged.
func Open(o Options) *Clock {
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	c := &Clock{o: o, read: o.Readings.orSystem()}
	passed := c.read.Passed()
	c.last = c.read.Wall().UnixNano() - int64(passed)
	s, known, err := load(o.FS, o.File)
	if err != nil {
		o.Logger.Warn("the last time that was believed cannot be read", obs.KeyPath, o.File, obs.KeyError, err)
	}
	c.begin(s, known, passed)
	c.look()
	c.save()
	return c
}

// begin takes up what was known. The caller owns c.
func (c *Clock) begin(s State, known bool, passed time.Duration) {
	same := known && s.Boot != "" && s.Boot == c.read.Boot && time.Duration(s.Passed) <= passed
	switch {
	case !known:
		c.fresh = true
		c.state = State{Believed: c.last, Line: c.last, Candidate: c.last, Since: int64(passed)}
	case same:
		c.state, c.pending, c.last = s, s.Pending, s.Last
	default:
		line := s.Time.UnixNano() - int64(passed)
		c.state = State{Believed: line, Line: line, Candidate: c.last, Since: int64(passed), Steps: s.Steps}
	}
	c.state.Boot = c.read.Boot
}

// Known tells a clock for which nothing was on disk that the wall clock showed t not
// long ago, as the newest event of a log says.
func (c *Clock) Known(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fresh {
		return
	}
	c.fresh = false
	line := t.UnixNano() - int64(c.read.Passed())
	if time.Duration(c.last-line).Abs() > jump {
		c.state.Believed, c.state.Line = line, line
	}
	c.look()
}

// Now is the time that is believed.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Unix(0, c.look())
}

// Age is how much time has passed since the wall clock showed t, as far as that is
// known; never more. It is negative for what the believed time has not reached.
func (c *Clock) Age(t time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, at := c.look(), t.UnixNano()
	for _, s := range c.state.Steps {
		if at <= s.Until {
			at += s.Shift
		}
	}
	return time.Duration(now - at)
}

// look reads both clocks and returns the time that is believed, in ns since 1970. The
// caller holds mu.
func (c *Clock) look() int64 {
	passed := int64(c.read.Passed())
	now := c.read.Wall().UnixNano() - passed
	s := &c.state
	if shift := now - c.last; time.Duration(shift) > jump {
		c.pending = bounded(append(c.pending, Step{Until: passed + c.last, Shift: shift}))
	}
	c.last = now
	if time.Duration(now-s.Candidate).Abs() > agreement {
		s.Candidate, s.Since = now, passed
	}
	near := time.Duration(now-s.Believed).Abs() <= jump
	settled := time.Duration(passed-s.Since) >= settleTime
	switch {
	case settled && !near:
		c.o.Logger.Info("the wall clock is believed: both clocks have agreed for an hour",
			"jump", time.Duration(now-s.Line).Round(time.Second).String())
		s.Steps = bounded(append(s.Steps, c.pending...))
		c.adopt(now)
	case settled:
		c.adopt(now)
	case near:
		s.Line, c.pending = now, nil
		c.calm()
	default:
		c.warn()
	}
	return s.Line + passed
}

// adopt believes a difference of the clocks. The caller holds mu.
func (c *Clock) adopt(now int64) {
	c.state.Believed, c.state.Line, c.pending = now, now, nil
	c.calm()
}

// warn says once that the wall clock is doubted. The caller holds mu.
func (c *Clock) warn() {
	if c.doubted {
		return
	}
	c.doubted = true
	c.saved = 0 // see Run
	c.o.Logger.Warn("the wall clock is doubted", obs.KeyReason, c.doubt())
}

func (c *Clock) calm() {
	if c.doubted {
		c.doubted = false
		c.o.Logger.Info("the wall clock is believed again", "time", time.Unix(0, c.read.Wall().UnixNano()).UTC())
	}
}

// Doubt says that the wall clock is not believed, until when, and what to do; "" when
// it is.
func (c *Clock) Doubt() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	if !c.doubted {
		return ""
	}
	return c.doubt()
}

// doubt is the text of Doubt. The caller holds mu.
func (c *Clock) doubt() string {
	s := &c.state
	off, way := time.Duration(c.last-s.Line), "ahead"
	if off < 0 {
		off, way = -off, "back"
	}
	until := time.Unix(0, c.last+s.Since).Add(settleTime)
	return fmt.Sprintf("the clock jumped %.1f days %s; retention by age waits until %s by this clock, if it is right by then, or amoskys wal trust-clock",
		off.Hours()/24, way, until.UTC().Format("2006-01-02 15:04 UTC"))
}

// Trust believes the wall clock at once. It returns how far it was ahead of the time
// that was believed, negative if behind, and the time that is believed now.
func (c *Clock) Trust() (off time.Duration, now time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.look()
	passed := c.read.Passed()
	off = time.Duration(c.last + int64(passed) - before)
	c.state.Candidate, c.state.Since = c.last, int64(passed)
	c.adopt(c.last)
	return off, time.Unix(0, c.last+int64(passed)), c.store()
}

// Run keeps watch, and keeps on disk what is believed, until ctx ends.
func (c *Clock) Run(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			c.save()
			return nil
		case <-tick.C:
			c.mu.Lock()
			c.look()
			due := c.read.Passed()-c.saved >= saveEvery
			c.mu.Unlock()
			if due {
				c.save()
			}
		}
	}
}

// save writes the state. It helps a later start alone, so that a full disk is no
// reason to stop.
func (c *Clock) save() {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.store()
	c.saved = c.read.Passed()
	if err != nil && !c.failing {
		c.o.Logger.Warn("the time that is believed cannot be kept", obs.KeyPath, c.o.File, obs.KeyError, err)
	}
	c.failing = err != nil
}
