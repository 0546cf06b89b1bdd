package wal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// Report is the result of Verify.
type Report struct {
	OK       bool
	Records  uint64 // whole records, checkpoints included
	Events   uint64
	Bytes    int64
	Segments int
	First    Offset // of the oldest event
	Next     Offset // behind the newest event
	Removed  Offset // retention removed what is below
	// RemovedAt is when it last did, zero where that is not known.
	RemovedAt time.Time

	// The bad place with the lowest offset, when OK is false.
	FirstBadOffset Offset
	Segment        string
	Position       int64
	Err            error // a *CorruptionError

	BadPlaces int      // all of them, but for those of losses that were accepted
	Gaps      int      // of them those between records of which no byte is there, and that no loss on record tells of
	TornBytes int64    // of a record that was never finished, at the very end
	Notes     []string // what is unusual but not wrong
	// Losses are those on record: what is gone without retention having removed it.
	// While one is not accepted the log is not OK.
	Losses []stream.Loss
}

// Verify checks the whole log in dir: every checksum, the hash chain through
// all records and segments, that neither end was cut off, and that no loss is open.
// progress, if not nil, is told the bytes done and their total. Segments are checked on as
// many cores as there are, up to maxVerifying.
//
// It takes no lock and changes nothing, so it may run beside the program that
// writes, where it stops at the end of what is whole, and on a copy. The error
// is that of reading, or of ctx; damage is in the report.
func Verify(ctx context.Context, fsys vfs.FS, dir string, progress func(done, total int64)) (Report, error) {
	return VerifyWith(ctx, fsys, dir, VerifyOptions{Progress: progress})
}

// VerifyOptions say how much Verify checks and who is told. The zero value is Verify's.
type VerifyOptions struct {
	// Unpack has the events of each record unpacked and counted. Without it, what a
	// packed record says of itself must be possible.
	Unpack bool
	// Progress is told the bytes done and their total, from one goroutine at a time.
	Progress func(done, total int64)

	atOnce int // segments that are checked at once, 0 for as many as there are cores
}

// VerifyWith is Verify with options.
func VerifyWith(ctx context.Context, fsys vfs.FS, dir string, o VerifyOptions) (Report, error) {
	if o.atOnce == 0 {
		o.atOnce = min(runtime.GOMAXPROCS(0), maxVerifying)
	}
	v := &verifier{fs: fsys, dir: dir, atOnce: o.atOnce, unpack: o.Unpack, passing: passing{tell: o.Progress}}
	err := v.run(ctx)
	v.tally.report(&v.report)
	if err != nil {
		return v.report, fmt.Errorf("verify log %s: %w", dir, err)
	}
	v.judgeLosses()
	v.report.OK = v.report.BadPlaces == 0 && v.report.Err == nil
	return v.report, nil
}

// maxVerifying bounds the segments that are checked at once. Each takes a buffer of
// 256 KiB, and for as long as a record is larger than that, as much as the record.
const maxVerifying = 8

// verifier is the state of one Verify. Segments are checked side by side, each by itself,
// since its header says what chain it carries on; what was found is put together, and
// the links between them are checked, in the order of the segments. So the report does
// not depend on how many are checked at once.
type verifier struct {
	fs      vfs.FS
	dir     string
	atOnce  int // segments that are checked at once
	unpack  bool
	passing passing

	report   Report
	tally    tally
	next     Offset
	chain    [chainBytes]byte
	linked   bool // next and chain are those of the record before
	openEnd  bool // the last place is bad, and how far it reaches is not known
	head     head
	haveHead bool
	headSeen bool // the walk passed the place that the head file notes
}

func (v *verifier) run(ctx context.Context) error {
	cursorEnd, who, err := v.readKnown()
	if err != nil {
		return err
	}
	found, err := look(ctx, v.fs, v.dir)
	if err != nil {
		return err
	}
	v.passing.total = found.bytes
	for _, odd := range found.strangers {
		v.bad(odd.name, odd.first, odd.first, odd.reason)
		v.passing.done += odd.size
	}
	if err := v.begins(&found); err != nil {
		return err
	}
	if err := v.segments(ctx, &found); err != nil {
		return err
	}
	v.report.Next = v.next
	v.ends(&found, cursorEnd, who)
	return nil
}

// segments checks all segments, and links them in order as they are done.
func (v *verifier) segments(ctx context.Context, found *survey) error {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	checks := make([]segmentCheck, len(found.segs))
	done := make([]chan struct{}, len(checks))
	for i := range checks {
		checks[i] = segmentCheck{head: &v.head, passing: &v.passing, unpack: v.unpack}
		done[i] = make(chan struct{})
	}
	var taken atomic.Int64
	for range min(v.atOnce, len(checks)) {
		workers.Go(func() {
			sum, entry := newHasher(), &stream.Entry{}
			for {
				i := int(taken.Add(1)) - 1
				if i >= len(checks) {
					return
				}
				checks[i].sum, checks[i].entry = sum, entry
				checks[i].run(ctx, v.fs, v.dir, found, i)
				close(done[i])
			}
		})
	}
	for i := range checks {
		<-done[i]
		if err := v.link(found, i, &checks[i]); err != nil {
			return err
		}
	}
	return nil
}

// link adds a checked segment to those before it.
func (v *verifier) link(found *survey, i int, c *segmentCheck) error {
	s := &found.segs[i]
	switch {
	case s.reason != "":
		v.bad(s.name, s.first, s.first, s.reason)
	case v.linked && s.header.prev != v.chain:
		v.bad(s.name, s.first, s.first, "segment does not carry on the hash chain of the one before")
	}
	if v.report.Segments == 0 {
		v.report.First = s.first
	}
	v.report.Segments++
	v.report.Records += c.records
	v.report.Events += c.events
	v.report.Bytes += c.bytes
	if c.torn > 0 {
		v.report.TornBytes = c.torn
	}
	v.report.Notes = append(v.report.Notes, c.notes...)
	v.report.Gaps += c.gaps
	v.tally.add(&c.tally)
	v.next, v.chain, v.linked = c.next, c.chain, c.linked
	v.headSeen = v.headSeen || c.headSeen
	if c.holes > 0 {
		v.openEnd = c.openEnd
	}
	return c.err
}

// readKnown reads what else says how long the log is. It comes before the
// segments, since those may grow meanwhile.
func (v *verifier) readKnown() (cursorEnd Offset, who string, err error) {
	var faults []string
	v.head, faults, err = readHead(v.fs, v.dir)
	v.haveHead = err == nil
	if err != nil && !errors.Is(err, errNoHead) {
		return 0, "", err
	}
	v.report.Notes = append(v.report.Notes, faults...)
	v.report.Removed, v.report.RemovedAt = v.head.removed, v.head.note.removedAt
	cursors, err := readCursors(v.fs, v.dir, func(name, reason string) {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("cursor %s is damaged: %s", name, reason))
	})
	if err != nil {
		return 0, "", err
	}
	cursorEnd, who = highestCursor(cursors)
	return cursorEnd, who, nil
}

// begins checks that the oldest segment is where retention stopped.
func (v *verifier) begins(found *survey) error {
	if !v.haveHead || len(found.segs) == 0 {
		return nil
	}
	first := found.segs[0].first
	v.next = v.head.removed
	if first <= v.head.removed {
		return nil
	}
	// Retention may have been at work since the head file was read.
	now, _, err := readHead(v.fs, v.dir)
	switch {
	case err != nil && !errors.Is(err, errNoHead):
		return err
	case err == nil && first <= now.removed:
		return nil
	}
	v.bad(found.segs[0].name, v.head.removed, first, fmt.Sprintf(
		"segments are missing at the beginning: the oldest should start at offset %d", v.head.removed))
	return nil
}

// ends checks that the log reaches as far as anything says.
func (v *verifier) ends(found *survey, cursorEnd Offset, who string) {
	n := &v.head.note
	last := Offset(0)
	if len(found.segs) > 0 {
		last = found.segs[len(found.segs)-1].first
	} else {
		v.next = v.head.removed
	}
	gone := n.hasNewest && (n.newest > last || len(found.segs) == 0) && (!n.closed || v.head.next > v.next)
	switch {
	case v.openEnd: // what is bad may be the end as well
	case gone && v.newestIsBack():
	case gone:
		v.bad("", v.next, max(v.next, v.head.next), "the end of the log is missing: it had a segment "+segmentName(n.newest))
	case v.haveHead && !v.headSeen && v.next < v.head.next:
		v.bad("", v.next, v.head.next, fmt.Sprintf("the end of the log is missing: it reached at least offset %d", v.head.next))
	case cursorEnd > v.next:
		v.bad("", v.next, cursorEnd, fmt.Sprintf("the end of the log is missing: cursor %s stands at offset %d", who, cursorEnd))
	case !v.haveHead && (v.report.Events > 0 || v.next > 0 || cursorEnd > 0):
		v.bad("", v.report.First, v.report.First, lostHead.String())
	case v.haveHead && !v.headSeen && v.head.next > v.report.First && v.tally.places == 0 && len(n.losses) == 0:
		v.bad("", v.report.First, v.report.First, "the log is not the one that its HEAD file describes")
	}
}

// newestIsBack reports whether the newest segment that the head file named is not
// missing, but was retention's by now.
func (v *verifier) newestIsBack() bool {
	now, _, err := readHead(v.fs, v.dir)
	return err == nil && now.removed > v.head.note.newest
}

// bad counts a bad place that is a whole segment, or none that is there, see tally.
func (v *verifier) bad(segment string, from, to Offset, reason string) {
	v.tally.bad(v.head.note.losses, segment, 0, from, to, reason)
}

// judgeLosses reports the losses on record.
func (v *verifier) judgeLosses() {
	for i := range v.head.note.losses {
		l := v.head.note.losses[i].stream()
		v.report.Losses = append(v.report.Losses, l)
		if l.Accepted.IsZero() && v.report.Err == nil {
			v.report.FirstBadOffset = l.From
			v.report.Err = &CorruptionError{First: l.From, Next: l.To, Reason: "lost: " + l.Reason}
		}
	}
}
