package metrics

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/amoskys/amoskys/internal/metrics/promapi"
)

// BenchmarkBeside asks our database for a hundred series over a day, of which there is a
// sample each 15 seconds, as a page of Grafana would: with a value each two minutes. It
// asks Prometheus' own engine over its own database, each with its defaults and over the
// same blocks, in the same run: ours is to be at most as slow. Beside the time it tells that
// of the processor, which is about the same on a busy machine.
func BenchmarkBeside(b *testing.B) {
	db, end := dayOf(b)
	beside, err := tsdb.Open(sameBlocks(b, db), nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := beside.Close(); err != nil {
			b.Error(err)
		}
	})
	theirs := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: 2 * time.Minute, LookbackDelta: 5 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
	})
	// Both answer through our API, so that what differs is engine and database.
	sides := []struct {
		name string
		o    promapi.Options
	}{{"ours", promapi.Options{Queryable: db}}, {"prometheus", promapi.Options{Queryable: beside, Engine: theirs}}}
	for _, query := range []struct{ name, text string }{
		{"each", `process_cpu_percent`},
		{"rate", `rate(process_read_bytes_total[5m])`},
		{"sum", `sum by (host) (rate(process_read_bytes_total[5m]))`},
		{"top", `topk(10, avg_over_time(process_cpu_percent[1h]))`},
	} {
		sizes := map[int]bool{}
		for _, side := range sides {
			api, err := promapi.New(side.o)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(query.name+"/"+side.name, func(b *testing.B) {
				b.ReportAllocs()
				// What is read for the first time is read from disk, by whoever comes first.
				size, asked := askRange(b, api, query.text, end.Add(-24*time.Hour), end), 0
				runtime.GC()
				before := cpuTime(b)
				b.ResetTimer()
				for b.Loop() {
					size = askRange(b, api, query.text, end.Add(-24*time.Hour), end)
					asked++
				}
				b.ReportMetric(float64(size), "bytes/answer")
				b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/1000/float64(asked), "cpu-ms/op")
				sizes[size] = true
			})
		}
		if len(sizes) > 1 {
			b.Errorf("%s: the two answer with %v bytes", query.name, sizes)
		}
	}
}

// cpuTime is the time of the processor that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// askRange asks with a step of two minutes, and returns how many bytes the answer has.
func askRange(b *testing.B, h http.Handler, query string, start, end time.Time) int {
	b.Helper()
	form := url.Values{"query": {query}, "start": {fmt.Sprint(start.Unix())}, "end": {fmt.Sprint(end.Unix())}, "step": {"120"}}
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api/v1/query_range", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Body.Len() < 1000 {
		b.Fatalf("%d %.300s", w.Code, w.Body)
	}
	return w.Body.Len()
}

// dayOf is a database with a day and more of a hundred processes, of which all that is
// older than some hours is in blocks, and the end of that day.
func dayOf(b *testing.B) (*DB, time.Time) {
	b.Helper()
	db := benched(b)
	r, next := newRound(5), uint64(0)
	begin := time.Now().Add(-27 * time.Hour).Truncate(blockRange)
	for n := range 26 * 240 {
		feed(b, db, &next, r.at(b, n, begin.Add(time.Duration(n)*15*time.Second)))
	}
	d, release, err := db.use()
	if err != nil {
		b.Fatal(err)
	}
	defer release()
	if err := d.Compact(b.Context()); err != nil {
		b.Fatal(err)
	}
	// Only blocks are compared: what is in our head is in no other.
	newest := int64(math.MinInt64)
	for _, block := range d.Blocks() {
		newest = max(newest, block.MaxTime())
	}
	return db, time.UnixMilli(newest).Add(-2 * time.Minute)
}

// sameBlocks is a folder with the blocks of a database alone, as links.
func sameBlocks(b *testing.B, db *DB) string {
	b.Helper()
	d, release, err := db.use()
	if err != nil {
		b.Fatal(err)
	}
	defer release()
	dir := b.TempDir()
	for _, block := range d.Blocks() {
		to := filepath.Join(dir, filepath.Base(block.Dir()))
		if err := os.MkdirAll(filepath.Join(to, "chunks"), 0o700); err != nil {
			b.Fatal(err)
		}
		chunks, err := filepath.Glob(filepath.Join(block.Dir(), "chunks", "*"))
		if err != nil {
			b.Fatal(err)
		}
		for _, file := range append(chunks, filepath.Join(block.Dir(), "index"), filepath.Join(block.Dir(), "meta.json"), filepath.Join(block.Dir(), "tombstones")) {
			name, err := filepath.Rel(block.Dir(), file)
			if err == nil {
				err = os.Link(file, filepath.Join(to, name))
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	return dir
}
