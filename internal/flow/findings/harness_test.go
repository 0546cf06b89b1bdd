package findings

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// start is when the traffic of tests begins.
const start = int64(1_700_000_000_000_000_000)

// lab is a Watch with what it told.
type lab struct {
	*Watch
	told []*pb.Event
	at   int64
}

func newLab(change ...func(*Config)) *lab {
	cfg := DefaultConfig()
	for _, c := range change {
		c(&cfg)
	}
	l := &lab{at: start}
	l.Watch = New(cfg, func(e *pb.Event) { l.told = append(l.told, e) })
	return l
}

// found lists what was told, each as its kind and source or target.
func (l *lab) found() []string {
	var out []string
	for _, e := range l.told {
		if e.GetFinding().GetStatus() == statusNew {
			out = append(out, strings.TrimPrefix(e.GetType(), TypePrefix))
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}

func (l *lab) wait(d time.Duration) {
	l.at += int64(d)
	l.Advance(l.at)
}

func ip(s string) packet.Addr { return packet.Addr(netip.MustParseAddr(s).As16()) }

// tcp is a flow from one address to another in the shape of a state of TCP.
func (l *lab) tcp(from, to string, port uint16, state string) track.Flow {
	f := track.Flow{
		Tuple: dissect.Tuple{Src: ip(from), Dst: ip(to), SrcPort: 40000, DstPort: port, Protocol: protoTCP},
		First: l.at, Last: l.at, State: state, Out: track.Side{Packets: 1, Bytes: 60, Flags: packet.SYN},
	}
	agreed := track.Side{Packets: 1, Bytes: 60, Flags: packet.SYN | packet.ACK}
	switch state {
	case "REJ":
		f.In = track.Side{Packets: 1, Bytes: 40, Flags: packet.RST | packet.ACK}
		f.End, f.Closed, f.ClosedBy = track.Reset, true, dissect.FromResponder
	case "half":
		f.State, f.In, f.End, f.Closed = "RSTO", agreed, track.Reset, true
		f.Out.Flags |= packet.RST
	case "connect":
		f.State, f.In, f.End, f.Closed = "RSTO", agreed, track.Reset, true
		f.Out.Flags |= packet.ACK | packet.RST
	case "SF", "S1":
		f.Out.Flags |= packet.ACK
		f.In = agreed
		f.In.Packets, f.In.Payload, f.In.Bytes = 10, 5000, 5600
		f.Out.Packets, f.Out.Payload, f.Out.Bytes = 8, 500, 1000
		if state == "SF" {
			f.Closed, f.End = true, track.Finished
			f.Out.Flags |= packet.FIN
			f.In.Flags |= packet.FIN
		}
	}
	return f
}

// udp is a flow of datagrams that is answered or not.
func (l *lab) udp(from, to string, port uint16, answered bool) track.Flow {
	f := track.Flow{
		Tuple: dissect.Tuple{Src: ip(from), Dst: ip(to), SrcPort: 50000, DstPort: port, Protocol: protoUDP},
		First: l.at, Last: l.at, Out: track.Side{Packets: 1, Bytes: 80, Payload: 52},
	}
	if answered {
		f.In = track.Side{Packets: 1, Bytes: 180, Payload: 152}
	}
	return f
}

func (l *lab) ping(from, to string, answered bool) track.Flow {
	f := track.Flow{
		Tuple: dissect.Tuple{Src: ip(from), Dst: ip(to), SrcPort: 8, DstPort: 0, Protocol: protoICMP},
		First: l.at, Last: l.at, Out: track.Side{Packets: 1, Bytes: 84, Payload: 56},
	}
	if answered {
		f.In = f.Out
	}
	return f
}

// both opens a flow and ends it.
func (l *lab) both(f track.Flow) {
	l.Opened(&f)
	l.Ended(&f)
}

func host(i int) string { return fmt.Sprintf("10.1.%d.%d", i/250, 1+i%250) }
