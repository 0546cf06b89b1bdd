//go:build unix && !linux

package child

import "syscall"

// attributes puts the child into its own process group, so that a terminal's
// Ctrl-C reaches only us and we end children in order.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
