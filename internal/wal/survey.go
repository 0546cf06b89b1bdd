package wal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/vfs"
)

// ErrNewer says that a newer build wrote the log.
var ErrNewer = fmt.Errorf("written by a newer version of amoskys: run that one, have it write the log anew for this one "+
	"(amoskys wal rewrite --format %d), or set the log's folder aside", segmentVersion)

// survey is what lies in a log's folder: the one answer to the question which files
// are its segments, for whoever opens, verifies, shows or reads it.
type survey struct {
	segs      []laid     // in the order of offsets
	strangers []stranger // files that call themselves segments and are none of this log
	leftovers []string   // temporary files of a crash
	bytes     int64      // of both kinds of segments
}

// laid is a segment file that can be read.
type laid struct {
	name   string
	first  Offset
	size   int64
	header segmentHeader // where reason is empty; else what its records say of it
	reason string        // what is wrong with the header
}

// stranger is a file that is no segment of this log.
type stranger struct {
	name   string
	size   int64
	first  Offset // where its events seem to start
	above  Offset // an offset above all of them
	reason string
}

// look lists the segment files in dir and reads their headers.
func look(ctx context.Context, fsys vfs.FS, dir string) (survey, error) {
	var s survey
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return s, fmt.Errorf("list segments: %w", err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		name := e.Name()
		switch {
		case e.IsDir():
		case name == rewriteGuard:
			return s, ErrRewriting
		case strings.HasSuffix(name, segmentSuffix+tempSuffix):
			s.leftovers = append(s.leftovers, name)
		case strings.HasSuffix(name, segmentSuffix):
			if err := s.add(fsys, dir, name); err != nil && !vfs.IsNotExist(err) { // removed meanwhile
				return s, fmt.Errorf("open segment %s: %w", name, err)
			}
		}
	}
	slices.SortFunc(s.segs, func(a, b laid) int { return strings.Compare(a.name, b.name) })
	return s, nil
}

// ErrNoLog says that a folder holds nothing of a log.
var ErrNoLog = errors.New("there is no log here: neither a segment (*.wal) nor HEAD")

// CheckFolder returns ErrNoLog when nothing shows that dir is a log's folder. Whoever
// is given a folder by hand asks before anything in it is judged, made or removed: of a
// wrong one it would be said that nothing is missing there.
func CheckFolder(fsys vfs.FS, dir string) error {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look for the log: %w", err)
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case e.IsDir():
			if name == cursorDir || name == quarantineDir {
				return nil
			}
		case name == headName, strings.HasSuffix(name, segmentSuffix), strings.HasSuffix(name, segmentSuffix+tempSuffix):
			return nil
		}
	}
	if _, err := fsys.Stat(headPaths(dir)[1]); err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", dir, ErrNoLog)
}

// add reads the header of a file.
func (s *survey) add(fsys vfs.FS, dir, name string) error {
	f, err := fsys.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	seg := laid{name: name}
	seg.size, err = f.Size()
	if err == nil {
		seg.header, seg.reason, err = readSegmentHeader(f, seg.size)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	s.bytes += seg.size
	first, named := parseSegmentName(name)
	seg.first = first
	odd := stranger{name: name, size: seg.size, first: first, reason: seg.reason}
	if seg.header.salt != 0 {
		odd.first = seg.header.first
	}
	switch {
	case seg.header.salt == 0: // neither header nor any record can be believed
	case !named:
		odd.reason = "name is not that of a segment"
	case seg.reason == "" && seg.header.first != first:
		odd.reason = fmt.Sprintf("name says offset %d, header says %d", first, seg.header.first)
	case seg.reason != "" && (seg.header.first < first || seg.header.first-first > mostEvents(segmentVersion, seg.size)):
		odd.reason = fmt.Sprintf("name says offset %d, records begin at %d", first, seg.header.first)
	default:
		s.segs = append(s.segs, seg)
		return nil
	}
	odd.above = odd.first + mostEvents(segmentVersion, seg.size)
	s.strangers = append(s.strangers, odd)
	return nil
}

// until returns where the segment behind the i-th starts, endless for the last.
func (s *survey) until(i int) Offset {
	if i+1 < len(s.segs) {
		return s.segs[i+1].first
	}
	return endless
}

// walk returns a walk through the i-th segment, whose file is f.
func (s *survey) walk(i int, f vfs.File) *walk {
	seg := &s.segs[i]
	w := newWalk(f, seg.header.version, seg.header.salt, seg.first, seg.size, s.until(i))
	w.void = i+1 < len(s.segs) && s.segs[i+1].header.flags&flagVoid != 0
	return w
}

// readSegmentHeader reads and checks a file's header. When it is damaged, reason says
// so, and the header is what the first sound record says of it, since each repeats the
// salt; its salt is 0 when there is none. No record says its version, so it is read as
// the newest, whose rules allow what those of the older do. A version that this build
// does not know is ErrNewer.
func readSegmentHeader(f vfs.File, size int64) (h segmentHeader, reason string, err error) {
	b := make([]byte, segmentHeaderBytes)
	n, err := f.ReadAt(b, 0)
	if err = ignoreEOF(err); err != nil {
		return h, "", fmt.Errorf("read segment header: %w", err)
	}
	reason, err = h.parse(b[:n])
	if err != nil || reason == "" {
		return h, reason, err
	}
	record, err := salvage(f, size)
	if err != nil {
		return h, "", err
	}
	return segmentHeader{version: segmentVersion, first: record.first, created: record.received, salt: record.salt, flags: flagCheckpoint}, reason, nil
}

// salvage finds the first record of a segment whose header is lost. The salt is not
// known then, and bytes that a publisher sent might pass for records; but those end
// where the record that holds them ends, so the longest run of records that follow each
// other is the segment's own.
func salvage(f vfs.File, size int64) (best header, err error) {
	s := scanner{file: f, limit: size}
	longest := int64(0)
	for from := int64(segmentHeaderBytes); from < size; {
		h, at, err := s.anyHeader(from)
		if err != nil || at < 0 {
			return best, err
		}
		end, whole, err := s.run(h, at)
		if err != nil {
			return best, err
		}
		if end-at > longest {
			best, longest = h, end-at
		}
		if whole {
			break
		}
		from = max(end, at+recordAlign)
	}
	return best, nil
}

// anyHeader finds the first record header at or behind from, whatever its salt. at is
// -1 when there is none.
func (s *scanner) anyHeader(from int64) (h header, at int64, err error) {
	from = (from + recordAlign - 1) &^ (recordAlign - 1)
	for from < s.limit {
		b, err := s.window(from, scanBufferBytes)
		if err != nil {
			return h, -1, err
		}
		i := 0
		for ; i+recordHeaderBytes <= len(b); i += recordAlign {
			if p := b[i:]; mayBeHeader(p) && h.parse(p, saltOf(p)) == "" {
				return h, from + int64(i), nil
			}
		}
		if i == 0 {
			break
		}
		from += int64(i)
	}
	return h, -1, nil
}

// run follows records from the one at pos on, and returns where they end, and whether
// that is where the segment does.
func (s *scanner) run(h header, pos int64) (end int64, whole bool, err error) {
	for {
		pos += h.size()
		b, err := s.window(pos, recordHeaderBytes)
		if err != nil {
			return pos, false, err
		}
		if len(b) == 0 || len(b) >= 4 && allZero(b[:4]) {
			return min(pos, s.limit), pos <= s.limit, nil
		}
		next := h.behind()
		if len(b) < recordHeaderBytes || h.parse(b, h.salt) != "" || h.first != next {
			return min(pos, s.limit), false, nil
		}
	}
}
