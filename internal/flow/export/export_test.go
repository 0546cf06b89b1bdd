package export_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/flow/collect"
	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/export"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

const began = int64(1_700_000_000_000_000_000)

// flows are one of TCP over IPv4, one of UDP over IPv6, and a ping.
func flows() []track.Flow {
	v4 := func(last byte) packet.Addr { return packet.Addr4([4]byte{192, 0, 2, last}) }
	v6 := func(last byte) packet.Addr { return packet.Addr{0x20, 1, 0xd, 0xb8, 15: last} }
	return []track.Flow{
		{
			Tuple: dissect.Tuple{Src: v4(1), Dst: v4(2), SrcPort: 40_000, DstPort: 443, Protocol: 6}, First: began, Last: began + 2e9,
			Out: track.Side{Packets: 10, Bytes: 1000, Payload: 600, Flags: packet.SYN | packet.ACK | packet.FIN},
			In:  track.Side{Packets: 12, Bytes: 9000, Payload: 8500, Flags: packet.SYN | packet.ACK | packet.FIN}, State: "SF", End: track.Finished,
			ID: entity.FlowID{Protocol: 6, Src: v4(1), Dst: v4(2), HasPorts: true, SrcPort: 40_000, DstPort: 443}, VLAN: 7, SrcMAC: packet.MAC{2, 0, 0, 0, 0, 1}, DstMAC: packet.MAC{2, 0, 0, 0, 0, 2}, Facts: &dissect.Facts{App: "tls"},
		},
		{
			Tuple: dissect.Tuple{Src: v6(1), Dst: v6(2), SrcPort: 50_000, DstPort: 53, Protocol: 17}, First: began, Last: began + 1e6,
			Out: track.Side{Packets: 1, Bytes: 78, Payload: 30}, In: track.Side{Packets: 1, Bytes: 248, Payload: 200}, End: track.Idle,
		},
		{
			Tuple: dissect.Tuple{Src: v4(1), Dst: v4(2), SrcPort: 8, DstPort: 0, Protocol: 1}, First: began, Last: began,
			Out: track.Side{Packets: 1, Bytes: 84, Payload: 56}, End: track.Evicted, OneSided: true,
		},
	}
}

// TestGolden holds the bytes of a message: header, two templates and a record.
func TestGolden(t *testing.T) {
	m := export.NewMessage(12, true)
	list := flows()
	if full := m.Add(&list[0], began/1e9); full != nil {
		t.Fatal("one flow fills no message")
	}
	const fields = "00070002 000b0002 00040001 00880001 00ef0001 00980008 00990008 00010008 00020008 80010008 00007279 80020008 00007279 00060001 80060001 00007279 003a0002 00380006 00500006 0060ffff"
	want := "000a 0123 6553f100 00000000 0000000c" +
		"0002 00bc" + "0100 0013 00080004 000c0004" + fields + "0101 0013 001b0010 001c0010" + fields +
		"0100 0057 c0000201 c0000202 9c40 01bb 06 03 01 0000018bcfe56800 0000018bcfe56fd0" +
		"00000000000003e8 000000000000000a 0000000000002328 000000000000000c 13 13 0007 020000000001 020000000002 03 746c73"
	if diff := cmp.Diff(strings.ReplaceAll(want, " ", ""), hex.EncodeToString(m.Flush(began/1e9))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReadBack sends flows over UDP and TCP to our own collector, which counts the same.
func TestReadBack(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			r := collect.NewReceiver(collect.ReceiverOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			came, done := make(chan collect.Record, 1000), make(chan error, 2)
			tell := func(x *collect.Record) { came <- *x }
			address := listen(ctx, t, r, network, tell, done)
			s, err := export.NewSender(export.SenderOptions{Network: network, Address: address})
			if err != nil {
				t.Fatal(err)
			}
			sending, sent := context.WithCancel(ctx)
			defer sent()
			go func() { done <- s.Run(sending) }()
			list := flows()
			for range 100 {
				for i := range list {
					s.Add(&list[i])
				}
			}
			for n := range 200 { // Those with both directions are told at once.
				select {
				case x := <-came:
					if x.HasICMP {
						continue
					}
					check(t, &x)
				case <-time.After(10 * time.Second):
					t.Fatalf("%d records came: %+v, %+v", n, s.Stats(), r.Stats())
				}
			}
			for _, end := range []func(){sent, cancel} {
				end()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			if got := r.Stats(); got.Lost+got.Malformed+got.Unread+got.Restarts != 0 || s.Stats().Dropped != 0 {
				t.Errorf("%+v, %+v", got, s.Stats())
			}
		})
	}
}

func listen(ctx context.Context, t *testing.T, r *collect.Receiver, network string, tell func(*collect.Record), done chan error) string {
	t.Helper()
	if network == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- r.ServeStream(ctx, l, tell) }()
		return l.Addr().String()
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() { done <- r.Serve(ctx, conn, tell) }()
	return conn.LocalAddr().String()
}

// check compares what both flows of a kind say.
func check(t *testing.T, x *collect.Record) {
	t.Helper()
	for _, f := range flows() {
		if x.Protocol != f.Protocol {
			continue
		}
		if x.Src != f.Src || x.Dst != f.Dst || x.SrcPort != f.SrcPort || x.DstPort != f.DstPort ||
			x.Start != f.First || x.End != f.Last || x.VLAN != f.VLAN || x.SrcMAC != f.SrcMAC ||
			x.Out != (collect.Count{Bytes: f.Out.Bytes, Packets: f.Out.Packets, Flags: f.Out.Flags}) ||
			x.In != (collect.Count{Bytes: f.In.Bytes, Packets: f.In.Packets, Flags: f.In.Flags}) || x.OneSided {
			t.Fatalf("sent %+v\nread %+v", f, *x)
		}
	}
}

func TestConnLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conn.log")
	l, err := export.OpenConnLog(export.ConnLogOptions{Path: path, MaxBytes: 2000})
	if err != nil {
		t.Fatal(err)
	}
	list := flows()
	for range 3 {
		for i := range list {
			if err := l.Write(&list[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path + ".1")
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	var first map[string]any
	if err := json.Unmarshal(lines[0], &first); err != nil {
		t.Fatal(err)
	}
	delete(first, "uid")
	want := map[string]any{
		"ts": 1.7e9, "id.orig_h": "192.0.2.1", "id.orig_p": 40000.0, "id.resp_h": "192.0.2.2", "id.resp_p": 443.0,
		"proto": "tcp", "service": "ssl", "duration": 2.0, "orig_bytes": 600.0, "resp_bytes": 8500.0, "conn_state": "SF",
		"missed_bytes": 0.0, "history": "ShADadFf", "orig_pkts": 10.0, "orig_ip_bytes": 1000.0, "resp_pkts": 12.0,
		"resp_ip_bytes": 9000.0, "community_id": flows()[0].ID.CommunityID(), "vlan": 7.0, "orig_l2_addr": "02:00:00:00:00:01", "resp_l2_addr": "02:00:00:00:00:02",
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	rest, err := os.ReadFile(path)
	if err != nil || len(rest) == 0 || len(rest) > 2000 || len(b) > 2000 {
		t.Errorf("the file has %d bytes, the one before %d: %v", len(rest), len(b), err)
	}
}
