package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// recovery is what is found in the folder.
type recovery struct {
	acked   uint64   // from the cursor
	highest uint64   // sequence of any batch seen
	loose   [][]byte // events behind the last seal of a segment
	from    []looseEnd
}

// looseEnd is where the events of a segment that belong to no batch begin.
type looseEnd struct {
	seg *segment
	off int64
}

// recover reads the folder and makes the spool ready. It runs before the spool
// is shared.
func (s *Spool) recover() error {
	id, safe, known, err := s.loadProducer()
	if err != nil {
		return err
	}
	cursor, seq, cursorOK, err := openCursor(filepath.Join(s.o.Dir, "cursor"), s.o.openFile)
	if err != nil {
		return err
	}
	s.cursor = cursor
	r := &recovery{acked: seq, highest: seq}
	if err := s.loadSegments(r); err != nil {
		return err
	}
	// A new id whenever a number of the old one could be given out twice: the hub
	// would take the second batch for a repeat and drop it.
	fresh := !known || !safe || !cursorOK || len(r.loose) > 0
	s.producer = id
	if fresh {
		s.producer = newProducer()
	}
	s.nextSeq = r.highest + 1
	if err := s.saveProducer(false); err != nil {
		return err
	}
	if err := s.cursor.save(s.lowWater(r)); err != nil {
		return err
	}
	if len(r.loose) > 0 {
		s.moving = movedSome
	}
	last := len(s.segments) - 1
	if last < 0 || fresh || s.segments[last].size >= s.o.segmentBytes() {
		if err := s.addSegment(); err != nil {
			return err
		}
	}
	if err := s.adopt(r); err != nil {
		return err
	}
	s.removeSpent()
	if s.o.Policy == DropOldest {
		_ = s.makeRoom(0) // the limit may have been lowered; one segment always stays
	}
	return nil
}

// lowWater is the cursor to write first, so that it is valid from now on.
func (s *Spool) lowWater(r *recovery) uint64 {
	if len(s.queue) > 0 {
		return s.queue[0].seq - 1
	}
	return r.highest
}

// loadSegments opens every segment in order and fills the queue.
func (s *Spool) loadSegments(r *recovery) error {
	names, err := filepath.Glob(filepath.Join(s.o.Dir, "*.spool"))
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := s.loadSegment(name, r); err != nil {
			return fmt.Errorf("recover %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

func (s *Spool) loadSegment(name string, r *recovery) error {
	f, err := s.o.openFile(name, os.O_RDWR)
	if err != nil {
		return err
	}
	content, err := readSegment(f, name)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	h, ok := decodeHeader(content)
	if !ok || segmentName(s.o.Dir, h.ordinal) != name {
		return errors.Join(s.quarantine(name, int64(len(content))), f.Close())
	}
	if h.moved == movedSome {
		return errors.Join(f.Close(), os.Remove(name)) // the originals are all there
	}
	seg := &segment{segmentHeader: h, name: name, f: f}
	s.segments = append(s.segments, seg)
	if h.moved == movedAll {
		if err := r.cut(seg); err != nil {
			return err
		}
	}
	s.ordinal = max(s.ordinal, h.ordinal)

	c := collector{s: s, r: r, seg: seg}
	tail, damaged := scan(content[headerBytes:], headerBytes, c.visit)
	c.finish()
	seg.size = tail
	if torn := int64(len(content)) - tail; torn > 0 {
		s.log.Info("torn end of spool segment cut off", "path", name, "bytes", torn)
		if err := f.Truncate(tail); err != nil {
			return fmt.Errorf("cut torn end: %w", err)
		}
	}
	if damaged > 0 {
		s.stats.DamagedBytes += damaged
		s.log.Warn("damaged part of spool segment skipped", "path", name, "bytes", damaged)
	}
	return nil
}

// readSegment returns the whole content. Segments are of bounded size, but a file
// that is not ours may not be.
func readSegment(f file, name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	content := make([]byte, min(info.Size(), 1<<30))
	n, err := f.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return content[:n], nil
}

// quarantine keeps one unreadable segment for a look, under another name.
func (s *Spool) quarantine(name string, size int64) error {
	s.stats.DamagedBytes += size
	bad := filepath.Join(s.o.Dir, "damaged.bad")
	s.log.Warn("unreadable spool segment set aside", "path", name, "kept_as", bad, "bytes", size)
	return os.Rename(name, bad)
}

// collector builds batches from the frames of one segment.
type collector struct {
	s      *Spool
	r      *recovery
	seg    *segment
	offs   []int64 // of events that are in no batch yet
	events [][]byte
	end    int64
}

func (c *collector) visit(f frame) {
	switch f.typ {
	case frameEvent:
		c.offs = append(c.offs, f.off)
		c.events = append(c.events, f.payload)
		c.end = f.end
	case frameSeal:
		if mark, ok := decodeSeal(f.payload); ok {
			c.seal(mark)
		}
	}
}

// seal turns the events before it into its batch. Events from before the batch
// began have lost their own seal: they were sealed with the number before.
func (c *collector) seal(mark seal) {
	before, _ := slices.BinarySearch(c.offs, int64(mark.off))
	if before > 0 {
		c.add(mark.seq-1, c.offs[0], before)
	}
	if n := len(c.offs) - before; n > 0 {
		c.add(mark.seq, c.offs[before], n)
	}
	c.r.highest = max(c.r.highest, mark.seq)
	if lost := int(mark.count) - (len(c.offs) - before); lost > 0 && mark.seq > c.r.acked {
		c.s.stats.DamagedEvents += uint64(lost)
	}
	c.offs, c.events = c.offs[:0], c.events[:0]
}

// add queues a batch that is not acknowledged. Sequences ascend; one that does
// not was made up by damage and is passed over.
func (c *collector) add(seq uint64, off int64, count int) {
	q := c.s.queue
	if seq <= c.r.acked || len(q) > 0 && seq <= q[len(q)-1].seq {
		return
	}
	c.s.queue = append(q, batch{seg: c.seg, seq: seq, off: off, end: c.end, count: count})
	c.seg.waiting++
	c.s.stats.Events += uint64(count)
}

// finish keeps what follows the last seal: events that were never handed out.
func (c *collector) finish() {
	if len(c.offs) == 0 {
		return
	}
	for _, e := range c.events {
		c.r.loose = append(c.r.loose, slices.Clone(e))
	}
	c.r.from = append(c.r.from, looseEnd{c.seg, c.offs[0]})
}

// adopt moves events without a batch into the new segment at the end. A crash on the
// way leaves each of them once: until all are written the copies do not count, and
// from then on the originals do not.
func (s *Spool) adopt(r *recovery) error {
	if len(r.loose) == 0 {
		return nil
	}
	for rest := r.loose; len(rest) > 0; {
		n, err := s.appendRun(rest)
		if err != nil {
			return fmt.Errorf("move unsealed events: %w", err)
		}
		rest = rest[n:]
	}
	s.moving = movedNone
	s.stats.Appended = 0       // they were counted by the process that appended them
	s.open.since = time.Time{} // they have waited long enough
	seg := s.segments[len(s.segments)-1]
	if err := seg.mark(movedAll); err != nil {
		return err
	}
	return r.cut(seg)
}

// mark makes a segment durable and then what its header says of moved events.
func (seg *segment) mark(moved byte) error {
	err := seg.f.Sync()
	if err == nil {
		seg.moved = moved
		_, err = seg.f.WriteAt(seg.encode(), 0)
	}
	if err == nil {
		err = seg.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("move unsealed events: %w", err)
	}
	return nil
}

// cut takes the loose ends, which are in seg now, off their segments.
func (r *recovery) cut(seg *segment) error {
	for _, end := range r.from {
		if err := end.seg.f.Truncate(end.off); err != nil {
			return fmt.Errorf("cut moved events: %w", err)
		}
		end.seg.size = end.off
	}
	r.loose, r.from = nil, nil
	return seg.mark(movedNone)
}

// removeSpent deletes segments other than the last that hold nothing to send.
func (s *Spool) removeSpent() {
	for i := len(s.segments) - 2; i >= 0; i-- {
		if s.segments[i].waiting == 0 {
			s.removeSegment(i)
		}
	}
}
