package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// replay hands a record to Options.Replay.
func (l *Log) replay(e *Entry, rec *scanned) error {
	if l.opts.Replay == nil {
		return nil
	}
	e.set(&rec.header, rec.bytes, 0)
	if err := l.opts.Replay(e); err != nil {
		return fmt.Errorf("replay the record at offset %d: %w", e.First, err)
	}
	return nil
}

// replayOlder replays earlier segments when the last one should begin with a
// checkpoint and it cannot be read.
func (l *Log) replayOlder(ctx context.Context, found *survey) error {
	if l.opts.Replay == nil {
		return nil
	}
	last := len(found.segs) - 1
	from := last
	for ; from >= 0; from-- {
		ok, err := l.startsWhole(found, from)
		if err != nil {
			return err
		}
		if ok {
			break
		}
	}
	for i := max(from, 0); i < last; i++ {
		if err := l.replaySegment(ctx, found, i); err != nil {
			return err
		}
	}
	return nil
}

// startsWhole reports whether a segment has its checkpoint, or never had one.
func (l *Log) startsWhole(found *survey, i int) (ok bool, err error) {
	if seg := &found.segs[i]; seg.reason == "" && seg.header.flags&flagCheckpoint == 0 {
		return true, nil
	}
	err = l.within(found, i, func(w *walk) error {
		var s step
		err := w.step(&s)
		ok = s.kind == stepRecord && s.rec.header.kind == KindCheckpoint
		return err
	})
	return ok, err
}

// replaySegment replays what can be read of a segment.
func (l *Log) replaySegment(ctx context.Context, found *survey, i int) error {
	return l.within(found, i, func(w *walk) error {
		var e Entry
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			var s step
			if err := w.step(&s); err != nil {
				return err
			}
			switch s.kind {
			case stepRecord:
				if err := l.replay(&e, &s.rec); err != nil {
					return err
				}
			case stepEnd, stepTorn:
				return nil
			case stepHole:
			}
		}
	})
}

// within walks through the i-th segment.
func (l *Log) within(found *survey, i int, f func(*walk) error) error {
	name := found.segs[i].name
	file, err := l.opts.FS.Open(filepath.Join(l.opts.Dir, name))
	if err != nil {
		return fmt.Errorf("open segment %s: %w", name, err)
	}
	if err = errors.Join(f(found.walk(i, file)), file.Close()); err != nil {
		return fmt.Errorf("read segment %s: %w", name, err)
	}
	return nil
}
