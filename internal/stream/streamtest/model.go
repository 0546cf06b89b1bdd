// Package streamtest holds what every stream.Log must do (Run), and Model, a log in
// memory whose faults a test decides on: offsets that jump, entries that are removed,
// damaged or cannot be read.
package streamtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
)

// ErrUnreadable is what a Model's readers meet where a test has blocked it.
var ErrUnreadable = errors.New("unreadable")

// Model is a log in memory. Its offsets are a batch's number and 16 bits, as those of
// a log of messages would be. It is safe for concurrent use.
type Model struct {
	mu      sync.Mutex // guards what follows
	entries []stream.Entry
	base    int // number of the first of entries
	cursors map[string]stream.CursorInfo
	damaged map[stream.Offset]bool // by first offset
	blocked map[stream.Offset]bool
	away    bool
	closed  bool
	state   error         // why nothing is stored
	losses  []stream.Loss // open ones
	wake    chan struct{} // closed when something changes
}

var _ stream.Log = (*Model)(nil)

// NewModel returns an empty log.
func NewModel() *Model {
	return &Model{
		cursors: map[string]stream.CursorInfo{}, damaged: map[stream.Offset]bool{},
		blocked: map[stream.Offset]bool{}, wake: make(chan struct{}),
	}
}

// change runs f under the mutex and wakes the readers.
func (m *Model) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.wake)
	m.wake = make(chan struct{})
}

// Trim removes the entries before an offset.
func (m *Model) Trim(before stream.Offset) {
	m.change(func() {
		for len(m.entries) > 0 && m.entries[0].Next <= before {
			m.entries = m.entries[1:]
			m.base++
		}
	})
}

// Damage spoils the entry that starts at an offset.
func (m *Model) Damage(first stream.Offset) { m.change(func() { m.damaged[first] = true }) }

// Block makes the entry that starts at an offset unreadable.
func (m *Model) Block(first stream.Offset) { m.change(func() { m.blocked[first] = true }) }

// Lose puts a loss on record.
func (m *Model) Lose(loss stream.Loss) {
	m.change(func() { m.losses = append(m.losses, loss) })
}

// AcceptLosses implements stream.Losses.
func (m *Model) AcceptLosses(_ context.Context, ids []uint64) ([]stream.Loss, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var accepted []stream.Loss
	rest := slices.DeleteFunc(slices.Clone(m.losses), func(l stream.Loss) bool {
		mine := len(ids) == 0 || slices.Contains(ids, l.ID)
		if mine {
			l.Accepted = time.Now()
			accepted = append(accepted, l)
		}
		return mine
	})
	for _, id := range ids {
		if !slices.ContainsFunc(accepted, func(l stream.Loss) bool { return l.ID == id }) {
			return nil, stream.ErrNoLoss
		}
	}
	m.losses = rest
	return accepted, nil
}

// Away makes the whole log unreadable, and readable again.
func (m *Model) Away(away bool) { m.change(func() { m.away = away }) }

// Refuse makes Submit fail with err; nil ends that.
func (m *Model) Refuse(err error) { m.change(func() { m.state = err }) }

// Submit implements stream.Appender.
func (m *Model) Submit(r *stream.Record, done func(stream.Offset, error)) error {
	if err := r.Check(); err != nil {
		return err
	}
	payload := slices.Concat(r.Payload...)
	var first stream.Offset
	var closed, state error
	m.change(func() {
		if m.closed {
			closed = stream.ErrClosed
			return
		}
		if state = m.state; state != nil {
			return
		}
		first = stream.Offset(m.base+len(m.entries)) << 16
		m.entries = append(m.entries, stream.Entry{
			First: first, Next: first + stream.Offset(r.Count), Count: r.Count, Publisher: r.Publisher,
			ProducerID: r.ProducerID, Sequence: r.Sequence, Received: r.Received.UTC(), Payload: payload, Codec: r.Codec,
		})
	})
	if closed == nil {
		done(first, state)
	}
	return closed
}

// Barrier implements stream.Appender.
func (m *Model) Barrier(done func(error)) error {
	m.mu.Lock()
	closed, state := m.closed, m.state
	m.mu.Unlock()
	if closed {
		return stream.ErrClosed
	}
	done(state)
	return nil
}

// NewReader implements stream.Source.
func (m *Model) NewReader(_ context.Context, from stream.Offset) (stream.Reader, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, stream.ErrClosed
	}
	if end := m.end(); from > end {
		return nil, fmt.Errorf("read from offset %d: the log ends at %d", from, end)
	}
	r := &modelReader{m: m, next: from, number: int(from >> 16)}
	if i := r.number - m.base; i >= 0 && i < len(m.entries) && from >= m.entries[i].Next {
		r.number++
	}
	return r, nil
}

// OffsetAt implements stream.Source.
func (m *Model) OffsetAt(_ context.Context, t time.Time) (stream.Offset, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.entries {
		if !m.entries[i].Received.Before(t) {
			return m.entries[i].First, nil
		}
	}
	return m.end(), nil
}

// end returns the durable end. The caller holds mu.
func (m *Model) end() stream.Offset {
	if n := len(m.entries); n > 0 {
		return m.entries[n-1].Next
	}
	return stream.Offset(m.base) << 16
}

// Stat implements stream.Log.
func (m *Model) Stat() stream.Stat {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := stream.Stat{State: stream.StateOK, FirstOffset: stream.Offset(m.base) << 16, NextOffset: m.end(), FreeBytes: -1, Losses: slices.Clone(m.losses)}
	if m.state != nil {
		s.State, s.Reason = stream.StateFailed, m.state.Error()
	}
	return s
}

// Close implements stream.Log.
func (m *Model) Close() error {
	m.change(func() { m.closed = true })
	return nil
}

// OpenCursor implements stream.Cursors.
func (m *Model) OpenCursor(_ context.Context, name string, hold bool) (stream.Offset, error) {
	if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\\ ") {
		return 0, fs.ErrInvalid
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c, known := m.cursors[name]
	if !known {
		c = stream.CursorInfo{Name: name, Offset: stream.Offset(m.base) << 16, Updated: time.Now()}
	}
	c.Hold = hold
	m.cursors[name] = c
	return c.Offset, nil
}

// CommitCursor implements stream.Cursors.
func (m *Model) CommitCursor(_ context.Context, name string, off stream.Offset) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, known := m.cursors[name]
	switch {
	case !known:
		return fs.ErrNotExist
	case off > m.end():
		return fs.ErrInvalid
	}
	c.Offset, c.Updated = off, time.Now()
	m.cursors[name] = c
	return nil
}

// ListCursors implements stream.Cursors.
func (m *Model) ListCursors() []stream.CursorInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.cursors), func(a, b stream.CursorInfo) int { return cmp.Compare(a.Name, b.Name) })
}

// RemoveCursor implements stream.Cursors.
func (m *Model) RemoveCursor(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.cursors[name]; !known {
		return fs.ErrNotExist
	}
	delete(m.cursors, name)
	return nil
}

// modelReader reads a Model.
type modelReader struct {
	m       *Model
	next    stream.Offset
	number  int // of the batch that comes next
	skipped int // batches before this number were passed by Skip
	entry   stream.Entry
}

// Offset implements stream.Reader.
func (r *modelReader) Offset() stream.Offset { return r.next }

// Close implements stream.Reader.
func (r *modelReader) Close() error {
	r.entry.Release()
	return nil
}

// Next implements stream.Reader.
func (r *modelReader) Next(ctx context.Context) (*stream.Entry, error) {
	for {
		r.m.mu.Lock()
		wake := r.m.wake
		r.m.mu.Unlock()
		if e, ok, err := r.TryNext(); ok || err != nil {
			return e, err
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// TryNext implements stream.Reader.
func (r *modelReader) TryNext() (*stream.Entry, bool, error) {
	m := r.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.number < m.base {
		return nil, false, r.gap(m.base, stream.CauseRemoved)
	}
	i := max(r.number, r.skipped) - m.base
	if i >= len(m.entries) {
		r.entry.Release()
		if m.closed {
			return nil, false, stream.ErrClosed
		}
		return nil, false, nil
	}
	e := &m.entries[i]
	switch {
	case m.away || m.blocked[e.First]:
		return nil, false, ErrUnreadable
	case r.skipped > r.number:
		return nil, false, r.gap(r.skipped, stream.CauseUnreadable)
	case m.damaged[e.First]:
		return nil, false, r.gap(r.number+1, stream.CauseDamaged)
	}
	r.entry.Release()
	r.entry = *e
	r.entry.From = r.next
	r.next, r.number = e.Next, r.number+1
	return &r.entry, true, nil
}

// gap passes the batches before a number.
func (r *modelReader) gap(number int, cause stream.Cause) error {
	to := stream.Offset(number) << 16
	g := &stream.Gap{From: r.next, To: to, Cause: cause, Reason: string(cause) + " by the test"}
	r.next, r.number = to, number
	return g
}

// Skip implements stream.Reader.
func (r *modelReader) Skip(context.Context) error {
	m := r.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := max(r.number, r.skipped, m.base); n < m.base+len(m.entries) && !m.away; n++ {
		if !m.blocked[m.entries[n-m.base].First] {
			r.skipped = n
			return nil
		}
	}
	return ErrUnreadable
}
