//go:build unix

package standalone

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockHome takes the lock of a home folder for the life of this process, or
// errLocked when another process has it. The system lets go of it when the
// process dies, however it dies.
func lockHome(path string) (unlock func(), err error) {
	return lockFile(path, os.O_CREATE|os.O_RDWR)
}

// homeLocked reports whether another process has that lock. It makes nothing, and
// asks in a home that has become read-only too.
func homeLocked(path string) (bool, error) {
	unlock, err := lockFile(path, os.O_RDWR)
	if errors.Is(err, unix.EROFS) {
		unlock, err = lockFile(path, os.O_RDONLY)
	}
	switch {
	case errors.Is(err, errLocked):
		return true, nil
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	unlock()
	return false, nil
}

func lockFile(path string, flags int) (unlock func(), err error) {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock home: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock home: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// alive reports whether a process exists, also one of another user.
func alive(pid int) bool {
	err := unix.Kill(pid, 0)
	return err == nil || errors.Is(err, unix.EPERM)
}

func signalStop(pid int) error { return unix.Kill(pid, unix.SIGTERM) }

func signalKill(pid int) error { return unix.Kill(pid, unix.SIGKILL) }

// detached starts a process in a session of its own, which a closing terminal
// does not end.
func detached() *unix.SysProcAttr { return &unix.SysProcAttr{Setsid: true} }
