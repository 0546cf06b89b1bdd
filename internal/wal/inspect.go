package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// SegmentInfo describes a segment file.
type SegmentInfo struct {
	Name    string    `json:"name"`
	First   Offset    `json:"first_offset"`
	Next    Offset    `json:"next_offset"` // behind its last event
	Bytes   int64     `json:"bytes"`       // of the file, reserved space included
	Created time.Time `json:"created"`
	Problem string    `json:"problem,omitempty"`
	Version uint32    `json:"version"`

	// Of the last segment, whose records are read: how many there are of each codec, and
	// the bytes of their events as they are stored and unpacked.
	Codecs        map[string]int `json:"codecs,omitempty"`
	StoredBytes   int64          `json:"stored_bytes,omitempty"`
	UnpackedBytes int64          `json:"unpacked_bytes,omitempty"`
}

// addRecord counts a record of the last segment.
func (s *SegmentInfo) addRecord(rec *scanned) {
	if rec.header.kind != KindEvents {
		return
	}
	if s.Codecs == nil {
		s.Codecs = map[string]int{}
	}
	_, payload := rec.header.body(rec.bytes)
	unpacked, err := unpackedSize(rec.header.codec, rec.header.count, payload)
	if err != nil {
		unpacked = len(payload)
	}
	s.Codecs[rec.header.codec.String()]++
	s.StoredBytes += int64(len(payload))
	s.UnpackedBytes += int64(unpacked)
}

// Summary describes a log's files.
type Summary struct {
	Segments    []SegmentInfo
	Cursors     []CursorInfo
	FirstOffset Offset
	NextOffset  Offset
	Bytes       int64
	Quarantined []string
}

// Inspect describes the log in dir. It takes no lock, changes nothing and
// reads the last segment's records but only the headers of the others: of their
// damage it knows what lies in the quarantine folder.
func Inspect(ctx context.Context, fsys vfs.FS, dir string) (Summary, error) {
	var s Summary
	found, err := look(ctx, fsys, dir)
	if err != nil {
		return s, fmt.Errorf("inspect log %s: %w", dir, err)
	}
	for i, seg := range found.segs {
		info := SegmentInfo{Name: seg.name, First: seg.first, Next: seg.first, Bytes: seg.size, Problem: seg.reason, Version: seg.header.version}
		if seg.header.created != 0 {
			info.Created = time.Unix(0, seg.header.created).UTC()
		}
		if i+1 < len(found.segs) {
			info.Next = found.until(i)
		} else if err := openWalk(fsys, dir, &found, i, func(w *walk) error { return info.walkLast(ctx, w) }); err != nil {
			return s, fmt.Errorf("inspect segment %s: %w", seg.name, err)
		}
		s.Segments = append(s.Segments, info)
		s.NextOffset = info.Next
	}
	for _, odd := range found.strangers {
		s.Segments = append(s.Segments, SegmentInfo{Name: odd.name, First: odd.first, Next: odd.first, Bytes: odd.size, Problem: odd.reason})
	}
	s.Bytes = found.bytes
	if len(found.segs) > 0 {
		s.FirstOffset = found.segs[0].first
	}
	cursors, err := readCursors(fsys, dir, func(string, string) {})
	if err != nil {
		return s, fmt.Errorf("inspect log %s: %w", dir, err)
	}
	set := cursorSet{live: cursors}
	s.Cursors = set.list()
	entries, err := fsys.ReadDir(filepath.Join(dir, quarantineDir))
	if err != nil && !vfs.IsNotExist(err) {
		return s, fmt.Errorf("inspect log %s: %w", dir, err)
	}
	for _, e := range entries {
		if !e.IsDir() { // what was accepted
			s.Quarantined = append(s.Quarantined, e.Name())
		}
	}
	for i := range s.Segments {
		s.Segments[i].noteSetAside(s.Quarantined)
	}
	return s, nil
}

// openWalk walks through the i-th segment of a survey. A file that was removed
// meanwhile is passed.
func openWalk(fsys vfs.FS, dir string, found *survey, i int, f func(*walk) error) error {
	file, err := fsys.Open(filepath.Join(dir, found.segs[i].name))
	if vfs.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	w := found.walk(i, file)
	if size, sizeErr := file.Size(); sizeErr == nil {
		w.scan.limit = max(w.scan.limit, size) // it may have grown since
	}
	return errors.Join(f(w), file.Close())
}

// Found is a record met by Scan.
type Found struct {
	Segment  string
	Position int64
	Bytes    int64 // on disk
	Entry    *Entry
	Bad      *CorruptionError // instead of Entry: a bad place, which is passed
}

// Scan reads the records of the log in dir, checkpoints included, from the one
// that holds offset from on, in the order of offsets, until yield returns
// false. It takes no lock, and it checks checksums, not the chain. With
// segment, only that file is read.
func Scan(ctx context.Context, fsys vfs.FS, dir, segment string, from Offset, yield func(Found) bool) error {
	found, err := look(ctx, fsys, dir)
	if err != nil {
		return fmt.Errorf("scan log %s: %w", dir, err)
	}
	for _, odd := range found.strangers {
		bad := &CorruptionError{Segment: odd.name, First: odd.first, Next: odd.first, Reason: odd.reason}
		if (segment == "" || segment == odd.name) && !yield(Found{Segment: odd.name, Bad: bad}) || segment == odd.name {
			return nil
		}
	}
	met := false
	for i, seg := range found.segs {
		if segment == "" && found.until(i) <= from || segment != "" && seg.name != segment {
			continue
		}
		met = true
		more := true
		err := openWalk(fsys, dir, &found, i, func(w *walk) (err error) {
			more, err = scanSegment(ctx, &seg, w, from, yield)
			return err
		})
		if err != nil {
			return fmt.Errorf("scan segment %s: %w", seg.name, err)
		}
		if !more {
			return nil
		}
	}
	if segment != "" && !met {
		return fmt.Errorf("scan log %s: there is no segment %s", dir, segment)
	}
	return nil
}

func scanSegment(ctx context.Context, seg *laid, w *walk, from Offset, yield func(Found) bool) (more bool, err error) {
	if seg.reason != "" && !yield(Found{Segment: seg.name, Bad: &CorruptionError{Segment: seg.name, First: seg.first, Next: seg.first, Reason: seg.reason}}) {
		return false, nil
	}
	w.live = true
	var e Entry
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		var s step
		if err := w.step(&s); err != nil {
			return false, err
		}
		found := Found{Segment: seg.name, Position: s.rec.pos}
		switch s.kind {
		case stepEnd, stepTorn:
			return true, nil
		case stepHole:
			if s.hole.to <= from && s.hole.to > s.hole.from {
				continue
			}
			found.Position = s.hole.pos
			found.Bad = &CorruptionError{Segment: seg.name, Position: s.hole.pos, First: s.hole.from, Next: s.hole.to, Reason: s.hole.reason}
		case stepRecord:
			if w.next <= from && s.rec.header.kind == KindEvents {
				continue
			}
			e.set(&s.rec.header, s.rec.bytes, from)
			found.Entry, found.Bytes = &e, s.rec.header.size()
		}
		if !yield(found) {
			return false, nil
		}
	}
}
