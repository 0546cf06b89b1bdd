//go:build !unix

package child

import (
	"os"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

// terminate kills: there is no way to ask where there are no signals.
func terminate(p *os.Process) { _ = p.Kill() }

func killGroup(p *os.Process) { _ = p.Kill() }

func signalName(s syscall.Signal) string { return s.String() }
