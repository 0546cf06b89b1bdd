// Package stream says what the hub and the readers need of a log of events, and
// no more: internal/wal is one behind it, a replicated one fits there too.
//
// What every Log promises, and streamtest checks:
//   - Offsets are in the order in which events were stored. Within an entry they
//     follow each other; between entries they may jump, so what is missing is told
//     by a Gap and never counted out of offsets. Entry.Next says where to go on.
//   - What was acknowledged is durable, as far as the log's kind of disk promises.
//   - Readers see durable entries alone, each its own place, and never hold up
//     whoever appends.
//   - The package never decodes an event.
package stream

import (
	"context"
	"errors"
	"time"
)

// Offset is the place of an event in the log, counted upwards from 0.
type Offset = uint64

// Errors that callers decide on. What a Log returns wraps them.
var (
	// ErrClosed says that the log has been closed.
	ErrClosed = errors.New("log is closed")
	// ErrBusy says that more bytes wait for the disk than Options.QueueBytes
	// allows; the caller should back off and submit again.
	ErrBusy = errors.New("log is busy")
	// ErrFull says that there is no room, or less than Options.MinFreeBytes.
	ErrFull = errors.New("disk is full")
	// ErrReadOnly says that the log's disk does not allow writing.
	ErrReadOnly = errors.New("file system is read-only")
	// ErrShown says that the log is a copy that was restored to be looked at. It goes with
	// ErrReadOnly.
	ErrShown = errors.New("the log is a restored copy")
	// ErrFailed says that storing failed in another way.
	ErrFailed = errors.New("disk failed")
	// ErrInvalid says that a record cannot be appended as it is.
	ErrInvalid = errors.New("invalid record")
)

// Log is a log of events. Its methods may be called concurrently.
type Log interface {
	Appender
	Source
	Cursors
	Losses
	// Stat describes the log at this moment; it is cheap enough for each scrape
	// and each Delivery.
	Stat() Stat
	// Close makes durable what was submitted and releases the log. Readers get
	// ErrClosed at the tail. Closing twice is allowed.
	Close() error
}

// Appender stores records.
type Appender interface {
	// Submit queues a record and copies the struct. Records are stored in the
	// order in which Submit returns. The log calls done exactly once, from a
	// goroutine of its own, when the record is durable (with the offset of its
	// first event) or has failed; done must not block, and the buffers behind
	// Payload are the caller's again from then on. When Submit returns an error
	// (ErrBusy, ErrClosed, ErrInvalid), done is not called.
	Submit(r *Record, done func(first Offset, err error)) error
	// Barrier has done called, in the same way, once everything submitted before
	// is durable or has failed. The error is that of the last of it; earlier
	// failures were told to those that submitted.
	Barrier(done func(error)) error
}

// Source is where entries are read from.
type Source interface {
	// NewReader returns a reader whose first event is the one at from, or the next
	// there is behind it. An offset behind the end is an error.
	NewReader(ctx context.Context, from Offset) (Reader, error)
	// OffsetAt returns the offset of the first entry received at or after t, or the
	// end of the log.
	OffsetAt(ctx context.Context, t time.Time) (Offset, error)
}

// Reader reads entries in order and follows the durable end. It is for one
// goroutine, and holds no buffer while it waits.
type Reader interface {
	// Next returns the next entry, waiting for one at the end until ctx ends.
	// Offsets that are gone yield a *Gap in place of an error, once, and reading
	// goes on behind it. ErrClosed comes at the end of a closed log. After any
	// other error the next call tries the same place again.
	Next(ctx context.Context) (*Entry, error)
	// TryNext is Next without waiting: ok is false when there is nothing to read.
	TryNext() (e *Entry, ok bool, err error)
	// Skip moves a reader whose last call failed to the next place that can be
	// read, at the cost of some reads in between. The *Gap that it stands for comes
	// with the next call of Next or TryNext. The error says that nothing behind the
	// place could be read either; the reader has not moved then.
	Skip(ctx context.Context) error
	// Offset returns where the reader goes on.
	Offset() Offset
	// Close releases the reader. Next must not be running.
	Close() error
}

// Cursors are durable places in the log, each under a name: the next offset that a
// reader wants.
type Cursors interface {
	// OpenCursor makes the cursor, unless it is there, and returns where it stands. A
	// name is of letters, digits and "-_.@". A new cursor starts at the log's first
	// offset. With hold, retention keeps what the cursor has not passed, also while
	// nobody reads in its name.
	OpenCursor(ctx context.Context, name string, hold bool) (Offset, error)
	// CommitCursor makes off durable. Moving back is allowed, moving behind the log's
	// end is fs.ErrInvalid. It never makes a cursor: one that was removed, or never
	// was, is fs.ErrNotExist.
	CommitCursor(ctx context.Context, name string, off Offset) error
	// ListCursors lists the cursors by name.
	ListCursors() []CursorInfo
	// RemoveCursor deletes a cursor and its hold. A missing one is an error that is
	// fs.ErrNotExist.
	RemoveCursor(ctx context.Context, name string) error
}

// CursorInfo describes a cursor.
type CursorInfo struct {
	Name    string    `json:"name"`
	Offset  Offset    `json:"offset"` // next offset the reader wants
	Hold    bool      `json:"hold"`   // retention keeps what it still needs
	Updated time.Time `json:"updated"`
}

// Append submits a record and waits until it is durable; it returns the offset of
// the first event. When ctx ends first the record may still be stored, and its
// buffers stay in use until then: a caller that reuses buffers must use Submit.
func Append(ctx context.Context, log Appender, r *Record) (Offset, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	type result struct {
		first Offset
		err   error
	}
	done := make(chan result, 1)
	if err := log.Submit(r, func(first Offset, err error) { done <- result{first, err} }); err != nil {
		return 0, err
	}
	select {
	case res := <-done:
		return res.first, res.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
