package wal

import (
	"errors"
	"math"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// plainClock believes what it is shown.
type plainClock struct{ now func() time.Time }

func (c plainClock) Age(t time.Time) time.Duration { return c.now().Sub(t) }
func (plainClock) Doubt() string                   { return "" }
func (plainClock) Known(time.Time)                 {}

// maintain looks whether what should be there is, ends an old segment and removes what
// retention allows.
func (l *Log) maintain() error {
	l.noticeGone()
	var err error
	if a := l.w.active; a != nil && a.seg.first != l.w.next && l.opts.Clock.Age(a.seg.created) >= l.opts.SegmentAge {
		err = l.rotateOrGrow()
	}
	if l.w.head.next != l.w.next {
		l.noteHead() // so that a lost end is noticed
	}
	return errors.Join(err, l.retain())
}

// retain removes whole segments, oldest first: those older than RetentionAge
// and those that make the log larger than RetentionBytes. The active segment
// stays, and so does what a cursor with a hold still needs, unless the disk
// would fill up. While the clock is doubted, a disk that would fill up also costs
// what is too old by the wall clock alone.
func (l *Log) retain() error {
	hold, holder := l.cursors.held()
	doubt := l.opts.Clock.Doubt()
	n, why := l.expired(hold, l.opts.Clock)
	if n > 0 {
		say := l.log.Info
		if doubt != "" && why == overSize {
			say = l.log.Warn
			why += ", and age is not told while the clock is doubted"
		}
		l.sayRemoved(say, n, why)
		l.remove(n)
	}
	errs := []error{l.sweep()}
	// While a file cannot be removed, giving up further ones frees nothing either.
	for len(l.w.doomed) == 0 && l.opts.MinFreeBytes > 0 && l.free() < l.opts.MinFreeBytes {
		path := l.view.Load().segs
		if n, _ := l.expired(math.MaxUint64, l.opts.Clock); n > 0 {
			l.log.Error("log removes events that a subscriber still needs, the disk is nearly full",
				"path", path[0].name, "cursor", holder, "offset", hold, "free_bytes", l.free())
		} else if n, _ := l.expired(math.MaxUint64, plainClock{l.opts.Now}); doubt != "" && n > 0 {
			l.log.Error("log removes its oldest events although the clock is doubted, the disk is nearly full",
				"path", path[0].name, "offset", path[0].first, "next_offset", path[1].first, "free_bytes", l.free(), "reason", doubt)
		} else {
			break
		}
		l.remove(1)
		errs = append(errs, l.sweep())
	}
	return errors.Join(errs...)
}

// Why segments are removed, for the log.
const (
	overAge  = "older than retention allows"
	overSize = "the log is larger than retention allows"
)

// sayRemoved logs which of the oldest n segments are about to go.
func (l *Log) sayRemoved(say func(string, ...any), n int, why string) {
	segs := l.view.Load().segs
	var bytes int64
	for _, s := range segs[:n] {
		bytes += s.end
	}
	say("log removes its oldest events", "reason", why,
		"offset", segs[0].first, "next_offset", segs[n].first, "events", segs[n].first-segs[0].first,
		"segments", n, "bytes", bytes, "began", segs[0].created.UTC(), "ended", segs[n].created.UTC())
}

// expired returns how many of the oldest segments age and size no longer
// allow and hold does not need, and why the last of them goes.
func (l *Log) expired(hold Offset, clock stream.Clock) (n int, why string) {
	v := l.view.Load()
	ages, total := agesOf(v.segs, clock), v.bytes()
	for ; n < len(v.segs)-1; n++ {
		seg, next := v.segs[n], v.segs[n+1]
		// A segment is as old as its youngest event, and that is no younger
		// than the next segment.
		old := l.opts.RetentionAge > 0 && ages[n+1] > l.opts.RetentionAge
		big := l.opts.RetentionBytes > 0 && total > l.opts.RetentionBytes
		if !old && !big || next.first > hold {
			break
		}
		why = overAge
		if !old {
			why = overSize
		}
		total -= seg.end
	}
	return n, why
}

// agesOf returns how long ago each segment began, whatever the clock showed then:
//
//	began, by its header           because              how long ago
//	in the future                  the clock was ahead  as the next one, now for the last
//	before one that came earlier   the clock was back   as that one
func agesOf(segs []*segment, clock stream.Clock) []time.Duration {
	ages := make([]time.Duration, len(segs))
	youngest := time.Duration(math.MaxInt64)
	for i, s := range segs {
		ages[i] = clock.Age(s.created)
		if ages[i] >= 0 {
			youngest = min(youngest, ages[i])
			ages[i] = youngest
		}
	}
	next := time.Duration(0)
	for i := len(ages) - 1; i >= 0; i-- {
		if ages[i] < 0 {
			ages[i] = next
		}
		next = ages[i]
	}
	return ages
}

// remove takes the oldest n segments out of the log. Readers that are in one
// of them keep reading it.
func (l *Log) remove(n int) {
	v := *l.view.Load()
	for _, s := range v.segs[:n] {
		l.w.doomed = append(l.w.doomed, s.name)
	}
	v.segs = append([]*segment(nil), v.segs[n:]...)
	l.w.head.removed, l.w.head.note.removedAt = v.segs[0].first, l.opts.Now()
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
