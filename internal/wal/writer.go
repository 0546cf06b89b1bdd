package wal

import (
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

const (
	// maxGroupBytes bounds a group commit and with it the latency that a
	// record meets when the log is saturated.
	maxGroupBytes = 4 << 20
	// aheadBytes is what must be queued for it to be written while the group before is
	// being synced. Below it writing takes less time than waking another goroutine, and a
	// lone writer's group is written and synced by one.
	aheadBytes = 1 << 20
	// aheadPiece bounds what is written ahead at once, and with it how long the answers
	// to a group that has become durable meanwhile are late.
	aheadPiece = 1 << 20
	// preallocateBytes is how much of a segment is reserved at once. Within
	// reserved space fdatasync has no file size to write.
	preallocateBytes = 16 << 20
	// inlineBytes is the payload size up to which copying is cheaper than a
	// further piece in the vectored write.
	inlineBytes = 2 << 10

	tickEvery     = time.Second
	maintainEvery = 10 * time.Second
)

// writer is the state of the goroutine that owns the files.
type writer struct {
	active  *active // nil when the next group needs a new segment
	next    Offset  // behind the newest durable record
	chain   [chainBytes]byte
	head    head
	headErr error // why the head file is not up to date
	// headStale says that opening found more or less than the head file says.
	headStale bool
	// void says that a write to the segment before the next one failed, and that what
	// was taken back of it may come back in a crash.
	void    bool
	copyErr error // the same for its copy

	taken  []*request // the queue as it was taken, reused
	rest   []*request // what of it is in no group yet
	flight *group     // being synced, see group
	ahead  *group     // being written behind flight
	spare  []*group
	landed chan landing
	ticks  <-chan time.Time
	due    bool // a tick waits until nothing is in flight
	frame  frame

	noPreallocate bool // the file system cannot
	maintained    time.Time
	lastReceived  time.Time // when the newest record came that was there when the log was opened
	lastRefused   error     // why groups are refused, nil when they are not
	refusedBytes  int64     // of the last refused group
	doomed        []string  // files to remove

	cramped   error     // why no segment could be begun when the active one was full
	crampedAt time.Time // when a new one was last tried
}

// active is the segment being written.
type active struct {
	seg   *segment
	file  vfs.File
	pos   int64 // durable end
	alloc int64 // end of the space reserved

	prev [chainBytes]byte // chain value that the segment's header carries on
}

// run is the writer goroutine. It owns the files and calls everybody back; the one thing
// that goes on beside it is the sync of a large group.
func (l *Log) run() {
	defer close(l.finished)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	l.w.ticks, l.w.landed = tick.C, make(chan landing, 1)
	stop := l.stop
	for {
		l.work()
		if stop == nil && l.w.flight == nil {
			l.closeErr = l.shutdown()
			return
		}
		select {
		case <-l.signal:
		case r := <-l.w.landed:
			l.land(r)
		case <-tick.C:
			l.w.due = true
		case <-stop:
			stop = nil
		}
	}
}

// work does what there is to do without waiting for the group in flight.
func (l *Log) work() {
	for {
		select {
		case <-l.w.ticks: // also while there is no end of work
			l.w.due = true
		default:
		}
		switch {
		case l.w.flight != nil:
			if !l.writeAhead() {
				return
			}
			continue
		case l.w.due:
			l.w.due = false
			l.tick()
		}
		if !l.refill(0) {
			return
		}
		l.step()
	}
}

func (l *Log) tick() {
	l.probe()
	l.keepPresent()
	if l.w.cramped != nil && l.w.active != nil {
		_ = l.rotateOrGrow() // it is told by what it leaves
	}
	if now := l.opts.Now(); now.Sub(l.w.maintained) >= maintainEvery {
		l.w.maintained = now
		if err := l.maintain(); err != nil {
			l.log.Warn("log maintenance", "error", err)
		}
	}
}

// refill takes the queue once what was taken before is used up, and reports whether
// there is something to do. While fewer than least bytes are queued there is not, and
// enqueue wakes the writer when they are.
func (l *Log) refill(least int64) bool {
	if len(l.w.rest) > 0 {
		return true
	}
	clear(l.w.taken)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 || l.queued < least {
		l.wakeAt, l.awake = least, false
		return false
	}
	l.w.rest, l.queue = l.queue, l.w.taken[:0]
	l.w.taken, l.queued, l.awake = l.w.rest, 0, true
	return true
}

// step handles the first of the requests that were taken.
func (l *Log) step() {
	reqs := l.w.rest
	if run := reqs[0].control; run != nil {
		l.w.rest = reqs[1:]
		run()
		return
	}
	room, err := l.prepare(firstSize(reqs))
	g := l.newGroup()
	g.take(&l.w.rest, room)
	switch {
	case err == nil && g.bytes > 0:
		l.commit(g)
	default:
		l.answer(g, err)
	}
}

// firstSize returns the size of the first record before the next control
// function, 0 without one.
func firstSize(reqs []*request) int64 {
	for _, r := range reqs {
		if r.size > 0 || r.control != nil {
			return r.size
		}
	}
	return 0
}

// prepare rotates when a record of the given size does not fit and returns the
// bytes that the next group may have.
func (l *Log) prepare(size int64) (int64, error) {
	a := l.w.active
	if size > 0 && a != nil && a.pos+size > l.opts.SegmentBytes && a.seg.first != l.w.next {
		if err := l.rotateOrGrow(); err != nil {
			return maxGroupBytes, err
		}
		if a = l.w.active; l.w.cramped != nil {
			return maxGroupBytes, nil
		}
	}
	used := int64(segmentHeaderBytes)
	if a != nil {
		used = a.pos
	}
	return min(maxGroupBytes, max(size, l.opts.SegmentBytes-used)), nil
}

// rollBack removes what was written behind the durable end. With keep the
// segment stays in use when that works; otherwise it is given up.
func (l *Log) rollBack(keep bool) {
	a := l.w.active
	l.w.void = true
	err := a.file.Truncate(a.pos)
	if err == nil {
		a.alloc = a.pos
		if keep {
			return
		}
	} else {
		l.log.Warn("log cannot take back a failed write; the next segment makes it void",
			"path", a.seg.name, "error", err)
	}
	l.abandon()
}

// abandon gives the active segment up at its durable end. What lies behind is
// void: the next segment starts at the offset where the durable part ends.
func (l *Log) abandon() {
	a := l.w.active
	l.w.active = nil
	l.noteCramped()
	a.seg.end = a.pos
	if a.seg.first == l.w.next {
		l.w.chain = a.prev // the next segment takes its place
	}
	if err := a.file.Close(); err != nil {
		l.log.Warn("close segment", "path", a.seg.name, "error", err)
	}
}

// answer publishes a durable group and calls everybody back.
func (l *Log) answer(g *group, err error) {
	switch {
	case g.bytes == 0:
	case err != nil:
		l.w.lastRefused, l.w.refusedBytes = err, g.bytes
		l.setState(stateOf(err), err)
	default:
		v := *l.view.Load()
		v.next, v.end = l.w.next, l.w.active.pos
		l.publish(v)
		if !l.stillFull() {
			l.w.lastRefused = nil
			l.setState(StateOK, nil)
		}
	}
	l.mu.Lock()
	l.pending -= g.bytes
	l.mu.Unlock()
	g.info.Bytes, g.info.Err = g.bytes, err
	for _, r := range g.reqs {
		switch {
		case r.barrier != nil:
			r.barrier(err)
		case err != nil:
			r.done(0, err)
		default:
			r.done(r.header.first, nil)
		}
		if r.size > 0 {
			g.info.Records++
			g.info.Events += int(r.header.count)
		}
		l.recycle(r)
	}
	if g.bytes > 0 {
		l.opts.Observe(g.info)
	}
	l.giveBack(g)
}
