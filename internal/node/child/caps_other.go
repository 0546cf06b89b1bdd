//go:build !linux

package child

import (
	"errors"
	"os"
	"syscall"
)

// Missing returns those of the named privileges that this process cannot give to
// a child. Where there are no capabilities, root has everything and others nothing.
func Missing(names []string) []string {
	if os.Geteuid() == 0 {
		return nil
	}
	return names
}

// HeldBy says that capabilities are Linux's.
func HeldBy(int) ([]string, error) { return nil, errors.ErrUnsupported }

// confine does nothing: a child has what its user has.
func confine([]string, *syscall.SysProcAttr) error { return nil }
