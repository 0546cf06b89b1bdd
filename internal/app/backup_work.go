package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/vfs"
)

// workPrefix begins the names of folders below run/ in which backups have what they make
// for themselves: copies of accounts among it.
const workPrefix = "backup-"

// workLock is locked for as long as a backup is made.
const workLock = "lock"

// workGrace is how old a folder without a lock must be, that nobody is about to lock it.
const workGrace = time.Minute

// BackupWork makes a folder for what a backup makes for itself, and removes those that
// backups left behind which were killed. end removes it.
func BackupWork(home config.Home) (dir string, end func() error, err error) {
	if err := SweepBackupWork(home); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(home.Run(), 0o700); err != nil {
		return "", nil, fmt.Errorf("make a folder for the backup: %w", err)
	}
	if dir, err = os.MkdirTemp(home.Run(), workPrefix); err != nil {
		return "", nil, fmt.Errorf("make a folder for the backup: %w", err)
	}
	lock, err := vfs.OS{}.Lock(filepath.Join(dir, workLock))
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("make a folder for the backup: %w", err), os.RemoveAll(dir))
	}
	return dir, func() error { return errors.Join(os.RemoveAll(dir), lock.Close()) }, nil
}

// SweepBackupWork removes what backups left behind that were killed.
func SweepBackupWork(home config.Home) error {
	dirs, err := filepath.Glob(filepath.Join(home.Run(), workPrefix+"*"))
	if err != nil {
		return fmt.Errorf("look for what backups left behind: %w", err)
	}
	for _, dir := range dirs {
		if err := sweepWork(dir); err != nil {
			return fmt.Errorf("remove what a backup left behind: %w", err)
		}
	}
	return nil
}

func sweepWork(dir string) error {
	name := filepath.Join(dir, workLock)
	if _, err := os.Stat(name); err != nil {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < workGrace {
			return nil //nolint:nilerr // it went, or is being made
		}
		return os.RemoveAll(dir)
	}
	lock, err := vfs.OS{}.Lock(name)
	if _, held := errors.AsType[*vfs.LockedError](err); held {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(dir), lock.Close())
}
