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
	first, second packet.Addr // in order, but byMessage
	// ends are the port of the first, that of the second, the id of an ICMP echo and the
	// VLAN, each in two bytes, the lower one first: one word to those who compare.
	ends     [8]byte
	protocol uint8
	kind     keyKind // with carried above it
}

func packEnds(firstPort, secondPort, id, vlan uint16) (b [8]byte) {
	binary.LittleEndian.PutUint64(b[:], uint64(firstPort)|uint64(secondPort)<<16|uint64(id)<<32|uint64(vlan)<<48)
	return b
}

func (k *key) firstPort() uint16  { return binary.LittleEndian.Uint16(k.ends[0:]) }
func (k *key) secondPort() uint16 { return binary.LittleEndian.Uint16(k.ends[2:]) }

// exchange is the id of an ICMP echo, 0 of all else.
func (k *key) exchange() uint16 { return binary.LittleEndian.Uint16(k.ends[4:]) }

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

// read reads the key of a packet, and returns the side that sent it.
func (k *key) read(p *packet.Packet, vlan bool) (side uint8) {
	side = k.readBare(p, vlan)
	if p.TunnelCount > 0 {
		k.kind |= keyKind(carried(p)) << carriedBits
	}
	return side
}

// readBare is read without what carries the packet.
func (k *key) readBare(p *packet.Packet, vlan bool) (side uint8) {
	var tag uint16
	if vlan {
		tag = vlanOf(p)
	}
	k.protocol = p.Protocol
	switch {
	case (p.Protocol == protoICMP || p.Protocol == protoICMPv6) && !p.LaterFragment:
		answer, paired := Counterpart(p.Protocol, p.ICMPType)
		if !paired {
			k.kind = byMessage
			k.first, k.second, k.ends = p.Src, p.Dst, packEnds(uint16(p.ICMPType), uint16(p.ICMPCode), 0, tag)
			return 0
		}
		k.kind = byExchange // whose id tells one ping from another between the same hosts
		return k.order(&p.Src, &p.Dst, uint16(p.ICMPType), uint16(answer), p.EchoID, tag)
	case p.HasPorts:
		k.kind = byPorts
		return k.order(&p.Src, &p.Dst, p.SrcPort, p.DstPort, 0, tag)
	}
	k.kind = byAddresses
	return k.order(&p.Src, &p.Dst, 0, 0, 0, tag)
}

// order puts two endpoints in the order of their addresses, then ports, and returns the
// side that src is. Which of the two is as good as chance, so that nothing branches by it.
func (k *key) order(src, dst *packet.Addr, srcPort, dstPort, id, vlan uint16) (side uint8) {
	be, le := binary.BigEndian, binary.LittleEndian
	sh, dh := le.Uint64(src[:8]), le.Uint64(dst[:8])
	sl, dl := le.Uint64(src[8:]), le.Uint64(dst[8:])
	var turned bool
	switch {
	case sh != dh:
		turned = be.Uint64(src[:8]) > be.Uint64(dst[:8])
	case sl != dl:
		turned = be.Uint64(src[8:]) > be.Uint64(dst[8:])
	default:
		turned = srcPort > dstPort
	}
	if turned {
		side = 1
	}
	other := -uint64(side) // all bits where they change places
	high, low, ports := (sh^dh)&other, (sl^dl)&other, (srcPort^dstPort)&uint16(other)
	le.PutUint64(k.first[:8], sh^high)
	le.PutUint64(k.first[8:], sl^low)
	le.PutUint64(k.second[:8], dh^high)
	le.PutUint64(k.second[8:], dl^low)
	k.ends = packEnds(srcPort^ports, dstPort^ports, id, vlan)
	return side
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
	le := binary.LittleEndian
	h := fold(le.Uint64(k.first[:8])^s[0], le.Uint64(k.first[8:])^s[1]) ^ fold(le.Uint64(k.second[:8])^s[2], le.Uint64(k.second[8:])^s[3])
	h = fold(h^le.Uint64(k.ends[:])^s[1], uint64(k.protocol)|uint64(k.kind)<<8^s[2])
	h = fold(h^s[3], s[0])
	return uint32(h>>32) ^ uint32(h)
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// equal is ==, by words instead of a call that compares memory; those come first of which
// most keys have their own.
func (k *key) equal(other *key) bool {
	le := binary.LittleEndian
	return le.Uint64(k.ends[:]) == le.Uint64(other.ends[:]) &&
		le.Uint64(k.first[8:]) == le.Uint64(other.first[8:]) && le.Uint64(k.second[8:]) == le.Uint64(other.second[8:]) &&
		le.Uint64(k.first[:8]) == le.Uint64(other.first[:8]) && le.Uint64(k.second[:8]) == le.Uint64(other.second[:8]) &&
		k.protocol == other.protocol && k.kind == other.kind
}
