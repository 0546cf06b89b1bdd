package track

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

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
	kind                  keyKind // with carried above it
}

// carriedBits is where what carried the packet begins in a key's kind: 0 is nothing.
const carriedBits = 2

// is reports whether the key is of a kind, whatever carries its packets.
func (k *key) is(kind keyKind) bool { return k.kind&(1<<carriedBits-1) == kind }

// carried folds the tunnels around a packet into 6 bits, 0 without one. Anybody who can
// reach the end of a tunnel can put packets of any addresses into it: they must not count
// in the flow of those whom the addresses belong to. Tags and labels are of the link and
// not of who sends. Only networks that are the same in both directions are told apart by
// their id; of GTP-U, L2TP and PPTP each direction has its own.
func carried(p *packet.Packet) (fold uint8) {
	for i := range p.TunnelCount {
		t := &p.Tunnels[i]
		h := uint32(t.Kind)
		switch t.Kind {
		case packet.TunnelVLAN, packet.TunnelMPLS, packet.TunnelPPPoE:
			continue
		case packet.TunnelVXLAN, packet.TunnelGeneve:
			h |= t.ID << 8
		default:
		}
		h = (h ^ uint32(fold)<<16) * 0x9e3779b1 // Fibonacci hashing (Knuth, volume 3, 6.4)
		fold = max(1, uint8(h>>26))
	}
	return fold
}

// keyOf reads the key of a packet. turned says that its sender is the second.
func keyOf(p *packet.Packet, vlan bool) (k key, turned bool) {
	k, turned = bareKeyOf(p, vlan)
	if p.TunnelCount > 0 {
		k.kind |= keyKind(carried(p)) << carriedBits
	}
	return k, turned
}

func bareKeyOf(p *packet.Packet, vlan bool) (k key, turned bool) {
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

// secret keys the hash, so that nobody outside can choose packets that collide.
type secret [4]uint64

func newSecret() secret {
	// The top-level generator is seeded by the system and cannot be foretold (ChaCha8).
	return secret{rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64(), rand.Uint64()} //nolint:gosec // see above
}

// hash folds full products of the key's words with the secret, as wyhash does.
func (k *key) hash(s *secret) uint32 {
	w := k.words()
	h := fold(w[0]^s[0], w[1]^s[1]) ^ fold(w[2]^s[2], w[3]^s[3])
	h = fold(h^w[4]^s[1], w[5]^s[2])
	h = fold(h^s[3], s[0])
	return uint32(h>>32) ^ uint32(h)
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// words are all fields of a key.
func (k *key) words() [6]uint64 {
	le := binary.LittleEndian
	return [6]uint64{
		le.Uint64(k.first[:8]), le.Uint64(k.first[8:]), le.Uint64(k.second[:8]), le.Uint64(k.second[8:]),
		uint64(k.firstPort) | uint64(k.secondPort)<<16 | uint64(k.id)<<32 | uint64(k.vlan)<<48,
		uint64(k.protocol) | uint64(k.kind)<<8,
	}
}

// equal is ==, by words instead of a call that compares memory.
func (k *key) equal(other *key) bool {
	a, b := k.words(), other.words()
	return a[1] == b[1] && a[3] == b[3] && a[4] == b[4] && a[5] == b[5] && a[0] == b[0] && a[2] == b[2]
}
