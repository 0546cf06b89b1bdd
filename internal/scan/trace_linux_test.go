package scan

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/scan/probe"
)

// wayTo writes a way as "1:10.77.0.1 3:10.80.0.2 of 3".
func wayTo(r result, ip string) string {
	for _, h := range r.Hosts {
		if h.IP.String() != ip {
			continue
		}
		var out strings.Builder
		for _, hop := range h.Route.Hops {
			fmt.Fprintf(&out, "%d:%s ", hop.TTL, hop.IP)
		}
		return fmt.Sprintf("%sof %d from %s", out.String(), h.Route.Length, h.Route.From)
	}
	return "not found"
}

// chained joins namespaces by cables, each a router for those behind it: the scanner at
// 10.77.255.254, then 10.77.0.1, 10.81.0.1, 10.82.0.1, and hosts in 10.90.0.0/24 and
// 10.91.0.0/24 behind the last.
func chained(t *testing.T) (*lab, []*namespace) {
	t.Helper()
	l := newLab(t, 1)
	at := l.subnet
	routers := []*namespace{at}
	for i := 1; i <= 2; i++ {
		next := newNamespace(t)
		at.ip(fmt.Sprintf("link add c%d type veth peer name d%d", i, i), fmt.Sprintf("link set d%d netns /proc/%d/fd/%d", i, os.Getpid(), next.file.Fd()),
			fmt.Sprintf("address add 10.%d.0.254/24 dev c%d", 80+i, i), fmt.Sprintf("link set c%d up", i),
			fmt.Sprintf("route add 10.88.0.0/13 via 10.%d.0.1", 80+i))
		next.ip("link set lo up", fmt.Sprintf("address add 10.%d.0.1/24 dev d%d", 80+i, i), fmt.Sprintf("link set d%d up", i),
			fmt.Sprintf("route add default via 10.%d.0.254", 80+i))
		at, routers = next, append(routers, next)
	}
	l.subnet.ip("route add 10.82.0.0/24 via 10.81.0.1")
	l.scanner.ip("route add 10.80.0.0/12 via " + l.host(0))
	end := newNamespace(t)
	at.ip("link add e0 type veth peer name f0", fmt.Sprintf("link set f0 netns /proc/%d/fd/%d", os.Getpid(), end.file.Fd()),
		"address add 10.90.0.254/24 dev e0", "address add 10.91.0.254/24 dev e0", "link set e0 up")
	end.ip("link set lo up", "address add 10.90.0.1/24 dev f0", "address add 10.90.0.2/24 dev f0", "address add 10.91.0.1/24 dev f0", "link set f0 up",
		"route add default via 10.90.0.254")
	for _, r := range routers {
		r.do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
	}
	return l, append(routers, end)
}

// TestScanRoutes finds the routers on the way to hosts, those that answer nothing and
// those of several networks behind one among them.
func TestScanRoutes(t *testing.T) {
	if testing.Short() {
		t.Skip("a lab of namespaces; -short leaves it out")
	}
	t.Parallel()
	l, chain := chained(t)
	const all = "1:10.77.0.1 2:10.81.0.1 3:10.82.0.1 of 3 from 10.77.255.254"
	r := l.scan(order{Targets: "10.90.0.1-2, 10.91.0.1, 10.77.0.1", Ports: "22", Routes: true})
	for ip, want := range map[string]string{"10.90.0.1": all, "10.90.0.2": all, "10.91.0.1": all, "10.77.0.1": "of 0 from invalid IP", "10.90.0.3": "not found"} {
		if got := wayTo(r, ip); got != want {
			t.Errorf("%s: %s; want %s", ip, got, want)
		}
	}
	if r.Progress.Sent > 60 {
		t.Errorf("%d packets", r.Progress.Sent)
	}
	// The second router says nothing, and a host answers neither echoes nor datagrams.
	chain[1].ip("rule add iif lo to 10.77.255.254 blackhole")
	chain[3].ip("rule add from 10.90.0.2 ipproto icmp blackhole")
	r = l.scan(order{Targets: "10.90.0.1-2", Ports: "22", Routes: true})
	for ip, want := range map[string]string{
		"10.90.0.1": "1:10.77.0.1 3:10.82.0.1 of 3 from 10.77.255.254",
	} {
		if got := wayTo(r, ip); got != want {
			t.Errorf("%s: %s; want %s", ip, got, want)
		}
	}
	if got := wayTo(r, "10.90.0.2"); !strings.HasPrefix(got, "1:10.77.0.1 3:10.82.0.1 of ") {
		t.Errorf("the way to a host that answers nothing is %s", got)
	}
}

// TestRouteBegun: a first router that says nothing is that of the table of routes, and the
// way that others are compared with stays what was found; a tunnel has no such router.
func TestRouteBegun(t *testing.T) {
	t.Parallel()
	first, second := Hop{TTL: 2, IP: netip.MustParseAddr("10.0.2.1")}, Hop{TTL: 3, IP: netip.MustParseAddr("10.0.3.1")}
	known := Route{Length: 3, Hops: append(make([]Hop, 0, 8), first, second)}
	path := probe.Path{Gateway: netip.MustParseAddr("10.0.1.1"), Source: netip.MustParseAddr("10.0.1.7"), Interface: "a0"}
	mac := probe.MAC{2, 0, 0, 0, 0, 1}
	r := known.begun(path, mac)
	if want := []Hop{{TTL: 1, IP: path.Gateway, MAC: mac}, first, second}; !slices.Equal(r.Hops, want) || r.From != path.Source {
		t.Errorf("the way is %+v", r)
	}
	if !slices.Equal(known.Hops, []Hop{first, second}) || known.From.IsValid() {
		t.Errorf("what is known became %+v", known)
	}
	if r := known.begun(probe.Path{Source: path.Source}, probe.MAC{}); len(r.Hops) != 2 {
		t.Errorf("through a tunnel it is %+v", r)
	}
	if r := (Route{Hops: known.Hops}).begun(path, mac); len(r.Hops) != 2 {
		t.Errorf("a way of unknown length begins with %+v", r.Hops[0])
	}
	path.Gateway = netip.MustParseAddr("fe80::1")
	answered := Route{Length: 1, Hops: []Hop{{TTL: 1, IP: path.Gateway, RTT: 1}}}
	for name, r := range map[string]Route{"silent": known, "that answers": answered} {
		if got := r.begun(path, mac).Hops[0]; got.IP.String() != "fe80::1%a0" || got.MAC != mac || got.TTL != 1 {
			t.Errorf("a router %s of this segment alone is %+v", name, got)
		}
	}
	if answered.Hops[0].MAC == mac {
		t.Error("the way that others are compared with has changed")
	}
}
