// Package hear learns of devices from what they say unasked: ARP, neighbour discovery,
// DHCP, mDNS, SSDP, NetBIOS, LLDP and CDP. It sends nothing.
//
// A Listener is given the frames of one interface that Filter lets through. Each that
// tells something becomes a partial pb.DeviceInventory, and what does not fit together
// (two hosts at one address, one that claims the addresses of others, a second DHCP
// server) becomes a finding. Frames come from anyone on the segment: every field is
// bounded, what cannot be read is counted, and a fact is a claim, never a proof.
package hear

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"net/netip"
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/inventory/oui"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Filter selects, in the language of docs/filters.md, the frames that a Listener reads:
// few, so that the kernel wakes nobody for all else.
const Filter = "arp or ether proto 0x88cc or ether dst 01:00:0c:cc:cc:cc" +
	" or udp port 67 or udp port 68 or udp port 546 or udp port 547 or udp port 5353 or udp port 1900 or udp port 137" +
	" or (icmp6 and ip6[40] >= 133 and ip6[40] <= 137)"

// Options say where what is heard goes.
type Options struct {
	// Device is told what a frame says of a device. The message belongs to the callee.
	Device func(at time.Time, d *pb.DeviceInventory)
	// Finding is told of what does not fit together; nil looks for nothing.
	Finding func(*pb.Event)
	Config  Config
	// Interface is the name of ours, and Host that of this host, for links that switches
	// tell of.
	Interface, Host string
	// Gateways are the addresses of routers that this host uses.
	Gateways []netip.Addr
	// Same says that two MAC addresses are known to be of one device; nil knows nothing.
	Same func(mac, other string) bool
	// DHCPServers are those that are known from before.
	DHCPServers []Server
	// LearnUntil is until when servers are learnt, as Listener.LearnUntil told it before a
	// restart, in Unix seconds; 0 begins when the first one is heard, unless DHCPServers
	// has some.
	LearnUntil int64
}

// Stats are counts since a Listener was made.
type Stats struct {
	// Frames are those read, by protocol; Malformed those of them that could not be.
	Frames, Malformed map[string]uint64
	// Repeated are frames that said again what was said within the last seconds.
	Repeated uint64
	// Findings are those told, by kind; Suppressed those that max_per_minute held back.
	Findings   map[string]uint64
	Suppressed uint64
}

// Listener reads frames. One goroutine uses it.
type Listener struct {
	o       Options
	decoder packet.Decoder
	p       packet.Packet
	seed    maphash.Seed
	recent  map[uint64]int64 // hashes of frames, and when they came, ns
	watch   *watch
	stats   Stats
}

// New returns a Listener.
func New(o Options) *Listener {
	l := &Listener{
		o: o, seed: maphash.MakeSeed(), recent: map[uint64]int64{},
		stats: Stats{Frames: map[string]uint64{}, Malformed: map[string]uint64{}, Findings: map[string]uint64{}},
	}
	if o.Finding != nil && o.Config.Enabled {
		l.watch = newWatch(&l.o, &l.stats)
	}
	return l
}

// Stats returns the counts.
func (l *Listener) Stats() Stats {
	s := Stats{Frames: map[string]uint64{}, Malformed: map[string]uint64{}, Findings: map[string]uint64{}, Repeated: l.stats.Repeated, Suppressed: l.stats.Suppressed}
	for _, m := range [][2]map[string]uint64{{l.stats.Frames, s.Frames}, {l.stats.Malformed, s.Malformed}, {l.stats.Findings, s.Findings}} {
		maps.Copy(m[1], m[0])
	}
	return s
}

// Servers are the DHCP servers that were heard and are no finding, to be known after a
// restart.
func (l *Listener) Servers() []Server {
	if l.watch == nil {
		return nil
	}
	return l.watch.servers()
}

// LearnUntil is until when DHCP servers are learnt, in Unix seconds, to be known after a
// restart; 0 before the first one was heard.
func (l *Listener) LearnUntil() int64 {
	if l.watch == nil || l.watch.learnTo == 0 {
		return l.o.LearnUntil
	}
	return l.watch.learnTo / second
}

const (
	// again is after how long a frame that says the same is read again, in nanoseconds.
	again = int64(30 * time.Second)
	// maxRecent bounds what is remembered of frames.
	maxRecent = 8192
)

// repeated reports whether a frame with the same content came within the last seconds.
func (l *Listener) repeated(b []byte, at int64) bool {
	h := maphash.Bytes(l.seed, b)
	if last, is := l.recent[h]; is && at-last < again && at >= last {
		l.stats.Repeated++
		return true
	}
	if len(l.recent) >= maxRecent {
		clear(l.recent)
	}
	l.recent[h] = at
	return false
}

// Frame reads one frame.
func (l *Listener) Frame(f *packet.Frame) {
	src, kind, body, ok := ethernet(f)
	if !ok {
		return
	}
	at := time.Unix(0, f.Time)
	var name string
	var d *pb.DeviceInventory
	switch kind {
	case etherARP:
		name = "arp"
		a, sound := readARP(body)
		if !sound {
			l.stats.Malformed[name]++
			return
		}
		if l.watch != nil {
			l.watch.arp(src, f.Data[:6], a, f.Time)
		}
		if !l.repeated(f.Data, f.Time) {
			d = a.device()
		}
	case etherLLDP:
		name, d = "lldp", l.once(f, func() *pb.DeviceInventory { return readLLDP(src, body, l.o.Interface, l.o.Host) })
	case etherCDP:
		name, d = "cdp", l.once(f, func() *pb.DeviceInventory { return readCDP(src, body, l.o.Interface, l.o.Host) })
	default:
		if l.decoder.Decode(f, &l.p) != nil || l.p.Version == 0 || l.p.TunnelCount > 0 {
			return
		}
		name, d = l.internet(src, f)
	}
	if name == "" {
		return
	}
	l.stats.Frames[name]++
	if d != nil && l.o.Device != nil {
		if d.GetVendor() == "" && len(d.GetMac()) > 0 && len(d.GetSources()) == 1 && (name == "arp" || name == "ndp") {
			d.Vendor = oui.VendorOf(d.GetMac()[0])
		}
		l.o.Device(at, d)
	}
}

// once reads a frame unless one with the same content was read lately; what cannot be
// read is counted.
func (l *Listener) once(f *packet.Frame, read func() *pb.DeviceInventory) *pb.DeviceInventory {
	if l.repeated(f.Data, f.Time) {
		return nil
	}
	d := read()
	if d == nil {
		name := "lldp"
		if binary.BigEndian.Uint16(f.Data[12:]) != etherLLDP {
			name = "cdp"
		}
		l.stats.Malformed[name]++
	}
	return d
}

// internet reads what came in an IP packet.
func (l *Listener) internet(src mac, f *packet.Frame) (name string, d *pb.DeviceInventory) {
	p := &l.p
	read, name := l.reader(p)
	if name == "" {
		return "", nil
	}
	if l.watch != nil && name == "dhcp" {
		l.watch.dhcp(src, p.Src.IP(), p.Payload, f.Time)
	}
	if l.repeated(f.Data, f.Time) {
		return name, nil
	}
	d, sound := read(src, p)
	if !sound {
		l.stats.Malformed[name]++
		return name, nil
	}
	return name, d
}

// reader gives what reads a packet, and its name. A frame that a router passed on tells
// nothing of who has its MAC address: what was meant for one segment has not been passed
// on, or comes from a neighbour's port.
func (l *Listener) reader(p *packet.Packet) (read func(mac, *packet.Packet) (*pb.DeviceInventory, bool), name string) {
	either := func(port uint16) bool { return p.SrcPort == port || p.DstPort == port }
	switch {
	case p.Protocol == protoICMPv6 && p.ICMPType >= 133 && p.ICMPType <= 137:
		return readNDP, "ndp"
	case p.Protocol != protoUDP || p.LaterFragment:
	case either(67) || either(68):
		return readDHCP, "dhcp"
	case either(546) || either(547):
		return readDHCP6, "dhcpv6"
	case p.SrcPort == 5353:
		return readMDNS, "mdns"
	case either(1900):
		return readSSDP, "ssdp"
	case p.DstPort == 137:
		return readNetBIOS, "netbios"
	}
	return nil, ""
}

const (
	protoUDP    = 17
	protoICMPv6 = 58
)
