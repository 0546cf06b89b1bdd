package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

const (
	lockName      = "LOCK"
	quarantineDir = "quarantine"
	// acceptedDir is the folder within the quarantine folder of what nobody needs to
	// look at any more.
	acceptedDir = "accepted"
)

// Open opens the log in Options.Dir, making it when there is none, and
// recovers from whatever ended the program last time.
//
// Damage never keeps the log from opening: it is put on record (Recovery,
// Stat, a copy in the quarantine folder, a warning), its offsets are never
// given out again, and everything that can be read stays readable. A full or
// read-only disk does not either: the log opens and refuses records until that
// changes. Open fails when another process has the log open, when files cannot
// be read, when Replay fails and when ctx ends.
func Open(ctx context.Context, o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	l := &Log{
		opts: o, log: o.Logger, state: StateOK,
		cursors: cursorSet{fs: o.FS, dir: o.Dir},
		signal:  make(chan struct{}, 1), stop: make(chan struct{}), finished: make(chan struct{}),
		buffers: sync.Pool{New: func() any { b := make([]byte, scanBufferBytes); return &b }},
	}
	if err := l.open(ctx); err != nil {
		err = fmt.Errorf("open log %s: %w", o.Dir, err)
		if l.w.active != nil {
			err = errors.Join(err, l.w.active.file.Close())
		}
		if l.lock != nil {
			err = errors.Join(err, l.lock.Close())
		}
		return nil, err
	}
	l.recovery.Duration = time.Since(start)
	l.log.Info("log open", "path", o.Dir, "offset", l.w.next, "segments", len(l.view.Load().segs),
		"state", string(l.state), "duration", l.recovery.Duration)
	go l.run() //nolint:contextcheck // it lives until Close
	return l, nil
}

func (l *Log) open(ctx context.Context) error {
	if err := l.opts.FS.MkdirAll(l.opts.Dir, 0o700); err != nil {
		return err
	}
	lock, err := l.opts.FS.Lock(filepath.Join(l.opts.Dir, lockName))
	switch {
	case err == nil:
		l.lock = lock
	case stateOf(classify(err)) == StateFailed:
		return err
	}
	cursors, err := readCursors(l.opts.FS, l.opts.Dir, l.badCursor)
	if err != nil {
		return err
	}
	l.cursors.live = cursors
	l.listQuarantine()

	known, haveHead, err := l.knownEnd()
	if err != nil {
		return err
	}
	found, err := look(ctx, l.opts.FS, l.opts.Dir)
	if err != nil {
		return err
	}
	segs, floor := l.loadSegments(&found)
	known.offset = max(known.offset, floor)
	l.publish(view{segs: segs, next: known.offset})
	r, err := l.recover(ctx, &found, known)
	if err != nil {
		return err
	}
	r.haveHead = haveHead
	l.reconcile(ctx, &found, r)
	if err := ctx.Err(); err != nil {
		return err
	}
	l.ready(r)
	return nil
}

// ready notes what opening found, and makes sure that there is a segment to write to,
// or notes why not. Behind one of an older version a new one begins with the first
// record, so that a log that was only opened is still one for older builds.
func (l *Log) ready(r *recovered) {
	if l.w.headStale || l.w.head.note.closed {
		l.w.head.note.closed = false
		l.noteHead()
	}
	if l.w.active == nil && !r.older {
		if err := l.begin(); err != nil {
			l.w.lastRefused = err
			l.setState(stateOf(err), err)
		}
	}
	l.w.maintained = l.opts.Now()
	if !l.w.lastReceived.IsZero() {
		l.opts.Clock.Known(l.w.lastReceived)
	}
	if err := l.retain(); err != nil {
		l.log.Warn("log maintenance", "error", err)
	}
}

// end is an offset that the log is known to have reached.
type end struct {
	offset Offset
	source string // who says so
}

// knownEnd asks the head file and the cursors.
func (l *Log) knownEnd() (end, bool, error) {
	h, faults, err := readHead(l.opts.FS, l.opts.Dir)
	haveHead := err == nil
	if err != nil && !errors.Is(err, errNoHead) {
		return end{}, false, err
	}
	for _, fault := range faults {
		if haveHead {
			l.log.Warn("log's HEAD is not whole, it is written anew from what is left of it", "reason", fault)
		}
	}
	l.w.head, l.w.headStale = h, len(faults) > 0 || h.note.serial == 0
	l.publishLosses()
	known := end{h.next, "the HEAD file"}
	if h.note.hasNewest {
		known.offset = max(known.offset, h.note.newest)
	}
	if high, who := highestCursor(l.cursors.live); high > known.offset {
		known = end{high, "cursor " + who}
	}
	return known, haveHead, nil
}

// loadSegments takes up what a survey found. What cannot be a segment of this log is
// moved to the quarantine folder; floor is an offset above all that such files may have
// held.
func (l *Log) loadSegments(found *survey) (segs []*segment, floor Offset) {
	for _, name := range found.leftovers {
		if err := l.opts.FS.Remove(filepath.Join(l.opts.Dir, name)); err != nil {
			l.log.Warn("remove leftover file", "path", name, "error", err)
		}
	}
	for _, s := range found.segs {
		seg := &segment{name: s.name, first: s.first, salt: s.header.salt, version: s.header.version, end: s.size, created: time.Unix(0, s.header.created)}
		segs = append(segs, seg)
		if s.reason != "" { // the records can be read all the same, so the segment stays
			l.damage(Damage{Segment: s.name, FirstBad: s.first, Reason: s.reason, Copy: l.quarantineCopy(s.name, 0)})
		}
	}
	for _, odd := range found.strangers {
		l.damage(Damage{Segment: odd.name, FirstBad: odd.first, Reason: odd.reason, Copy: l.quarantineMove(odd.name)})
		// What is known of an older one is in the segments behind it.
		if (len(segs) == 0 || odd.first >= segs[len(segs)-1].first) && odd.first <= maxOffset/4 {
			floor = max(floor, odd.above)
		}
	}
	return segs, floor
}
