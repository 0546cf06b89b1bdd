//go:build unix

package child

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatchdog: each row of the table in watchdog's comment.
func TestWatchdog(t *testing.T) {
	type scene struct {
		*stage

		mute  atomic.Bool  // nobody answers
		slept atomic.Int64 // what the machine slept, ns
		stuck atomic.Int64 // how long asking takes, beyond its time: we are not scheduled
	}
	tests := []struct {
		name string
		do   func(s *scene)
		hung bool
	}{
		{"answers", func(*scene) { <-time.After(time.Hour) }, false},
		{"has never answered: it is being started", func(s *scene) { s.mute.Store(true); s.child.Restart(); <-time.After(time.Hour) }, false},
		{"does not answer for 35 s", func(s *scene) {
			s.mute.Store(true)
			<-time.After(35 * time.Second)
			s.mute.Store(false)
			<-time.After(time.Hour)
		}, false},
		{"does not answer for 55 s", func(s *scene) { s.mute.Store(true); <-time.After(55 * time.Second) }, true},
		{"answers now and then", func(s *scene) {
			for range 100 {
				s.mute.Store(true)
				<-time.After(34 * time.Second)
				s.mute.Store(false)
				<-time.After(11 * time.Second)
			}
		}, false},
		{"the machine slept", func(s *scene) {
			s.mute.Store(true)
			<-time.After(40 * time.Second)
			s.slept.Add(int64(8 * time.Hour))
			<-time.After(12 * time.Second)
			s.mute.Store(false)
			<-time.After(time.Minute)
		}, false},
		{"we are not scheduled either", func(s *scene) {
			s.mute.Store(true)
			s.stuck.Store(int64(20 * time.Second))
			<-time.After(10 * time.Minute)
			s.stuck.Store(0)
			s.mute.Store(false)
			<-time.After(time.Minute)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				s := &scene{}
				s.stage = newStage(t, Options{
					Answers: func(ctx context.Context) error {
						if !s.mute.Load() {
							return nil
						}
						<-ctx.Done()
						<-time.After(time.Duration(s.stuck.Load()))
						return errors.New("silence")
					},
					passed: func() time.Duration { return time.Since(begin) + time.Duration(s.slept.Load()) },
				})
				s.child.Start()
				s.want(Running, 1)
				<-time.After(time.Minute)
				tt.do(s)
				synctest.Wait()
				st := s.child.Status()
				if hung := st.LastCrash != nil; hung != tt.hung {
					t.Fatalf("hung %t, want %t: %+v", hung, tt.hung, st.LastCrash)
				}
				if tt.hung && (!strings.HasPrefix(st.LastCrash.Text, "hung: it had not answered for 4") || st.Restarts != 1) {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// TestStoppedProcessIsNoticed: a real process that SIGSTOP holds does not answer, is
// killed, and starts again.
func TestStoppedProcessIsNoticed(t *testing.T) {
	t.Parallel()
	alive := filepath.Join(t.TempDir(), "alive")
	c := New(Options{
		Name: "stopped", Argv: []string{os.Args[0]}, Env: append(os.Environ(), "CHILD_TEST_MODE=good"),
		Answers: func(context.Context) error {
			_, err := os.Stat(alive)
			return err
		},
		HangAfter: 300 * time.Millisecond, BackoffMin: time.Millisecond,
	})
	if err := os.WriteFile(alive, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	defer func() { cancel(); <-done }()
	c.Start()
	await := func(what string, ok func(Status) bool) Status {
		t.Helper()
		for begin := time.Now(); ; <-time.After(5 * time.Millisecond) {
			if s := c.Status(); ok(s) {
				return s
			}
			if time.Since(begin) > 20*time.Second {
				t.Fatalf("%s: %+v", what, c.Status())
			}
		}
	}
	first := await("it runs", func(s Status) bool { return s.PID != 0 && len(s.Lines) > 0 })
	<-time.After(200 * time.Millisecond) // it has answered
	if err := syscall.Kill(first.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(alive); err != nil {
		t.Fatal(err)
	}
	s := await("it was killed", func(s Status) bool { return s.LastCrash != nil })
	if !strings.HasPrefix(s.LastCrash.Text, "hung: ") {
		t.Errorf("%+v", s.LastCrash)
	}
	await("another runs", func(s Status) bool { return s.PID != 0 && s.PID != first.PID })
}

// TestLastEnd: a process that is started again is told why.
func TestLastEnd(t *testing.T) {
	t.Parallel()
	c := New(Options{Name: "crash", Argv: []string{os.Args[0]}, Env: append(os.Environ(), "CHILD_TEST_MODE=lastend"), BackoffMin: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	defer func() { cancel(); <-done }()
	c.Start()
	for begin := time.Now(); ; <-time.After(5 * time.Millisecond) {
		if text := strings.Join(c.Status().Lines, "\n"); strings.Contains(text, "told: ended by itself: exit code 3: out of luck") {
			return
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("%+v", c.Status())
		}
	}
}
