package wal

import (
	"errors"
	"fmt"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

const (
	// maxGroupBytes bounds a group commit and with it the latency that a
	// record meets when the log is saturated.
	maxGroupBytes = 4 << 20
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
	next    Offset  // next offset to give out
	chain   [chainBytes]byte
	head    head
	headErr error      // why the head file is not up to date
	taken   []*request // reused queue
	frame   frame

	noPreallocate bool // the file system cannot
	maintained    time.Time
	lastRefused   error    // why groups are refused, nil when they are not
	refusedBytes  int64    // of the last refused group
	doomed        []string // files to remove
}

// active is the segment being written.
type active struct {
	seg   *segment
	file  vfs.File
	pos   int64 // durable end
	alloc int64 // end of the space reserved

	prev [chainBytes]byte // chain value that the segment's header carries on
}

// run is the writer goroutine.
func (l *Log) run() {
	defer close(l.finished)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.signal:
			l.drain()
		case <-tick.C:
			l.tick()
		case <-l.stop:
			l.drain()
			l.closeErr = l.shutdown()
			return
		}
	}
}

func (l *Log) tick() {
	l.probe()
	if now := l.opts.Now(); now.Sub(l.w.maintained) >= maintainEvery {
		l.w.maintained = now
		if err := l.maintain(); err != nil {
			l.log.Warn("log maintenance", "error", err)
		}
	}
}

// drain commits until the queue is empty.
func (l *Log) drain() {
	for {
		l.mu.Lock()
		reqs := l.queue
		l.queue = l.w.taken[:0]
		l.mu.Unlock()
		if len(reqs) == 0 {
			l.w.taken = reqs
			return
		}
		for rest := reqs; len(rest) > 0; {
			rest = rest[l.step(rest):]
		}
		clear(reqs)
		l.w.taken = reqs
	}
}

// step handles the first requests of reqs and returns how many.
func (l *Log) step(reqs []*request) int {
	if reqs[0].control != nil {
		reqs[0].control()
		return 1
	}
	room, err := l.prepare(firstSize(reqs))
	n, bytes := 0, int64(0)
	for n < len(reqs) && reqs[n].control == nil && (bytes == 0 || bytes+reqs[n].size <= room) {
		bytes += reqs[n].size
		n++
	}
	group := reqs[:n]
	info := SyncInfo{Bytes: bytes}
	if err == nil && bytes > 0 {
		err = l.persist(group, bytes, &info)
	}
	l.answer(group, bytes, &info, err)
	return n
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
		if err := l.rotate(); err != nil {
			return maxGroupBytes, err
		}
		a = l.w.active
	}
	used := int64(segmentHeaderBytes)
	if a != nil {
		used = a.pos
	}
	return min(maxGroupBytes, max(size, l.opts.SegmentBytes-used)), nil
}

// persist writes a group and makes it durable. A failed sync is answered by
// one attempt in a new segment: the group's buffers are still at hand, the
// pages of the old file cannot be trusted.
func (l *Log) persist(group []*request, bytes int64, info *SyncInfo) error {
	if err := l.checkSpace(bytes); err != nil {
		return err
	}
	if l.w.active == nil {
		if err := l.begin(); err != nil {
			return err
		}
	}
	err := l.attempt(group, bytes, info)
	if err == nil || l.w.active != nil || errors.Is(err, ErrDiskFull) || errors.Is(err, ErrReadOnly) {
		return err
	}
	l.log.Warn("log writes the group again in a new segment", "error", err)
	if again := l.begin(); again != nil {
		return errors.Join(err, again)
	}
	return l.attempt(group, bytes, info)
}

// attempt writes a group to the active segment. On failure the file is taken
// back to its durable end, or given up (active is nil then).
func (l *Log) attempt(group []*request, bytes int64, info *SyncInfo) error {
	a := l.w.active
	chain, next := l.w.chain, l.w.next
	pieces := l.w.frame.build(group, a, &chain, &next)
	l.reserve(bytes)

	start := time.Now()
	n, err := a.file.WriteVec(pieces, a.pos)
	clear(pieces) // the callers' buffers are not ours for longer than this
	if err == nil && n != bytes {
		err = fmt.Errorf("wrote %d of %d bytes to segment %s", n, bytes, a.seg.name)
	}
	info.Write = time.Since(start)
	if err != nil {
		err = classify(fmt.Errorf("write segment %s: %w", a.seg.name, err))
		l.rollBack(errors.Is(err, ErrDiskFull))
		return err
	}
	start = time.Now()
	err = a.file.Datasync()
	info.Sync = time.Since(start)
	if err != nil {
		err = classify(fmt.Errorf("sync segment %s: %w", a.seg.name, err))
		l.rollBack(false)
		return err
	}
	pos := a.pos
	for _, r := range group {
		if r.size > 0 {
			a.seg.note(r.header.first, pos)
			pos += r.size
		}
	}
	a.pos, a.alloc = pos, max(a.alloc, pos)
	l.w.chain, l.w.next = chain, next
	return nil
}

// rollBack removes what was written behind the durable end. With keep the
// segment stays in use when that works; otherwise it is given up.
func (l *Log) rollBack(keep bool) {
	a := l.w.active
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
	a.seg.end = a.pos
	if a.seg.first == l.w.next {
		l.w.chain = a.prev // the next segment takes its place
	}
	if err := a.file.Close(); err != nil {
		l.log.Warn("close segment", "path", a.seg.name, "error", err)
	}
}

// answer publishes a durable group and calls everybody back.
func (l *Log) answer(group []*request, bytes int64, info *SyncInfo, err error) {
	switch {
	case bytes == 0:
	case err != nil:
		l.w.lastRefused, l.w.refusedBytes = err, bytes
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
	l.pending -= bytes
	l.mu.Unlock()
	info.Err = err
	for _, r := range group {
		switch {
		case r.barrier != nil:
			r.barrier(err)
		case err != nil:
			r.done(0, err)
		default:
			r.done(r.header.first, nil)
		}
		if r.size > 0 {
			info.Records++
			info.Events += int(r.header.count)
		}
		l.recycle(r)
	}
	if bytes > 0 {
		l.opts.Observe(*info)
	}
}
