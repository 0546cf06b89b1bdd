package standalone

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/cli"
)

// TestDownOfAReadOnlyHome: a file system that the kernel made read-only after an error
// keeps nobody from stopping what runs there.
func TestDownOfAReadOnlyHome(t *testing.T) {
	home := testHome(t)
	lock, err := os.OpenFile(lockPath(home), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	up := exec.Command("sleep", "60") // has the lock as long as it lives
	up.ExtraFiles = []*os.File{lock}
	if err := up.Start(); err != nil {
		t.Skip(err)
	}
	_ = lock.Close()
	ended := make(chan error, 1)
	go func() { ended <- up.Wait() }()
	t.Cleanup(func() { _ = up.Process.Kill() })
	if err := (runState{process: processOf("up", up.Process.Pid), Phase: phaseReady}).write(home); err != nil {
		t.Fatal(err)
	}
	where := string(home)
	if err := syscall.Mount(where, where, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("a folder cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(where, syscall.MNT_DETACH) })
	if err := syscall.Mount("", where, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("a folder cannot be made read-only: %v", err)
	}
	var out bytes.Buffer
	if err := Down(t.Context(), &cli.Env{Home: home, Stdout: &out}, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if <-ended; !strings.Contains(out.String(), "stopped") {
		t.Errorf("printed %q", out.String())
	}
}

// TestUpSinceGoesByTimeThatPassed: a clock that was set right meanwhile makes up no
// three hours old.
func TestUpSinceGoesByTimeThatPassed(t *testing.T) {
	home := testHome(t)
	s := runState{process: processOf("up", os.Getpid()), Phase: phaseReady, Started: time.Now().Add(-3 * time.Hour)}
	if err := s.write(home); err != nil {
		t.Fatal(err)
	}
	_, since := Running(home)
	if since == nil {
		t.Fatal("up does not run")
	}
	if d := time.Since(*since); d < 0 || d > time.Hour {
		t.Errorf("up since %v ago", d)
	}
}
