package child

import (
	"context"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/clock"
	"github.com/amoskys/amoskys/internal/node/usage"
	"github.com/amoskys/amoskys/internal/obs"
)

// DefaultHang is how long a process may leave questions unanswered.
const DefaultHang = 45 * time.Second

// Bounds on asking, as parts of Options.HangAfter and as times.
const (
	askEvery    = 9               // of HangAfter: at 45 s each 5 s
	askPatience = 15              // of HangAfter: at 45 s 3 s
	lateness    = 2 * time.Second // by which a round of ours may be late
	busyPercent = 20              // of one processor: it works, if slowly
	busyCounts  = 4               // a round in which it works counts a fourth
)

// watchdog asks a process whether it is alive, and tells hung once it has not answered
// for HangAfter. It does so after the first answer: how long a start takes is another
// matter.
//
//	a round in which the process       counts
//	answers                            from the start again
//	does not answer                    as long as it took
//	the same, and uses the processor   a fourth of that: it is busy, or the machine is
//	the same, and we were late         not at all: the machine is overloaded
//	the same, and the machine slept    from the start again
type watchdog struct {
	o      *Options
	pid    int
	passed func() time.Duration // since power on, sleep and all

	seen   bool
	silent time.Duration
	used   usage.Sample
}

func (w *watchdog) run(ctx context.Context, hung chan<- time.Duration) {
	every := w.o.HangAfter / askEvery
	tick := time.NewTicker(min(every, time.Second)) // until it has answered once
	defer tick.Stop()
	begin, power := time.Now(), w.passed()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		answered := w.ask(ctx)
		took, slept := time.Since(begin), w.passed()-power-time.Since(begin)
		begin, power = time.Now(), w.passed()
		busy := w.busy()
		switch {
		case answered:
			if !w.seen {
				tick.Reset(every)
			}
			w.seen, w.silent = true, 0
		case !w.seen:
		case slept > lateness:
			w.silent = 0
		case took > every+w.o.HangAfter/askPatience+lateness:
		case busy:
			w.silent += took / busyCounts
		default:
			w.silent += took
		}
		if w.silent >= w.o.HangAfter {
			hung <- w.silent // has room for it
			return
		}
	}
}

func (w *watchdog) ask(ctx context.Context) (answered bool) {
	ctx, cancel := context.WithTimeout(ctx, w.o.HangAfter/askPatience)
	defer cancel()
	return w.o.Answers(ctx) == nil
}

// busy reports whether the process has used the processor since the last look.
func (w *watchdog) busy() bool {
	now, err := usage.Of(w.pid)
	if err != nil {
		return false
	}
	before := w.used
	w.used = now
	return usage.Percent(before, now) >= busyPercent
}

// guard runs a watchdog for p, where somebody knows how to ask. stop ends it.
func (c *Child) guard(p process) (hung <-chan time.Duration, stop func()) {
	if c.o.Answers == nil || c.o.HangAfter < 0 {
		return nil, func() {}
	}
	passed := c.o.passed
	if passed == nil {
		passed, _ = clock.SincePower()
	}
	ctx, cancel := context.WithCancel(context.Background())
	told, ended := make(chan time.Duration, 1), make(chan struct{})
	w := watchdog{o: &c.o, pid: p.pid(), passed: passed}
	go func() {
		defer close(ended)
		w.run(ctx, told)
	}()
	return told, func() { cancel(); <-ended }
}

// shoot ends a process that hangs, and says what for.
func (c *Child) shoot(p process, silent time.Duration) (Exit, string) {
	why := fmt.Sprintf("hung: it had not answered for %s and was killed", silent.Round(time.Second))
	c.o.Logger.Error("process hangs and is killed", obs.KeyCommand, c.o.Name, obs.KeyPID, p.pid(), obs.KeyDuration, silent)
	p.kill()
	exit := <-p.done()
	c.lines.reset() // nothing that it wrote says why
	return exit, why
}
