package metrics

import (
	"cmp"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/amoskys/amoskys/internal/stream"
)

// outlived chooses the blocks that go: those which the database has no more use for, those
// older than the retention, and the oldest while all take more than they may. How old a
// block is, is told by the clock that is believed or the newest block, whichever is
// earlier, so that a clock which was set ahead removes nothing. t is nil while the database
// is being opened.
func (db *DB) outlived(t *tsdb.DB, blocks []*tsdb.Block) map[ulid.ULID]struct{} {
	gone := map[ulid.ULID]struct{}{}
	newestFirst := slices.SortedFunc(slices.Values(blocks), func(a, b *tsdb.Block) int {
		return cmp.Compare(b.Meta().MaxTime, a.Meta().MaxTime)
	})
	if len(newestFirst) == 0 {
		return gone
	}
	now := min(db.o.Now().UnixMilli(), newestFirst[0].Meta().MaxTime+blockRange.Milliseconds())
	oldest := now - db.o.Retention.Milliseconds()
	bytes := int64(0)
	if t != nil {
		bytes = t.Head().Size()
	}
	full := false
	for _, b := range newestFirst {
		meta := b.Meta()
		bytes += b.Size()
		full = full || db.o.RetentionBytes > 0 && bytes > db.o.RetentionBytes
		if meta.Compaction.Deletable || meta.MaxTime <= oldest || full {
			gone[meta.ULID] = struct{}{}
		}
	}
	return gone
}

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

// Held returns what the database holds.
func (db *DB) Held() Held {
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
	fault, full, unsaved := db.fault, db.full, db.unsaved
	db.mu.Unlock()
	switch {
	case fault != nil:
		return degraded, "metrics: their database does not open, and is tried again: " + fault.Error()
	case full != nil:
		return degraded, "metrics: " + full.Error()
	case unsaved != nil:
		return degraded, "metrics: their place in the log cannot be written, so that after a restart readings are read again: " + unsaved.Error()
	}
	now := db.o.Now()
	if lacks := db.Lacks(now.Add(-recently), now); len(lacks) > 0 {
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

// recently is for how long the status says that readings were lost: who looked then knows.
const recently = 24 * time.Hour
