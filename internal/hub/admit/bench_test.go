package admit_test

import (
	"testing"

	"github.com/amoskys/amoskys/internal/hub/admit"
)

// BenchmarkParse walks batches of a hundred events in frames of 16 KiB, as they
// come from gRPC.
func BenchmarkParse(b *testing.B) {
	events := make([][]byte, 100)
	for i := range events {
		events[i] = good(255)
	}
	whole := request(events...)
	var pieces [][]byte
	for rest := whole; len(rest) > 0; {
		n := min(16<<10, len(rest))
		pieces = append(pieces, rest[:n])
		rest = rest[n:]
	}
	var r admit.Request
	b.SetBytes(int64(len(whole)))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Parse(pieces, &rules, now); err != nil || r.Count != 100 {
			b.Fatalf("%d events: %v", r.Count, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

// BenchmarkClaim claims and settles batches of a thousand producers in turn.
func BenchmarkClaim(b *testing.B) {
	l := admit.NewLedger(admit.LedgerOptions{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id, seq := key(i%1000), uint64(i/1000+1)
		if l.Claim("spiffe://amoskys/agent/host", id, seq, now) != admit.New {
			b.Fatal("not new")
		}
		l.Stored("spiffe://amoskys/agent/host", id, seq)
	}
}
