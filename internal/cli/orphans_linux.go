package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Pace of the look for orphans. What this program started itself is waited for by who
// started it, at once or when its output has been read; an orphan waits for nobody.
const (
	orphansEvery = 10 * time.Second
	orphanAge    = 30 * time.Second
)

// reapOrphans takes away processes that have ended and that nobody waits for. As the
// first process of a container this one inherits those whose parents have died, and each
// would keep a number for ever (wait(2), pid_namespaces(7)). It returns when ctx ends.
func reapOrphans(ctx context.Context) {
	seen := map[int]time.Time{}
	tick := time.NewTicker(orphansEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			reapOld("/proc", os.Getpid(), seen, now)
		}
	}
}

// reapOld reaps children of parent that were seen ended so long ago, and notes the others.
func reapOld(proc string, parent int, seen map[int]time.Time, now time.Time) (reaped int) {
	ended := map[int]bool{}
	for _, pid := range endedChildren(proc, parent) {
		ended[pid] = true
		first, known := seen[pid]
		switch {
		case !known:
			seen[pid] = now
		case now.Sub(first) >= orphanAge:
			if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err == nil && got == pid {
				reaped++
				delete(seen, pid)
			}
		}
	}
	for pid := range seen {
		if !ended[pid] {
			delete(seen, pid)
		}
	}
	return reaped
}

// endedChildren are the children of parent that have ended and were not waited for: those
// of state Z (proc_pid_stat(5)).
func endedChildren(proc string, parent int) (pids []int) {
	files, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
	if err != nil {
		return nil
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has gone
		}
		// The name, in parentheses, may hold anything.
		rest := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(rest) < 2 || string(rest[0]) != "Z" || string(rest[1]) != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
