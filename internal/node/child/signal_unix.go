//go:build unix

package child

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func terminate(p *os.Process) { _ = p.Signal(syscall.SIGTERM) } // it may have ended just now

func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) } // as above

func signalName(s syscall.Signal) string { return unix.SignalName(s) }
