package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	lockName      = "LOCK"
	quarantineDir = "quarantine"
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
	go l.run()
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
	segs, floor, err := l.loadSegments(ctx)
	if err != nil {
		return err
	}
	known.offset = max(known.offset, floor)
	l.publish(view{segs: segs, next: known.offset})
	if err := l.recover(ctx, known); err != nil {
		return err
	}
	l.ready(haveHead)
	return nil
}

// ready makes sure that there is a segment to write to, or notes why not.
func (l *Log) ready(haveHead bool) {
	if l.w.active == nil {
		if err := l.begin(); err != nil {
			l.w.lastRefused = err
			l.setState(stateOf(err), err)
		}
	} else if !haveHead {
		l.noteHead()
	}
	l.w.maintained = l.opts.Now()
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
	h, err := readHead(l.opts.FS, l.opts.Dir)
	haveHead := err == nil
	if err != nil && !errors.Is(err, errNoHead) {
		return end{}, false, err
	}
	l.w.head = h
	known := end{h.next, "the HEAD file"}
	if high, who := highestCursor(l.cursors.live); high > known.offset {
		known = end{high, "cursor " + who}
	}
	return known, haveHead, nil
}

// loadSegments lists the segments in order and reads their headers. What
// cannot be a segment of this log is moved to the quarantine folder; floor is
// an offset above all that such files may have held.
func (l *Log) loadSegments(ctx context.Context) (segs []*segment, floor Offset, err error) {
	entries, err := l.opts.FS.ReadDir(l.opts.Dir)
	if err != nil {
		return nil, 0, fmt.Errorf("list segments: %w", err)
	}
	var bads []badSegment
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		name := e.Name()
		switch {
		case e.IsDir():
			continue
		case strings.HasSuffix(name, segmentSuffix+tempSuffix):
			if err := l.opts.FS.Remove(filepath.Join(l.opts.Dir, name)); err != nil {
				l.log.Warn("remove leftover file", "path", name, "error", err)
			}
			continue
		case !strings.HasSuffix(name, segmentSuffix):
			continue
		}
		seg, bad, err := l.loadSegment(name)
		if err != nil {
			return nil, 0, err
		}
		if seg == nil {
			bads = append(bads, bad)
			l.damage(Damage{Segment: name, FirstBad: bad.first, Reason: bad.reason, Copy: l.quarantineMove(name)})
			continue
		}
		segs = append(segs, seg)
	}
	for _, bad := range bads {
		// What is known of an older one is in the segments behind it.
		if (len(segs) == 0 || bad.first >= segs[len(segs)-1].first) && bad.first <= maxOffset/4 {
			floor = max(floor, bad.above)
		}
	}
	return segs, floor, nil
}

// badSegment says why a file is no segment of this log.
type badSegment struct {
	reason string
	first  Offset // where its events seem to start
	above  Offset // an offset above all of them
}

// loadSegment reads a segment's header. Without a result, bad says why.
func (l *Log) loadSegment(name string) (seg *segment, bad badSegment, err error) {
	f, err := l.opts.FS.Open(filepath.Join(l.opts.Dir, name))
	if err != nil {
		return nil, bad, fmt.Errorf("open segment %s: %w", name, err)
	}
	size, err := f.Size()
	var h segmentHeader
	var salt uint32
	if err == nil {
		h, salt, bad.reason, err = readSegmentHeader(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, bad, fmt.Errorf("open segment %s: %w", name, err)
	}
	first, named := parseSegmentName(name)
	bad.first = first
	if bad.reason == "" {
		bad.first = h.first
	}
	bad.above = bad.first + Offset(size)
	switch {
	case !named:
		bad.reason = "name is not that of a segment"
		return nil, bad, nil
	case salt == 0: // neither header nor first record can be believed
		return nil, bad, nil
	case bad.reason == "" && h.first != first:
		bad.reason = fmt.Sprintf("name says offset %d, header says %d", first, h.first)
		return nil, bad, nil
	}
	seg = &segment{name: name, first: first, salt: salt, end: size, created: time.Unix(0, h.created)}
	if bad.reason != "" {
		// The records can be read all the same, so the segment stays.
		seg.created = l.opts.Now()
		l.damage(Damage{Segment: name, FirstBad: first, Reason: bad.reason, Copy: l.quarantineCopy(name, 0)})
	}
	return seg, bad, nil
}
