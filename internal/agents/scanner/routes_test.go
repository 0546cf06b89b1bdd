package scanner

import (
	"net/netip"
	"strings"
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/probe"
)

// linkTexts writes links as "traceroute 10.0.0.1 over …".
func linkTexts(links []*pb.DeviceLink) string {
	out := make([]string, 0, len(links))
	for _, l := range links {
		text := l.GetSource() + " " + l.GetIp()
		if l.GetMac() != "" {
			text += " at " + l.GetMac()
		}
		out = append(out, strings.TrimSpace(text+" "+l.GetDescription()))
	}
	return strings.Join(out, ", ")
}

// TestRouteLinks: hosts are linked with the last router on the way, routers with those
// before them, and nothing is made up of what did not answer.
func TestRouteLinks(t *testing.T) {
	a := &Agent{cfg: DefaultConfig()}
	at := netip.MustParseAddr
	here, host := at("192.0.2.9"), at("198.51.100.7")
	first, third := scan.Hop{TTL: 1, IP: at("192.0.2.1")}, scan.Hop{TTL: 3, IP: at("203.0.113.1")}
	public := scan.Hop{TTL: 2, IP: at("9.9.9.9")}
	local, tunnel := scan.Hop{TTL: 1, IP: at("fe80::1%a0"), MAC: probe.MAC{2, 0, 0, 0, 0, 1}}, scan.Hop{TTL: 1, IP: at("fe80::1%wg0")}
	for name, c := range map[string]struct {
		route      scan.Route
		host, hops string
	}{
		"all answer":           {scan.Route{From: here, Hops: []scan.Hop{first, {TTL: 2, IP: at("203.0.113.9")}}, Length: 2}, "traceroute 203.0.113.9", "192.0.2.1: traceroute 192.0.2.9; 203.0.113.9: traceroute 192.0.2.1"},
		"the second does not":  {scan.Route{From: here, Hops: []scan.Hop{first, third}, Length: 3}, "traceroute 203.0.113.1", "192.0.2.1: traceroute 192.0.2.9; 203.0.113.1: traceroute 192.0.2.1 over a router that does not answer"},
		"the last ones do not": {scan.Route{From: here, Hops: []scan.Hop{first}, Length: 4}, "traceroute 192.0.2.1 over 3 routers that do not answer", "192.0.2.1: traceroute 192.0.2.9"},
		"the host does not":    {scan.Route{From: here, Hops: []scan.Hop{first, third}}, "", "192.0.2.1: traceroute 192.0.2.9; 203.0.113.1: traceroute 192.0.2.1 over a router that does not answer"},
		"a router of others":   {scan.Route{From: here, Hops: []scan.Hop{first, public}, Length: 2}, "", "192.0.2.1: traceroute 192.0.2.9"},
		"one of a segment":     {scan.Route{From: here, Hops: []scan.Hop{local}, Length: 1}, "traceroute fe80::1 at 02:00:00:00:00:01", "fe80::1: traceroute 192.0.2.9"},
		"one of a tunnel":      {scan.Route{From: here, Hops: []scan.Hop{tunnel}, Length: 1}, "", ""},
		"one behind a tunnel":  {scan.Route{From: here, Hops: []scan.Hop{tunnel, third}, Length: 3}, "traceroute 203.0.113.1", "203.0.113.1: traceroute 192.0.2.9 over 2 routers that do not answer"},
		"no way":               {scan.Route{}, "", ""},
	} {
		r := &round{told: map[[2]netip.Addr]bool{}}
		h := &scan.Host{IP: host, Route: c.route}
		if got := linkTexts(a.linksOf(h)); got != c.host {
			t.Errorf("%s: the host has %q, want %q", name, got, c.host)
		}
		var hops []string
		for _, d := range a.hopsOf(r, h) {
			hops = append(hops, d.GetIp()[0]+": "+linkTexts(d.GetLinks()))
		}
		if got := strings.Join(hops, "; "); got != c.hops {
			t.Errorf("%s: the routers have %q, want %q", name, got, c.hops)
		}
		if again := a.hopsOf(r, h); len(again) != 0 {
			t.Errorf("%s: told again in one round: %v", name, again)
		}
	}
}

// TestSegmentLink: a neighbour is linked with the router of its own network alone.
func TestSegmentLink(t *testing.T) {
	routers := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	networks := []netip.Prefix{netip.MustParsePrefix("198.51.100.2/24"), netip.MustParsePrefix("192.0.2.9/24")}
	for ip, want := range map[string]string{"192.0.2.7": "arp 192.0.2.1", "192.0.2.1": "", "198.51.100.7": "", "no address": "", "2001:db8::1": ""} {
		d := &pb.DeviceInventory{Ip: []string{ip}}
		if addRouter(d, routers, networks); linkTexts(d.GetLinks()) != want {
			t.Errorf("%s: %q, want %q", ip, linkTexts(d.GetLinks()), want)
		}
	}
}
