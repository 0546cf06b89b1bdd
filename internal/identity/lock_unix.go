//go:build unix

package identity

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const canSyncDirs = true

// tryLock takes an advisory lock that belongs to the open file.
func tryLock(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		default:
			return false, err
		}
	}
}
