package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

const noWait = 0 // no file waits when it is opened

// syncDir does nothing: NTFS journals names itself and folders cannot be
// flushed.
func syncDir(*os.File) error { return nil }

func freeBytes(dir string) (uint64, error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return 0, err
	}
	return free, nil
}

func usedBytes(dir string) (uint64, error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var total, free uint64
	if err := windows.GetDiskFreeSpaceEx(p, nil, &total, &free); err != nil {
		return 0, err
	}
	return total - min(free, total), nil
}

// lockFile locks a byte far behind the process id, so that the id stays
// readable.
func lockFile(f *os.File) (held bool, err error) {
	at := &windows.Overlapped{OffsetHigh: 1}
	flags := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY)
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	return false, err
}
