package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// listed is a segment file found in a folder.
type listed struct {
	name  string
	first Offset
	named bool // the name is that of a segment
	size  int64
}

// listSegments lists the segment files in dir, those with a proper name in
// order first.
func listSegments(fsys vfs.FS, dir string) ([]listed, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var out []listed
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		info, err := e.Info()
		if vfs.IsNotExist(err) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list segments: %w", err)
		}
		s := listed{name: e.Name(), size: info.Size()}
		s.first, s.named = parseSegmentName(s.name)
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b listed) int {
		switch {
		case a.named == b.named:
			return strings.Compare(a.name, b.name)
		case a.named:
			return -1
		}
		return 1
	})
	return out, nil
}

// SegmentInfo describes a segment file.
type SegmentInfo struct {
	Name    string    `json:"name"`
	First   Offset    `json:"first_offset"`
	Next    Offset    `json:"next_offset"` // behind its last event
	Bytes   int64     `json:"bytes"`       // of the file, reserved space included
	Created time.Time `json:"created"`
	Problem string    `json:"problem,omitempty"`
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
	segs, err := listSegments(fsys, dir)
	if err != nil {
		return s, fmt.Errorf("inspect log %s: %w", dir, err)
	}
	for i, seg := range segs {
		info := SegmentInfo{Name: seg.name, First: seg.first, Next: seg.first, Bytes: seg.size}
		if i+1 < len(segs) {
			info.Next = segs[i+1].first
		}
		if err := inspectSegment(ctx, fsys, dir, seg, i+1 == len(segs), &info); err != nil {
			return s, fmt.Errorf("inspect segment %s: %w", seg.name, err)
		}
		s.Segments = append(s.Segments, info)
		s.Bytes += seg.size
		s.NextOffset = info.Next
	}
	if len(s.Segments) > 0 {
		s.FirstOffset = s.Segments[0].First
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
		s.Quarantined = append(s.Quarantined, e.Name())
	}
	for i := range s.Segments {
		s.Segments[i].noteSetAside(s.Quarantined)
	}
	return s, nil
}

func inspectSegment(ctx context.Context, fsys vfs.FS, dir string, seg listed, last bool, info *SegmentInfo) (err error) {
	f, err := fsys.Open(filepath.Join(dir, seg.name))
	if vfs.IsNotExist(err) {
		info.Problem = "removed meanwhile"
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h, salt, reason, err := readSegmentHeader(f)
	if err != nil {
		return err
	}
	info.Problem = reason
	if reason == "" {
		info.Created = time.Unix(0, h.created).UTC()
	}
	if !last || salt == 0 {
		return nil
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	return info.walk(ctx, &scanner{file: f, salt: salt, first: seg.first, pos: segmentHeaderBytes, limit: size})
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
	segs, err := listSegments(fsys, dir)
	if err != nil {
		return fmt.Errorf("scan log %s: %w", dir, err)
	}
	for i, seg := range segs {
		skip := segment == "" && i+1 < len(segs) && segs[i+1].first <= from
		if skip || segment != "" && seg.name != segment {
			continue
		}
		more, err := scanSegment(ctx, fsys, dir, seg, i+1 == len(segs), from, yield)
		if err != nil {
			return fmt.Errorf("scan segment %s: %w", seg.name, err)
		}
		if !more {
			return nil
		}
		if segment != "" {
			return nil
		}
	}
	if segment != "" {
		return fmt.Errorf("scan log %s: there is no segment %s", dir, segment)
	}
	return nil
}

func scanSegment(ctx context.Context, fsys vfs.FS, dir string, seg listed, last bool, from Offset, yield func(Found) bool) (more bool, err error) {
	f, err := fsys.Open(filepath.Join(dir, seg.name))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	_, salt, reason, err := readSegmentHeader(f)
	if err != nil {
		return false, err
	}
	next := seg.first
	if reason != "" && !yield(Found{Segment: seg.name, Bad: &CorruptionError{Segment: seg.name, First: next, Next: next, Reason: reason}}) {
		return false, nil
	}
	if salt == 0 {
		return true, nil
	}
	var e Entry
	looked := int64(-1)
	scan := scanner{file: f, salt: salt, first: seg.first, pos: segmentHeaderBytes, limit: size}
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		var rec scanned
		what, err := scan.next(&rec)
		if err != nil {
			return false, err
		}
		found := Found{Segment: seg.name, Position: rec.pos}
		switch what {
		case foundEnd:
			return true, nil
		case foundRecord:
			next = rec.header.behind()
			if next <= from && rec.header.kind == KindEvents {
				continue
			}
			e.set(&rec.header, rec.bytes, from)
			found.Entry, found.Bytes = &e, rec.header.size()
		case foundBad:
			// At the end of a log in use, a record may be half written.
			place, err := inspect(&scan, &rec, !last)
			switch {
			case err != nil:
				return false, err
			case place.torn:
				return true, nil
			case looked != rec.pos:
				looked = rec.pos
				scan.release()
				continue
			}
			found.Bad = &CorruptionError{Segment: seg.name, Position: rec.pos, First: next, Next: next, Reason: rec.reason}
			if _, err := scan.resync(rec.pos + recordAlign); err != nil {
				return false, err
			}
		}
		if !yield(found) {
			return false, nil
		}
	}
}
