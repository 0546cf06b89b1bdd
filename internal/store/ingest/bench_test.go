package ingest

import (
	"testing"
	"time"
)

// BenchmarkIngest is how fast events of the log become durable in the store.
func BenchmarkIngest(b *testing.B) {
	const n = 100_000
	l := newLogged(20)
	l.appendReal(b, n)
	for b.Loop() {
		began := time.Now()
		r := startFeed(b, l, b.TempDir(), func(o *Options) {
			o.BatchRows, o.BatchDelay, o.BarrierEvery = 0, 0, 10*time.Second
		})
		untilOrStuck(b, "all is taken", func() bool { return r.Inserted() == l.log.Stat().NextOffset }, func() uint64 { return r.Next() })
		b.ReportMetric(n/time.Since(began).Seconds(), "ev/s")
		r.stop()
		b.ReportMetric(n/time.Since(began).Seconds(), "durable-ev/s")
	}
}
