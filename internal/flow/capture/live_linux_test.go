package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLiveFramesSentAreSeen(t *testing.T) {
	a, b := newNamespaces(t)
	out, in := a.open(Options{Interface: "a0", Filter: only(experimental)})[0], b.open(Options{Interface: "b0", Filter: only(experimental), Promiscuous: true})[0]
	send := a.sender("a0")
	const frames = 5000
	for i := range uint32(frames) {
		if err := send.send(testFrame(i, 60+int(i%1400))); err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range map[string]Source{"sent": out, "received": in} {
		next := uint32(0)
		untilQuiet(t, s, func(f *packet.Frame) {
			if want := testFrame(next, 60+int(next%1400)); !bytes.Equal(f.Data, want) || int(f.Wire) != len(want) || f.Link != packet.LinkEthernet || f.Time == 0 {
				t.Errorf("%s: frame %d is not as it was sent: %d bytes of %d", name, next, len(f.Data), f.Wire)
			}
			next++
		})
		if st := s.Stats(); next != frames || st.Frames != frames || st.Dropped != 0 {
			t.Errorf("%s: %d frames seen, stats %+v", name, next, st)
		}
	}
}

func TestLiveSnap(t *testing.T) {
	a, b := newNamespaces(t)
	in := b.open(Options{Interface: "b0", Snap: 64, Filter: only(experimental)})[0]
	if err := a.sender("a0").send(testFrame(1, 1000)); err != nil {
		t.Fatal(err)
	}
	n := 0
	untilQuiet(t, in, func(f *packet.Frame) {
		n++
		if len(f.Data) != 64 || f.Wire != 1000 {
			t.Errorf("%d bytes of %d", len(f.Data), f.Wire)
		}
	})
	if n != 1 {
		t.Errorf("%d frames", n)
	}
}

func TestLiveDropsAreCounted(t *testing.T) {
	a, b := newNamespaces(t)
	in := b.open(Options{Interface: "b0", Blocks: 2, Filter: only(experimental)})[0]
	send := a.sender("a0")
	const frames = 3000
	for i := range uint32(frames) {
		if err := send.send(testFrame(i, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	seen := uint64(0)
	untilQuiet(t, in, func(*packet.Frame) { seen++ })
	st := in.Stats()
	if st.Dropped == 0 || st.Frozen == 0 || seen+st.Dropped != frames {
		t.Errorf("%d frames sent, %d seen, stats %+v", frames, seen, st)
	}
}

func TestLiveVLANTag(t *testing.T) {
	a, b := newNamespaces(t)
	in := b.open(Options{Interface: "b0"})[0]
	send := a.sender("a0")
	for _, tpid := range []uint16{unix.ETH_P_8021Q, unix.ETH_P_8021AD} {
		plain := testFrame(7, 100)
		tagged := append(bytes.Clone(plain[:12]), byte(tpid>>8), byte(tpid), 0x60, 42)
		tagged = append(tagged, plain[12:]...)
		if err := send.send(tagged); err != nil {
			t.Fatal(err)
		}
		n := 0
		untilQuiet(t, in, func(f *packet.Frame) {
			if len(f.Data) < 18 || binary.BigEndian.Uint16(f.Data[12:]) != tpid {
				return
			}
			n++
			if !bytes.Equal(f.Data, tagged) || int(f.Wire) != len(tagged) {
				t.Errorf("got  %x (%d)\nwant %x", f.Data, f.Wire, tagged)
			}
		})
		if n != 1 {
			t.Errorf("%d frames with tag %#x", n, tpid)
		}
	}
}

// TestLiveSegments: with segmentation left to the card, frames count as many segments
// as the kernel says that it sent.
func TestLiveSegments(t *testing.T) {
	a, b := newNamespaces(t)
	before := a.outSegments()
	s := a.open(Options{Interface: "a0", Snap: 256, Blocks: 64})[0]
	transfer(t, a, b, 20<<20)

	var d packet.Decoder
	var p packet.Packet
	segments, payload := uint64(0), uint64(0)
	untilQuiet(t, s, func(f *packet.Frame) {
		if err := d.Decode(f, &p); err != nil {
			t.Error(err)
		}
		if p.Protocol == unix.IPPROTO_TCP && p.Src[15] == 1 {
			segments += uint64(p.Segments)
			payload += uint64(p.PayloadBytes)
		}
	})
	st := s.Stats()
	t.Logf("%d segments in frames, of %d by the kernel, %+v", segments, a.outSegments()-before, st)
	if !st.SegmentsKnown {
		t.Skip("this kernel does not tell of segments in a ring of version 3")
	}
	if st.Dropped != 0 {
		t.Skipf("the kernel dropped %d frames, so that there is nothing to compare", st.Dropped)
	}
	if want := a.outSegments() - before; segments != want || st.Offloaded == 0 || payload < 20<<20 {
		t.Errorf("%d segments counted, %d sent; %d bytes of payload; %+v", segments, want, payload, st)
	}
}

// transfer sends bytes by TCP from one namespace to the other.
func transfer(t *testing.T, a, b *namespace, size int) {
	t.Helper()
	var l net.Listener
	if err := b.do(func() (err error) {
		l, err = net.Listen("tcp", "192.0.2.2:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	end := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(io.Discard, c)
			err = errors.Join(err, c.Close())
		}
		end <- err
	}()
	err := a.do(func() error {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		if _, err := c.Write(make([]byte, size)); err != nil {
			return errors.Join(err, c.Close())
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			return errors.Join(err, c.Close())
		}
		_, err = io.Copy(io.Discard, c) // until the other has all
		return errors.Join(err, c.Close())
	})
	if err := errors.Join(err, <-end); err != nil {
		t.Fatal(err)
	}
}

// outSegments is how many TCP segments the kernel sent in the namespace: OutSegs does
// not count those sent again (RFC 4022).
func (n *namespace) outSegments() uint64 {
	n.t.Helper()
	var table []byte
	if err := n.do(func() (err error) {
		table, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	}); err != nil {
		n.t.Fatal(err)
	}
	var names, values []string
	for line := range strings.Lines(string(table)) {
		if strings.HasPrefix(line, "Tcp: ") {
			names, values = values, strings.Fields(line)
		}
	}
	sum := uint64(0)
	for i, name := range names {
		if name != "OutSegs" && name != "RetransSegs" {
			continue
		}
		var v uint64
		if _, err := fmt.Sscan(values[i], &v); err != nil {
			n.t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// TestLiveFanout: both directions of a flow come to the same source.
func TestLiveFanout(t *testing.T) {
	a, b := newNamespaces(t)
	sources := b.open(Options{Interface: "b0", Fanout: 2, Filter: only(unix.ETH_P_IP)})
	there, back := a.sender("a0"), b.sender("b0")
	const flows = 200
	udp := func(from, to byte, port uint16, fromPort bool) []byte {
		f := make([]byte, 60)
		copy(f, []byte{2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, from, 192, 0, 2, to, 0, 53, 0, 53, 0, 20})
		at := 36
		if fromPort {
			at = 34
		}
		binary.BigEndian.PutUint16(f[at:], port)
		return f
	}
	for i := range uint16(flows) {
		if err := errors.Join(there.send(udp(10, 11, 40000+i, true)), back.send(udp(11, 10, 40000+i, false))); err != nil {
			t.Fatal(err)
		}
	}
	var d packet.Decoder
	var p packet.Packet
	seen := map[uint16][2]int{}
	for i, s := range sources {
		n := 0
		untilQuiet(t, s, func(f *packet.Frame) {
			if d.Decode(f, &p) != nil || p.Protocol != unix.IPPROTO_UDP || p.SrcPort != 53 && p.DstPort != 53 {
				return
			}
			counts := seen[max(p.SrcPort, p.DstPort)]
			counts[i]++
			seen[max(p.SrcPort, p.DstPort)] = counts
			n++
		})
		if n < flows/10 {
			t.Errorf("source %d has only %d frames", i, n)
		}
	}
	for port, counts := range seen {
		if counts != [2]int{2, 0} && counts != [2]int{0, 2} {
			t.Errorf("flow of port %d: %v frames", port, counts)
		}
	}
	if len(seen) != flows {
		t.Errorf("%d flows of %d", len(seen), flows)
	}
}

// TestLiveLoopback: a packet to oneself counts once.
func TestLiveLoopback(t *testing.T) {
	n := newNamespace(t)
	n.ip("link", "set", "lo", "up")
	s := n.open(Options{Interface: "lo"})[0]
	if err := n.do(func() error {
		c, err := net.Dial("udp", "127.0.0.1:9")
		if err != nil {
			return err
		}
		for range 10 {
			_, _ = c.Write([]byte("hello")) // later ones hear that nobody listens
		}
		return c.Close()
	}); err != nil {
		t.Fatal(err)
	}
	var d packet.Decoder
	var p packet.Packet
	seen := map[string]int{}
	untilQuiet(t, s, func(f *packet.Frame) {
		if d.Decode(f, &p) == nil && p.Protocol == unix.IPPROTO_UDP {
			seen[string(p.Payload)]++
		}
	})
	var sent int
	if err := n.do(func() error {
		table, err := os.ReadFile("/proc/thread-self/net/snmp")
		for line := range strings.Lines(string(table)) {
			var in, noPorts, inErrors int
			if _, err := fmt.Sscanf(line, "Udp: %d %d %d %d", &in, &noPorts, &inErrors, &sent); err == nil {
				break
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if seen["hello"] != sent || sent == 0 {
		t.Errorf("%d packets seen, %d sent", seen["hello"], sent)
	}
}

func TestLiveInterfaceDown(t *testing.T) {
	_, b := newNamespaces(t)
	s := b.open(Options{Interface: "b0"})[0]
	untilQuiet(t, s, func(*packet.Frame) {})
	b.ip("link", "set", "b0", "down")
	var f packet.Frame
	err := s.Next(&f)
	for err == nil || errors.Is(err, ErrQuiet) {
		err = s.Next(&f)
	}
	if !errors.Is(err, ErrInterfaceDown) || !strings.Contains(err.Error(), "b0") {
		t.Error(err)
	}
	err = b.do(func() error {
		_, err := Open(Options{Interface: "b0"})
		return err
	})
	if !errors.Is(err, ErrInterfaceDown) {
		t.Errorf("opened while down: %v", err)
	}
}

// TestFollow: what happens to interfaces and the default route is heard of.
func TestFollow(t *testing.T) {
	a, _ := newNamespaces(t)
	heard := make(chan Interface)
	follow := func(wanted string) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() {
			end <- a.do(func() error {
				return Follow(ctx, wanted, func(i Interface) {
					select {
					case heard <- i:
					case <-ctx.Done():
					}
				})
			})
		}()
		return func() {
			cancel()
			if err := <-end; err != nil {
				t.Error(err)
			}
		}
	}
	await := func(what, name string, up bool) {
		t.Helper()
		for i := range heard {
			if i.Name == name && i.Up == up {
				return
			}
			t.Logf("%s: %+v first", what, i)
		}
	}

	stop := follow("a0")
	await("at the start", "a0", true)
	a.ip("link", "set", "a0", "down")
	await("down", "a0", false)
	a.ip("link", "set", "a0", "name", "other")
	await("renamed", "", false)
	a.ip("link", "set", "other", "name", "a0")
	await("returned", "a0", false)
	a.ip("link", "set", "a0", "up")
	await("up", "a0", true)
	stop()

	stop = follow(Auto)
	await("without a default route", "a0", true)
	a.ip("link", "add", "x0", "type", "veth", "peer", "name", "x1")
	a.ip("link", "set", "x0", "up")
	a.ip("route", "add", "default", "dev", "x0", "metric", "50")
	await("the default route appears", "x0", true)
	a.ip("route", "add", "default", "via", "192.0.2.2", "metric", "10")
	await("a better route", "a0", true)
	a.ip("link", "delete", "a0")
	await("it is gone", "x0", true)
	a.ip("link", "delete", "x0")
	await("all are gone", "", false)
	stop()
}

func TestFindNone(t *testing.T) {
	n := newNamespace(t)
	for wanted, text := range map[string]string{Auto: "there is only lo", "eth7": "no interface eth7"} {
		err := n.do(func() error {
			_, err := Open(Options{Interface: wanted})
			return err
		})
		var none *NoInterfaceError
		if !errors.As(err, &none) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", wanted, err)
		}
	}
}

// TestPrivilege: without the right the error names it, and the command.
func TestPrivilege(t *testing.T) {
	n := newNamespace(t)
	n.ip("link", "set", "lo", "up")
	err := n.do(func() error {
		none := [2]unix.CapUserData{}
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			return err
		}
		_, err := Open(Options{Interface: "lo"})
		return err
	})
	var lacks *PrivilegeError
	if !errors.As(err, &lacks) || lacks.Needs != "CAP_NET_RAW" || !strings.Contains(err.Error(), "NET_RAW") || !errors.Is(err, unix.EPERM) {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Snap: 10}, {Snap: MaxSnap + 1}, {Blocks: 1}, {Blocks: 1 << 20}, {Fanout: -1}, {Fanout: 65}} {
		if _, err := Open(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
