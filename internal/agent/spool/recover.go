package spool

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// recovery is what is found in the folder.
type recovery struct {
	acked   uint64         // from the cursor
	highest uint64         // sequence of any batch seen
	rotten  map[uint64]int // batches that cannot be read, and how many events they had
	torn    []tornEnd
	loose   []looseBatch // what the journal holds and no segment does
	lost    int          // events that the damage has cost at least, as far as it shows
	damaged bool         // something was
}

// looseBatch is a batch whose events are in the journal alone. It may have been handed
// out, when it could not be written to a segment.
type looseBatch struct {
	seq    uint64
	events [][]byte
	lost   int    // events of it that cannot be read
	next   uint32 // index of the event that comes next
}

// recover reads the folder and makes the spool ready. It runs before the spool
// is shared.
func (s *Spool) recover() error {
	if err := os.MkdirAll(s.home(), 0o700); err != nil {
		return err
	}
	id, safe, known, err := s.loadProducer()
	if err != nil {
		return err
	}
	cursor, cursorOK, err := openCursor(filepath.Join(s.home(), "cursor"), s.o.openFile)
	if err != nil {
		return err
	}
	s.cursor = cursor
	r := &recovery{acked: cursor.mark.seq, highest: cursor.mark.seq, rotten: map[uint64]int{}}
	if err := s.loadSegments(r, id, known); err != nil {
		return err
	}
	s.missFiles(r, known, cursorOK)
	if err := s.loadJournal(r); err != nil {
		return err
	}
	s.account(r, safe && cursor.mark.held >= 0)
	// A new id whenever a number of the old one could be given out twice: the hub
	// would take the second batch for a repeat and drop it.
	fresh := !known || !safe || !cursorOK || r.damaged
	s.producer = id
	if fresh {
		s.producer = newProducer()
	}
	s.nextSeq = r.highest + 1
	if err := s.saveProducer(false); err != nil {
		return err
	}
	if err := s.begin(r); err != nil {
		return err
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

// begin writes where the spool stands, and starts a segment unless the last one can
// go on. Where there is no room for one, the last grows further, as in rotate: what waits
// is sent, which makes room. It cannot when the producer id is new.
func (s *Spool) begin(r *recovery) error {
	held, first := int(s.stats.Events), s.nextSeq
	for _, b := range r.loose {
		held += len(b.events)
		first = min(first, b.seq)
	}
	if err := s.cursor.save(cursorMark{s.lowWater(r), held}); err != nil {
		return err
	}
	last := len(s.segments) - 1
	goesOn := last >= 0 && s.segments[last].producer == s.producer
	if goesOn && s.segments[last].size < s.o.segmentBytes() {
		return nil
	}
	err := s.addSegment(first)
	if err != nil && goesOn {
		s.stats.LastError = err
		return nil
	}
	return err
}

// missFiles notes that producer or cursor are damaged, or missing where there are
// batches: they are there before the first.
func (s *Spool) missFiles(r *recovery, producer, cursor bool) {
	for name, readable := range map[string]bool{"producer": producer, "cursor": cursor} {
		if readable {
			continue
		}
		size := 0
		if info, err := os.Stat(filepath.Join(s.home(), name)); err == nil {
			size = int(info.Size())
		}
		if size == 0 && len(s.segments) == 0 && !r.damaged {
			continue // a new spool
		}
		s.log.Warn("file of the spool is missing or damaged and made anew", "path", name, "bytes", size)
		r.damage(s, size)
	}
}

// lowWater is the cursor to write first, so that it is valid from now on.
func (s *Spool) lowWater(r *recovery) uint64 {
	low := r.highest + 1
	if len(s.queue) > 0 {
		low = s.queue[0].seq
	}
	if len(r.loose) > 0 {
		low = min(low, r.loose[0].seq)
	}
	return low - 1
}

// account settles what damage has cost. The cursor says how many events were on disk:
//
//	the system         in the files    then
//	still runs         fewer           the difference is lost
//	still runs         more            nothing is: the cursor is what was written last
//	has restarted      fewer           some may be lost, unless the cursor is newer than the files
//	or nobody knows    whatever        what shows in the files is lost at least
func (s *Spool) account(r *recovery, exact bool) {
	lost, missing := r.lost, 0
	for _, n := range r.rotten {
		lost += n
	}
	here := int(s.stats.Events)
	for _, b := range r.loose {
		lost += b.lost
		here += len(b.events)
	}
	if s.cursor.mark.held >= 0 {
		missing = s.cursor.mark.held - here
	}
	if exact {
		lost = max(0, missing)
	}
	r.damaged = r.damaged || missing > 0
	if lost == 0 && !r.damaged {
		return
	}
	s.stats.DamagedEvents += uint64(lost)
	s.stats.AtLeast = s.stats.AtLeast || !exact
	s.log.Warn("spool was damaged", "events_lost", lost, "at_least", !exact, "bytes", s.stats.DamagedBytes)
}

// foundSegment is one segment file in the folder.
type foundSegment struct {
	segmentHeader
	name  string
	f     file
	whole bool // the header is readable
}

// loadSegments opens every segment in order and fills the queue. producer is what
// the producer file says, if known.
func (s *Spool) loadSegments(r *recovery, producer [16]byte, known bool) error {
	names, err := filepath.Glob(filepath.Join(s.home(), "*.spool"))
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	var all []*foundSegment
	for _, name := range names {
		one, err := s.findSegment(name)
		if err != nil {
			return errors.Join(fmt.Errorf("recover %s: %w", filepath.Base(name), err), closeFound(all))
		}
		if !one.whole {
			one.producer = producer
		}
		all = append(all, one)
	}
	// The header says which one it is, whatever it was renamed to.
	slices.SortStableFunc(all, func(a, b *foundSegment) int {
		return cmp.Or(cmp.Compare(a.ordinal, b.ordinal), strings.Compare(a.name, b.name))
	})
	for i, one := range all {
		if err := s.loadSegment(one, r, known); err != nil {
			return errors.Join(fmt.Errorf("recover %s: %w", filepath.Base(one.name), err), closeFound(all[i+1:]))
		}
	}
	return nil
}

func closeFound(all []*foundSegment) error {
	errs := make([]error, 0, len(all))
	for _, one := range all {
		errs = append(errs, one.f.Close())
	}
	return errors.Join(errs...)
}

// findSegment opens a file and reads what can be known of its header: one that is
// damaged is told by the file's name which it is.
func (s *Spool) findSegment(name string) (*foundSegment, error) {
	f, err := s.o.openFile(name, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	one := &foundSegment{name: name, f: f}
	head := make([]byte, headerBytes)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, f.Close())
	}
	named, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), ".spool"), 16, 60)
	if err != nil {
		named = 0
	}
	if one.segmentHeader, one.whole = decodeHeader(head[:n]); !one.whole {
		one.ordinal = named
	}
	s.ordinal = max(s.ordinal, named, one.ordinal) // no later one takes a name that is there
	return one, nil
}

// loadSegment takes one segment into the spool:
//
//	header                  then
//	readable                taken, whatever the file is called; a copy is set aside
//	damaged, and batches    taken as its name says, if the producer is known
//	none, an empty file     removed: it was begun when the machine failed; if it held
//	                        something, the cursor tells
//	damaged otherwise       set aside
func (s *Spool) loadSegment(one *foundSegment, r *recovery, known bool) error {
	content, err := readAll(one.f, one.name)
	if err != nil {
		return errors.Join(err, one.f.Close())
	}
	last := len(s.segments) - 1
	switch {
	case len(content) == 0:
		s.log.Info("empty spool segment removed", "path", one.name)
		return errors.Join(one.f.Close(), os.Remove(one.name))
	case one.ordinal == 0 || last >= 0 && s.segments[last].ordinal == one.ordinal:
		return s.quarantine(one, r, len(content)) // not ours, or a copy
	case !one.whole && (!known || !holdsBatches(content)):
		r.lost += min(1, max(0, len(content)-headerBytes)) // a batch, unless it was new
		return s.quarantine(one, r, len(content))
	}
	return s.takeSegment(one, content, r)
}

func holdsBatches(content []byte) (yes bool) {
	scan(content[min(headerBytes, len(content)):], headerBytes,
		func(f frame) { yes = yes || f.typ == frameBatch }, func([]byte) {})
	return yes
}

// takeSegment reads the frames of a segment.
func (s *Spool) takeSegment(one *foundSegment, content []byte, r *recovery) error {
	seg := &segment{segmentHeader: one.segmentHeader, name: one.name, f: one.f}
	s.segments = append(s.segments, seg)
	if !one.whole {
		r.damage(s, headerBytes)
		if _, err := seg.f.WriteAt(seg.encode(), 0); err != nil {
			return fmt.Errorf("mend header: %w", err)
		}
	}
	c := collector{s: s, r: r, seg: seg, next: seg.first}
	seg.size = scan(content[headerBytes:], headerBytes, c.visit, c.skip)
	torn := content[seg.size:]
	c.finish(torn)
	if len(torn) == 0 {
		return nil
	}
	s.log.Info("torn end of spool segment cut off", "path", seg.name, "bytes", len(torn))
	if err := seg.f.Truncate(seg.size); err != nil {
		return fmt.Errorf("cut torn end: %w", err)
	}
	return nil
}

// damage notes bytes that could not be read.
func (r *recovery) damage(s *Spool, bytes int) {
	r.damaged = true
	s.stats.DamagedBytes += int64(bytes)
}

// allZero says that bytes are what a disk has where it has lost what was written.
func allZero(b []byte) bool { return len(b) > 0 && len(bytes.Trim(b, "\x00")) == 0 }

// readAll returns the whole content. Segments are of bounded size, but a file
// that is not ours may not be.
func readAll(f file, name string) ([]byte, error) {
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
func (s *Spool) quarantine(one *foundSegment, r *recovery, size int) error {
	r.damage(s, size)
	s.log.Warn("unreadable spool segment set aside", "path", one.name, "kept_as", s.bad(), "bytes", size)
	return errors.Join(one.f.Close(), os.Rename(one.name, s.bad()))
}

// bad is where the last unreadable file is kept.
func (s *Spool) bad() string { return filepath.Join(s.o.Dir, "damaged.bad") }

// removeSpent deletes segments other than the last that hold nothing to send.
func (s *Spool) removeSpent() {
	for i := len(s.segments) - 2; i >= 0; i-- {
		if s.segments[i].waiting == 0 {
			s.removeSegment(i)
		}
	}
}
