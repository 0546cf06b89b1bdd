package ring

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// segment is one file of the ring. Ring.mu guards all but path and link.
type segment struct {
	path  string
	link  packet.Link
	bytes int64 // of whole records, with the file's header
	// first and last are the earliest and the latest time of its frames, in Unix
	// nanoseconds; 0 while they are not known. Of a segment that is not known, first is
	// that of the first frame.
	first, last int64
	// known says that first, last and flows are of all its frames. flows are hashes of
	// Community IDs; whole says that there are too many for that.
	known, whole bool
	flows        []uint64 // only ever appended to
}

// cover takes a time into account.
func (g *segment) cover(at int64) {
	if g.first == 0 || at < g.first {
		g.first = at
	}
	g.last = max(g.last, at)
}

func segmentName(number uint64) string { return fmt.Sprintf("%016d.pcap", number) }

var segmentPattern = regexp.MustCompile(`^(\d{16})\.pcap$`)

// numbered is a file with its number.
type numbered struct {
	number uint64
	name   string
}

// segmentFiles lists the files of a ring, oldest first. Others in the folder are left
// alone.
func segmentFiles(dir string) ([]numbered, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []numbered
	for _, e := range entries {
		m := segmentPattern.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		if n, err := strconv.ParseUint(m[1], 10, 64); err == nil {
			out = append(out, numbered{n, e.Name()})
		}
	}
	slices.SortFunc(out, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	return out, nil
}

// recover takes the segments of an earlier process. The newest may end within a frame,
// which is cut off; what is no segment, or has no frame, is removed.
func (r *Ring) recover() error {
	names, err := segmentFiles(r.o.Dir)
	if err != nil {
		return fmt.Errorf("look for packets: %w", err)
	}
	for _, n := range slices.Backward(names) {
		path := filepath.Join(r.o.Dir, n.name)
		g, err := openSegment(path, len(r.segments) == 0)
		if err != nil {
			return fmt.Errorf("look for packets: %w", err)
		}
		r.next = max(r.next, n.number+1)
		if g == nil {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove what is no packets: %w", err)
			}
			continue
		}
		r.segments = append(r.segments, g)
		r.total += g.bytes
	}
	slices.Reverse(r.segments)
	return nil
}

// openSegment reads what is at the begin of a file, nil where that is not a segment's.
// The newest is read to its end, and cut behind its last whole frame.
func openSegment(path string, newest bool) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // a cut is told by Truncate
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var head [fileHead + recordHead]byte
	_, err = io.ReadFull(f, head[:])
	g := &segment{path: path, bytes: info.Size(), link: packet.Link(binary.LittleEndian.Uint32(head[20:]))}
	if err != nil || [fileHead]byte(head[:]) != header(g.link) {
		return nil, nil //nolint:nilnil,nilerr // no segment
	}
	g.first = int64(binary.LittleEndian.Uint32(head[fileHead:]))*1e9 + int64(binary.LittleEndian.Uint32(head[fileHead+4:]))
	if !newest {
		return g, nil
	}
	whole, err := wholeBytes(f)
	if err != nil {
		return nil, err
	}
	if whole == fileHead {
		return nil, nil //nolint:nilnil // no frame
	}
	if whole < g.bytes {
		if err := f.Truncate(whole); err != nil {
			return nil, err
		}
		g.bytes = whole
	}
	return g, nil
}

// wholeBytes is how much of a segment is whole frames.
func wholeBytes(f io.ReadSeeker) (int64, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	whole := int64(fileHead)
	frames, err := capture.NewFile(f)
	if err != nil {
		return 0, err
	}
	defer func() { _ = frames.Close() }() // it has opened nothing
	var frame packet.Frame
	for {
		switch err := frames.Next(&frame); {
		case err == nil:
			whole += recordHead + int64(len(frame.Data))
		case errors.Is(err, io.EOF):
			return whole, nil
		default:
			if _, damaged := errors.AsType[*capture.DamageError](err); damaged {
				return whole, nil
			}
			return 0, err
		}
	}
}
