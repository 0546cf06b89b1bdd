package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/amoskys/amoskys/internal/stream"
)

// Log is an open write-ahead log. Its methods are safe for concurrent use.
type Log struct {
	opts    Options
	log     *slog.Logger
	cursors cursorSet
	lock    io.Closer // nil on a read-only file system

	view    atomic.Pointer[view] // what readers may see
	losses  atomic.Pointer[[]loss]
	buffers sync.Pool   // *[]byte of scanBufferBytes, for readers
	files   sharedFiles // of segments, for readers
	reqs    sync.Pool   // *request

	mu      sync.Mutex
	queue   []*request // submitted, not yet taken by the writer
	queued  int64      // bytes of queue
	wakeAt  int64      // the writer is told when so many are queued
	awake   bool       // it has been told, or is at work and will look
	pending int64      // bytes submitted and not yet answered
	closing bool

	signal   chan struct{} // the queue may hold something
	stop     chan struct{} // closed by Close
	finished chan struct{} // closed when the writer has returned
	closeErr error         // of the writer; read after finished

	statMu      sync.Mutex
	state       State
	reason      string
	recovery    Recovery
	quarantined []string
	met         []Damage
	notes       []string // see noteCramped

	w writer // owned by Open, then by the writer goroutine
}

// view is what readers see at one moment. It is never changed: a new one takes
// its place after each group and wake is closed.
type view struct {
	segs   []*segment // in order; the last may be the active one
	next   Offset     // the durable end
	end    int64      // durable bytes of the last segment
	closed bool
	wake   chan struct{}
}

// first returns the first offset that can still be read.
func (v *view) first() Offset {
	if len(v.segs) == 0 {
		return v.next
	}
	return v.segs[0].first
}

// find returns the index of the segment in which off lies or would lie, -1
// when off is below the first segment.
func (v *view) find(off Offset) int {
	i, exact := slices.BinarySearchFunc(v.segs, off, func(s *segment, off Offset) int {
		switch {
		case s.first < off:
			return -1
		case s.first > off:
			return 1
		}
		return 0
	})
	if exact {
		return i
	}
	return i - 1
}

// publish replaces the view and wakes the readers.
func (l *Log) publish(v view) {
	v.wake = make(chan struct{})
	if old := l.view.Swap(&v); old != nil {
		close(old.wake)
	}
}

// Stat returns the log's state. It asks the system for the free space and
// nothing else of the disk.
func (l *Log) Stat() Stat {
	v := l.view.Load()
	s := Stat{FirstOffset: v.first(), NextOffset: v.next, Segments: len(v.segs), Bytes: v.bytes(), FreeBytes: -1}
	if len(v.segs) > 0 {
		s.OldestTime = v.segs[0].created
	}
	if free, err := l.opts.FS.FreeBytes(l.opts.Dir); err == nil {
		s.FreeBytes = int64(free)
	}
	l.mu.Lock()
	s.QueuedBytes = l.pending
	l.mu.Unlock()
	l.statMu.Lock()
	defer l.statMu.Unlock()
	s.State, s.Reason, s.Recovery = l.state, l.reason, l.recovery
	losses := l.onRecord()
	accepted := func(d Damage) bool { return isAccepted(losses, d.FirstBad, d.FirstBad) }
	s.Recovery.Damage = slices.DeleteFunc(slices.Clone(l.recovery.Damage), accepted)
	s.Quarantined = slices.Clone(l.quarantined)
	s.Met = slices.DeleteFunc(slices.Clone(l.met), func(d Damage) bool {
		return v.lacks(d) || len(uncovered(losses, d.FirstBad, d.FirstBad+1)) == 0 // the loss says it
	})
	s.Losses = openLosses(losses)
	s.Notes = slices.Clone(l.notes)
	return s
}

func (v *view) bytes() int64 {
	var n int64
	for i, s := range v.segs {
		if i < len(v.segs)-1 {
			n += s.end
		}
	}
	return n + v.end
}

// setState changes the state and logs the change, once.
func (l *Log) setState(s State, cause error) {
	reason := ""
	if cause != nil {
		reason = cause.Error()
	}
	l.statMu.Lock()
	old := l.state
	l.state, l.reason = s, reason
	l.statMu.Unlock()
	switch s {
	case old, stream.StateShown: // a copy is shown from the start
	case StateOK:
		l.log.Info("log accepts records again")
	case StateFull, StateReadOnly, StateFailed:
		l.log.Error("log refuses records", "state", string(s), "error", cause)
	}
}

// classify adds the sentinel to an error of the file system.
func classify(err error) error {
	for _, known := range []error{ErrDiskFull, ErrReadOnly, ErrFailed} {
		if errors.Is(err, known) {
			return err
		}
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return fmt.Errorf("%w: %w", ErrFailed, err)
}

func stateOf(err error) State {
	switch {
	case errors.Is(err, ErrDiskFull):
		return StateFull
	case errors.Is(err, ErrReadOnly):
		return StateReadOnly
	}
	return StateFailed
}

// Close writes what was submitted, makes it durable and releases the log.
// Readers get ErrClosed at the tail. Closing twice is allowed.
func (l *Log) Close() error {
	l.mu.Lock()
	first := !l.closing
	l.closing = true
	l.mu.Unlock()
	if first {
		close(l.stop)
	}
	<-l.finished
	if l.closeErr != nil {
		return fmt.Errorf("close log: %w", l.closeErr)
	}
	return nil
}

// Append submits a record and waits until it is durable, see stream.Append.
func (l *Log) Append(ctx context.Context, r *Record) (Offset, error) {
	return stream.Append(ctx, l, r)
}

// Rotate ends the active segment, when it holds events, and begins a new one.
func (l *Log) Rotate(ctx context.Context) error { return l.control(ctx, l.rotateIfUsed) }

// Maintain does at once what the log does by itself every few seconds: it ends
// a segment that is old enough, removes what retention allows and tries
// whether a failed disk works again.
func (l *Log) Maintain(ctx context.Context) error {
	return l.control(ctx, func() error {
		l.probe()
		return l.maintain()
	})
}

// control runs f on the writer's goroutine between groups.
func (l *Log) control(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	if err := l.enqueue(&request{control: func() { done <- f() }}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
