package collect_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/collect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// frames are conversations over Ethernet: TCP with a handshake and an end, a scan, DNS,
// a one-way datagram and a ping, over IPv4 and IPv6.
func frames(began int64) []packet.Frame {
	var out []packet.Frame
	at := began
	add := func(v6 bool, from, to, protocol byte, body []byte) {
		at += 3e6
		data := frame(v6, from, to, protocol, body)
		out = append(out, packet.Frame{Time: at, Data: data, Wire: uint32(len(data)), Link: packet.LinkEthernet})
	}
	for i := range 40 {
		v6 := i%4 == 3
		client, server := byte(10+i), byte(200)
		port := 40_000 + i
		segment := func(out bool, flags byte, seq, payload int) {
			if out {
				add(v6, client, server, 6, tcp(port, 443, seq, flags, payload))
			} else {
				add(v6, server, client, 6, tcp(443, port, seq, flags, payload))
			}
		}
		segment(true, packet.SYN, 1, 0)
		segment(false, packet.SYN|packet.ACK, 1, 0)
		segment(true, packet.ACK, 2, 0)
		for k := range i + 1 {
			segment(true, packet.ACK|packet.PSH, 2+k*100, 100)
			segment(false, packet.ACK|packet.PSH, 2+k*1000, 1000)
		}
		segment(true, packet.FIN|packet.ACK, 2+(i+1)*100, 0)
		segment(false, packet.FIN|packet.ACK, 2+(i+1)*1000, 0)
		add(v6, client, server, 17, udp(50_000+i, 53, 30))
		add(v6, server, client, 17, udp(53, 50_000+i, 200))
		add(v6, client, server, 17, udp(50_100+i, 514, 70)) // nobody answers
		add(v6, client, server, 6, tcp(45_000+i, 23, 1, packet.SYN, 0))
	}
	for range 3 {
		add(false, 10, 200, 1, echo(8))
		add(false, 200, 10, 1, echo(0))
	}
	return out
}

func frame(v6 bool, from, to, protocol byte, body []byte) []byte {
	b := []byte{2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from}
	if v6 {
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, byte(len(body)>>8), byte(len(body)), protocol, 64)
		b = append(b, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, from)
		b = append(b, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, to)
		return append(b, body...)
	}
	total := 20 + len(body)
	b = append(b, 8, 0, 0x45, 0, byte(total>>8), byte(total), 0, 1, 0, 0, 64, protocol, 0, 0)
	b = append(b, 192, 0, 2, from, 192, 0, 2, to)
	return append(b, body...)
}

func tcp(from, to, seq int, flags byte, payload int) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(from))
	b = binary.BigEndian.AppendUint16(b, uint16(to))
	b = binary.BigEndian.AppendUint32(b, uint32(seq))
	b = append(b, 0, 0, 0, 1, 0x50, flags, 2, 0, 0, 0, 0, 0)
	return append(b, make([]byte, payload)...)
}

func udp(from, to, payload int) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(from))
	b = binary.BigEndian.AppendUint16(b, uint16(to))
	b = binary.BigEndian.AppendUint16(b, uint16(8+payload))
	return append(b, make([]byte, 2+payload)...)
}

func echo(kind byte) []byte { return append([]byte{kind, 0, 0, 0, 0, 7, 0, 1}, make([]byte, 56)...) }

// said is what both sides of the comparison say of a flow.
type said struct {
	Flow                                     string
	BytesOut, BytesIn, PacketsOut, PacketsIn uint64
	OneSided                                 bool
}

func compareSaid(a, b said) int { return strings.Compare(a.Flow, b.Flow) }

func flowName(src, dst packet.Addr, from, to uint16, protocol uint8) string {
	if protocol == 1 || protocol == 58 {
		from, to = 0, 0
	}
	return fmt.Sprintf("%d %s:%d>%s:%d", protocol, netip.AddrFrom16(src).Unmap(), from, netip.AddrFrom16(dst).Unmap(), to)
}

// tracked collects what the Table says of flows.
type tracked struct{ flows []said }

func (c *tracked) Opened(*track.Flow)  {}
func (c *tracked) Updated(*track.Flow) {}
func (c *tracked) Ended(f *track.Flow) {
	c.flows = append(c.flows, said{
		Flow: flowName(f.Src, f.Dst, f.SrcPort, f.DstPort, f.Protocol), BytesOut: f.Out.Bytes, BytesIn: f.In.Bytes,
		PacketsOut: f.Out.Packets, PacketsIn: f.In.Packets, OneSided: f.OneSided,
	})
}

func countFrames(t *testing.T, list []packet.Frame) []said {
	t.Helper()
	c := &tracked{}
	table := track.New(track.Options{Consumer: c, Idle: time.Hour})
	var d packet.Decoder
	var p packet.Packet
	for i := range list {
		if err := d.Decode(&list[i], &p); err != nil {
			t.Fatal(err)
		}
		table.Add(&p)
	}
	table.Close()
	slices.SortFunc(c.flows, compareSaid)
	return c.flows
}

func recordSaid(r *collect.Record) said {
	return said{
		Flow: flowName(r.Src, r.Dst, r.SrcPort, r.DstPort, r.Protocol), BytesOut: r.Out.Bytes, BytesIn: r.In.Bytes,
		PacketsOut: r.Out.Packets, PacketsIn: r.In.Packets, OneSided: r.OneSided,
	}
}

func writeCapture(t *testing.T, list []packet.Frame) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "frames.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := capture.NewWriter(f, packet.LinkEthernet, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if err := w.Write(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSoftflowd holds our reading of v5, v9 and IPFIX against softflowd, which counts
// the same packets as we do ourselves.
func TestSoftflowd(t *testing.T) {
	softflowd, err := exec.LookPath("softflowd")
	if err != nil {
		t.Skip("softflowd is not installed (Debian package softflowd)")
	}
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	list := frames(began.UnixNano())
	path := writeCapture(t, list)
	want := countFrames(t, list)
	var want4 []said
	for _, f := range want {
		if !strings.Contains(f.Flow, "2001:db8") {
			want4 = append(want4, f)
		}
	}
	for name, c := range map[string]struct {
		args []string
		want []said
		over string
	}{
		"v5":               {[]string{"-v", "5"}, want4, "udp"},
		"v9":               {[]string{"-v", "9"}, want, "udp"},
		"ipfix":            {[]string{"-v", "10"}, want, "udp"},
		"ipfix nanosecond": {[]string{"-v", "10", "-A", "nano"}, want, "udp"},
		"ipfix biflow":     {[]string{"-v", "10", "-b"}, want, "udp"},
		"ipfix over tcp":   {[]string{"-v", "10", "-P", "tcp"}, want, "tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			records, stats := receiveFrom(t, c.over, len(c.want), func(address string) {
				args := append([]string{"-r", path, "-a", "-d", "-6", "-n", address, "-p", filepath.Join(t.TempDir(), "pid"), "-c", "none"}, c.args...)
				out, err := exec.CommandContext(t.Context(), softflowd, args...).CombinedOutput()
				if err != nil {
					t.Fatalf("softflowd: %v\n%s", err, out)
				}
			})
			var got []said
			for _, r := range records {
				got = append(got, recordSaid(&r))
			}
			slices.SortFunc(got, compareSaid)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("flows (-track +softflowd):\n%s", diff)
			}
			if stats.Malformed+stats.Unread+stats.NoFlow+stats.Lost != 0 {
				t.Errorf("%+v", stats)
			}
			for _, r := range records {
				if r.Start < began.UnixNano()-2e9 || r.End > list[len(list)-1].Time+2e9 || r.Exporter != netip.MustParseAddr("127.0.0.1") {
					t.Fatalf("times or exporter: %v to %v, %v", time.Unix(0, r.Start), time.Unix(0, r.End), r.Exporter)
				}
			}
		})
	}
}

// receiveFrom returns the first n records that come of what send has sent to address.
func receiveFrom(t *testing.T, over string, n int, send func(address string)) ([]collect.Record, collect.ReceiverStats) {
	t.Helper()
	r := collect.NewReceiver(collect.ReceiverOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Join: collect.JoinOptions{Window: time.Second}})
	came := make(chan collect.Record, 10_000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	tell := func(x *collect.Record) { came <- *x }
	var address string
	if over == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address = l.Addr().String()
		go func() { done <- r.ServeStream(ctx, l, tell) }()
	} else {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		address = conn.LocalAddr().String()
		go func() { done <- r.Serve(ctx, conn, tell) }()
	}
	send(address)
	var records []collect.Record
	timeout := time.After(10 * time.Second)
	for len(records) < n {
		select {
		case x := <-came:
			records = append(records, x)
		case <-timeout:
			t.Errorf("%d of %d records came: %+v", len(records), n, r.Stats())
			n = 0
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return records, r.Stats()
}
