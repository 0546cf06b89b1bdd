// Package wal is the write-ahead log: the one place where an event is before
// anybody is told that it was accepted.
//
// The log is a row of segment files. Each holds records, each record a batch
// of events of one publisher. Records carry a checksum, so that a torn or
// rotten one is noticed at once, and a hash chain runs through all of them and
// across segments, so that Verify can prove that nothing was cut, reordered or
// altered. docs/formats.md gives the bytes.
//
// One goroutine writes. Submit hashes the batch on the caller's goroutine and
// queues it; the writer gathers what has been queued while the disk was busy,
// writes it with one system call, makes it durable with one fdatasync and only
// then calls back. Under load it writes the next group while another goroutine
// waits for the sync of the one before (see group). Readers see the durable part
// only and never block the writer.
//
// Invariants:
//   - Offsets number events from 0, without holes within a healthy log, and
//     are never given out twice once anybody may have seen them.
//   - What was acknowledged is durable. What was not may be dropped.
//   - The package never decodes an event's body.
package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
)

// What a log has in common with others behind stream.Log.
type (
	// Offset is the number of an event, counted from 0 over the log's life, without
	// holes within a healthy log.
	Offset = stream.Offset
	// Record is a batch to append.
	Record = stream.Record
	// Stat describes the log at one moment.
	Stat = stream.Stat
	// State says whether the log takes records.
	State = stream.State
	// Recovery says what Open found and did.
	Recovery = stream.Recovery
	// Damage is a bad place found by Open or met by a reader.
	Damage = stream.Damage
	// SyncInfo describes a group commit.
	SyncInfo = stream.SyncInfo
	// CursorInfo describes a cursor.
	CursorInfo = stream.CursorInfo
	// Loss is a range that is gone without retention having removed it.
	Loss = stream.Loss
)

// Kind says what a record holds.
type Kind uint8

// Kinds of records.
const (
	// KindEvents is a batch of events.
	KindEvents Kind = 1
	// KindCheckpoint is the state that Options.Checkpoint gave when the
	// segment started. It holds no events and takes no offset.
	KindCheckpoint Kind = 2
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case KindEvents:
		return "events"
	case KindCheckpoint:
		return "checkpoint"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Limits of a record.
const (
	MaxRecordBytes = 64 << 20

	// maxOffset is the largest offset at which a segment may start. Files that
	// are not segments of the log, the head file and cursors are believed up to
	// a quarter of it, so that no forged one can use the numbers up.
	maxOffset Offset = 1 << 62
)

// Errors that callers decide on; those of stream under the names that fit a disk.
var (
	ErrClosed   = stream.ErrClosed
	ErrBusy     = stream.ErrBusy
	ErrDiskFull = stream.ErrFull
	ErrReadOnly = stream.ErrReadOnly
	ErrFailed   = stream.ErrFailed
	ErrInvalid  = stream.ErrInvalid
)

// CorruptionError names a bad place in the log. A Reader returns it once for
// each place and then goes on behind it.
type CorruptionError struct {
	Segment  string // file name
	Position int64  // byte position in the segment
	First    Offset // first offset that is lost
	Next     Offset // first offset behind the place, equal to First when unknown
	Reason   string
	// Newer says that nothing is damaged: it takes a newer build to read the place.
	Newer bool
}

// Unwrap returns ErrNewer where that is what keeps the place from being read.
func (e *CorruptionError) Unwrap() error {
	if e.Newer {
		return ErrNewer
	}
	return nil
}

// Error names the place and the reason.
func (e *CorruptionError) Error() string {
	if e.Segment == "" {
		return fmt.Sprintf("the log is damaged from offset %d on: %s", e.First, e.Reason)
	}
	if e.Newer {
		return fmt.Sprintf("segment %s cannot be read at byte %d, offset %d: %s", e.Segment, e.Position, e.First, e.Reason)
	}
	return fmt.Sprintf("segment %s is damaged at byte %d, offset %d: %s", e.Segment, e.Position, e.First, e.Reason)
}

// States of the log.
const (
	StateOK       = stream.StateOK
	StateFull     = stream.StateFull
	StateReadOnly = stream.StateReadOnly
	StateFailed   = stream.StateFailed
)

// Options sets up a log. Dir and Logger are required; the zero value of
// everything else means the default in its comment.
type Options struct {
	Dir string
	FS  vfs.FS // the operating system's

	SegmentBytes   int64         // size at which a segment ends, 100 MiB
	SegmentAge     time.Duration // age at which a segment with events ends, 24 h
	RetentionAge   time.Duration // segments older than this are removed, 0 keeps them
	RetentionBytes int64         // oldest segments are removed above this size, 0 keeps them
	// MinFreeBytes is the free space below which records are refused, and
	// below which retention no longer respects holds. 0 means none.
	MinFreeBytes int64
	// QueueBytes bounds the bytes submitted and not yet durable, 64 MiB.
	// Above it Submit returns ErrBusy.
	QueueBytes int64

	Now    func() time.Time // time.Now
	Clock  stream.Clock     // what age is told by; Now where nil
	Logger *slog.Logger

	// Checkpoint gives the bytes of a new segment's first record. It is
	// called on the log's goroutine between groups (or by Open), and must
	// describe the records whose done was called without error, and no
	// others: what it says is believed after a crash.
	Checkpoint func() []byte
	// Replay is called by Open for each record of the last segment, the
	// checkpoint first. (When that is unreadable, replay starts at an older
	// one.) An error ends Open.
	Replay func(*Entry) error
	// Observe is called after each group commit on the log's goroutine.
	Observe func(SyncInfo)

	// format is the version of the segment that begins at first, nil for the newest.
	// Tests write older ones.
	format func(first Offset) uint32

	aheadBytes int64 // see the constant
}

const (
	defaultSegmentBytes = 100 << 20
	defaultSegmentAge   = 24 * time.Hour
	defaultQueueBytes   = 64 << 20
)

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" || o.Logger == nil {
		return o, errors.New("open log: a folder and a logger are required")
	}
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.SegmentAge <= 0 {
		o.SegmentAge = defaultSegmentAge
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = defaultQueueBytes
	}
	if o.format == nil {
		o.format = func(Offset) uint32 { return segmentVersion }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock == nil {
		o.Clock = plainClock{o.Now}
	}
	if o.aheadBytes <= 0 {
		o.aheadBytes = aheadBytes
	}
	if o.Observe == nil {
		o.Observe = func(SyncInfo) {}
	}
	return o, nil
}
