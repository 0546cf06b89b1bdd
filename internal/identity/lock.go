package identity

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	lockName = ".lock"
	lockWait = 30 * time.Second
	lockPoll = 20 * time.Millisecond
)

// lockFolder takes the folder's lock, which also goes when the process dies. It
// waits for another holder half a minute. The caller calls the returned function.
func lockFolder(dir string) (unlock func() error, err error) {
	file := filepath.Join(dir, lockName)
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, keyMode)
	if err != nil {
		return nil, fmt.Errorf("lock folder %s: %w", dir, err)
	}
	deadline := time.NewTimer(lockWait)
	defer deadline.Stop()
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		ok, err := tryLock(f)
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock folder %s: %w", dir, err)
		}
		if ok {
			return f.Close, nil // closing gives the lock up
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			_ = f.Close()
			return nil, fmt.Errorf("lock folder %s: another process has held %s for %s", dir, file, lockWait)
		}
	}
}
