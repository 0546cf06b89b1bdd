package track

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Protocol numbers of IANA's registry that flows treat in ways of their own.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// keyKind says what a key's ports are.
type keyKind uint8

const (
	// byAddresses: neither side has a port, as in ESP, or in a later fragment whose
	// first was not seen.
	byAddresses keyKind = iota
	// byPorts: TCP, UDP, SCTP.
	byPorts
	// byExchange: an ICMP question and its answer; the ports are the two types.
	byExchange
	// byMessage: an ICMP message that has no answer; the ports are type and code, and
	// the two directions are two flows.
	byMessage
)

// key tells a flow from others, the same for both directions. It has no padding, so
// that it can be hashed and compared as memory.
type key struct {
	first, second         packet.Addr // in order, but byMessage
	firstPort, secondPort uint16
	id                    uint16 // of an ICMP echo
	vlan                  uint16
	protocol              uint8
	kind                  keyKind
}

// keyOf reads the key of a packet. turned says that its sender is the second.
func keyOf(p *packet.Packet, vlan bool) (k key, turned bool) {
	k.protocol = p.Protocol
	if vlan {
		k.vlan = vlanOf(p)
	}
	src, dst := p.SrcPort, p.DstPort
	switch {
	case (p.Protocol == protoICMP || p.Protocol == protoICMPv6) && !p.LaterFragment:
		answer, paired := Counterpart(p.Protocol, p.ICMPType)
		if !paired {
			k.kind = byMessage
			k.first, k.second = p.Src, p.Dst
			k.firstPort, k.secondPort = uint16(p.ICMPType), uint16(p.ICMPCode)
			return k, false
		}
		k.kind = byExchange
		src, dst = uint16(p.ICMPType), uint16(answer)
		k.id = p.EchoID // tells one ping from another between the same hosts

	case p.HasPorts:
		k.kind = byPorts
	default:
		src, dst = 0, 0
	}
	if turned = after(&p.Src, &p.Dst, src, dst); turned {
		k.first, k.second, k.firstPort, k.secondPort = p.Dst, p.Src, dst, src
	} else {
		k.first, k.second, k.firstPort, k.secondPort = p.Src, p.Dst, src, dst
	}
	return k, turned
}

// after reports whether the endpoint a sorts behind b, by address, then port.
func after(a, b *packet.Addr, aPort, bPort uint16) bool {
	ah, bh := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8])
	if ah != bh {
		return ah > bh
	}
	al, bl := binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(b[8:])
	if al != bl {
		return al > bl
	}
	return aPort > bPort
}

// vlanOf is the id of the innermost VLAN tag, 0 without one.
func vlanOf(p *packet.Packet) uint16 {
	for i := int(p.TunnelCount) - 1; i >= 0; i-- {
		if p.Tunnels[i].Kind == packet.TunnelVLAN {
			return uint16(p.Tunnels[i].ID & 0xfff)
		}
	}
	return 0
}

func (k *key) hash(seed maphash.Seed) uint32 {
	h := maphash.Comparable(seed, *k)
	return uint32(h>>32) ^ uint32(h)
}
