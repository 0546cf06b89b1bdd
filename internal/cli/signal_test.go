//go:build unix

package cli

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestSignals runs this test binary as a program and signals it.
func TestSignals(t *testing.T) {
	if os.Getenv("AMOSKYS_TEST_SIGNALS") != "" {
		grace, err := time.ParseDuration(os.Getenv("AMOSKYS_TEST_SIGNALS"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := interruptible([]os.Signal{syscall.SIGTERM}, grace)
		_, _ = os.Stdout.WriteString("r")
		<-ctx.Done()
		_, _ = os.Stdout.WriteString("c")
		_, _ = os.Stdin.Read(make([]byte, 1)) // as if stopping took a while
		stop()
		return
	}
	tests := []struct {
		name   string
		grace  string
		killed bool
	}{
		{"a burst is one signal", "1h", false},
		{"a later one kills", "1ns", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSignals$")
			cmd.Env = append(os.Environ(), "AMOSKYS_TEST_SIGNALS="+tt.grace)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			expect := func(want string) {
				t.Helper()
				b := make([]byte, 1)
				if _, err := out.Read(b); err != nil || string(b) != want {
					t.Fatalf("read %q, %v, want %q", b, err, want)
				}
			}
			expect("r")
			signal := func() { _ = cmd.Process.Signal(syscall.SIGTERM) }
			signal()
			if !tt.killed {
				signal()
				signal()
			}
			expect("c")
			if tt.killed {
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }()
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-ended:
						if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGTERM {
							t.Errorf("ended by %v", cmd.ProcessState)
						}
						return
					case <-tick.C:
						signal()
					}
				}
			}
			signal()
			_ = in.Close()
			if err := cmd.Wait(); err != nil {
				t.Errorf("ended with %v", err)
			}
		})
	}
}
