package findings

import (
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestCollected: a scan is found among flows of an exporter; not where it samples, as
// answers were given that nobody saw. An upload is found in both, and the exporter's
// flows say nothing of our interfaces.
func TestCollected(t *testing.T) {
	for _, sampled := range []bool{false, true} {
		found := map[string]int{}
		w := New(DefaultConfig(), func(ev *pb.Event) { found[ev.GetType()]++ })
		at := time.Unix(1_700_000_000, 0).UnixNano()
		for port := range 200 {
			at += int64(10 * time.Millisecond)
			f := track.Flow{First: at - 1, Last: at, State: "S0", Out: track.Side{Packets: 1, Bytes: 44, Flags: packet.SYN}, OneSided: true}
			f.Src, f.Dst, f.SrcPort, f.DstPort, f.Protocol = ip("10.1.0.1"), ip("10.1.0.2"), 40000, uint16(1+port), protoTCP
			w.Collected(&f, at, sampled)
		}
		big := track.Flow{First: at - 1, Last: at, State: "SF", Out: track.Side{Packets: 1e7, Bytes: 1e10, Payload: 9e9}, In: track.Side{Packets: 1e6, Bytes: 5e7, Payload: 1}}
		big.Src, big.Dst, big.SrcPort, big.DstPort, big.Protocol = ip("10.1.0.1"), ip("203.0.113.9"), 40000, 443, protoTCP
		w.Collected(&big, at, sampled)
		if (found[TypePrefix+"port_scan"] > 0) == sampled || found[TypePrefix+"large_upload"] == 0 {
			t.Errorf("sampled %t: found %v", sampled, found)
		}
		if w.visibility.single+w.visibility.both != 0 || w.visibility.window.toOne != 0 {
			t.Errorf("our interfaces are judged by it: %+v", w.visibility.window)
		}
	}
}
