package tell_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/tell"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// flow is a connection to which TLS and a login were read.
func flow() track.Flow {
	return track.Flow{
		Tuple: dissect.Tuple{Src: packet.Addr4([4]byte{10, 0, 0, 1}), Dst: packet.Addr4([4]byte{192, 0, 2, 1}), SrcPort: 40000, DstPort: 443, Protocol: 6},
		ID:    entity.FlowID{Protocol: 6, Src: packet.Addr4([4]byte{10, 0, 0, 1}), Dst: packet.Addr4([4]byte{192, 0, 2, 1}), HasPorts: true, SrcPort: 40000, DstPort: 443},
		First: 1_700_000_000_000_000_000, Last: 1_700_000_001_500_000_000,
		Out:   track.Side{Packets: 3, Bytes: 300, Payload: 180, Retransmissions: 1, Flags: packet.SYN | packet.ACK},
		In:    track.Side{Packets: 2, Bytes: 200, Payload: 120, Flags: packet.SYN | packet.ACK | packet.RST},
		State: "RSTR", End: track.Reset, Closed: true, ClosedBy: dissect.FromResponder, RTT: int64(20 * time.Millisecond),
		Facts: &dissect.Facts{App: "tls", Category: "web", Confidence: 1, TLS: &dissect.TLS{SNI: "www.example.net", ALPN: []string{"h2", "http/1.1"}}},
	}
}

// TestLine holds the JSON of a flow, whose keys are stable.
func TestLine(t *testing.T) {
	f := flow()
	got, err := json.Marshal(tell.LineOf(&f))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"community_id":"1:rQCafGKc8LGvM0iFow7oLGxZxy0=","src_ip":"10.0.0.1","src_port":40000,"dst_ip":"192.0.2.1","dst_port":443,` +
		`"protocol":"tcp","app":"tls","category":"web","packets":5,"bytes":500,"start":"2023-11-14T22:13:20Z","end":"2023-11-14T22:13:21.5Z",` +
		`"app_confidence":1,"packets_out":3,"packets_in":2,"bytes_out":300,"bytes_in":200,"payload_bytes_out":180,"payload_bytes_in":120,` +
		`"duration_seconds":1.5,"end_reason":"reset","tcp.state":"RSTR","tcp.flags_out":"SA","tcp.flags_in":"SRA","tcp.retransmissions_out":1,` +
		`"tcp.rtt_seconds":0.02,"tcp.closed_by":"destination","tls.server_name":"www.example.net","tls.alpn":"h2,http/1.1"}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestActivity: the event says the same as the line, and how the flow lies to the host.
func TestActivity(t *testing.T) {
	f := flow()
	a := tell.Surroundings{Own: func(x packet.Addr) bool { return x == f.Src }}.Activity(&f)
	if a.GetDirection() != "outbound" || a.GetTls().GetSni() != "www.example.net" || a.GetEndReason() != "reset" ||
		a.GetClosedBy() != "destination" || a.GetBytesOut() != 300 || a.GetRoundTripTime().AsDuration() != 20*time.Millisecond {
		t.Errorf("%v", a)
	}
}
