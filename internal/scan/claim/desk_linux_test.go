package claim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// alone runs a test in a network namespace of its own, where no other process has the name.
func alone(t *testing.T, test func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no use to others
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			test()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Skipf("needs CAP_SYS_ADMIN, to make a network namespace: %v", err)
	}
}

// TestScanTells: what a scan claims holds from the moment at which Claim returns, and ends
// with the connection. There is one Desk, and a scan without one claims nothing.
func TestScanTells(t *testing.T) {
	alone(t, func() {
		if s := Begin(t.Context()); s != nil {
			t.Error("there is a Desk before one was opened")
		}
		var nobody *Scan
		nobody.Claim(Port, 1, 1)
		nobody.End()

		var b Book
		d, err := Open(&b)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := Open(&b); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a second Desk: %v", err)
		}
		// Sockets are of the thread that makes them.
		scan := Begin(t.Context())
		if scan == nil {
			t.Error("no Desk is reached")
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { d.Run(ctx) })
		scan.Claim(Port, 61000, 8)
		scan.Claim(Echo, 77, 1)
		if !b.Holds(Port, 61007) || !b.Holds(Echo, 77) || b.Holds(Port, 77) {
			t.Error("what was claimed does not hold")
		}
		scan.Free(Echo, 77, 1)
		scan.Free(Echo, 78, 1) // not its own: it is believed no more
		scan.Claim(Port, 5000, 1)
		if b.Holds(Port, 5000) {
			t.Error("a scan that frees what is not its own is believed")
		}
		scan.End()
		cancel()
		running.Wait()
		for n, h := range b.all {
			if h.by != 0 {
				t.Errorf("%d is claimed by %d after all have gone", n, h.by)
			}
		}
	})
}

// TestOthersAreNotBelieved: a process of another user claims nothing.
func TestOthersAreNotBelieved(t *testing.T) {
	if os.Getenv("CLAIM_AS") != "" {
		c, err := net.Dial("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		s := &Scan{c: c}
		s.Claim(Port, 61000, 8)
		if s.c != nil {
			t.Error("the Desk answers another user")
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	alone(t, func() {
		var b Book
		d, err := Open(&b)
		if err != nil {
			t.Error(err)
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { d.Run(ctx) })
		defer running.Wait()
		defer cancel()
		// A copy of this program that others may run, within this namespace.
		self, err := os.Open("/proc/self/exe")
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = self.Close() }()
		command := exec.CommandContext(ctx, "/proc/self/fd/3", "-test.run=^TestOthersAreNotBelieved$")
		command.ExtraFiles = []*os.File{self}
		command.Dir = "/"
		command.Env = []string{"CLAIM_AS=other"}
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := command.CombinedOutput(); err != nil {
			t.Error(fmt.Errorf("another user: %w: %s", err, out))
		}
		if b.Holds(Port, 61000) {
			t.Error("another user is believed")
		}
	})
}
