package scan

import (
	"fmt"
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

// TestScanIPv6 finds neighbours by their addresses, and all of a subnet that is too wide
// to be swept.
func TestScanIPv6(t *testing.T) {
	if testing.Short() {
		t.Skip("a lab of namespaces; -short leaves it out")
	}
	t.Parallel()
	a, b := newNamespace(t), newNamespace(t)
	a.ip("link add a0 type veth peer name b0", fmt.Sprintf("link set b0 netns /proc/%d/fd/%d", os.Getpid(), b.file.Fd()),
		"address add 2001:db8::fe/64 dev a0 nodad", "link set lo up", "link set a0 up")
	b.ip("address add 2001:db8::1/64 dev b0 nodad", "address add 2001:db8::2/64 dev b0 nodad", "link set lo up", "link set b0 up")
	b.do(func() error {
		s, err := net.Listen("tcp", "[2001:db8::2]:80")
		if err == nil {
			t.Cleanup(func() { s.Close() })
		}
		return err
	})
	for _, c := range []struct {
		targets string
		hosts   []string
	}{
		{"2001:db8::1-2001:db8::20", []string{"2001:db8::1", "2001:db8::2"}},
		{"2001:db8::/64", nil}, // a host answers from one of its addresses
	} {
		r := scanFrom(t, a, order{Targets: c.targets, Ports: "70-90"})
		if got := addresses(r); c.hosts != nil && !slices.Equal(got, c.hosts) || c.hosts == nil && len(got) == 0 {
			t.Errorf("%s: %v", c.targets, got)
		}
		for _, h := range r.Hosts {
			open := h.IP.String() == "2001:db8::2"
			if h.How[0] == "self" {
				continue
			}
			if len(h.MAC) != 6 || !slices.Contains(h.How, "ndp") || open != (len(h.Ports) == 1) || h.Closed+len(h.Ports) != 21 || h.Stack == nil {
				t.Errorf("%+v", h)
			}
		}
	}
}

// TestScanBeyond finds hosts and ports behind a router, of which some answer no ping.
func TestScanBeyond(t *testing.T) {
	if testing.Short() {
		t.Skip("a lab of namespaces; -short leaves it out")
	}
	t.Parallel()
	l := newLab(t, 3)
	l.scanner.ip("route add 10.78.0.0/24 via " + l.host(0))
	l.subnet.ip("address add 10.78.0.1/32 dev lo", "address add 10.78.0.2/32 dev lo", "address add 10.78.0.3/32 dev lo",
		"rule add from 10.78.0.2 ipproto icmp blackhole", "rule add from 10.78.0.3 blackhole", "route add unreachable 10.78.0.0/24")
	l.listen("10.78.0.1:22", "10.78.0.2:22")
	r := l.scan(order{Targets: "10.78.0.0/29", Ports: "1-30"})
	same(t, "hosts", addresses(r), []string{"10.78.0.1", "10.78.0.2"})
	same(t, "open", opens(r), []string{"10.78.0.1:22", "10.78.0.2:22"})
	for _, h := range r.Hosts {
		if h.MAC != nil || h.Closed != 29 {
			t.Errorf("%+v", h)
		}
	}
	r = l.scan(order{Targets: "10.78.0.0/29", Ports: "22,80", NoPing: true})
	same(t, "hosts without a ping", addresses(r), []string{"10.78.0.1", "10.78.0.2"})
	same(t, "open without a ping", opens(r), []string{"10.78.0.1:22", "10.78.0.2:22"})

	// One that speaks of its ports of UDP alone.
	l.subnet.do(func() error { return os.WriteFile("/proc/sys/net/ipv4/icmp_echo_ignore_all", []byte("1"), 0) })
	l.subnet.ip("address add 10.78.0.4/32 dev lo", "rule add from 10.78.0.4 ipproto tcp blackhole")
	r = l.scan(order{Targets: "10.78.0.4", Ports: "22"})
	if len(r.Hosts) != 1 || !slices.Equal(r.Hosts[0].How, []string{"udp"}) || len(r.Hosts[0].Ports) != 0 {
		t.Errorf("by UDP alone: %+v", r.Hosts)
	}

	// A way that leads to nobody, and no way at all.
	l.scanner.ip("route add 10.79.0.0/24 via 10.77.99.99")
	if r = l.scan(order{Targets: "10.79.0.0/28, 10.80.0.1", Ports: "22"}); len(r.Hosts) != 0 {
		t.Errorf("%+v", r.Hosts)
	}
}

// TestScanUDP finds services that answer by UDP from the port that was asked, and names
// that hosts give themselves.
func TestScanUDP(t *testing.T) {
	if testing.Short() {
		t.Skip("a lab of namespaces; -short leaves it out")
	}
	t.Parallel()
	l := newLab(t, 3)
	serve := func(address string, answer func([]byte) []byte) {
		l.subnet.do(func() error {
			c, err := net.ListenPacket("udp4", address)
			if err != nil {
				return err
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				b := make([]byte, 2048)
				for {
					n, from, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					_, _ = c.WriteTo(answer(b[:n]), from)
				}
			}()
			t.Cleanup(func() {
				c.Close()
				<-done
			})
			return nil
		})
	}
	serve(l.host(0)+":123", func([]byte) []byte { return make([]byte, 48) })
	serve(l.host(1)+":137", func([]byte) []byte { return netBIOSReply("PRINTER7") })
	began := time.Now()
	r := l.scan(order{Targets: l.targets(), UDP: "53,123,161", Names: true})
	same(t, "open", opens(r), []string{l.host(0) + ":123"})
	for _, h := range r.Hosts {
		switch h.IP.String() {
		case l.host(0):
			if len(h.Ports[0].Reply) != 48 || h.Ports[0].Protocol != "udp" || !slices.Contains(h.How, "udp") {
				t.Errorf("%+v", h)
			}
		case l.host(1):
			if !slices.Contains(h.Names, Name{"PRINTER7", "netbios"}) {
				t.Errorf("%+v", h)
			}
		}
	}
	t.Logf("in %s", time.Since(began))
}

// TestScanUnprivileged finds the same by connections.
func TestScanUnprivileged(t *testing.T) {
	if testing.Short() {
		t.Skip("a lab of namespaces; -short leaves it out")
	}
	t.Parallel()
	l := newLab(t, 3)
	l.listen(l.host(0)+":22", l.host(2)+":80")
	r := l.scan(order{Targets: l.targets(), Ports: "1-100", Method: Connect})
	same(t, "hosts", addresses(r), []string{l.host(0), l.host(1), l.host(2)})
	same(t, "open", opens(r), []string{l.host(0) + ":22", l.host(2) + ":80"})
	if r.Progress.Method != Connect || r.Progress.Left != 0 || r.Hosts[0].MAC.String() != "02:00:00:00:00:0b" {
		t.Errorf("%+v, %+v", r.Progress, r.Hosts[0])
	}
	// Addresses of the scanner itself, which it cannot reach by its cable.
	r = l.scan(order{Targets: "10.77.255.254", Ports: "1-100"})
	if len(r.Hosts) != 1 || r.Hosts[0].How[0] != "self" || r.Hosts[0].Closed != 100 {
		t.Errorf("%+v", r.Hosts)
	}
}
