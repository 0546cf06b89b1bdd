package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// Opener returns a function that opens a log on a file system as a stream.Log.
func Opener(fsys vfs.FS) func(context.Context, stream.Options) (stream.Log, error) {
	return func(ctx context.Context, o stream.Options) (stream.Log, error) {
		l, err := Open(ctx, Options{
			Dir: o.Dir, FS: fsys, SegmentBytes: o.SegmentBytes, SegmentAge: o.SegmentAge,
			RetentionAge: o.RetentionAge, RetentionBytes: o.RetentionBytes,
			MinFreeBytes: o.MinFreeBytes, QueueBytes: o.QueueBytes,
			Now: o.Now, Clock: o.Clock, Logger: o.Logger, Checkpoint: o.Checkpoint, Replay: replayer(o), Observe: o.Observe,
		})
		if err != nil {
			return nil, err
		}
		return Stream(l), nil
	}
}

// replayer tells checkpoints from events for whoever replays.
func replayer(o stream.Options) func(*Entry) error {
	if o.Restore == nil && o.Replay == nil {
		return nil
	}
	return func(e *Entry) error {
		switch {
		case e.Kind == KindEvents && o.Replay != nil:
			return o.Replay(&e.Entry)
		case e.Kind == KindCheckpoint && o.Restore != nil && len(e.Payload) > 0:
			return o.Restore(e.Payload)
		}
		return nil
	}
}

// Stream returns l as a stream.Log.
func Stream(l *Log) stream.Log { return streamLog{l} }

type streamLog struct{ *Log }

// NewReader implements stream.Source.
func (l streamLog) NewReader(_ context.Context, from Offset) (stream.Reader, error) {
	r, err := l.Log.NewReader(from)
	if err != nil {
		return nil, err
	}
	return &streamReader{Reader: r, next: from}, nil
}

// OpenCursor implements stream.Cursors.
func (l streamLog) OpenCursor(_ context.Context, name string, hold bool) (Offset, error) {
	c, err := l.Cursor(name, hold)
	if err != nil {
		return 0, err
	}
	return c.Offset(), nil
}

// CommitCursor implements stream.Cursors.
func (l streamLog) CommitCursor(_ context.Context, name string, off Offset) error {
	return (&Cursor{log: l.Log, name: name}).Commit(off)
}

// ListCursors implements stream.Cursors.
func (l streamLog) ListCursors() []CursorInfo { return l.Cursors() }

// RemoveCursor implements stream.Cursors.
func (l streamLog) RemoveCursor(_ context.Context, name string) error {
	return l.Log.RemoveCursor(name)
}

// streamReader turns all ways in which offsets can be missing into gaps:
//
//	the log has                             the reader says
//	a loss on record                        lost, that range, whatever else it meets there
//	removed segments                        removed, from where it stood to the next entry
//	a bad place whose extent is known       damaged, that range, at once
//	what only a newer build can read        unreadable, that range, at once
//	a bad place whose extent is not known   nothing yet; damaged, up to the entry that comes next
//	what the disk cannot read, skipped      nothing yet; unreadable, up to the entry that comes next
//	nothing more, and stands further on     the same, up to there
type streamReader struct {
	*Reader

	next   Offset      // everything before it was returned, or told as a gap
	lost   *stream.Gap // what was met since the last entry, without a range
	failed *stream.Gap // the same for what Skip would pass
	passed []Gap       // what the reader jumped over
	held   *Entry      // read already, and comes next
	bad    error       // the same for what is no entry
}

// Offset implements stream.Reader.
func (s *streamReader) Offset() Offset { return s.next }

// Next implements stream.Reader.
func (s *streamReader) Next(ctx context.Context) (*stream.Entry, error) {
	for {
		if e, ok, err := s.TryNext(); ok || err != nil {
			return e, err
		}
		if s.held, s.bad = s.Reader.Next(ctx); s.bad != nil && !IsCorruption(s.bad) {
			err := s.bad
			s.bad = nil
			return nil, err
		}
	}
}

// TryNext implements stream.Reader.
func (s *streamReader) TryNext() (*stream.Entry, bool, error) {
	for {
		e, ok, err := s.read()
		bad, damaged := errors.AsType[*CorruptionError](err)
		switch {
		case damaged:
			s.lost = &stream.Gap{
				Cause: stream.CauseDamaged, Reason: "damaged: " + bad.Reason,
				Place: fmt.Sprintf("segment %s, byte %d", bad.Segment, bad.Position),
			}
			if bad.Newer {
				s.lost.Cause, s.lost.Reason = stream.CauseUnreadable, bad.Reason
			}
			if bad.Next > s.next {
				return nil, false, s.gap(bad.Next)
			}
		case err != nil:
			s.failed = &stream.Gap{Cause: stream.CauseUnreadable, Reason: "the disk cannot read them", Place: err.Error()}
			return nil, false, err
		case !ok && s.Reader.Offset() > s.next:
			return nil, false, s.gap(s.Reader.Offset())
		case !ok:
			return nil, false, nil
		case e.First > s.next:
			s.held = e
			return nil, false, s.gap(e.First)
		default:
			s.next, s.lost = max(s.next, e.Next), nil
			return &e.Entry, true, nil
		}
	}
}

// read returns what was read ahead, or reads.
func (s *streamReader) read() (*Entry, bool, error) {
	if e, err := s.held, s.bad; e != nil || err != nil {
		s.held, s.bad = nil, nil
		return e, e != nil, err
	}
	return s.Reader.TryNext()
}

// Skip implements stream.Reader.
func (s *streamReader) Skip(ctx context.Context) error {
	err := s.Reader.Skip(ctx)
	if err == nil {
		s.lost = s.failed
	}
	return err
}

// gap passes over the offsets up to to, or as far as one cause goes; the rest comes next.
func (s *streamReader) gap(to Offset) error {
	s.passed = append(slices.DeleteFunc(s.passed, func(p Gap) bool { return p.To <= s.next }), s.Gaps()...)
	g := stream.Gap{Cause: stream.CauseRemoved, Reason: "removed by retention"}
	if s.lost != nil {
		g = *s.lost
	}
	g.From, g.To = s.next, to
	for _, p := range s.passed {
		switch {
		case p.From >= g.To || p.To <= g.From:
		case p.From > g.From:
			g.To = p.From
		default:
			g = stream.Gap{Cause: stream.CauseRemoved, Reason: "removed by retention", From: g.From, To: min(g.To, p.To)}
		}
	}
	for _, l := range s.log.onRecord() {
		switch {
		case l.to <= g.From || l.from >= g.To || l.from == l.to || l.cause == lostRecords && g.Cause != stream.CauseRemoved:
		case l.from > g.From:
			g.To = l.from
		default:
			g = stream.Gap{Cause: stream.CauseLost, Reason: "lost: " + l.cause.String(), From: g.From, To: min(g.To, l.to)}
		}
	}
	s.next = g.To
	return &g
}
