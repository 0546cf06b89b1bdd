package admit_test

import (
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/bench/corpus"
	"github.com/amoskys/amoskys/internal/hub/admit"
)

// BenchmarkParse walks batches of a hundred recorded events in frames of 16 KiB, as
// they come from gRPC, as they are and packed.
func BenchmarkParse(b *testing.B) {
	const host, agent, events = "bench-00042", "bench_00042", 100
	recorded, err := corpus.Load(host, agent)
	if err != nil {
		b.Fatal(err)
	}
	sender, err := recorded.NewSender(host, agent, 0)
	if err != nil {
		b.Fatal(err)
	}
	own := admit.Rules{Host: host, AgentID: agent, MaxEventBytes: 1 << 20, MaxEvents: events, MaxUnpackedBytes: 1 << 20, MaxSkew: 24 * time.Hour}
	at := time.Now()
	var plain, packed [50][][]byte // others in turn, as from many senders
	for i := range plain {
		raw := sender.Append(nil, events, at)
		plain[i], packed[i] = frames(raw), frames(carrying(pack(raw)))
	}
	for name, requests := range map[string][50][][]byte{"events": plain, "packed": packed} {
		b.Run(name, func(b *testing.B) {
			var r admit.Request
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := r.Parse(requests[i%len(requests)], &own, at); err != nil || r.Count != events {
					b.Fatalf("%d events: %v", r.Count, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
		})
	}
}

// frames cuts a message as HTTP/2 does.
func frames(b []byte) (pieces [][]byte) {
	for len(b) > 0 {
		n := min(16<<10, len(b))
		pieces, b = append(pieces, b[:n]), b[n:]
	}
	return pieces
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
