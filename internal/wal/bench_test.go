package wal

import (
	"crypto/rand"
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
)

// benchBatch is a batch of 100 events of 400 bytes.
func benchBatch() []byte {
	var b []byte
	for range 100 {
		e := make([]byte, 400)
		_, _ = rand.Read(e)
		b = append(b, payload(string(e))...)
	}
	return b
}

func report(b *testing.B, events, bytes int64) {
	b.Helper()
	s := b.Elapsed().Seconds()
	b.ReportMetric(float64(events)/s, "events/s")
	b.ReportMetric(float64(bytes)/s/1e6, "MB/s")
}

// BenchmarkAppend measures durable appends by many publishers, each with eight
// batches in flight: of 40 KB, and of the 10 KB that a packed batch has. Serial writes a
// group only when the one before is durable, ahead writes it meanwhile.
func BenchmarkAppend(b *testing.B) {
	body := benchBatch()
	for _, size := range []int{len(body), 10 << 10} {
		for _, publishers := range []int{1, 10, 100} {
			for name, ahead := range map[string]int64{"serial": math.MaxInt64, "ahead": aheadBytes} {
				b.Run(fmt.Sprintf("bytes=%d/publishers=%d/%s", size, publishers, name), func(b *testing.B) {
					benchmarkAppend(b, body[:size], publishers, ahead)
				})
			}
		}
	}
}

func benchmarkAppend(b *testing.B, body []byte, publishers int, ahead int64) {
	b.Helper()
	var groups, synced atomic.Int64
	l, err := Open(b.Context(), Options{
		Dir: b.TempDir(), Logger: quiet(), RetentionBytes: 1 << 30, aheadBytes: ahead,
		Observe: func(i SyncInfo) { groups.Add(1); synced.Add(int64(i.Records)) },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			slots := make(chan struct{}, 8)
			done := func(_ Offset, err error) {
				if err != nil {
					b.Error(err)
				}
				<-slots
			}
			r := Record{Publisher: "spiffe://example.org/agent/host-1", Received: time.Now(), Count: 100, Payload: [][]byte{body}}
			for left.Add(-1) >= 0 {
				slots <- struct{}{}
				r.Sequence++
				if err := l.Submit(&r, done); err != nil {
					b.Error(err)
					return
				}
			}
			for range cap(slots) {
				slots <- struct{}{}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	report(b, int64(b.N)*100, int64(b.N)*int64(len(body)))
	b.ReportMetric(float64(synced.Load())/float64(max(1, groups.Load())), "records/sync")
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAppendOne measures the latency of one publisher that waits for each
// single event.
func BenchmarkAppendOne(b *testing.B) {
	l, err := Open(b.Context(), Options{Dir: b.TempDir(), Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	r := record("agent/a", 0, string(make([]byte, 400)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkBaseline is what the disk gives without a log: the same bytes in
// groups of the same size, plain writes and fdatasync, no checksum, no chain,
// no queue.
func BenchmarkBaseline(b *testing.B) {
	for _, group := range []int{1, 8, 80} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			f, err := vfs.OS{}.Create(filepath.Join(b.TempDir(), "plain"))
			if err != nil {
				b.Fatal(err)
			}
			body := benchBatch()
			pieces := make([][]byte, group)
			for i := range pieces {
				pieces[i] = body
			}
			var pos int64
			b.ResetTimer()
			for n := 0; n < b.N; n += group {
				if pos+int64(group*len(body)) > 100<<20 {
					pos = 0
				}
				if pos == 0 {
					if err := f.Truncate(0); err != nil {
						b.Fatal(err)
					}
					_ = f.Preallocate(0, 16<<20)
				}
				w, err := f.WriteVec(pieces, pos)
				if err != nil {
					b.Fatal(err)
				}
				pos += w
				if err := f.Datasync(); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			report(b, int64(b.N)*100, int64(b.N)*int64(len(body)))
			_ = f.Close()
		})
	}
}

// BenchmarkRead measures a reader that catches up.
func BenchmarkRead(b *testing.B) {
	l, err := Open(b.Context(), Options{Dir: b.TempDir(), Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	body := benchBatch()
	const records = 2000
	var wg sync.WaitGroup
	for range records {
		wg.Add(1)
		r := Record{Publisher: "agent/a", Received: time.Now(), Count: 100, Payload: [][]byte{body}}
		for l.Submit(&r, func(Offset, error) { wg.Done() }) != nil {
			if err := l.Maintain(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	wg.Wait()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		r, err := l.NewReader(0)
		if err != nil {
			b.Fatal(err)
		}
		for {
			e, ok, err := r.TryNext()
			if err != nil {
				b.Fatal(err)
			}
			if !ok {
				break
			}
			for range e.Events() {
				n++
			}
		}
		_ = r.Close()
	}
	report(b, int64(n), int64(n)*403)
	b.StopTimer()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkVerify measures the check of a whole log, 64 MB in 16 segments: run it with
// -cpu 1,2.
func BenchmarkVerify(b *testing.B) {
	where := b.TempDir()
	l, err := Open(b.Context(), Options{Dir: where, Logger: quiet(), SegmentBytes: 4 << 20})
	if err != nil {
		b.Fatal(err)
	}
	body := benchBatch()
	for range 1600 {
		r := Record{Publisher: "agent/a", Received: time.Now(), Count: 100, Payload: [][]byte{body}}
		if _, err := l.Append(b.Context(), &r); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		rep, err := Verify(b.Context(), vfs.OS{}, where, nil)
		if err != nil || !rep.OK {
			b.Fatal(rep, err)
		}
		b.SetBytes(rep.Bytes)
	}
}
