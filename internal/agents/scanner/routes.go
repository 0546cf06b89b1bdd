package scanner

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan"
)

// Sources of links that this agent tells of.
const (
	byRoute = "traceroute"
	byARP   = "arp"
)

// linksOf are the links of a host that a scan found: with the last router on the way to it,
// or, on a segment of this host, with the router by which that reaches others.
func (a *Agent) linksOf(h *scan.Host) []*pb.DeviceLink {
	hops := h.Route.Hops
	if len(hops) == 0 {
		return a.neighbourLink(h.IP)
	}
	last := hops[len(hops)-1]
	if h.Route.Length == 0 || !a.ownUse(last.IP) || nameless(last) {
		return nil // how far it is from there is not known
	}
	return []*pb.DeviceLink{routeLink(last, h.Route.Length-last.TTL)}
}

// nameless reports a router that nothing tells from others: the address by which it answered
// is that of many, each on a segment of its own.
func nameless(hop scan.Hop) bool { return hop.IP.IsLinkLocalUnicast() && hop.MAC.IsZero() }

// routeLink is the link with the router before, over so many that did not answer.
func routeLink(before scan.Hop, silent int) *pb.DeviceLink {
	l := &pb.DeviceLink{Source: byRoute, Ip: before.IP.WithZone("").String(), Mac: macText(before)}
	switch {
	case silent == 1:
		l.Description = "over a router that does not answer"
	case silent > 1:
		l.Description = fmt.Sprintf("over %d routers that do not answer", silent)
	}
	return l
}

// macText is the Ethernet address of a router, empty where it is not known.
func macText(hop scan.Hop) string {
	if hop.MAC.IsZero() {
		return ""
	}
	return net.HardwareAddr(hop.MAC[:]).String()
}

// hopsOf are observations of the routers on the way to a host, each once in a round: what
// it is linked with, and that it passes on what others send. The first is linked with this
// host.
func (a *Agent) hopsOf(r *round, h *scan.Host) []*pb.DeviceInventory {
	var out []*pb.DeviceInventory
	before := scan.Hop{IP: h.Route.From}
	for _, hop := range h.Route.Hops {
		if !a.ownUse(hop.IP) {
			break // those of others are no devices of this network
		}
		if nameless(hop) {
			continue
		}
		key := [2]netip.Addr{hop.IP, before.IP}
		r.mu.Lock()
		told := r.told[key]
		r.told[key] = true
		r.mu.Unlock()
		if !told {
			d := &pb.DeviceInventory{
				Ip: []string{hop.IP.WithZone("").String()}, Sources: []string{byRoute}, DeviceClass: "router", Confidence: 0.6, Subnet: a.subnetOf(hop.IP),
				Evidence: []string{"passes packets on to other networks"}, Links: []*pb.DeviceLink{routeLink(before, hop.TTL-before.TTL-1)},
			}
			if mac := macText(hop); mac != "" {
				d.Mac = []string{mac}
			}
			out = append(out, d)
		}
		before = hop
	}
	return out
}

// ownUse reports whether an address is one of this network, or may be scanned all the same.
func (a *Agent) ownUse(ip netip.Addr) bool {
	plan := scan.Plan{Targets: scan.TargetsOf(netip.PrefixFrom(ip, ip.BitLen()))}
	return a.cfg.Discovery.AllowPublic || plan.Validate() == nil
}

// neighbourLink is the link of a host on a segment that is heard on with the router there.
func (a *Agent) neighbourLink(ip netip.Addr) []*pb.DeviceLink {
	for _, e := range a.ears {
		e.mu.Lock()
		on, routers := e.on, e.routers
		e.mu.Unlock()
		if router := onSegment(routers, prefixesOf(on), ip); router.IsValid() {
			return []*pb.DeviceLink{{Source: byARP, Ip: router.String()}}
		}
	}
	return nil
}

// onSegment is the router that has one of the networks of an interface in common with a
// neighbour; invalid where there is none, or the neighbour is that router.
func onSegment(routers []netip.Addr, networks []netip.Prefix, ip netip.Addr) netip.Addr {
	for _, r := range routers {
		if r != ip && slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(r) && p.Contains(ip) }) {
			return r
		}
	}
	return netip.Addr{}
}

// addRouter links a device that was heard with the router of its network.
func addRouter(d *pb.DeviceInventory, routers []netip.Addr, networks []netip.Prefix) {
	for _, text := range d.GetIp() {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		if r := onSegment(routers, networks, ip); r.IsValid() {
			d.Links = append(d.Links, &pb.DeviceLink{Source: byARP, Ip: r.String()})
			return
		}
	}
}
