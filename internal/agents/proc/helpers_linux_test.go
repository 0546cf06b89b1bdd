package proc

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// helpers are what the test binary does as another process.
func helpers() map[string]func() {
	return map[string]func(){"leaderless": leaderless, "reuse": reuse}
}

// helper is the test binary as one of those.
func helper(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{"PROC_TEST_HELPER=" + name, "GOMAXPROCS=4"}
	return cmd
}

// leaderless lets its main thread leave, waits for its input to end and ends itself by
// SIGTERM.
func leaderless() {
	ready, left := make(chan struct{}), make(chan struct{})
	for range 100 {
		go func() {
			runtime.LockOSThread()
			if unix.Gettid() == os.Getpid() {
				close(ready)
				<-left
				// This thread alone; not RawSyscall, or goroutines that wait to run on it
				// would be gone with it.
				_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
			}
			<-left
			select {} // a thread that is looked at stays
		}()
	}
	go func() { <-ready; close(left) }()
	<-left
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	_ = unix.Kill(os.Getpid(), unix.SIGTERM)
	select {}
}

// TestMainThreadLeaves: a process goes on without it and is no zombie.
func TestMainThreadLeaves(t *testing.T) {
	recorder := startAgent(t, DefaultConfig())
	cmd := helper(t, "leaderless")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	src, err := newProcfs(plain)
	if err != nil {
		t.Fatal(err)
	}
	var s stat
	for deadline := time.Now().Add(10 * time.Second); s.thread == 0; runtime.Gosched() {
		if err := src.stat(pid, &s); err != nil || time.Now().After(deadline) {
			t.Fatalf("its main thread is still there: %+v, %v", s, err)
		}
	}
	if s.state == 'Z' || s.rssPages == 0 || s.vsize == 0 || s.image == (image{}) {
		t.Errorf("without its main thread it looks so: %+v", s)
	}
	var f facts
	src.facts(pid, s.thread, &f)
	if f.exe == "" || f.cwd == "" || f.command == "" {
		t.Errorf("facts %+v", f)
	}
	if n := src.descriptors(pid, s.thread); n == nil || *n < 3 {
		t.Errorf("descriptors %v", n)
	}
	before := len(recorder.Events())
	recorder.Wait(t, 10*time.Second, "a reading", func(events []*pb.Event) bool {
		return len(ofPID(events[before:], event.TypeProcessSample, pid)) > 0
	})
	if u := ofPID(recorder.Events()[before:], event.TypeProcessSample, pid)[0].GetProcess().GetUsage(); u.GetState() == pb.ProcessState_PROCESS_STATE_ZOMBIE || u.GetRssBytes() == 0 {
		t.Errorf("reading %v", u)
	}
	_ = in.Close()
	recorder.Wait(t, 10*time.Second, "the zombie", func(events []*pb.Event) bool { // nobody has waited for it yet
		readings := ofPID(events, event.TypeProcessSample, pid)
		return readings[len(readings)-1].GetProcess().GetUsage().GetState() == pb.ProcessState_PROCESS_STATE_ZOMBIE
	})
	_ = cmd.Wait()
	recorder.Wait(t, 10*time.Second, "the end", func(events []*pb.Event) bool {
		return len(ofPID(events, event.TypeProcessExit, pid)) == 1
	})
	exit := ofPID(recorder.Events(), event.TypeProcessExit, pid)[0].GetProcess()
	want := int32(0) // not known
	if src.wholeStatus {
		want = int32(syscall.SIGTERM)
	}
	if exit.ExitCode != nil || exit.GetExitSignal() != want {
		t.Errorf("exit %v, want signal %d", exit, want)
	}
	if starts := ofPID(recorder.Events(), event.TypeProcessExecution, pid); len(starts) > 2 {
		t.Errorf("%d starts of one program, forked and executed once", len(starts))
	}
}

// TestStatusOfOthersIsUnknown: to a user who may not know, the kernel shows 0 as the
// status of a zombie.
func TestStatusOfOthersIsUnknown(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "exit 3")
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _ = cmd.Wait() }()
	pid := cmd.Process.Pid
	src, err := newProcfs(plain)
	if err != nil {
		t.Fatal(err)
	}
	var s stat
	for deadline := time.Now().Add(10 * time.Second); s.state != 'Z' && time.Now().Before(deadline); runtime.Gosched() {
		if err := src.stat(pid, &s); err != nil {
			t.Fatal(err)
		}
	}
	if s.exit != 3<<8 || !src.mayReadStatus(pid) {
		t.Errorf("root sees status %#x, and may: %v", s.exit, src.mayReadStatus(pid))
	}
	asNobody(t, func() {
		if err := src.stat(pid, &s); err != nil {
			t.Error(err)
		}
		if s.exit != 0 || src.mayReadStatus(pid) {
			t.Errorf("nobody sees status %#x, and may: %v", s.exit, src.mayReadStatus(pid))
		}
		var f facts
		src.facts(1, 0, &f)
		if !f.hidden {
			t.Errorf("nobody sees %+v", f)
		}
	})
}

// asNobody calls f on a thread of user 65534, which ends with it.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		for _, call := range []struct{ number, id uintptr }{{unix.SYS_SETGID, 65534}, {unix.SYS_SETUID, 65534}} {
			if _, _, errno := unix.RawSyscall(call.number, call.id, 0, 0); errno != 0 {
				t.Error(errno)
				return
			}
		}
		f()
	}()
	<-done
}

// reuse runs as the first process of a pid namespace: it gives one pid to two programs
// and says what the table makes of it.
func reuse() {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stdout, "cannot:", err)
			os.Exit(0) //nolint:forbidigo // here the test binary is a program
		}
	}
	fail(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	fail(unix.Mount("proc", "/proc", "proc", 0, ""))
	t, err := hostTable("host", plain)
	fail(err)
	t.watch, t.byPID = func(*process) bool { return true }, map[int]*process{}
	var c change
	look := func() {
		fail(t.scan(&c))
		for _, p := range c.ended {
			fmt.Fprint(os.Stdout, "-", p.pid, p.stat.name, " ")
		}
		for _, p := range c.started {
			fmt.Fprint(os.Stdout, "+", p.pid, p.stat.name, " ")
		}
		fmt.Fprint(os.Stdout, "; ")
	}
	end := func(cmd *exec.Cmd) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	run := func(argv ...string) *exec.Cmd {
		for range 100 { // a thread of the runtime may take the pid
			cmd := exec.Command(argv[0], argv[1:]...)
			_, err := cmd.StdinPipe()
			fail(err)
			fail(os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte("4999"), 0))
			fail(cmd.Start())
			if cmd.Process.Pid == 5000 {
				return cmd
			}
			end(cmd)
		}
		fail(errors.New("pid 5000 is taken"))
		return nil
	}
	look()
	first := run("sleep", "1000")
	look()
	end(first)
	<-time.After(20 * time.Millisecond) // starts are told apart by ticks of the clock
	second := run("cat")
	look()
	end(second)
	look()
}

// TestPidGivenAgainByTheKernel between two looks.
func TestPidGivenAgainByTheKernel(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, for a namespace of process ids")
	}
	cmd := helper(t, "reuse")
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.HasPrefix(string(out), "cannot") {
		t.Skipf("no namespace of process ids here: %v %s", err, out)
	}
	if got := string(out); got != "; +5000sleep ; -5000sleep +5000cat ; -5000cat ; " {
		t.Errorf("seen: %s", got)
	}
}
