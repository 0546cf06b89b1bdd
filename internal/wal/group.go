package wal

import (
	"errors"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// group is requests in the order in which they came, records and barriers, that become
// durable with one sync and are answered together. At most two are under way: flight,
// which was written and is being synced, and ahead, which is written behind it
// meanwhile, piece by piece as records come.
//
//	flight  ahead        what happens                 what follows
//	none    none         records are queued           they are written as a group. A small one is
//	                                                  synced and answered at once, a large one is flight
//	one     none         aheadBytes are queued        they are written, and are ahead
//	one     written      aheadBytes are queued        they are written behind it, and belong to it
//	one     none         flight is durable            it is answered
//	one     written      flight is durable            ahead is flight now; the former is answered
//	one     not written  flight is durable            it is answered; the file is cut back to its end,
//	                                                  and given up unless the disk was full; ahead begins anew
//	one     any          the segment was taken away   it is restored up to the end of flight, which is
//	                                                  answered; ahead begins anew
//	one     any          the sync of flight fails     both are cut away, the segment is given up; flight is
//	                                                  written again in a new one, and answered, as durable or
//	                                                  failed; ahead begins anew
//	one     any          there is a control function, ahead gets no more, and what is to be done is done
//	                     a tick, a full segment, a    when neither is under way
//	                     full disk, or a close
//
// To begin anew is to be written again behind the durable end, in the segment in use
// then, and to be synced: no sync of a group is ever taken for that of another one whose
// sync failed, and what lay behind a failed one is not acknowledged from there.
//
// All but the sync of flight happens on the log's goroutine. What others can see, the
// view, HEAD and the offsets given out, moves when a group is durable and not before;
// writer.next, writer.chain and active.pos are the durable end.
type group struct {
	reqs  []*request
	bytes int64
	end   tail  // behind what is written of it
	err   error // why it could not be written ahead
	info  SyncInfo
}

// tail is where the next record goes.
type tail struct {
	pos   int64
	next  Offset
	chain [chainBytes]byte // of the record before
}

// landing is the end of the sync of the group in flight.
type landing struct {
	err  error
	took time.Duration
}

func (l *Log) newGroup() *group {
	if n := len(l.w.spare); n > 0 {
		g := l.w.spare[n-1]
		l.w.spare = l.w.spare[:n-1]
		return g
	}
	return &group{}
}

// giveBack keeps an answered group for reuse.
func (l *Log) giveBack(g *group) {
	clear(g.reqs)
	*g = group{reqs: g.reqs[:0]}
	l.w.spare = append(l.w.spare, g)
}

// take moves requests from rest to the group, up to the next control function: those
// that fit into room bytes, or the first record whatever its size. It returns them and
// their bytes.
func (g *group) take(rest *[]*request, room int64) (reqs []*request, bytes int64) {
	n := 0
	for _, r := range *rest {
		if r.control != nil || bytes > 0 && bytes+r.size > room {
			break
		}
		bytes += r.size
		n++
	}
	reqs, *rest = (*rest)[:n], (*rest)[n:]
	g.reqs = append(g.reqs, reqs...)
	g.bytes += bytes
	return reqs, bytes
}

// durable returns the place behind the newest durable record.
func (l *Log) durable() tail {
	return tail{pos: l.w.active.pos, next: l.w.next, chain: l.w.chain}
}

// commit writes a group and has it made durable, and answers it: at once when it is
// small, else from land. Nothing is in flight.
func (l *Log) commit(g *group) {
	err := l.clear(g)
	if err == nil {
		err = l.write(g)
		if err == nil && l.isBusy(g) {
			l.launch(g)
			return
		}
		if err == nil {
			err = l.sync(g)
		}
		if err != nil {
			err = l.again(g, err)
		}
	}
	l.answer(g, err)
}

// clear makes sure that a group may be written and that there is a segment for it.
func (l *Log) clear(g *group) error {
	if err := l.checkSpace(g.bytes); err != nil {
		return err
	}
	if l.w.active != nil {
		l.keepWhole()
	}
	if l.w.active == nil {
		return l.begin()
	}
	return nil
}

// again answers a failed write or sync by one attempt in a new segment: the group's
// buffers are still at hand, the pages of the old file cannot be trusted.
func (l *Log) again(g *group, err error) error {
	if l.w.active != nil || errors.Is(err, ErrDiskFull) || errors.Is(err, ErrReadOnly) {
		return err
	}
	l.log.Warn("log writes the group again in a new segment", "error", err)
	if again := l.begin(); again != nil {
		return errors.Join(err, again)
	}
	if err := l.write(g); err != nil {
		return err
	}
	return l.sync(g)
}

// write writes a group behind the durable end. On failure the file is taken back to
// there, or given up (active is nil then).
func (l *Log) write(g *group) error {
	g.end, g.err = l.durable(), nil
	err := l.put(&g.end, g.reqs, g.bytes, &g.info)
	if err != nil {
		l.rollBack(errors.Is(err, ErrDiskFull))
	}
	return err
}

// put writes records at a place of the active segment and moves it behind them.
func (l *Log) put(at *tail, reqs []*request, bytes int64, info *SyncInfo) error {
	a := l.w.active
	behind := *at
	pieces := l.w.frame.build(reqs, a, &behind)
	l.reserve(at.pos, bytes)
	start := time.Now()
	n, err := a.file.WriteVec(pieces, at.pos)
	clear(pieces) // the callers' buffers are not ours for longer than this
	info.Write += time.Since(start)
	if err == nil && n != bytes {
		err = fmt.Errorf("wrote %d of %d bytes to segment %s", n, bytes, a.seg.name)
	}
	if err != nil {
		return classify(fmt.Errorf("write segment %s: %w", a.seg.name, err))
	}
	*at = behind
	return nil
}

// sync makes a written group durable.
func (l *Log) sync(g *group) error {
	r := datasync(l.w.active.file)
	return l.confirm(g, r)
}

func datasync(f vfs.File) landing {
	start := time.Now()
	err := f.Datasync()
	return landing{err, time.Since(start)}
}

// confirm moves the durable end behind a group that was synced. When it was not, the
// segment is given up at the durable end.
func (l *Log) confirm(g *group, r landing) error {
	g.info.Sync += r.took
	if r.err != nil {
		err := classify(fmt.Errorf("sync segment %s: %w", l.w.active.seg.name, r.err))
		l.rollBack(false)
		return err
	}
	if err := l.present(g.end.pos); err != nil {
		return err
	}
	a := l.w.active
	l.w.void = false
	pos := a.pos
	for _, r := range g.reqs {
		if r.size > 0 {
			a.seg.note(r.header.first, pos)
			pos += r.size
		}
	}
	a.pos, a.alloc = g.end.pos, max(a.alloc, g.end.pos)
	l.w.chain, l.w.next = g.end.chain, g.end.next
	return nil
}

// isBusy reports whether there will be something to write while g is synced.
func (l *Log) isBusy(g *group) bool {
	if g.bytes >= l.opts.aheadBytes {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queued >= l.opts.aheadBytes
}

// launch has a written group synced while the writer goes on.
func (l *Log) launch(g *group) {
	l.w.flight = g
	file, landed := l.w.active.file, l.w.landed
	go func() { landed <- datasync(file) }() // run takes it before it returns
}

// writeAhead writes what is queued behind the group in flight, when that is worth it,
// and reports whether it did.
func (l *Log) writeAhead() bool {
	g, end := l.w.ahead, l.w.flight.end
	room := int64(maxGroupBytes)
	if g != nil {
		end, room = g.end, room-g.bytes
	}
	room = min(room, aheadPiece, l.opts.SegmentBytes-end.pos)
	if l.w.due || l.w.cramped != nil || g != nil && g.err != nil || room <= 0 || !l.refill(l.opts.aheadBytes) {
		return false
	}
	size := firstSize(l.w.rest)
	switch a := l.w.active; {
	case size == 0, size > room && (g != nil || end.pos+size > l.opts.SegmentBytes):
		return false
	case l.opts.MinFreeBytes > 0 && l.free() < l.opts.MinFreeBytes+max(size, room):
		return false
	default:
		if n, err := a.file.Size(); err != nil || n < end.pos {
			return false // it was cut
		}
	}
	if g == nil {
		g = l.newGroup()
		g.end, l.w.ahead = end, g
	}
	reqs, bytes := g.take(&l.w.rest, room)
	g.err = l.put(&g.end, reqs, bytes, &g.info)
	return true
}

// land ends the flight of a group, see group.
func (l *Log) land(r landing) {
	g, ahead := l.w.flight, l.w.ahead
	l.w.flight, l.w.ahead = nil, nil
	file := l.w.active.file
	err := l.confirm(g, r)
	if err != nil {
		err = l.again(g, err)
	}
	intact := r.err == nil && l.w.active != nil && l.w.active.file == file
	if intact && ahead != nil && ahead.err == nil {
		l.launch(ahead)
		ahead = nil
	}
	l.answer(g, err)
	if ahead != nil {
		l.beginAnew(ahead, intact)
	}
}

// beginAnew commits a group that was, or should have been, written ahead. Its bytes are
// cut away first where its segment is still in use.
func (l *Log) beginAnew(g *group, cut bool) {
	if g.err != nil {
		l.log.Warn("log writes again what could not be written ahead", "error", g.err)
	}
	if cut {
		l.rollBack(errors.Is(g.err, ErrDiskFull))
	}
	if _, err := l.prepare(g.bytes); err != nil {
		l.answer(g, err)
		return
	}
	l.commit(g)
}
