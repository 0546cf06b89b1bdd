package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty returns both ends of a terminal; see pts(4).
func pty(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

func shows(t *testing.T, terminal *os.File) bool {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return mode.Lflag&unix.ECHO != 0
}

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end, again := time.NewTimer(10*time.Second), time.NewTicker(time.Millisecond)
	defer end.Stop()
	defer again.Stop()
	for !ok() {
		select {
		case <-end.C:
			t.Fatalf("not in time: %s", what)
		case <-again.C:
		}
	}
}

// TestNewPasswordOnATerminal: what is typed is not shown, and what is shown
// afterwards is, also when the command was broken off.
func TestNewPasswordOnATerminal(t *testing.T) {
	for name, tt := range map[string]struct {
		typed      string // empty: it is broken off
		want, fail string
	}{
		"the same twice": {"hunter two\nhunter two\n", "hunter two", ""},
		"not the same":   {"hunter two\nhunter too\n", "", "differ"},
		"Enter alone":    {"\n", "", ""},
		"broken off":     {"", "", context.Canceled.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			keyboard, terminal := pty(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			type result struct {
				plain string
				err   error
			}
			done := make(chan result, 1)
			e := &Env{Stdin: terminal, Stderr: terminal}
			go func() {
				plain, err := e.NewPassword(ctx, "ada", false)
				done <- result{plain, err}
			}()
			waitUntil(t, "the terminal hides what is typed", func() bool { return !shows(t, terminal) })
			if tt.typed == "" {
				cancel()
			} else if _, err := keyboard.WriteString(tt.typed); err != nil {
				t.Fatal(err)
			}
			got := <-done
			switch {
			case tt.fail == "" && (got.err != nil || got.plain != tt.want):
				t.Errorf("%q, %v", got.plain, got.err)
			case tt.fail != "" && (got.err == nil || !strings.Contains(got.err.Error(), tt.fail)):
				t.Errorf("error %v", got.err)
			}
			if !shows(t, terminal) {
				t.Error("the terminal goes on hiding what is typed")
			}
			if tt.typed == "" {
				_, _ = keyboard.WriteString("\n") // lets the read go that nobody waits for
			}
			terminal.Close()
			seen, _ := io.ReadAll(keyboard) // ends in EIO, because nobody has the terminal open
			if !strings.Contains(string(seen), "Password for ada") || strings.Contains(string(seen), "hunter") {
				t.Errorf("shown: %q", seen)
			}
		})
	}
}
