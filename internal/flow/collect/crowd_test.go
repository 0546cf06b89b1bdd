package collect_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/flow/collect"
)

// crowd is a connection that gives datagrams of a device that has been known for minutes
// and, between each two of them, a thousand of another.
type crowd struct {
	net.PacketConn
	t      *testing.T
	from   []netip.AddrPort
	text   []byte
	end    context.CancelFunc
	paused chan struct{}
}

func (*crowd) SetReadDeadline(time.Time) error { return nil }

func (c *crowd) ReadFrom(b []byte) (int, net.Addr, error) {
	if len(c.from) == 0 {
		<-c.paused
		c.end()
		return 0, nil, context.DeadlineExceeded
	}
	from := c.from[0]
	c.from = c.from[1:]
	return copy(b, c.text), net.UDPAddrFromAddrPort(from), nil
}

// TestCrowd: the socket is read however slowly flows are told, and who sends more than can
// be worked off takes nothing from others that have been known for a minute, or that are
// allowed by name.
func TestCrowd(t *testing.T) {
	t.Parallel()
	for name, allow := range map[string]string{"known": "0.0.0.0/0", "named": "192.0.2.1/32"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crowded(t, netip.MustParsePrefix(allow))
		})
	}
}

// crowded allows one of two exporters by a prefix.
func crowded(t *testing.T, allow netip.Prefix) {
	t.Helper()
	quiet, loud := netip.MustParseAddrPort("192.0.2.1:2055"), netip.MustParseAddrPort("198.51.100.1:2055")
	const rounds, each = 20, 2500
	var from []netip.AddrPort
	for range rounds {
		from = append(from, quiet)
		for range each {
			from = append(from, loud)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all := make(chan struct{})
	conn := &crowd{t: t, from: from, text: bytesOf(t, biflow10), end: cancel, paused: make(chan struct{})}
	r := collect.NewReceiver(collect.ReceiverOptions{Allow: []netip.Prefix{allow, netip.MustParsePrefix("198.51.100.0/24")}, Rate: 1 << 20})
	if !allow.IsSingleIP() {
		r.Know(time.Now(), quiet.Addr(), loud.Addr())
	}
	told := map[netip.Addr]int{}
	first := true
	err := r.Serve(ctx, conn, func(x *collect.Record) {
		if first { // Nothing is told before all is read.
			first = false
			close(conn.paused)
			<-ctx.Done()
			close(all)
		}
		told[x.Exporter]++
	})
	if err != nil {
		t.Fatal(err)
	}
	<-all
	s := r.Stats()
	perDatagram := told[quiet.Addr()] / rounds
	if perDatagram == 0 || told[quiet.Addr()] != perDatagram*rounds || s.Crowded == 0 || uint64(told[loud.Addr()]/perDatagram)+s.Crowded != rounds*each {
		t.Errorf("told %v: %+v", told, s)
	}
}

// TestConnectionsAreShared: who holds all connections makes room for another exporter.
func TestConnectionsAreShared(t *testing.T) { // not beside others, whose goroutines it would see
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := collect.NewReceiver(collect.ReceiverOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, MaxConnections: 4})
	served, told := make(chan error, 1), make(chan netip.Addr, 16)
	go func() {
		served <- r.ServeStream(ctx, l, func(x *collect.Record) {
			told <- x.Exporter
			cancel()
		})
	}()
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	for range 6 {
		_, _ = dial("127.0.0.2").Write([]byte{0, 10, 0, 16})
	}
	other := dial("127.0.0.3")
	if _, err := other.Write(bytesOf(t, biflow10)); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(10*time.Second, cancel).Stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	select {
	case who := <-told:
		if who != netip.MustParseAddr("127.0.0.3") {
			t.Errorf("flows of %s", who)
		}
	default:
		t.Errorf("no flow of the other: %+v", r.Stats())
	}
}
