package wal

import (
	"errors"
	"math"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// maintain ends an old segment and removes what retention allows.
func (l *Log) maintain() error {
	var err error
	if a := l.w.active; a != nil && a.seg.first != l.w.next &&
		l.opts.Now().Sub(a.seg.created) >= l.opts.SegmentAge {
		err = l.rotate()
	}
	return errors.Join(err, l.retain())
}

// retain removes whole segments, oldest first: those older than RetentionAge
// and those that make the log larger than RetentionBytes. The active segment
// stays, and so does what a cursor with a hold still needs, unless the disk
// would fill up.
func (l *Log) retain() error {
	hold, holder := l.cursors.held()
	n := l.expired(hold)
	if n > 0 {
		l.remove(n)
	}
	errs := []error{l.sweep()}
	// While a file cannot be removed, giving up further ones frees nothing either.
	for len(l.w.doomed) == 0 && l.opts.MinFreeBytes > 0 && l.free() < l.opts.MinFreeBytes && l.expired(math.MaxUint64) > 0 {
		l.log.Error("log removes events that a subscriber still needs, the disk is nearly full",
			"path", l.view.Load().segs[0].name, "cursor", holder, "offset", hold, "free_bytes", l.free())
		l.remove(1)
		errs = append(errs, l.sweep())
	}
	return errors.Join(errs...)
}

// expired returns how many of the oldest segments age and size no longer
// allow and hold does not need.
func (l *Log) expired(hold Offset) int {
	v := l.view.Load()
	now, total := l.opts.Now(), v.bytes()
	n := 0
	for ; n < len(v.segs)-1; n++ {
		seg, next := v.segs[n], v.segs[n+1]
		// A segment is as old as its youngest event, and that is no younger
		// than the next segment.
		old := l.opts.RetentionAge > 0 && now.Sub(began(v.segs[n+1:], now)) > l.opts.RetentionAge
		big := l.opts.RetentionBytes > 0 && total > l.opts.RetentionBytes
		if !old && !big || next.first > hold {
			break
		}
		total -= seg.end
	}
	return n
}

// began returns when the first of segs began. One that begins in the future was
// made while the clock was ahead, and the next one speaks for it.
func began(segs []*segment, now time.Time) time.Time {
	for _, s := range segs {
		if !s.created.After(now) {
			return s.created
		}
	}
	return now
}

// remove takes the oldest n segments out of the log. Readers that are in one
// of them keep reading it.
func (l *Log) remove(n int) {
	v := *l.view.Load()
	for _, s := range v.segs[:n] {
		l.w.doomed = append(l.w.doomed, s.name)
	}
	v.segs = append([]*segment(nil), v.segs[n:]...)
	l.publish(v)
	l.noteHead()
}

// sweep removes the files of segments that are no longer in the log. The head
// file must say so first, or it would look as if somebody had cut the log; only
// a disk too full for that has removing come first.
func (l *Log) sweep() error {
	if l.w.headErr != nil {
		l.noteHead()
	}
	if len(l.w.doomed) == 0 {
		return nil
	}
	if err := l.w.headErr; err != nil && !errors.Is(classify(err), ErrDiskFull) {
		return err
	}
	var errs []error
	left := l.w.doomed[:0]
	for _, name := range l.w.doomed {
		err := l.opts.FS.Remove(filepath.Join(l.opts.Dir, name))
		if err != nil && !vfs.IsNotExist(err) {
			errs = append(errs, err)
			left = append(left, name)
			continue
		}
		l.log.Debug("removed segment", "path", name)
	}
	l.w.doomed = left
	return errors.Join(append(errs, l.opts.FS.SyncDir(l.opts.Dir))...)
}
