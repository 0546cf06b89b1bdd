package notify

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manager is a service manager: it returns what one would have set, and what is told.
func manager(t *testing.T, variables map[string]string) (lookup func(string) (string, bool), told <-chan string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") //nolint:usetesting // sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	variables["NOTIFY_SOCKET"] = filepath.Join(dir, "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: variables["NOTIFY_SOCKET"], Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 4096)
		for {
			n, err := c.Read(buffer)
			if err != nil {
				return
			}
			select {
			case lines <- string(buffer[:n]):
			case <-t.Context().Done():
				return
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-ended })
	return func(name string) (string, bool) { v, ok := variables[name]; return v, ok }, lines
}

func TestRun(t *testing.T) {
	lookup, told := manager(t, map[string]string{"WATCHDOG_USEC": "30000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())})
	s := FromEnvironment(lookup)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, Checks{Ready: func(context.Context) error {
			if asked.Add(1) == 1 {
				return errors.New("not yet")
			}
			return nil
		}}, slog.New(slog.DiscardHandler))
	}()
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := <-told; got != want {
			t.Fatalf("told %q, want %q", got, want)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times whether it is ready", asked.Load())
	}
	cancel()
	for got := range told {
		if got == "STOPPING=1" {
			break
		}
		if got != "WATCHDOG=1" { // one may be under way
			t.Fatalf("told %q at the end", got)
		}
	}
	<-done
}

// TestHung: one that does not answer gives no signs of life.
func TestHung(t *testing.T) {
	lookup, told := manager(t, map[string]string{"WATCHDOG_USEC": "3000"})
	s := FromEnvironment(lookup)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, Checks{Alive: func(ctx context.Context) error {
			if asked.Add(1) == 3 {
				cancel()
			}
			<-ctx.Done()
			return ctx.Err()
		}}, slog.New(slog.DiscardHandler))
	}()
	if got := <-told; got != "READY=1" {
		t.Fatalf("told %q", got)
	}
	if got := <-told; got != "STOPPING=1" {
		t.Errorf("a hung service told %q", got)
	}
	<-done
}

func TestFromEnvironment(t *testing.T) {
	for name, tc := range map[string]struct {
		usec, pid string
		every     time.Duration
	}{
		"none":         {},
		"ours":         {"30000000", strconv.Itoa(os.Getpid()), 10 * time.Second},
		"no pid":       {"3000000", "", time.Second},
		"another's":    {"30000000", "1", 0},
		"no number":    {"often", "", 0},
		"below zero":   {"-5", "", 0},
		"out of range": {"99999999999999999999", "", 0},
		"forever":      {"9223372036854775807", "", 0},
	} {
		s := FromEnvironment(func(v string) (string, bool) {
			text := map[string]string{"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": tc.usec, "WATCHDOG_PID": tc.pid}[v]
			return text, text != ""
		})
		if s.every != tc.every || !s.Wanted() {
			t.Errorf("%s: signs of life every %v, want %v", name, s.every, tc.every)
		}
	}
	if FromEnvironment(nil).Wanted() {
		t.Error("somebody listens who is not there")
	}
	if err := (Service{}).Send(t.Context(), "READY=1"); err != nil {
		t.Errorf("without a manager: %v", err)
	}
	if err := (Service{socket: filepath.Join(t.TempDir(), "gone")}).Send(t.Context(), "READY=1"); err == nil {
		t.Error("told nobody, and no error")
	}
}

// TestExtension: more time is asked for in the manager's words, and only for work.
func TestExtension(t *testing.T) {
	if got := extension(); got != "EXTEND_TIMEOUT_USEC=120000000" {
		t.Error(got)
	}
	before, known := worked()
	if !known {
		t.Skip("this system does not say what a process has done")
	}
	for n := 0; ; n++ {
		if now, _ := worked(); now.cpu > before.cpu {
			return
		}
		if n > 1_000_000 {
			t.Fatal("a loop is no work")
		}
	}
}
