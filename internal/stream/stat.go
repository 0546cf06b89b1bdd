package stream

import (
	"log/slog"
	"time"
)

// State says whether the log takes records.
type State string

// States of a log.
const (
	StateOK       State = "ok"
	StateFull     State = "full"
	StateReadOnly State = "readonly"
	StateFailed   State = "failed"
	StateShown    State = "shown" // a copy that was restored to be looked at, which takes nothing
)

// Stat describes the log at one moment. A log that is not made of segments on this
// machine's disk leaves out what is about them.
type Stat struct {
	State       State
	Reason      string // why it is not ok
	FirstOffset Offset // of the oldest event kept
	NextOffset  Offset // the durable end: offset of the next event, or below it
	Bytes       int64  // of all segments
	Segments    int
	OldestTime  time.Time // when the oldest segment began, zero without one
	FreeBytes   int64     // on the disk, -1 when unknown
	QueuedBytes int64     // submitted and not yet durable
	Recovery    Recovery
	Quarantined []string // files in the quarantine folder
	// Met lists bad places that readers have met since the log was opened and that
	// opening it had not. Their number is bounded; retention removes them with their
	// segments.
	Met []Damage
	// Losses are those that nobody has accepted yet.
	Losses []Loss
	// Notes say what needs attention although the log takes records.
	Notes []string
}

// Recovery says what opening the log found and did.
type Recovery struct {
	Duration  time.Duration
	Segment   string // the last segment, empty when the log was new
	Records   int    // of it
	Events    uint64
	TornBytes int64 // cut off behind the last whole record
	// Damage lists what could not be read. The segments are copied (or, when
	// nothing of them can be read, moved) to the quarantine folder.
	Damage []Damage
}

// Damage is a bad place found by opening the log or met by a reader.
type Damage struct {
	Segment  string `json:"segment"`
	Position int64  `json:"position"`
	FirstBad Offset `json:"first_bad_offset"`
	Reason   string `json:"reason"`
	Copy     string `json:"copy"` // path in the quarantine folder, empty without one
}

// SyncInfo describes a group commit.
type SyncInfo struct {
	Records int
	Events  int
	Bytes   int64
	Write   time.Duration // the write system calls
	Sync    time.Duration // making it durable
	Err     error         // why the group failed, nil when it is durable
}

// Options set up a log, whichever it is. Dir and Logger are required; the zero
// value of everything else means the log's default.
type Options struct {
	Dir            string
	SegmentBytes   int64         // size at which a segment ends
	SegmentAge     time.Duration // age at which a segment with events ends
	RetentionAge   time.Duration // segments older than this are removed, 0 keeps them
	RetentionBytes int64         // oldest segments are removed above this size, 0 keeps them
	// MinFreeBytes is the free space below which records are refused, and
	// below which retention no longer respects holds. 0 means none.
	MinFreeBytes int64
	// QueueBytes bounds the bytes submitted and not yet durable. Above it Submit
	// returns ErrBusy.
	QueueBytes int64

	Now    func() time.Time // time.Now
	Clock  Clock            // what age is told by; Now where nil
	Logger *slog.Logger

	// Checkpoint gives what Restore gets when the log is opened again. It is
	// called on the log's goroutine between groups (or while the log opens), and
	// must describe the records whose done was called without error, and no
	// others: what it says is believed after a crash.
	Checkpoint func() []byte
	// Restore is called at most a few times while the log opens, each time with a
	// later checkpoint, and Replay in between with each record that came after it.
	// An error ends opening.
	Restore func(checkpoint []byte) error
	Replay  func(*Entry) error
	// Observe is called after each group commit on the log's goroutine.
	Observe func(SyncInfo)
}

// Clock tells what is old. *clock.Clock is one.
type Clock interface {
	// Age is how much time has passed since Options.Now showed t, negative for what
	// is to come.
	Age(t time.Time) time.Duration
	// Doubt says why the wall clock is not believed now, "" when it is.
	Doubt() string
	// Known tells the clock what Options.Now showed when the newest record came, in
	// case that it knows nothing better.
	Known(t time.Time)
}
