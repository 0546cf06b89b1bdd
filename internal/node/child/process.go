package child

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Exit is how a process ended.
type Exit struct {
	Code   int    // exit code, -1 when a signal ended it
	Signal string // name of the signal, empty otherwise
	Time   time.Time
	// Killed is how long it had been asked to end when it was killed for not doing so;
	// 0 if it was not.
	Killed time.Duration
}

// String says how it ended in words.
func (e Exit) String() string {
	if e.Killed > 0 {
		return fmt.Sprintf("killed after %s in which it did not end", e.Killed)
	}
	if e.Signal != "" {
		return "killed by signal " + e.Signal
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// process is a subprocess that was started.
type process interface {
	pid() int
	terminate() // ask it to end
	kill()      // end it and everything in its group
	// done yields how it ended, once.
	done() <-chan Exit
}

// launcher starts a process whose stderr goes to lines.
type launcher func(o Options, lines *lineRing) (process, error)

// pipeGrace is how long a dead child's own children may hold its stderr open.
const pipeGrace = 2 * time.Second

type realProcess struct {
	cmd   *exec.Cmd
	ended chan Exit
}

// launchProcess starts a real process. One goroutine, locked to its thread, both
// starts it and waits for it: Linux sends the parent-death signal when the thread
// that forked ends, not when the process does. The thread ends with the goroutine,
// as it has given up capabilities.
func launchProcess(o Options, lines *lineRing) (process, error) {
	p := &realProcess{ended: make(chan Exit, 1)}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()                        // and never unlocked
		cmd := exec.Command(o.Argv[0], o.Argv[1:]...) //nolint:gosec,noctx // the program is ours, and ends by our own signals
		cmd.Dir, cmd.Env, cmd.Stderr, cmd.Stdout = o.Dir, o.Env, lines, nil
		cmd.SysProcAttr = attributes()
		cmd.WaitDelay = pipeGrace
		p.cmd = cmd
		err := confine(o.Privileges, cmd.SysProcAttr)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err != nil {
			return
		}
		p.ended <- exitOf(cmd.Wait())
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func exitOf(err error) Exit {
	exit := Exit{Time: time.Now()}
	exitError, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return exit
	}
	exit.Code = exitError.ExitCode()
	if status, ok := exitError.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		exit.Signal = signalName(status.Signal())
	}
	return exit
}

func (p *realProcess) pid() int          { return p.cmd.Process.Pid }
func (p *realProcess) done() <-chan Exit { return p.ended }
func (p *realProcess) terminate()        { terminate(p.cmd.Process) }
func (p *realProcess) kill()             { killGroup(p.cmd.Process) }
