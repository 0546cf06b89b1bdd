package wal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// lossCause says how something came to be gone; the numbers are on disk.
type lossCause uint8

const (
	lostBeginning  lossCause = 1
	lostMiddle     lossCause = 2
	lostEnd        lossCause = 3
	lostAll        lossCause = 4
	lostUnreadable lossCause = 5
	lostRecords    lossCause = 6
	lostInUse      lossCause = 7
	lostHead       lossCause = 8
)

// String says it for people.
func (c lossCause) String() string {
	switch c {
	case lostBeginning:
		return "the segments at the beginning of the log are missing"
	case lostMiddle:
		return "segments are missing in the middle of the log"
	case lostEnd:
		return "the newest segments of the log are missing"
	case lostAll:
		return "all segments of the log are missing"
	case lostUnreadable:
		return "a segment was empty, overwritten or renamed, and is set aside in the quarantine folder"
	case lostRecords:
		return "records are cut off or damaged at the end of the log"
	case lostInUse:
		return "a segment was taken away while the hub was using it"
	case lostHead:
		return "HEAD and its copy are missing or damaged, so nothing says whether retention removed what is not there, nor what was lost before"
	}
	return fmt.Sprintf("cause %d, of a newer version", uint8(c))
}

// covered returns the parts of [from, to) that none of the losses holds.
func uncovered(losses []loss, from, to Offset) [][2]Offset {
	var out [][2]Offset
	for _, l := range losses { // in the order of their offsets
		if l.from >= to {
			break
		}
		if l.from > from {
			out = append(out, [2]Offset{from, l.from})
		}
		from = max(from, l.to)
	}
	if from < to {
		out = append(out, [2]Offset{from, to})
	}
	return out
}

// lost puts on record what of [from, to) is gone and not on record yet. An empty range
// is one of which the extent is not known at all.
func (l *Log) lost(from, to Offset, unknown bool, cause lossCause) {
	n := &l.w.head.note
	l.w.headStale = true
	parts := uncovered(n.losses, from, to)
	if from == to {
		parts = [][2]Offset{{from, to}}
	}
	for _, p := range parts {
		n.lastID++
		one := loss{id: n.lastID, from: p[0], to: p[1], unknown: unknown, noticed: l.opts.Now().UTC(), cause: cause}
		n.add(one)
		l.log.Error("log has lost events", "loss", one.id, "offset", one.from, "next", one.to, "reason", cause.String())
	}
	l.publishLosses()
}

// add puts a loss in its place, and makes room when there are too many.
func (n *note) add(one loss) {
	n.losses = append(slices.Clone(n.losses), one)
	slices.SortStableFunc(n.losses, func(a, b loss) int { return cmp.Compare(a.from, b.from) })
	if len(n.losses) <= maxLosses {
		return
	}
	oldest := -1
	for i, l := range n.losses {
		if !l.accepted.IsZero() && (oldest < 0 || l.id < n.losses[oldest].id) {
			oldest = i
		}
	}
	if oldest >= 0 {
		n.losses = slices.Delete(n.losses, oldest, oldest+1)
		return
	}
	// The two that lie closest become one, which may say too much, not too little.
	at := 0
	for i := range n.losses[:len(n.losses)-1] {
		if n.losses[i+1].from-min(n.losses[i].to, n.losses[i+1].from) < n.losses[at+1].from-min(n.losses[at].to, n.losses[at+1].from) {
			at = i
		}
	}
	a, b := n.losses[at], n.losses[at+1]
	a.to, a.unknown = max(a.to, b.to), true
	n.losses[at] = a
	n.losses = slices.Delete(n.losses, at+1, at+2)
}

func (l *Log) publishLosses() {
	losses := slices.Clone(l.w.head.note.losses)
	l.losses.Store(&losses)
}

// onRecord returns the losses on record, in the order of their offsets.
func (l *Log) onRecord() []loss {
	if p := l.losses.Load(); p != nil {
		return *p
	}
	return nil
}

// openLosses are those that nobody has accepted.
func openLosses(losses []loss) []stream.Loss {
	var out []stream.Loss
	for i := range losses {
		if losses[i].accepted.IsZero() {
			out = append(out, losses[i].stream())
		}
	}
	return out
}

// isAccepted reports whether all of [from, to), or from where that is empty, lies in
// losses that were accepted.
func isAccepted(losses []loss, from, to Offset) bool {
	accepted := slices.DeleteFunc(slices.Clone(losses), func(l loss) bool { return l.accepted.IsZero() })
	return len(uncovered(accepted, from, max(to, from+1))) == 0
}

// AcceptLosses takes note of open losses, see stream.Losses. With the last open one,
// what lies in the quarantine folder goes to accepted/ in it.
func (l *Log) AcceptLosses(ctx context.Context, ids []uint64) ([]stream.Loss, error) {
	took := make(chan []stream.Loss, 1) // nobody may be waiting any more
	err := l.control(ctx, func() error {
		accepted, err := l.accept(ids)
		took <- accepted
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-took, nil
}

// accept runs on the log's goroutine.
func (l *Log) accept(ids []uint64) ([]stream.Loss, error) {
	now := l.opts.Now().UTC()
	before := l.w.head.note.losses
	losses := slices.Clone(before)
	var accepted []stream.Loss
	for i := range losses {
		if one := &losses[i]; one.accepted.IsZero() && (len(ids) == 0 || slices.Contains(ids, one.id)) {
			one.accepted = now
			accepted = append(accepted, one.stream())
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(accepted, func(a stream.Loss) bool { return a.ID == id }) {
			return nil, fmt.Errorf("accept loss %d: %w", id, stream.ErrNoLoss)
		}
	}
	if len(accepted) > 0 {
		l.w.head.note.losses = losses
		if l.noteHead(); l.w.headErr != nil {
			l.w.head.note.losses = before
			return nil, fmt.Errorf("accept losses: %w", classify(l.w.headErr))
		}
		l.publishLosses()
	}
	if len(openLosses(losses)) == 0 {
		l.releaseQuarantine()
	}
	return accepted, nil
}

// reconcile compares what is there with what should be, and puts on record what is
// gone: the log reaches from where retention removed to where it is known to have
// reached, each segment to the beginning of the next.
//
//	missing                                    on record as
//	what the oldest segment should begin with  the beginning, or all
//	what a segment should end with             the middle
//	what recovery found at the end             records
//	the newest segment                         the end; how much is known if the log was closed
//	HEAD and its copy, in a log with events    the head
//
// A range for which a file was set aside is on record as unreadable instead.
func (l *Log) reconcile(ctx context.Context, s *survey, r *recovered) {
	cause := func(from, to Offset, otherwise lossCause) lossCause {
		for _, odd := range s.strangers {
			if odd.first >= from && odd.first < to || odd.first == from {
				return lostUnreadable
			}
		}
		return otherwise
	}
	first := l.w.next
	if len(s.segs) > 0 {
		first = s.segs[0].first
	}
	switch removed := l.w.head.removed; {
	case !r.haveHead && r.used:
		l.lost(0, first, true, lostHead)
		if first == 0 {
			l.w.head.removed = 0
		}
	case len(s.segs) == 0 && first > removed:
		l.lost(removed, first, r.unknown, cause(removed, first, lostAll))
	case first > removed:
		l.lost(removed, first, false, cause(removed, first, lostBeginning))
	}
	for i := range max(0, len(s.segs)-1) {
		holes, err := l.sealedHoles(ctx, s, i)
		if err != nil {
			l.log.Warn("log cannot see whether a segment is whole", "path", s.segs[i].name, "error", err)
		}
		for _, h := range holes {
			if h.to == h.from { // bad bytes, and no event is gone
				l.damage(Damage{Segment: s.segs[i].name, Position: h.pos, FirstBad: h.from, Reason: h.reason})
				continue
			}
			l.lost(h.from, h.to, false, cause(h.from, h.to, lostMiddle))
		}
	}
	for _, h := range r.holes {
		l.lost(h.from, h.to, h.open, cause(h.from, h.to, h.cause))
	}
}

// sealedHoles returns what is wrong in a segment that has one behind it. When its
// last record ends where that begins, nothing is missing at its end, and what rots
// within is for readers and Verify to find.
func (l *Log) sealedHoles(ctx context.Context, s *survey, i int) (holes []hole, err error) {
	err = l.within(s, i, func(w *walk) (err error) {
		if behind, ok := w.scan.lastBehind(); !ok || behind != w.until {
			holes, err = w.holes(ctx)
		}
		return err
	})
	return holes, err
}

// lastBehind returns the offset behind the segment's last record, found from its
// trailer, if the segment ends with a sound one. It reads a page and a header, so that
// many segments cost an opening little.
func (s *scanner) lastBehind() (Offset, bool) {
	used := int64(0)
	for behind, n := s.limit, int64(pageBytes); behind > segmentHeaderBytes && used == 0; n = min(2*n, 1<<20) {
		from := max(segmentHeaderBytes, behind-n)
		b := make([]byte, behind-from)
		if !s.readable(b, from) {
			return 0, false
		}
		if rest := len(bytes.TrimRight(b, "\x00")); rest > 0 {
			used = from + int64(rest)
		}
		behind = from
	}
	end := (used + recordAlign - 1) &^ (recordAlign - 1)
	var b [recordHeaderBytes]byte
	if used == 0 || end > s.limit || !s.readable(b[:recordTrailerBytes], end-recordTrailerBytes) {
		return 0, false
	}
	length := ^binary.LittleEndian.Uint32(b[:])
	if length < recordHeaderBytes || length > MaxRecordBytes {
		return 0, false
	}
	pos := end - paddedSize(length)
	var h header
	if pos < segmentHeaderBytes || !s.readable(b[:], pos) || s.parse(&h, b[:], pos) != "" || h.length != length {
		return 0, false
	}
	return h.behind(), true
}

// releaseQuarantine takes what was set aside out of sight.
func (l *Log) releaseQuarantine() {
	l.statMu.Lock()
	files := l.quarantined
	l.quarantined = nil
	l.statMu.Unlock()
	for _, from := range files {
		to := filepath.Join(l.opts.Dir, quarantineDir, acceptedDir, filepath.Base(from))
		if _, err := l.opts.FS.Stat(to); err == nil {
			to = fmt.Sprintf("%s.%d", to, time.Now().UnixNano())
		}
		err := l.opts.FS.MkdirAll(filepath.Dir(to), 0o700)
		if err == nil {
			err = l.opts.FS.Rename(from, to)
		}
		if err != nil && !vfs.IsNotExist(err) {
			l.log.Warn("quarantine", "path", from, "error", err)
			l.statMu.Lock()
			l.quarantined = append(l.quarantined, from)
			l.statMu.Unlock()
		}
	}
}
