package wal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// Snapshot is the log up to an offset, as files that are a log of their own: the segments
// as they are, the last of them cut behind a record, with a HEAD that says so and cursors
// that do not stand behind it. Its segments are held open, so that retention may remove
// them meanwhile. The caller closes it.
type Snapshot struct {
	First, Next Offset // of the oldest event, and behind the newest
	Chain       string // the chain value at Next, in hexadecimal: no other log has it
	Segments    []SnapshotSegment
	Cursors     map[string][]byte // content of each, by name
	Head        []byte            // content of HEAD, and of its copy beside the folder
}

// SnapshotSegment is a segment's file and how much of it belongs to the snapshot.
type SnapshotSegment struct {
	Name    string
	Bytes   int64
	Changed time.Time // as the file says; a file that has not changed since has the same content

	file vfs.File
}

// Reader reads the part of the file that belongs to the snapshot.
func (s *SnapshotSegment) Reader() io.Reader { return io.NewSectionReader(s.file, 0, s.Bytes) }

// File is the system's file of the segment, nil where it is none. It stays the snapshot's.
func (s *SnapshotSegment) File() *os.File {
	if f, ok := s.file.(interface{ System() *os.File }); ok {
		return f.System()
	}
	return nil
}

// CopyOfHead is the name of the copy of HEAD beside the log's folder dir.
func CopyOfHead(dir string) string { return headPaths(dir)[1] }

// Names of what a snapshot is, below the log's folder.
const (
	HeadName     = headName
	CursorFolder = cursorDir
)

// snapshotTries is how often retention may come between the list of segments and opening
// them.
const snapshotTries = 10

// TakeSnapshot returns the log in dir up to the offset until, which must be a durable end
// of it, or up to its last whole record where there is nothing behind. It takes no lock
// and changes nothing, so that it may run beside the program that writes, which is asked
// for its durable end before.
func TakeSnapshot(ctx context.Context, fsys vfs.FS, dir string, until Offset) (*Snapshot, error) {
	var err error
	for range snapshotTries {
		var s *Snapshot
		if s, err = trySnapshot(ctx, fsys, dir, until); err == nil {
			return s, nil
		}
		if !vfs.IsNotExist(err) {
			break
		}
	}
	return nil, fmt.Errorf("take a snapshot of the log %s: %w", dir, err)
}

func trySnapshot(ctx context.Context, fsys vfs.FS, dir string, until Offset) (_ *Snapshot, err error) {
	cursors, err := readCursors(fsys, dir, func(string, string) {})
	if err != nil {
		return nil, err
	}
	found, err := look(ctx, fsys, dir)
	if err != nil {
		return nil, err
	}
	h, _, err := readHead(fsys, dir)
	if err != nil && !errors.Is(err, errNoHead) {
		return nil, err
	}
	s := &Snapshot{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	end := snapshotEnd{next: h.removed}
	for i := range found.segs {
		seg := &found.segs[i]
		if seg.first >= until || seg.first < h.removed && found.until(i) <= h.removed {
			continue
		}
		if err := s.addSegment(fsys, dir, seg); err != nil {
			return nil, err
		}
		if last := i+1 == len(found.segs) || found.until(i) >= until; last {
			if end, err = s.cut(ctx, &found, i, until); err != nil {
				return nil, err
			}
		}
	}
	s.First, s.Next = end.next, end.next
	if len(s.Segments) > 0 {
		s.First, _ = parseSegmentName(s.Segments[0].Name)
	} else {
		end.chain = h.chain
	}
	s.Chain = hex.EncodeToString(end.chain[:])
	s.describe(h, end.chain)
	s.keepCursors(cursors)
	return s, nil
}

// addSegment opens a segment.
func (s *Snapshot) addSegment(fsys vfs.FS, dir string, seg *laid) error {
	path := filepath.Join(dir, seg.name)
	f, err := fsys.Open(path)
	if err != nil {
		return fmt.Errorf("open segment %s: %w", seg.name, err)
	}
	add := SnapshotSegment{Name: seg.name, file: f}
	s.Segments = append(s.Segments, add)
	info, err := fsys.Stat(path)
	if err != nil {
		return fmt.Errorf("open segment %s: %w", seg.name, err)
	}
	if add.Bytes, err = f.Size(); err != nil {
		return fmt.Errorf("open segment %s: %w", seg.name, err)
	}
	add.Changed = info.ModTime()
	s.Segments[len(s.Segments)-1] = add
	return nil
}

// snapshotEnd is where a snapshot ends.
type snapshotEnd struct {
	next  Offset
	chain [chainBytes]byte
}

// cut reads the i-th segment of a survey, which is the last of the snapshot, and cuts it
// behind its last record before until.
func (s *Snapshot) cut(ctx context.Context, found *survey, i int, until Offset) (snapshotEnd, error) {
	last := &s.Segments[len(s.Segments)-1]
	w := found.walk(i, last.file)
	w.live = true
	w.scan.limit = max(w.scan.limit, last.Bytes)
	end := snapshotEnd{next: found.segs[i].first, chain: found.segs[i].header.chain()}
	last.Bytes = segmentHeaderBytes
	for {
		if err := ctx.Err(); err != nil {
			return end, err
		}
		var st step
		if err := w.step(&st); err != nil {
			return end, fmt.Errorf("read segment %s: %w", last.Name, err)
		}
		switch st.kind {
		case stepHole:
			continue
		case stepRecord:
			h := &st.rec.header
			if h.behind() > until {
				return end, nil
			}
			end = snapshotEnd{next: w.next, chain: h.chain}
			last.Bytes = st.rec.pos + h.size()
			continue
		case stepEnd, stepTorn:
		}
		return end, nil
	}
}

// describe makes the HEAD of the snapshot: that of the log, which was closed in order.
func (s *Snapshot) describe(h head, chain [chainBytes]byte) {
	h.serial++
	h.next, h.chain = s.Next, chain
	h.note.closed = true
	if h.note.hasNewest = len(s.Segments) > 0; h.note.hasNewest {
		h.note.newest, _ = parseSegmentName(s.Segments[len(s.Segments)-1].Name)
	}
	h.note.losses = slices.DeleteFunc(slices.Clone(h.note.losses), func(l loss) bool { return l.from >= s.Next })
	slot := h.encode()
	s.Head = slices.Concat(slot, slot)
}

// keepCursors takes cursors over, none of them behind the end.
func (s *Snapshot) keepCursors(cursors map[string]CursorInfo) {
	s.Cursors = make(map[string][]byte, len(cursors))
	for name, c := range cursors {
		c.Offset = min(c.Offset, s.Next)
		s.Cursors[name] = encodeCursor(&c)
	}
}

// Close closes the segments.
func (s *Snapshot) Close() error {
	errs := make([]error, 0, len(s.Segments))
	for _, seg := range s.Segments {
		errs = append(errs, seg.file.Close())
	}
	s.Segments = nil
	return errors.Join(errs...)
}
