package wal

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
)

// reserve preallocates space for n more bytes at pos. It is an optimisation: what
// goes wrong here shows in the write.
func (l *Log) reserve(pos, n int64) {
	a := l.w.active
	if l.w.noPreallocate || pos+n <= a.alloc {
		return
	}
	size := max(n, min(preallocateBytes, l.opts.SegmentBytes-pos))
	if l.opts.MinFreeBytes > 0 && l.free() < l.opts.MinFreeBytes+size {
		return
	}
	err := a.file.Preallocate(pos, size)
	switch {
	case err == nil:
		a.alloc = pos + size
	case errors.Is(err, errors.ErrUnsupported):
		l.w.noPreallocate = true
	}
}

// free returns the free bytes of the disk, or a very large number when the
// system cannot say.
func (l *Log) free() int64 {
	n, err := l.opts.FS.FreeBytes(l.opts.Dir)
	if err != nil || n > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(n)
}

// checkSpace refuses a group when the disk is nearly full, after retention has
// had its chance.
func (l *Log) checkSpace(bytes int64) error {
	if l.opts.MinFreeBytes <= 0 || l.free() >= l.opts.MinFreeBytes+bytes {
		return nil
	}
	if err := l.retain(); err != nil {
		l.log.Warn("log maintenance", "error", err)
	}
	if free := l.free(); free < l.opts.MinFreeBytes+bytes {
		return fmt.Errorf("%w: %d bytes are free in %s, %d must stay free",
			ErrDiskFull, free, filepath.Clean(l.opts.Dir), l.opts.MinFreeBytes)
	}
	return nil
}

// stillFull reports, after a group was stored, whether one of the size that was
// refused for want of space would be refused again: a log with room for small
// records alone is not well.
func (l *Log) stillFull() bool {
	return errors.Is(l.w.lastRefused, ErrDiskFull) && l.free() < l.opts.MinFreeBytes+l.w.refusedBytes
}

// probe brings a log that refuses records back when the disk works again, also
// while nobody submits.
func (l *Log) probe() {
	if l.w.lastRefused == nil {
		return
	}
	if l.checkSpace(maxGroupBytes) != nil {
		return
	}
	if errors.Is(l.w.lastRefused, ErrDiskFull) && l.free() < maxGroupBytes {
		return
	}
	if l.w.active == nil {
		if err := l.begin(); err != nil {
			return
		}
	}
	l.w.lastRefused = nil
	l.setState(StateOK, nil)
}
