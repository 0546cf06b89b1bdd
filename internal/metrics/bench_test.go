package metrics

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
)

// benched opens a database for a benchmark, which is fed by hand.
func benched(b *testing.B) *DB {
	b.Helper()
	db, _ := running(b, Options{SeriesOfAgent: 1 << 20, Now: func() time.Time { return time.Now().Add(48 * time.Hour) }})
	_, release, err := db.useSoon(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	release()
	return db
}

// round is what hosts tell of their processes in five seconds, 20 each, at a time.
type round struct {
	hosts   int
	events  []*pb.Event
	encoded []reader.Event
}

func newRound(hosts int) *round {
	r := &round{hosts: hosts}
	for h := range hosts {
		for pid := range uint32(20) {
			ev := process(1000+pid, 0, 0)
			ev.Host = &pb.Host{Name: fmt.Sprintf("host-%04d", h)}
			ev.Id = fmt.Appendf(nil, "%016d", h*20+int(pid))
			fd := 12 + pid
			ev.GetProcess().Usage.FileDescriptors = &fd
			r.events = append(r.events, ev)
		}
	}
	return r
}

// at makes the round of a time: CPU and memory of most processes change, as they do.
func (r *round) at(b *testing.B, n int, now time.Time) []reader.Event {
	b.Helper()
	r.encoded = r.encoded[:0]
	for i, ev := range r.events {
		u := ev.GetProcess().GetUsage()
		if i%3 != 0 {
			u.CpuPercent = float64((n*7919+i*104729)%400) / 100
			u.RssBytes = uint64(4096 * (10_000 + i + (n*31+i)%64*(i%5)))
		}
		u.ReadBytes += uint64(i%4) * 4096
		u.WriteBytes += uint64((n+i)%7) * 512
		ev.Time = timestamppb.New(now.Add(time.Duration(i%5000) * time.Millisecond))
		encoded, err := event.Encode(ev)
		if err != nil {
			b.Fatal(err)
		}
		r.encoded = append(r.encoded, reader.Event{Logged: now, Publisher: "spiffe://amoskys.local/agent/h/proc_agent", Encoded: encoded})
	}
	return r.encoded
}

// feed gives events to the database in batches, as a reader does.
func feed(b *testing.B, db *DB, next *uint64, events []reader.Event) {
	b.Helper()
	for len(events) > 0 {
		n := min(len(events), 512)
		for i := range events[:n] {
			events[i].Offset = *next
			*next++
		}
		if err := db.Consume(b.Context(), &reader.Batch{Events: events[:n], Next: *next, Tail: *next}); err != nil {
			b.Fatal(err)
		}
		events = events[n:]
	}
}

// BenchmarkSamples writes what 250 hosts tell of their processes, each event read anew;
// an operation is a sample.
func BenchmarkSamples(b *testing.B) {
	db := benched(b)
	r, next := newRound(250), uint64(0)
	now := time.Now().Add(-time.Hour)
	written := func() int { return int(db.writer.written) }
	feed(b, db, &next, r.at(b, 0, now))
	first := written()
	b.ReportAllocs()
	b.ResetTimer()
	for n := 1; written()-first < b.N; n++ {
		b.StopTimer()
		now = now.Add(5 * time.Second)
		events := r.at(b, n, now)
		b.StartTimer()
		feed(b, db, &next, events)
	}
	b.ReportMetric(float64(written()-first)/b.Elapsed().Seconds(), "samples/s")
}

// BenchmarkSeries has many series live, and reports what they take of memory.
func BenchmarkSeries(b *testing.B) {
	const hosts = 715 // of 140 series each
	for b.Loop() {
		before := resident(b)
		db := benched(b)
		r, next := newRound(hosts), uint64(0)
		now := time.Now().Add(-time.Hour)
		for n := range 130 { // each has more than a chunk of samples
			feed(b, db, &next, r.at(b, n, now))
			now = now.Add(5 * time.Second)
		}
		runtime.GC()
		series := float64(db.Held().Series)
		b.ReportMetric(series, "series")
		b.ReportMetric(float64(resident(b)-before)/(1<<20), "MB")
	}
}

// resident is how much memory the process has, in bytes.
func resident(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// BenchmarkDay writes a day of five hosts, has it made into blocks, and reports the bytes
// of a sample.
func BenchmarkDay(b *testing.B) {
	for b.Loop() {
		db := benched(b)
		r, next := newRound(5), uint64(0)
		begin := time.Now().Add(-27 * time.Hour).Truncate(blockRange)
		for n := range 26 * 720 {
			feed(b, db, &next, r.at(b, n, begin.Add(time.Duration(n)*5*time.Second)))
		}
		d, release, err := db.use()
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Compact(b.Context()); err != nil {
			b.Fatal(err)
		}
		release()
		held := db.Held()
		b.ReportMetric(float64(held.Bytes-held.HeadBytes)/float64(held.Samples), "B/sample")
		b.ReportMetric(float64(held.Samples), "samples")
		b.ReportMetric(float64(held.Blocks), "blocks")
	}
}
