package devices

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on a topology: more cannot be drawn.
const (
	maxNodes = 2000
	maxHops  = 2
	maxEdges = 10_000
)

// Topology implements pb.DevicesServer: links that LLDP, CDP or a route tell, and the
// ports of switches that devices are plugged into; of devices of which neither is known,
// that they are on the segment of a router. Where both ends tell of one link it is there
// once.
func (in *Inventory) Topology(ctx context.Context, req *pb.TopologyRequest) (*pb.TopologyResponse, error) {
	end, err := in.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	in.mu.Lock()
	defer in.mu.Unlock()
	g := in.graph()
	keep := slices.Collect(maps.Keys(g.near))
	if text := req.GetDeviceUid(); text != "" {
		found := in.state.book.Find(text)
		if len(found) == 0 {
			return nil, status.Error(codes.NotFound, notFound(text, nil))
		}
		keep = g.around(found[0].GetUid())
	}
	return in.draw(g, keep), nil
}

// graph is who is linked with whom, by uid.
type graph struct {
	near  map[string]map[string]bool
	links map[[2]string][]*pb.TopologyLink // by both ends, the smaller uid first
	n     int
}

// graph makes the graph of all devices. The caller holds mu.
func (in *Inventory) graph() *graph {
	g := &graph{near: map[string]map[string]bool{}, links: map[[2]string][]*pb.TopologyLink{}}
	var segment []*pb.TopologyLink // they say least
	for d := range in.state.book.Devices() {
		uid := d.GetUid()
		for _, l := range d.GetLinks() {
			other := in.otherEnd(uid, l)
			if other == "" {
				continue
			}
			link := &pb.TopologyLink{FromUid: uid, ToUid: other, FromPort: l.GetPort(), ToPort: l.GetRemotePort(), Source: l.GetSource()}
			switch link.GetSource() {
			case sourceARP:
				segment = append(segment, link)
			case sourceRoute:
				link.Description = l.GetDescription()
				g.add(link)
			default:
				g.add(link)
			}
		}
		for _, p := range d.GetPlugged() {
			if p.GetUntilTime() != nil {
				continue
			}
			if other := in.one(p.GetDeviceUid(), p.GetDeviceIp()); other != "" {
				g.add(&pb.TopologyLink{FromUid: uid, ToUid: other, ToPort: p.GetPort(), Source: p.GetSource()})
			}
		}
	}
	known := maps.Clone(g.near)
	for _, l := range segment {
		if known[l.GetFromUid()] == nil {
			g.add(l)
		}
	}
	return g
}

// Sources of links that scanners tell of.
const (
	sourceARP   = "arp"
	sourceRoute = "traceroute"
)

// otherEnd is the uid of a neighbour of a device; empty where it is not known. Routers that
// are told by their addresses alone are sought among what the observers of the device saw, as
// networks elsewhere may have the same addresses: by that of Ethernet first, as each segment
// may have a link-local one of IPv6.
func (in *Inventory) otherEnd(of string, l *pb.DeviceLink) string {
	if l.GetSource() == sourceARP || l.GetSource() == sourceRoute {
		for _, text := range []string{l.GetMac(), l.GetIp()} {
			if text == "" {
				continue
			}
			near := slices.DeleteFunc(slices.Clone(in.state.book.Find(text)), func(d *pb.DeviceInventory) bool { return !in.seenTogether(of, d.GetUid()) })
			if len(near) == 1 {
				return near[0].GetUid()
			}
		}
		return ""
	}
	return in.one(l.GetDeviceUid(), l.GetMac(), l.GetIp(), l.GetName())
}

// seenTogether reports whether agents of one host saw both of two devices.
func (in *Inventory) seenTogether(a, b string) bool {
	site := func(observer string) string { host, _, _ := strings.Cut(observer, "/"); return host }
	others := in.state.book.Observers(b)
	return slices.ContainsFunc(in.state.book.Observers(a), func(x string) bool {
		return slices.ContainsFunc(others, func(y string) bool { return site(x) == site(y) })
	})
}

// one is the uid of the first device that one of the texts names alone.
func (in *Inventory) one(texts ...string) string {
	for _, t := range texts {
		if t == "" {
			continue
		}
		if found := in.state.book.Find(t); len(found) == 1 {
			return found[0].GetUid()
		}
	}
	return ""
}

// add adds a link, unless it is there already, told by its other end or by a worse
// source. What two ends say of one link is joined.
func (g *graph) add(l *pb.TopologyLink) {
	if l.GetFromUid() == l.GetToUid() || g.n >= maxEdges {
		return
	}
	if l.GetFromUid() > l.GetToUid() {
		l.FromUid, l.ToUid, l.FromPort, l.ToPort = l.GetToUid(), l.GetFromUid(), l.GetToPort(), l.GetFromPort()
	}
	key := [2]string{l.GetFromUid(), l.GetToUid()}
	for _, old := range g.links[key] {
		if alike(old.GetFromPort(), l.GetFromPort()) && alike(old.GetToPort(), l.GetToPort()) {
			old.FromPort, old.ToPort = cmp.Or(old.GetFromPort(), l.GetFromPort()), cmp.Or(old.GetToPort(), l.GetToPort())
			if sureness(l.GetSource()) > sureness(old.GetSource()) {
				old.Source, old.Description = l.GetSource(), l.GetDescription()
			}
			return
		}
	}
	g.links[key] = append(g.links[key], l)
	g.n++
	for _, ends := range [][2]string{key, {key[1], key[0]}} {
		if g.near[ends[0]] == nil {
			g.near[ends[0]] = map[string]bool{}
		}
		g.near[ends[0]][ends[1]] = true
	}
}

// alike says that two names of a port may be of one: one end often does not know the
// other's.
func alike(a, b string) bool { return a == "" || b == "" || strings.EqualFold(a, b) }

// sureness orders the sources of links.
func sureness(source string) int {
	return slices.Index([]string{sourceARP, sourceRoute, "fdb", "cdp", "lldp"}, source)
}

// around are the devices within maxHops links of one.
func (g *graph) around(uid string) []string {
	seen := map[string]bool{uid: true}
	edge := []string{uid}
	for range maxHops {
		var next []string
		for _, at := range edge {
			for other := range g.near[at] {
				if !seen[other] {
					seen[other] = true
					next = append(next, other)
				}
			}
		}
		edge = next
	}
	return slices.Collect(maps.Keys(seen))
}

// draw makes the answer of the devices to keep: those with the most links where there
// are too many.
func (in *Inventory) draw(g *graph, keep []string) *pb.TopologyResponse {
	slices.SortFunc(keep, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(g.near[b]), len(g.near[a])), strings.Compare(a, b))
	})
	resp := &pb.TopologyResponse{}
	if n := len(keep) - maxNodes; n > 0 {
		keep, resp.LeftOut = keep[:maxNodes], uint32(n)
	}
	shown := make(map[string]bool, len(keep))
	now := in.o.Now()
	for _, uid := range keep {
		if found := in.state.book.Find(uid); len(found) > 0 {
			d := found[0]
			n := &pb.TopologyNode{DeviceUid: uid, Name: nameOf(d), DeviceClass: d.GetDeviceClass(), Up: in.isUp(d)}
			if len(d.GetIp()) > 0 {
				n.Ip = d.GetIp()[0]
			}
			if m := in.state.more[uid]; m != nil {
				n.Findings = m.found.count(now)
			}
			resp.Nodes = append(resp.Nodes, n)
			shown[uid] = true
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(g.links), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		if shown[key[0]] && shown[key[1]] {
			resp.Links = append(resp.Links, g.links[key]...)
		}
	}
	return resp
}

func nameOf(d *pb.DeviceInventory) string {
	texts := slices.Concat([]string{d.GetHostname()}, d.GetIp(), d.GetMac(), []string{d.GetUid()})
	return cmp.Or(texts...)
}
