//go:build unix

package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if mode, ok := os.LookupEnv("CHILD_TEST_MODE"); ok {
		os.Exit(behave(mode)) //nolint:forbidigo // here the test binary is a child
	}
	goleak.VerifyTestMain(m)
}

// behave is what the test binary does when it is started as a child.
func behave(mode string) int {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	fmt.Fprintln(os.Stderr, "ready", os.Getpid())
	switch mode {
	case "caps":
		fmt.Fprintln(os.Stderr, "holds:", held())
	case "node":
		fmt.Fprint(os.Stdout, runNode())
		return 0
	case "lastend":
		if why := LastEnd(); why != "" {
			fmt.Fprintln(os.Stderr, "told:", why)
			break
		}
		fmt.Fprintln(os.Stderr, "out of luck")
		return 3
	case "crash":
		fmt.Fprintln(os.Stderr, "out of luck")
		return 3
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		select {} // it can only be killed
	case "parent":
		// Starts a child of its own and lets itself be killed.
		c := New(Options{Name: "grandchild", Argv: []string{os.Args[0]}, Env: append(os.Environ(), "CHILD_TEST_MODE=good"), Changed: func() {}})
		c.Start()
		go c.Run(context.Background())
		for c.Status().PID == 0 {
			<-time.After(time.Millisecond)
		}
		fmt.Fprintln(os.Stderr, "grandchild", c.Status().PID)
	}
	<-term
	return 0
}

// fake is a process under the test's control.
type fake struct {
	number  int
	ended   chan Exit
	obeys   bool
	mu      sync.Mutex
	signals []string
}

func (f *fake) pid() int          { return f.number }
func (f *fake) done() <-chan Exit { return f.ended }

func (f *fake) note(s string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signals = append(f.signals, s)
}

func (f *fake) terminate() {
	f.note("TERM")
	if f.obeys {
		f.ended <- Exit{}
	}
}

func (f *fake) kill() {
	f.note("KILL")
	f.ended <- Exit{Code: -1, Signal: "SIGKILL"}
}

// stage runs a child on fake processes inside a synctest bubble.
type stage struct {
	t       *testing.T
	child   *Child
	started []*fake
	obeys   bool
	fail    error
	begun   time.Time
}

func newStage(t *testing.T, o Options) *stage {
	t.Helper()
	s := &stage{t: t, obeys: true, begun: time.Now()}
	o.Argv = []string{"program"}
	o.launch = func(Options, *lineRing) (process, error) {
		if s.fail != nil {
			return nil, s.fail
		}
		f := &fake{number: len(s.started) + 1, ended: make(chan Exit, 1), obeys: s.obeys}
		s.started = append(s.started, f)
		return f, nil
	}
	s.child = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.child.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if pid := s.child.Status().PID; pid != 0 {
			t.Errorf("process %d was left behind", pid)
		}
	})
	return s
}

func (s *stage) want(state State, pid int) {
	s.t.Helper()
	synctest.Wait()
	if got := s.child.Status(); got.State != state || got.PID != pid {
		s.t.Errorf("state %s pid %d, want %s pid %d", got.State, got.PID, state, pid)
	}
}

func TestStartStopRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{})
		s.want(Stopped, 0)
		s.child.Start()
		s.want(Running, 1)
		s.child.Start()
		s.want(Running, 1)
		s.child.Restart()
		s.want(Running, 2)
		s.child.Stop()
		s.want(Stopped, 0)
		s.child.Restart()
		s.want(Running, 3)
		if s.child.Status().Restarts != 0 {
			t.Error("starts by a person were counted as restarts")
		}
	})
}

func TestStopKillsAfterDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{StopTimeout: 5 * time.Second})
		s.obeys = false
		s.child.Start()
		s.want(Running, 1)
		s.child.Stop()
		s.want(Stopping, 1)
		<-time.After(4999 * time.Millisecond)
		s.want(Stopping, 1)
		<-time.After(time.Millisecond)
		s.want(Stopped, 0)
		if diff := cmp.Diff([]string{"TERM", "KILL"}, s.started[0].signals); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCrashesBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{BackoffMin: time.Second, BackoffMax: 8 * time.Second, Settled: time.Minute})
		s.child.Start()
		for i, longest := range []time.Duration{1, 2, 4, 8, 8} {
			s.want(Running, i+1)
			s.started[i].ended <- Exit{Code: 1}
			s.want(Waiting, 0)
			status := s.child.Status()
			wait := time.Until(status.Next)
			if wait < longest*time.Second/2 || wait > longest*time.Second {
				t.Errorf("pause %d is %s, want %ds or a little less", i, wait, longest)
			}
			if want := i >= 4; status.CrashLoop != want {
				t.Errorf("crash %d: loop %t, want %t", i+1, status.CrashLoop, want)
			}
			if status.Reason != "ended by itself: exit code 1" || status.Restarts != i+1 {
				t.Errorf("reason %q, restarts %d", status.Reason, status.Restarts)
			}
			<-time.After(wait)
		}
		s.want(Running, 6)
		<-time.After(time.Minute) // long enough to count as settled
		s.started[5].ended <- Exit{Code: -1, Signal: "SIGSEGV"}
		s.want(Waiting, 0)
		if wait := time.Until(s.child.Status().Next); wait > time.Second {
			t.Errorf("pause after a settled run is %s", wait)
		}
		s.child.Stop()
		s.want(Stopped, 0)
		<-time.After(time.Hour)
		s.want(Stopped, 0)
	})
}

func TestStartCutsThePauseShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{BackoffMin: time.Hour})
		s.fail = errors.New("no such file")
		s.child.Start()
		s.want(Waiting, 0)
		if reason := s.child.Status().Reason; reason != "start program: no such file" {
			t.Errorf("reason %q", reason)
		}
		s.fail = nil
		s.child.Start()
		s.want(Running, 1)
	})
}

func TestBeforeHoldsTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocked := errors.New("port 50002 is held by nginx (pid 7)")
		s := newStage(t, Options{BackoffMin: time.Second, Before: func(context.Context) error { return blocked }})
		s.child.Start()
		s.want(Waiting, 0)
		if reason := s.child.Status().Reason; reason != blocked.Error() {
			t.Errorf("reason %q", reason)
		}
		if len(s.started) > 0 {
			t.Error("was started")
		}
	})
}

func TestErrStayIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{Before: func(context.Context) error { return fmt.Errorf("%w: switched off", ErrStay) }})
		s.child.Start()
		s.want(Stopped, 0)
		<-time.After(time.Hour)
		s.want(Stopped, 0)
		if status := s.child.Status(); status.Wanted || status.Reason != "must not be started: switched off" {
			t.Errorf("status %+v", status)
		}
	})
}

// TestRetire: what ends while everything is being stopped is not started again.
func TestRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Options{})
		s.child.Start()
		s.want(Running, 1)
		s.child.Retire()
		s.want(Running, 1)
		s.started[0].ended <- Exit{Code: -1, Signal: "SIGTERM"}
		s.want(Stopped, 0)
		s.child.Start()
		<-time.After(time.Hour)
		s.want(Stopped, 0)
	})
}

// runReal runs a child on a real process.
func runReal(t *testing.T, mode string, o Options) (*Child, func(what string, ok func(Status) bool) Status) {
	t.Helper()
	changes := make(chan struct{}, 1)
	o.Changed = func() {
		select {
		case changes <- struct{}{}:
		default:
		}
	}
	o.Name, o.Argv, o.Env = mode, []string{os.Args[0]}, append(os.Environ(), "CHILD_TEST_MODE="+mode)
	c := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	c.Start()
	wait := func(what string, ok func(Status) bool) Status {
		t.Helper()
		deadline := time.After(20 * time.Second)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			if s := c.Status(); ok(s) {
				return s
			}
			select {
			case <-changes:
			case <-tick.C:
			case <-deadline:
				t.Fatalf("not %s: %+v", what, c.Status())
			}
		}
	}
	return c, wait
}

func hasLine(prefix string) func(Status) bool {
	return func(s Status) bool { return lineWith(s, prefix) != "" }
}

func lineWith(s Status, prefix string) string {
	for _, l := range s.Lines {
		if rest, ok := strings.CutPrefix(l, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func TestRealProcess(t *testing.T) {
	c, wait := runReal(t, "good", Options{})
	s := wait("ready", hasLine("ready"))
	group, err := syscall.Getpgid(s.PID)
	if err != nil || group != s.PID {
		t.Errorf("process group is %d, %v, want its own %d", group, err, s.PID)
	}
	c.Stop()
	s = wait("stopped", func(s Status) bool { return s.State == Stopped })
	if s.LastExit == nil || s.LastExit.Code != 0 || s.LastExit.Signal != "" {
		t.Errorf("exit %+v", s.LastExit)
	}
}

func TestRealCrash(t *testing.T) {
	_, wait := runReal(t, "crash", Options{BackoffMin: time.Hour})
	s := wait("crashed", func(s Status) bool { return s.State == Waiting })
	if s.LastExit == nil || s.LastExit.Code != 3 || lineWith(s, "out of luck") == "" && s.Lines[len(s.Lines)-1] != "out of luck" {
		t.Errorf("status %+v", s)
	}
}

func TestRealStubborn(t *testing.T) {
	c, wait := runReal(t, "stubborn", Options{StopTimeout: 50 * time.Millisecond})
	wait("ready", hasLine("ready"))
	c.Stop()
	s := wait("stopped", func(s Status) bool { return s.State == Stopped })
	if s.LastExit.Signal != "SIGKILL" {
		t.Errorf("exit %+v", s.LastExit)
	}
}

// TestNoOrphans kills a parent with SIGKILL, which it cannot handle: the kernel
// ends the child.
func TestNoOrphans(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the system has no parent-death signal")
	}
	_, wait := runReal(t, "parent", Options{BackoffMin: time.Hour})
	s := wait("parent of a child", hasLine("grandchild "))
	grandchild, err := strconv.Atoi(lineWith(s, "grandchild "))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait("crashed", func(s Status) bool { return s.State == Waiting })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		if err := syscall.Kill(grandchild, 0); errors.Is(err, syscall.ESRCH) || isZombie(grandchild) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("grandchild %d still runs", grandchild)
		}
	}
}

// isZombie tells a process that has ended and waits for its new parent to notice.
func isZombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(text), ") Z ")
}

// TestWords: the reason of a panic stays although its trace is long.
func TestWords(t *testing.T) {
	r := newLineRing()
	fmt.Fprintln(r, "panic: nil map")
	for i := range 100 {
		fmt.Fprintln(r, "frame", i)
	}
	if got := r.words(); got != "panic: nil map" {
		t.Errorf("got %q", got)
	}
	r.reset()
	fmt.Fprintln(r, "out of luck")
	if got := r.words(); got != "out of luck" {
		t.Errorf("got %q", got)
	}
}

func TestLineRing(t *testing.T) {
	r := newLineRing()
	fmt.Fprint(r, "one\r\n\ntwo", " and more\n", strings.Repeat("x", 5000), "\nlast")
	want := []string{"one", "two and more", strings.Repeat("x", maxLineSize), "last"}
	if diff := cmp.Diff(want, r.list()); diff != "" {
		t.Error(diff)
	}
	for i := range 100 {
		fmt.Fprintln(r, i)
	}
	if got := r.list(); len(got) != maxLines || got[maxLines-1] != "99" {
		t.Errorf("kept %d lines, last %q", len(got), got[len(got)-1])
	}
}
