// Package child keeps one subprocess running: it starts it in a process group of
// its own, starts it again after a crash with growing pauses, stops it by SIGTERM
// and after a deadline by SIGKILL, and keeps the last lines it wrote to stderr.
// On Linux a child is told to end when this process dies, even by SIGKILL.
package child

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
)

// State is where a child is in its life.
type State string

// The states of a child. Waiting is the pause before a new start after a crash.
const (
	Stopped  State = "stopped"
	Starting State = "starting"
	Running  State = "running"
	Stopping State = "stopping"
	Waiting  State = "waiting"
)

// Defaults of Options.
const (
	DefaultStopTimeout = 10 * time.Second
	DefaultFirstPause  = 500 * time.Millisecond
	DefaultLastPause   = 30 * time.Second
	DefaultSettled     = 30 * time.Second
	crashLoopRestarts  = 5
	crashLoopWindow    = 2 * time.Minute
)

// Options says what to run and how to keep it running.
type Options struct {
	Name string   // for logs
	Argv []string // program and arguments
	Env  []string // whole environment
	Dir  string   // working folder; empty means ours
	// Privileges are the Linux capabilities that the child gets, as far as this
	// process holds them, such as "CAP_NET_RAW". It gets no others; see confine.
	Privileges []string
	Logger     *slog.Logger

	// Before is called before each start, when not nil. An error counts as a
	// crash: the child waits, the error is its reason, and the start is tried again.
	// With an error that wraps ErrStay it is no longer wanted instead.
	Before func(context.Context) error
	// Changed is called after every change of Status, from the child's goroutine.
	// It must not block.
	Changed func()

	StopTimeout time.Duration // from SIGTERM to SIGKILL
	BackoffMin  time.Duration // first pause after a crash; it doubles each time
	BackoffMax  time.Duration // longest pause
	Settled     time.Duration // a run this long makes the next pause the shortest again

	// Answers asks the process whether it is alive; an error is none of an answer. Nil
	// asks nobody. One that has answered before and then not for HangAfter
	// (DefaultHang; negative for never) is killed and started again.
	Answers   func(context.Context) error
	HangAfter time.Duration

	launch launcher             // nil means a real process
	passed func() time.Duration // see watchdog; nil means the machine's
}

// ErrStay makes an error of Options.Before final: the child stays stopped until a
// person starts it again.
var ErrStay = errors.New("must not be started")

// Status is what is known of a child now.
type Status struct {
	State     State
	Wanted    bool      // it shall run
	PID       int       // 0 when there is no process
	Started   time.Time // of the process that runs, or ran last
	Restarts  int       // starts after a crash, since it was last wanted
	CrashLoop bool      // it keeps crashing
	LastExit  *Exit     // of the last process, nil before the first ended
	LastCrash *Crash    // the last time it ended by itself, nil if it never did
	Reason    string    // why it does not run, for people
	Next      time.Time // next start, when Waiting
	Lines     []string  // last lines of its stderr, oldest first
	Words     string    // the line of them that says why it ended
}

// Crash is an end that nobody asked for.
type Crash struct {
	Time time.Time
	Text string // how it ended, and the line of its stderr that says why
}

// Child is one kept subprocess. Run must be called once for the rest to work.
type Child struct {
	o    Options
	wake chan struct{} // one token: something wanted changed

	mu     sync.Mutex // guards what follows
	status Status
	again  bool // stop the process that runs now, then start a new one
	lines  *lineRing
	// retired is set when everything is about to be stopped.
	retired bool
	recent  []time.Time // crashes within crashLoopWindow
	pause   time.Duration

	lastEnd string // why the last process ended by itself; Run's alone
}

// New returns a child that is not wanted yet.
func New(o Options) *Child {
	o.StopTimeout = orDefault(o.StopTimeout, DefaultStopTimeout)
	o.BackoffMin = orDefault(o.BackoffMin, DefaultFirstPause)
	o.BackoffMax = max(orDefault(o.BackoffMax, DefaultLastPause), o.BackoffMin)
	o.Settled = orDefault(o.Settled, DefaultSettled)
	if o.HangAfter == 0 {
		o.HangAfter = DefaultHang
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	if o.launch == nil {
		o.launch = launchProcess
	}
	return &Child{o: o, wake: make(chan struct{}, 1), status: Status{State: Stopped}, lines: newLineRing()}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// Start wants the child to run. A pause after a crash is cut short.
func (c *Child) Start() {
	c.want(func() {
		if c.retired {
			return
		}
		c.status.Wanted = true
		c.forgive()
		if c.status.State == Stopped || c.status.State == Waiting {
			c.status.State = Starting
		}
	})
}

// Stop wants the child not to run. It returns at once; Status tells when it is done.
func (c *Child) Stop() { c.want(func() { c.status.Wanted, c.again = false, false }) }

// Retire keeps the child from being started again when it ends, because it is
// about to be stopped; Start and Restart do nothing more.
func (c *Child) Retire() { c.want(func() { c.retired = true }) }

// Restart stops the process, if there is one, and starts a new one.
func (c *Child) Restart() {
	c.want(func() {
		if c.retired {
			return
		}
		c.status.Wanted = true
		c.forgive()
		c.again = c.status.PID != 0
		c.status.State = Starting
		if c.again {
			c.status.State = Stopping
		}
	})
}

// forgive forgets earlier crashes, because a person took the matter in hand.
func (c *Child) forgive() {
	c.recent, c.pause = nil, 0
	c.status.Restarts, c.status.CrashLoop, c.status.Next = 0, false, time.Time{}
}

func (c *Child) want(change func()) {
	c.mu.Lock()
	change()
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Status returns what is known now.
func (c *Child) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Lines, s.Words = c.lines.list(), c.lines.words()
	return s
}

// Run keeps the child as wanted until ctx ends, then stops the process and
// returns. No process is left behind.
func (c *Child) Run(ctx context.Context) {
	for ctx.Err() == nil && c.waitWanted(ctx) {
		c.runOnce(ctx)
	}
	c.update(func(s *Status) {
		if s.Wanted {
			s.Reason = "stopped with its supervisor"
		}
		s.State, s.Wanted, s.Next = Stopped, false, time.Time{}
	})
}

// waitWanted waits until the child shall run and its pause is over.
func (c *Child) waitWanted(ctx context.Context) bool {
	for {
		c.mu.Lock()
		wanted, next := c.status.Wanted, c.status.Next
		if !wanted && c.status.State != Stopped {
			c.status.State, c.status.Next = Stopped, time.Time{}
			c.mu.Unlock()
			c.changed()
		} else {
			c.mu.Unlock()
		}
		wait := time.Until(next)
		if wanted && wait <= 0 {
			return true
		}
		var timer <-chan time.Time
		if wanted {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return false
		case <-c.wake:
		case <-timer:
		}
	}
}

// runOnce starts one process and returns when it has ended.
func (c *Child) runOnce(ctx context.Context) {
	c.update(func(s *Status) { s.State, s.Reason, s.Next = Starting, "", time.Time{} })
	if c.o.Before != nil {
		err := c.o.Before(ctx)
		if errors.Is(err, ErrStay) {
			c.update(func(s *Status) { s.State, s.Wanted, s.Reason = Stopped, false, err.Error() })
			return
		}
		if err != nil {
			c.crashed(nil, err.Error())
			return
		}
	}
	c.lines.reset()
	p, err := c.o.launch(c.telling(), c.lines)
	if err != nil {
		c.crashed(nil, fmt.Sprintf("start %s: %v", c.o.Argv[0], err))
		return
	}
	c.mu.Lock()
	c.again = false
	c.mu.Unlock()
	c.update(func(s *Status) { s.State, s.PID, s.Started = Running, p.pid(), time.Now() })
	c.o.Logger.Info("process started", obs.KeyCommand, c.o.Name, obs.KeyPID, p.pid())
	exit, hung, stopped := c.watch(ctx, p)
	c.lastEnd = ""
	if stopped || c.unwanted(ctx) {
		c.o.Logger.Info("process stopped", obs.KeyCommand, c.o.Name, obs.KeyStatus, exit.String())
		c.update(func(s *Status) {
			s.State, s.PID, s.LastExit, s.Reason = Stopped, 0, &exit, ""
			s.Wanted = s.Wanted && !c.retired
		})
		return
	}
	c.crashed(&exit, cmp.Or(hung, "ended by itself: "+exit.String()))
}

// telling are the options with which a process starts, which tell it why the one
// before ended by itself.
func (c *Child) telling() Options {
	o := c.o
	if c.lastEnd != "" {
		o.Env = append(slices.Clone(o.Env), config.EnvLastEnd+"="+strings.ReplaceAll(c.lastEnd, "\x00", ""))
	}
	return o
}

// unwanted reports whether a process that ended by itself did so when nobody
// wanted it any more: a service manager may stop parent and child together.
func (c *Child) unwanted(ctx context.Context) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ctx.Err() != nil || c.retired || !c.status.Wanted
}

// watch waits for the process to end, and stops it when it is no longer wanted, or
// hangs: why is set then.
func (c *Child) watch(ctx context.Context, p process) (exit Exit, why string, stopped bool) {
	hung, stop := c.guard(p) //nolint:contextcheck // stop ends it
	defer stop()
	for {
		select {
		case exit = <-p.done():
			return exit, "", false
		case silent := <-hung:
			exit, why = c.shoot(p, silent)
			return exit, why, false
		case <-c.wake:
			c.mu.Lock()
			stay := c.status.Wanted && !c.again
			c.mu.Unlock()
			if stay {
				continue
			}
		case <-ctx.Done():
		}
		return c.end(p), "", true
	}
}

// end asks the process to stop, and kills its whole group when it does not in time.
func (c *Child) end(p process) Exit {
	c.update(func(s *Status) { s.State = Stopping })
	p.terminate()
	deadline := time.NewTimer(c.o.StopTimeout)
	defer deadline.Stop()
	select {
	case exit := <-p.done():
		return exit
	case <-deadline.C:
	}
	c.o.Logger.Warn("process did not stop in time and is killed", obs.KeyCommand, c.o.Name, obs.KeyPID, p.pid())
	p.kill()
	exit := <-p.done()
	exit.Killed = c.o.StopTimeout
	return exit
}

// crashed plans the next start.
func (c *Child) crashed(exit *Exit, reason string) {
	now := time.Now()
	c.mu.Lock()
	if exit != nil && now.Sub(c.status.Started) >= c.o.Settled {
		c.pause, c.recent = 0, nil
	}
	c.pause = min(max(2*c.pause, c.o.BackoffMin), c.o.BackoffMax)
	c.recent = append(c.recent, now)
	for len(c.recent) > crashLoopRestarts || now.Sub(c.recent[0]) > crashLoopWindow {
		c.recent = c.recent[1:]
	}
	looping := len(c.recent) == crashLoopRestarts
	// Jitter keeps agents that died together from starting together.
	wait := c.pause/2 + rand.N(c.pause/2+1) //nolint:gosec // jitter, not a secret
	s := &c.status
	s.State, s.PID, s.Reason, s.CrashLoop = Waiting, 0, reason, looping
	s.Next = now.Add(wait)
	s.Restarts++
	words := c.lines.words()
	if exit != nil {
		s.LastExit, s.LastCrash = exit, &Crash{exit.Time, strings.TrimPrefix(reason, "ended by itself: ")}
		if words != "" {
			s.LastCrash.Text += ": " + words
		}
	}
	c.mu.Unlock()
	if exit != nil {
		c.lastEnd = reason
		if words != "" {
			c.lastEnd += ": " + words
		}
	}
	c.o.Logger.Error("process is not running and will be started again", obs.KeyCommand, c.o.Name,
		obs.KeyReason, reason, "last_line", words, obs.KeyBackoff, wait)
	c.changed()
}

func (c *Child) update(change func(*Status)) {
	c.mu.Lock()
	change(&c.status)
	c.mu.Unlock()
	c.changed()
}

func (c *Child) changed() {
	if c.o.Changed != nil {
		c.o.Changed()
	}
}
