package metrics

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// Held is what the database holds.
type Held struct {
	Open      bool
	Series    uint64    // in the head: those of the last hours
	Samples   uint64    // in blocks
	Blocks    int       // with those of readings that came late
	Bytes     int64     // on disk, those of the head included
	HeadBytes int64     // its write-ahead log and its chunks
	Oldest    time.Time // of the oldest sample; zero where there is none
	Newest    time.Time
	SetAside  int // parts that could not be used, ever
	Lag       uint64
}

// Held returns what the database holds, as of a moment ago.
func (db *DB) Held() Held {
	db.mu.Lock()
	held, fresh := db.held, time.Since(db.heldAt) < heldAge && db.held.Open == (db.opened != nil)
	db.mu.Unlock()
	if fresh {
		return held
	}
	held = db.hold()
	db.mu.Lock()
	db.held, db.heldAt = held, time.Now()
	db.mu.Unlock()
	return held
}

// heldAge is for how long an answer is used: it looks at each file of the head.
const heldAge = 100 * time.Millisecond

func (db *DB) hold() Held {
	var s Held
	if r := db.reader.Load(); r != nil {
		s.Lag = r.Status().Lag
	}
	db.mu.Lock()
	s.SetAside = len(db.place.Aside)
	db.mu.Unlock()
	t, release, err := db.use()
	if err != nil {
		return s
	}
	defer release()
	head := t.Head()
	s.Open, s.Series, s.HeadBytes = true, head.NumSeries(), head.Size()
	s.Bytes = s.HeadBytes
	oldest, newest := head.MinTime(), head.MaxTime()
	if s.Series == 0 {
		oldest, newest = never, -never
	}
	for _, b := range t.Blocks() {
		meta := b.Meta()
		s.Blocks++
		s.Bytes += b.Size()
		s.Samples += meta.Stats.NumSamples
		oldest, newest = min(oldest, meta.MinTime), max(newest, meta.MaxTime-1)
	}
	if oldest <= newest {
		s.Oldest, s.Newest = time.UnixMilli(oldest), time.UnixMilli(newest)
	}
	return s
}

// never is a time that no sample has, ms.
const never = 1 << 62

// Status says how the database is: "ok", also while it is being opened or catches up, or
// "degraded" with why and what to do.
func (db *DB) Status() (state, reason string) {
	db.mu.Lock()
	fault, full, unsaved, crowded := db.fault, db.full, db.unsaved, db.crowded
	uncompacted := db.uncompacted
	if time.Since(db.uncompactedAt) > compactionRecent {
		uncompacted = nil // it is tried each minute
	}
	db.mu.Unlock()
	switch {
	case fault != nil:
		return degraded, "metrics: their database does not open, and is tried again: " + fault.Error()
	case full != nil:
		return degraded, "metrics: " + full.Error()
	case unsaved != nil:
		return degraded, "metrics: their place in the log cannot be written, so that after a restart readings are read again: " + unsaved.Error()
	}
	if uncompacted != nil {
		return degraded, "metrics: readings of the last hours cannot be made a block, and take ever more memory and time to open: " + uncompacted.Error()
	}
	if crowded {
		return degraded, fmt.Sprintf("metrics: %d series have a value of the last hours, and more have no room: what is new is dropped (tsdb.max_series; each takes 2 kB of memory)", db.o.Series)
	}
	since := db.o.Now().Add(-recently)
	lacks := db.lacks(func(a *Aside) bool { return a.State == AsideWaiting || a.Time.After(since) || a.To.After(since) })
	if len(lacks) > 0 {
		return degraded, "metrics: " + lacks[0]
	}
	r := db.reader.Load()
	if r == nil {
		return "ok", ""
	}
	switch s := r.Status(); s.State {
	case stream.ReaderStopped:
		return degraded, "metrics: the log is not read any more"
	case stream.ReaderWaiting:
		return degraded, "metrics: the log cannot be read for now: " + s.Reason
	case stream.ReaderOK, stream.ReaderBehind:
	}
	return "ok", ""
}

const degraded = "degraded"

// compactionRecent is for how long a failure to make or join blocks counts: the database
// tries again each minute while it fails.
const compactionRecent = 10 * time.Minute

// recently is for how long the status says that readings were lost: who looked then knows.
const recently = 24 * time.Hour

// Report is what the store's status says of the database.
func (db *DB) Report() *pb.ReadingsStatus {
	held := db.Held()
	r := &pb.ReadingsStatus{
		Series: held.Series, Bytes: uint64(max(held.Bytes, 0)), Blocks: uint32(held.Blocks), LagEvents: held.Lag,
		Retention: durationpb.New(db.o.Retention), RetentionBytes: uint64(max(db.o.RetentionBytes, 0)),
	}
	r.State, r.Reason = db.Status()
	if !held.Oldest.IsZero() {
		r.OldestTime, r.NewestTime = timestamppb.New(held.Oldest), timestamppb.New(held.Newest)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, a := range slices.Backward(db.place.Aside) {
		r.SetAside = append(r.SetAside, &pb.ReadingsAside{
			FromTime: timestamppb.New(a.From), ToTime: timestamppb.New(a.To), Reason: a.Reason, State: string(a.State), NoticedTime: timestamppb.New(a.Time),
		})
	}
	return r
}
