package probe

import "net/netip"

// Path is how this host sends to an address.
type Path struct {
	// Index and Interface are of the interface that leads there.
	Index     int
	Interface string
	// Own is its Ethernet address. Ethernet says that it has one, and that neighbours
	// are asked for theirs.
	Own      MAC
	Ethernet bool
	// Source is the address of ours that packets to there bear.
	Source netip.Addr
	// Gateway is the next hop, invalid where the address is on the segment itself.
	Gateway netip.Addr
	// Self says that the address is one of this host's own, or loopback.
	Self bool
}
