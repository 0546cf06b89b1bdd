// Package scan finds the hosts of a network and the ports on which they listen.
//
// Run does what a Plan says: it looks for hosts (ARP and neighbour discovery on the
// segment, ICMP echo and TCP beyond), asks their ports (a SYN for each from a raw
// socket, or a connection where the process may not open one), and hands each host over
// once it is known. What was sent is told from what others sent by a number in it that
// nobody else can guess, so that nothing is reported which did not answer us.
//
// A scan sends nothing to public addresses, nor to more addresses than a plan allows,
// unless the plan says so.
package scan

import (
	"net"
	"net/netip"
	"time"

	"github.com/amoskys/amoskys/internal/scan/probe"
)

// Method says how ports are asked.
type Method string

const (
	// Auto takes SYN where raw sockets can be opened, else Connect.
	Auto Method = "auto"
	// SYN sends the first packet of a connection and never the third. It needs
	// CAP_NET_RAW.
	SYN Method = "syn"
	// Connect makes connections and closes them at once. It needs no privilege.
	Connect Method = "connect"
)

// Plan is what a scan is to do. The zero value of each field but Targets is a default.
type Plan struct {
	// Targets are the addresses to look at, Exclude those never to be sent anything.
	Targets, Exclude Targets
	// Ports are asked by TCP, in ascending order and without doubles; ParsePorts makes
	// them. Without any, only hosts are looked for.
	Ports []uint16
	// UDP are ports that are asked by UDP, with the payload that their usual service
	// answers. Only ports that answer are reported.
	UDP []uint16
	// Method is how TCP is asked, Auto when empty.
	Method Method
	// NoPing takes every address beyond the segment for a host, whether it answers a
	// ping or not. Hosts that answer nothing are not reported all the same.
	NoPing bool
	// Names has names looked up: by DNS backwards, mDNS and NetBIOS.
	Names bool
	// Routes has the routers on the way to hosts beyond the segment looked for. It needs raw
	// sockets; without them no way is found.
	Routes bool
	// Rate is the most packets that are sent in a second in all, HostRate to one host;
	// 0 leaves both to what the network carries.
	Rate, HostRate int
	// Hours are when packets may be sent; the zero value is always.
	Hours Hours
	// AllowPublic allows targets outside private, local and documentation ranges.
	AllowPublic bool
	// MostAddresses is how many addresses Targets may have, 65,536 if 0.
	MostAddresses uint64
	// Timeout is the longest wait for one answer, 1 s if 0. The usual wait is much
	// shorter, since it follows what the network takes.
	Timeout time.Duration
}

// Host is a device that answered at one address.
type Host struct {
	IP netip.Addr
	// MAC is nil for hosts beyond the segment.
	MAC net.HardwareAddr
	// Interface is the name of our interface that leads to it.
	Interface string
	// RTT is the time of its quickest answer.
	RTT time.Duration
	// How are the ways by which it answered, of "arp", "ndp", "icmp", "tcp", "udp";
	// "self" is an address of this machine.
	How []string
	// Names are its names, the best first, without a trailing dot.
	Names []Name
	// Ports are the open ones, by protocol and number.
	Ports []Open
	// Asked, Closed and Filtered count TCP ports: those that were asked, that refused,
	// and that answered nothing or by a router's word.
	Asked, Closed, Filtered int
	// AllOpen marks a host that accepts on (nearly) every port, as tarpits and some
	// proxies do. Ports has none of TCP then, since they say nothing.
	AllOpen bool
	// Route is the way to it, where Plan.Routes asked for that and it is beyond the segment.
	Route Route
	// Stack are the traits of its TCP/IP stack: of a SYN-ACK if there was one (with
	// Stack.Open set), else of a reset, else nil.
	Stack *probe.Traits
}

// Address is where it is reached from here: IP, of a link-local one with the interface
// that leads to it (RFC 4007, section 11), without which it is nobody's.
func (h *Host) Address() netip.Addr {
	if h.IP.Is6() && h.IP.IsLinkLocalUnicast() && h.Interface != "" {
		return h.IP.WithZone(h.Interface)
	}
	return h.IP
}

// Route is the way from here to a host.
type Route struct {
	// From is our address that packets to it bear.
	From netip.Addr
	// Hops are the routers that answered, those next to us first.
	Hops []Hop
	// Length is the number of routers on the way, 0 where the host itself answered nothing
	// that was sent for the way.
	Length int
}

// Hop is a router on a way.
type Hop struct {
	// TTL is the place of it, 1 for the first.
	TTL int
	// IP is the address from which it answered: that of its side towards us, as a rule. Where
	// the first one does not answer it is that of our table of routes, and RTT is 0. One that
	// is valid on our segment alone has the interface that leads there (RFC 4007, section 11).
	IP  netip.Addr
	RTT time.Duration
	// MAC is the Ethernet address of the first one, zero where it is not known.
	MAC probe.MAC
}

// Name is a name of a host.
type Name struct {
	Name string
	// Source is "dns", "mdns" or "netbios".
	Source string
}

// Open is a port that accepts.
type Open struct {
	Port uint16
	// Protocol is "tcp" or "udp".
	Protocol string
	// Reply is what a port of UDP answered, at most 512 bytes.
	Reply []byte
}

// Phase is what a scan does at the time.
type Phase string

// The phases of a scan. Hosts are looked for while ports of others are asked, which
// counts as PhasePorts.
const (
	PhaseHosts  Phase = "hosts"
	PhasePorts  Phase = "ports"
	PhaseNames  Phase = "names"  // and ports of UDP, and ways
	PhasePaused Phase = "paused" // until the hours that the plan allows
	PhaseDone   Phase = "done"
)

// Progress is how far a scan is.
type Progress struct {
	Phase Phase
	// Method is how TCP is asked, once that is settled.
	Method Method
	// Addresses are those to look at, Looked those whose look has ended, Hosts those
	// found.
	Addresses, Looked, Hosts uint64
	// Sent are packets, Answered probes that were answered, Left probes that are
	// neither answered nor given up.
	Sent, Answered, Left uint64
	// Resent are packets that were sent again, Strays answers to nothing we sent.
	Resent, Strays uint64
	// Loss is the share of probes that were answered only when sent again.
	Loss float64
	// Elapsed is since the start; ETA is what is left by the present rate, 0 while that
	// cannot be told.
	Elapsed, ETA time.Duration
	// Resume is when a paused scan goes on.
	Resume time.Time
}
