package wal

import (
	"context"
	"fmt"
	"sync"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// segmentCheck is the check of one segment by itself, and what it found.
type segmentCheck struct {
	head    *head // as it was before the segments were looked at
	unpack  bool
	sum     *hasher
	entry   *stream.Entry // reused
	passing *passing

	tally    tally
	records  uint64
	events   uint64
	bytes    int64
	torn     int64
	notes    []string
	holes    int
	gaps     int  // holes without a trace of what was there, that are not on record
	openEnd  bool // the last hole is open
	headSeen bool
	err      error // of reading

	next   Offset
	chain  [chainBytes]byte
	linked bool // next and chain are those of the record before
}

// run checks the i-th file of a survey.
func (c *segmentCheck) run(ctx context.Context, fsys vfs.FS, dir string, found *survey, i int) {
	s := &found.segs[i]
	c.next, c.chain = s.first, s.header.chain()
	c.linked = s.reason == "" // the header could be read, so the chain is known
	c.passHead()
	c.bytes = segmentHeaderBytes
	met := false
	told := int64(0)
	err := openWalk(fsys, dir, found, i, func(w *walk) (err error) {
		met = true
		w.live, w.known = true, c.head.next
		told, err = c.walk(ctx, s, w)
		return err
	})
	if err != nil {
		c.err = fmt.Errorf("read segment %s: %w", s.name, err)
		return
	}
	if !met {
		c.notes = append(c.notes, "segment "+s.name+" was removed meanwhile")
		c.linked, c.next = false, found.until(i)
	}
	c.passing.add(max(0, s.size-told))
}

// walk checks the segment's records, and returns of how many bytes progress was told.
func (c *segmentCheck) walk(ctx context.Context, s *laid, w *walk) (told int64, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return told, err
		}
		var st step
		if err := w.step(&st); err != nil {
			return told, err
		}
		switch st.kind {
		case stepRecord:
			c.record(s, &st.rec)
			if w.scan.pos-told >= 1<<20 {
				c.passing.add(w.scan.pos - told)
				told = w.scan.pos
			}
		case stepHole:
			c.bad(s, st.hole.pos, st.hole.from, st.hole.to, st.hole.reason)
			c.next, c.linked, c.openEnd = w.next, false, st.hole.open
			c.holes++
			if st.hole.absent && len(uncovered(c.head.note.losses, st.hole.from, st.hole.to)) > 0 {
				c.gaps++
			}
		case stepTorn:
			c.torn = st.used - st.rec.pos
			c.notes = append(c.notes, obs.Counted(c.torn, "byte at the end is", "bytes at the end are")+" of a record that was never finished")
			return told, nil
		case stepEnd:
			return told, nil
		}
	}
}

// record checks that a record carries on the chain of the one before.
func (c *segmentCheck) record(s *laid, rec *scanned) {
	h := &rec.header
	if c.linked && !h.follows(&c.chain, c.sum, rec.bytes) {
		c.bad(s, rec.pos, h.first, h.first, "record breaks the hash chain")
	}
	if reason := rec.eventsWrong(c.entry, c.unpack); reason != "" {
		c.bad(s, rec.pos, h.first, h.behind(), reason)
	}
	c.next, c.chain, c.linked = h.behind(), h.chain, true
	c.passHead()
	c.records++
	c.events += uint64(h.count)
	c.bytes += h.size()
}

// passHead notes when the walk is where the head file says the log once was.
func (c *segmentCheck) passHead() {
	if c.next == c.head.next && c.chain == c.head.chain {
		c.headSeen = true
	}
}

func (c *segmentCheck) bad(s *laid, pos int64, from, to Offset, reason string) {
	c.tally.bad(c.head.note.losses, s.name, pos, from, to, reason)
}

// tally counts bad places and keeps the one with the lowest offset, of several the first.
type tally struct {
	places int
	lowest *CorruptionError
}

// bad counts a bad place where offsets from to to are missing (none, or how many is not
// known, when they are equal). What was accepted as a loss is none.
func (t *tally) bad(losses []loss, segment string, pos int64, from, to Offset, reason string) {
	if isAccepted(losses, from, to) {
		return
	}
	t.add(&tally{1, &CorruptionError{Segment: segment, Position: pos, First: from, Next: to, Reason: reason}})
}

// add adds those of a later part of the log.
func (t *tally) add(o *tally) {
	t.places += o.places
	if o.lowest != nil && (t.lowest == nil || o.lowest.First < t.lowest.First) {
		t.lowest = o.lowest
	}
}

func (t *tally) report(r *Report) {
	r.BadPlaces = t.places
	if e := t.lowest; e != nil {
		r.FirstBadOffset, r.Segment, r.Position, r.Err = e.First, e.Segment, e.Position, e
	}
}

// passing tells how far a check of several segments is.
type passing struct {
	mu          sync.Mutex
	tell        func(done, total int64) // nil when nobody asks
	done, total int64
}

func (p *passing) add(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += bytes
	if p.tell != nil {
		p.tell(p.done, max(p.total, p.done))
	}
}
