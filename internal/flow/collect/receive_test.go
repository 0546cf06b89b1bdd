package collect_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/flow/collect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// script is a connection that gives datagrams of one sender, and then ends.
type script struct {
	net.PacketConn
	datagrams [][]byte
	end       context.CancelFunc
}

func (*script) SetReadDeadline(time.Time) error { return nil }

func (s *script) ReadFrom(b []byte) (int, net.Addr, error) {
	if len(s.datagrams) == 0 {
		s.end()
		return 0, nil, os.ErrDeadlineExceeded
	}
	n := copy(b, s.datagrams[0])
	s.datagrams = s.datagrams[1:]
	return n, net.UDPAddrFromAddrPort(netip.AddrPortFrom(router, 2055)), nil
}

func TestWhoMaySend(t *testing.T) {
	all := make([][]byte, 100)
	for i := range all {
		all[i] = bytesOf(t, flow5)
	}
	for name, c := range map[string]struct {
		o                      collect.ReceiverOptions
		told, refused, limited bool
	}{
		"nobody by default": {collect.ReceiverOptions{}, false, true, false},
		"another":           {collect.ReceiverOptions{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}}, false, true, false},
		"allowed":           {collect.ReceiverOptions{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, true, false, false},
		"too many":          {collect.ReceiverOptions{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Rate: 1}, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := collect.NewReceiver(c.o)
			told := 0
			if err := r.Serve(ctx, &script{datagrams: all, end: cancel}, func(*collect.Record) { told++ }); err != nil {
				t.Fatal(err)
			}
			s := r.Stats()
			if told > 0 != c.told || s.Refused > 0 != c.refused || s.Limited > 0 != c.limited {
				t.Errorf("%d were told: %+v", told, s)
			}
		})
	}
}

// half is a record of one direction, from port from to port to, that began at ms.
func half(src, dst byte, from, to uint16, protocol, flags uint8, ms int64) *collect.Record {
	addr := func(last byte) packet.Addr { return packet.Addr4([4]byte{10, 0, 0, last}) }
	return &collect.Record{
		Format: collect.NetFlow9, Exporter: router, Src: addr(src), Dst: addr(dst), SrcPort: from, DstPort: to, Protocol: protocol,
		Start: ms * 1e6, End: ms*1e6 + 1e9, Received: 10e9, Out: collect.Count{Bytes: uint64(src), Packets: 1, Flags: flags}, SamplingRate: 1,
	}
}

func TestJoin(t *testing.T) {
	const syn, both = packet.SYN, packet.SYN | packet.ACK
	for name, c := range map[string]struct {
		records []*collect.Record
		want    []string
	}{
		"the earlier SYN began, whatever the ports": {
			[]*collect.Record{half(2, 1, 40_000, 443, 6, both, 5), half(1, 2, 443, 40_000, 6, both, 4)},
			[]string{"6 10.0.0.1:443>10.0.0.2:40000"},
		},
		"the port of a server answers": {
			[]*collect.Record{half(2, 1, 53, 50_000, 17, 0, 4), half(1, 2, 50_000, 53, 17, 0, 5)},
			[]string{"17 10.0.0.1:50000>10.0.0.2:53"},
		},
		"a scan": {[]*collect.Record{half(1, 2, 443, 50_000, 6, syn, 4)}, []string{"6 10.0.0.1:443>10.0.0.2:50000 one-sided"}},
		"an answer alone": {
			[]*collect.Record{half(2, 1, 443, 50_000, 6, packet.ACK, 4)}, []string{"6 10.0.0.1:50000>10.0.0.2:443 one-sided"},
		},
		"the same direction twice": {
			[]*collect.Record{half(1, 2, 50_000, 53, 17, 0, 4), half(1, 2, 50_000, 53, 17, 0, 9000)},
			[]string{"17 10.0.0.1:50000>10.0.0.2:53 one-sided", "17 10.0.0.1:50000>10.0.0.2:53 one-sided"},
		},
		"too far apart": {
			[]*collect.Record{half(1, 2, 50_000, 53, 17, 0, 4), half(2, 1, 53, 50_000, 17, 0, 60_000)},
			[]string{"17 10.0.0.1:50000>10.0.0.2:53 one-sided", "17 10.0.0.1:50000>10.0.0.2:53 one-sided"},
		},
		"no room": {
			[]*collect.Record{half(1, 2, 50_001, 53, 17, 0, 4), half(1, 2, 50_002, 53, 17, 0, 4), half(1, 2, 50_003, 53, 17, 0, 4)},
			[]string{"17 10.0.0.1:50001>10.0.0.2:53 one-sided", "17 10.0.0.1:50002>10.0.0.2:53 one-sided", "17 10.0.0.1:50003>10.0.0.2:53 one-sided"},
		},
		"GRE answers to nobody": {[]*collect.Record{half(1, 2, 0, 0, 47, 0, 4)}, []string{"47 10.0.0.1:0>10.0.0.2:0"}},
	} {
		t.Run(name, func(t *testing.T) {
			j := collect.NewJoiner(collect.JoinOptions{Max: 2})
			var got []string
			tell := func(r *collect.Record) {
				name := recordSaid(r).Flow
				if r.OneSided {
					name += " one-sided"
				} else if r.Both && (r.Out.Bytes != uint64(r.Src[15]) || r.In.Bytes != uint64(r.Dst[15])) {
					t.Errorf("the counts are of the other side: %+v", r)
				}
				got = append(got, name)
			}
			for _, r := range c.records {
				j.Add(r, tell)
			}
			j.Advance(10e9+15e9, tell)
			if len(got) != len(c.want) {
				t.Fatalf("told %q, want %q", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("told %q, want %q", got[i], c.want[i])
				}
			}
		})
	}
}

// TestEvent holds who an event is of: the host is the one that collects, and the
// exporter a field.
func TestEvent(t *testing.T) {
	records := read(t, collect.New(collect.Options{}), flow5)
	ev := collect.EventOptions{}.Event(&records[0])
	origin := event.Origin{Host: &pb.Host{Name: "collector"}, Agent: &pb.Agent{}}
	if err := origin.Complete(ev); err != nil {
		t.Fatal(err)
	}
	n := ev.GetNetwork()
	if ev.GetHost().GetName() != "collector" || ev.GetObserver() != nil || n.GetExporterIp() != router.String() || n.GetSamplingRate() != 100 ||
		n.GetBytesOut() != 50_000 || n.GetPacketsOut() != 500 || n.GetTcpFlagsOut() != "FSPA" || n.GetEndReason() != "fin" ||
		n.GetSrcEndpoint().GetAsNumber() != 65001 || n.GetSrcEndpoint().GetInterfaceName() != "ifindex:3" || n.GetCommunityId() == "" {
		t.Errorf("%v", ev)
	}
}

// TestWhoIsTakenForAnExporter: a scan of ports is refused, and not named as an exporter
// that might be allowed.
func TestWhoIsTakenForAnExporter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		datagram []byte
		named    bool
	}{
		"empty":     {nil, false},
		"short":     {[]byte{0, 5, 0}, false},
		"scan":      {[]byte("GET / HTTP/1.0\r\n\r\n"), false},
		"zeros":     {make([]byte, 64), false},
		"NetFlow 5": {[]byte{0, 5, 0, 1}, true},
		"NetFlow 9": {[]byte{0, 9, 0, 1}, true},
		"IPFIX":     {[]byte{0, 10, 0, 16}, true},
		"sFlow 5":   {[]byte{0, 0, 0, 5}, true},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r := collect.NewReceiver(collect.ReceiverOptions{})
		if err := r.Serve(ctx, &script{datagrams: [][]byte{c.datagram}, end: cancel}, func(*collect.Record) {}); err != nil {
			t.Fatal(err)
		}
		if got := len(r.Refusals()) == 1; got != c.named || r.Stats().Refused != 1 {
			t.Errorf("%s: named %t, %+v", name, got, r.Stats())
		}
	}
}
