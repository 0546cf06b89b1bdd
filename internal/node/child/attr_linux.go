package child

import "syscall"

// attributes puts the child into its own process group, so that a terminal's
// Ctrl-C reaches only us and we end children in order, and has the kernel ask it
// to end when we die.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
