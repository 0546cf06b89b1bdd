package collect_test

import (
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/flow/collect"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// TestRecordAsFlow: flags tell how TCP went, and bytes beyond headers what was said.
func TestRecordAsFlow(t *testing.T) {
	const open, closed = packet.SYN | packet.ACK, packet.SYN | packet.ACK | packet.FIN
	now := time.Now().UnixNano()
	for name, c := range map[string]struct {
		out, in           collect.Count
		state             string
		payload, answered uint64
		by                dissect.Direction
	}{
		"a probe of nmap":      {out: collect.Count{Packets: 1, Bytes: 44, Flags: packet.SYN}, state: "S0"},
		"a connect, refused":   {out: collect.Count{Packets: 1, Bytes: 60, Flags: packet.SYN}, in: collect.Count{Packets: 1, Bytes: 40, Flags: packet.RST | packet.ACK}, state: "REJ", by: dissect.FromResponder},
		"half-open":            {out: collect.Count{Packets: 2, Bytes: 84, Flags: packet.SYN | packet.RST}, in: collect.Count{Packets: 1, Bytes: 44, Flags: open}, state: "RSTO"},
		"whole":                {out: collect.Count{Packets: 5, Bytes: 5*52 + 8 + 100, Flags: closed}, in: collect.Count{Packets: 4, Bytes: 4*52 + 8 + 900, Flags: closed}, state: "SF", payload: 100, answered: 900},
		"few bytes, but some":  {out: collect.Count{Packets: 5, Bytes: 210, Flags: closed | packet.PSH}, in: collect.Count{Packets: 4, Bytes: 170, Flags: closed | packet.PSH}, state: "SF", payload: 1, answered: 1},
		"closed by the other":  {out: collect.Count{Packets: 3, Bytes: 164, Flags: open}, in: collect.Count{Packets: 3, Bytes: 164, Flags: closed}, state: "S3", by: dissect.FromResponder},
		"seen from the middle": {out: collect.Count{Packets: 3, Bytes: 156, Flags: packet.ACK}, in: collect.Count{Packets: 3, Bytes: 156, Flags: packet.ACK}, state: "OTH"},
	} {
		r := collect.Record{
			Src: packet.Addr4([4]byte{10, 0, 0, 1}), Dst: packet.Addr4([4]byte{10, 0, 0, 2}), SrcPort: 40000, DstPort: 22, Protocol: 6,
			Start: now - 1e9, End: now, Received: now, Out: c.out, In: c.in,
		}
		f := r.Flow()
		if f.State != c.state || f.Out.Payload != c.payload || f.In.Payload != c.answered || f.ClosedBy != c.by || f.Last != now {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestClocksOfExporters: a flow of a clock that is wrong ends when its record came.
func TestClocksOfExporters(t *testing.T) {
	now := time.Now().UnixNano()
	for _, off := range []time.Duration{-48 * time.Hour, time.Hour, 0, -time.Hour} {
		r := collect.Record{Protocol: 17, Start: now + int64(off) - 5e9, End: now + int64(off), Received: now}
		want := now
		if off == -time.Hour {
			want = r.End
		}
		if f := r.Flow(); f.Last != want || f.Last-f.First != 5e9 || f.End != track.Idle {
			t.Errorf("off by %v: ends %v from now, after %v", off, time.Duration(f.Last-now), time.Duration(f.Last-f.First))
		}
	}
}
