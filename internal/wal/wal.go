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
// then calls back. Readers see the durable part only and never block the
// writer.
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

	"github.com/amoskys/amoskys/internal/vfs"
)

// Offset is the number of an event, counted from 0 over the log's life.
type Offset = uint64

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

// Record is a batch to append. Submit copies the struct; the buffers behind
// Payload belong to the log until done is called.
type Record struct {
	Kind       Kind      // KindEvents, also when zero
	Publisher  string    // identity from the certificate, at most 255 bytes
	ProducerID [16]byte  // idempotence of publishing, zero when unused
	Sequence   uint64    // the producer's number of this batch, 0 when unused
	Received   time.Time // when the batch arrived
	Count      int       // events in Payload, at least 1
	// Payload is pieces whose concatenation is a protobuf message with the
	// events in field 3 (repeated bytes: tag 0x1a, length, bytes).
	Payload [][]byte
}

// Limits of a record.
const (
	MaxPublisherBytes = 255
	MaxRecordBytes    = 64 << 20

	// maxOffset is the largest offset at which a segment may start. Files that
	// are not segments of the log, the head file and cursors are believed up to
	// a quarter of it, so that no forged one can use the numbers up.
	maxOffset Offset = 1 << 62
)

// Errors that callers decide on.
var (
	// ErrClosed says that the log has been closed.
	ErrClosed = errors.New("log is closed")
	// ErrBusy says that more bytes wait for the disk than Options.QueueBytes
	// allows; the caller should back off and submit again.
	ErrBusy = errors.New("log is busy")
	// ErrDiskFull says that the disk has no room, or less than
	// Options.MinFreeBytes.
	ErrDiskFull = errors.New("disk is full")
	// ErrReadOnly says that the file system does not allow writing.
	ErrReadOnly = errors.New("file system is read-only")
	// ErrFailed says that the disk failed in another way.
	ErrFailed = errors.New("disk failed")
	// ErrInvalid says that a record cannot be appended as it is.
	ErrInvalid = errors.New("invalid record")
)

// CorruptionError names a bad place in the log. A Reader returns it once for
// each place and then goes on behind it.
type CorruptionError struct {
	Segment  string // file name
	Position int64  // byte position in the segment
	First    Offset // first offset that is lost
	Next     Offset // first offset behind the place, equal to First when unknown
	Reason   string
}

// Error names the place and the reason.
func (e *CorruptionError) Error() string {
	return fmt.Sprintf("segment %s is damaged at byte %d, offset %d: %s", e.Segment, e.Position, e.First, e.Reason)
}

// State says whether the log takes records.
type State string

// States of the log.
const (
	StateOK       State = "ok"
	StateFull     State = "full"
	StateReadOnly State = "readonly"
	StateFailed   State = "failed"
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
}

// SyncInfo describes a group commit.
type SyncInfo struct {
	Records int
	Events  int
	Bytes   int64
	Write   time.Duration // the write system calls
	Sync    time.Duration // the fdatasync
	Err     error         // why the group failed, nil when it is durable
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
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(SyncInfo) {}
	}
	return o, nil
}
