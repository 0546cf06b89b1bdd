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
func (l *Log) replayOlder(ctx context.Context, segs []*segment) error {
	if l.opts.Replay == nil {
		return nil
	}
	last := len(segs) - 1
	from := last
	for ; from >= 0; from-- {
		ok, err := l.startsWhole(segs[from])
		if err != nil {
			return err
		}
		if ok {
			break
		}
	}
	for i := max(from, 0); i < last; i++ {
		if err := l.replaySegment(ctx, segs[i], segs[i+1].first); err != nil {
			return err
		}
	}
	return nil
}

// startsWhole reports whether a segment has its checkpoint, or never had one.
func (l *Log) startsWhole(seg *segment) (ok bool, err error) {
	f, err := l.opts.FS.Open(seg.path(l.opts.Dir))
	if err != nil {
		return false, fmt.Errorf("open segment %s: %w", seg.name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h, _, reason, err := readSegmentHeader(f)
	if err != nil {
		return false, err
	}
	if reason == "" && h.flags&flagCheckpoint == 0 {
		return true, nil
	}
	var rec scanned
	s := scanner{file: f, salt: seg.salt, first: seg.first, pos: segmentHeaderBytes, limit: seg.end}
	what, err := s.next(&rec)
	if err != nil {
		return false, fmt.Errorf("read segment %s: %w", seg.name, err)
	}
	return what == foundRecord && rec.header.kind == KindCheckpoint, nil
}

// replaySegment replays what can be read of a segment. What lies at or behind the
// offset at which the next one starts is void.
func (l *Log) replaySegment(ctx context.Context, seg *segment, next Offset) (err error) {
	f, err := l.opts.FS.Open(filepath.Join(l.opts.Dir, seg.name))
	if err != nil {
		return fmt.Errorf("open segment %s: %w", seg.name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	s := scanner{file: f, salt: seg.salt, first: seg.first, pos: segmentHeaderBytes, limit: seg.end}
	var e Entry
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var rec scanned
		what, err := s.next(&rec)
		if err != nil {
			return fmt.Errorf("read segment %s: %w", seg.name, err)
		}
		if what == foundEnd {
			return nil
		}
		if what == foundRecord && rec.header.first >= next {
			return nil
		}
		if what == foundRecord {
			if err := l.replay(&e, &rec); err != nil {
				return err
			}
			continue
		}
		if more, err := s.resync(s.pos + recordAlign); err != nil || !more {
			return err
		}
	}
}
