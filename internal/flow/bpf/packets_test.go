package bpf

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// packetMaker makes packets of the kinds that filters speak of, with the
// addresses and ports that the filters of the tests name.
type packetMaker struct {
	*rand.Rand
	link LinkType
}

// packets returns n packets of a link type, always the same ones.
func packets(link LinkType, n int) [][]byte {
	m := packetMaker{rand.New(rand.NewPCG(uint64(link), 7)), link}
	list := make([][]byte, n)
	for i := range list {
		list[i] = m.packet()
	}
	return list
}

func (m packetMaker) one(in int) bool { return m.IntN(in) == 0 }

func (m packetMaker) of(values ...uint16) uint16 { return values[m.IntN(len(values))] }

func (m packetMaker) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return b
}

// packet makes one packet: as it should be, cut short, with some bytes
// changed, or of any bytes at all.
func (m packetMaker) packet() []byte {
	if m.one(50) {
		return m.bytes(m.IntN(80))
	}
	p := m.frame()
	if m.one(4) {
		for range 1 + m.IntN(4) {
			if len(p) > 0 {
				at := m.IntN(min(len(p), 80))
				if m.one(2) {
					p[at] ^= 1 << m.IntN(8)
				} else {
					p[at] = byte(m.Uint32())
				}
			}
		}
	}
	if m.one(4) {
		p = p[:m.IntN(len(p)+1)]
	}
	return p
}

func (m packetMaker) frame() []byte {
	switch m.link {
	case packet.LinkEthernet:
		return m.ethernet(0)
	case packet.LinkCooked:
		ether, payload := m.network(0)
		h := m.bytes(16)
		binary.BigEndian.PutUint16(h, m.of(0, 1, 2, 3, 4))
		binary.BigEndian.PutUint16(h[14:], ether)
		if m.one(10) {
			binary.BigEndian.PutUint16(h[14:], m.of(1, 4))
			payload = m.llc()
		}
		return append(h, payload...)
	case packet.LinkCooked2:
		ether, payload := m.network(0)
		h := m.bytes(20)
		binary.BigEndian.PutUint16(h, m.of(ether, ether, ether, ether, 4, 0xfe, 0x42))
		binary.BigEndian.PutUint32(h[4:], uint32(m.IntN(5)))
		h[10] = byte(m.IntN(5))
		return append(h, payload...)
	case packet.LinkNull, packet.LinkLoop:
		ether, payload := m.network(0)
		h := make([]byte, 4)
		family := uint32(m.of(2, 2, 10, 30))
		if ether == etherIPv6 {
			family = uint32(m.of(10, 10, 24, 30, 28))
		}
		if m.link == packet.LinkNull {
			binary.LittleEndian.PutUint32(h, family)
		} else {
			binary.BigEndian.PutUint32(h, family)
		}
		return append(h, payload...)
	case packet.LinkPPP:
		return append([]byte{0xff, 0x03}, m.ppp(0)...)
	default:
		_, payload := m.network(0)
		return payload
	}
}

// ethernet makes a frame with VLAN tags, MPLS labels or PPPoE; depth is how
// many of them are around it.
func (m packetMaker) ethernet(depth int) []byte {
	macs := [][]byte{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, {255, 255, 255, 255, 255, 255}, {1, 0, 0x5e, 0, 0, 5}, m.bytes(6)}
	h := slices.Concat(macs[m.IntN(len(macs))], macs[m.IntN(len(macs))])
	if m.one(10) {
		payload := m.llc()
		return append(binary.BigEndian.AppendUint16(h, uint16(len(payload))), payload...)
	}
	ether, payload := m.shimmed(depth)
	return append(binary.BigEndian.AppendUint16(h, ether), payload...)
}

// shimmed makes what lies behind an EtherType, and the type.
func (m packetMaker) shimmed(depth int) (uint16, []byte) {
	if depth < 4 {
		switch m.IntN(10) {
		case 0, 1:
			ether, payload := m.shimmed(depth + 1)
			tag := binary.BigEndian.AppendUint16(nil, m.of(5, 7, 100, 0x2005, uint16(m.IntN(1<<16))))
			tag = binary.BigEndian.AppendUint16(tag, ether)
			return m.of(etherVLAN, etherVLAN, etherQinQ, etherOldQinQ), append(tag, payload...)
		case 2:
			return etherMPLS, m.labels(depth)
		case 3:
			session := []byte{0x11, 0, 0, byte(m.IntN(5)), 0, 0}
			return m.of(etherPPPoES, etherPPPoES, etherPPPoED), append(session, m.ppp(depth+1)...)
		}
	}
	return m.network(depth)
}

func (m packetMaker) labels(depth int) []byte {
	var b []byte
	n := 1 + m.IntN(3)
	for i := range n {
		label := uint32(m.of(5, 100, 16, 3))<<12 | uint32(m.IntN(256))
		if i == n-1 != m.one(20) {
			label |= 0x100
		}
		b = binary.BigEndian.AppendUint32(b, label)
	}
	_, payload := m.network(depth + 1)
	return append(b, payload...)
}

func (m packetMaker) ppp(depth int) []byte {
	if m.one(10) {
		return append([]byte{0x02, 0x81}, m.labels(depth)...)
	}
	ether, payload := m.network(depth)
	switch ether {
	case etherIP:
		ether = 0x21
	case etherIPv6:
		ether = 0x57
	default:
		ether = m.of(0x21, 0x57, 0x23, 0x2b, 0x31, 0xc021, ether)
	}
	return append(binary.BigEndian.AppendUint16(nil, ether), payload...)
}

// llc makes what lies in frames with a length: STP, ISO, NetBEUI, IPX, SNAP.
func (m packetMaker) llc() []byte {
	sap := byte(m.of(0x42, 0xfe, 0xf0, 0xe0, 0x06, 0xaa, 0xff, 0x03, 0x05, 0))
	b := []byte{sap, sap, byte(m.of(0x03, 0xaf, 0xe3, 0x00, 0x01, 0x05, 0x0f, 0x43))}
	switch sap {
	case 0xfe:
		b = append(b, byte(m.of(0x81, 0x82, 0x83, 0x83)), 27, 1, 0, byte(m.of(15, 16, 17, 18, 20, 24, 25, 26, 27, 5)))
	case 0xaa:
		b = append(b, 0, 0, 0)
		if m.one(2) {
			b[3], b[5] = 8, 7
		}
		b = binary.BigEndian.AppendUint16(b, m.of(etherIPX, etherAppleTalk, etherAARP, etherIP))
	}
	return append(b, m.bytes(m.IntN(60))...)
}

// network makes a packet of the network layer, and its EtherType.
func (m packetMaker) network(depth int) (uint16, []byte) {
	switch m.IntN(16) {
	case 0:
		return etherARP, m.arp()
	case 1:
		return m.of(etherRARP, etherARP), m.arp()
	case 2:
		return m.of(etherDECnet, etherLAT, etherMOPDL, etherMOPRC, etherSCA, etherAppleTalk, etherAARP, etherIPX, etherLoopback, 1501, 1536, 0x88cc), m.bytes(m.IntN(80))
	case 3, 4, 5, 6, 7:
		return etherIPv6, m.ipv6(depth)
	default:
		return etherIP, m.ipv4(depth)
	}
}

func (m packetMaker) addr4() []byte {
	list := [][]byte{{10, 0, 0, 1}, {10, 0, 0, 2}, {10, 1, 0, 0}, {0, 0, 10, 1}, {192, 168, 1, 1}, {172, 16, 5, 9}, {8, 8, 8, 8}, {224, 0, 0, 5}, {255, 255, 255, 255}, {127, 0, 0, 1}, {0, 0, 0, 0}, m.bytes(4)}
	return list[m.IntN(len(list))]
}

func (m packetMaker) addr6() []byte {
	list := [][]byte{
		{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: 1},
		{0: 0xfe, 1: 0x80, 15: 1},
		{0: 0xff, 1: 0x02, 15: 1},
		{15: 1},
		{15: 0},
		{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: 1, 15: 5},
		m.bytes(16),
	}
	return list[m.IntN(len(list))]
}

func (m packetMaker) arp() []byte {
	return slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, byte(1 + m.IntN(4))}, m.bytes(6), m.addr4(), m.bytes(6), m.addr4(), m.bytes(m.IntN(20)))
}

func (m packetMaker) ipv4(depth int) []byte {
	protocol, payload := m.transport(false, depth)
	words := 5
	if m.one(6) {
		words = m.IntN(16)
	}
	h := slices.Concat([]byte{0x40 | byte(words), byte(m.IntN(256))}, m.bytes(18), m.bytes(4*max(words-5, 0)))
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(payload)))
	fragment := uint16(0)
	if m.one(5) {
		fragment = m.of(0x4000, 0x2000, 0x2001, 0x0005, 0x1fff, 0x8000, uint16(m.IntN(1<<16)))
	}
	binary.BigEndian.PutUint16(h[6:], fragment)
	h[8], h[9] = byte(m.of(1, 64, 128, 255)), protocol
	copy(h[12:], m.addr4())
	copy(h[16:], m.addr4())
	return append(h, payload...)
}

func (m packetMaker) ipv6(depth int) []byte {
	next, payload := m.transport(true, depth)
	for range m.IntN(6) / 2 {
		switch m.IntN(4) {
		case 0:
			payload = append([]byte{next, 0, 0, byte(m.IntN(2)), 0, 0, 0, 1}, payload...)
			next = ipFragment
		case 1:
			payload = slices.Concat([]byte{next, 1}, m.bytes(14), payload)
			next = byte(m.of(0, 43, 60))
		case 2:
			payload = slices.Concat([]byte{next, 0}, m.bytes(6), payload)
			next = byte(m.of(0, 43, 60))
		default:
			payload = slices.Concat([]byte{next, 4}, m.bytes(22), payload)
			next = ipAH
		}
	}
	h := []byte{0x60, 0, 0, 0, 0, 0, next, byte(m.of(1, 64, 255))}
	binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
	return slices.Concat(h, m.addr6(), m.addr6(), payload)
}

func (m packetMaker) port() uint16 {
	return m.of(80, 443, 53, 22, 0, 65535, 1024, 514, 69, genevePort, genevePort, 12345, 81, 90, uint16(m.IntN(1<<16)))
}

// transport makes what an IP packet carries, and the number of its protocol.
func (m packetMaker) transport(six bool, depth int) (byte, []byte) {
	ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, m.port()), m.port())
	switch m.IntN(12) {
	case 0, 1, 2, 3:
		h := append(ports, m.bytes(16)...)
		h[12] = byte(m.of(5, 5, 5, 8, uint16(m.IntN(16)))) << 4
		h[13] = byte(m.of(0x02, 0x12, 0x10, 0x18, 0x11, 0x04, uint16(m.IntN(256))))
		return ipTCP, append(h, m.bytes(m.IntN(40))...)
	case 4, 5:
		payload := m.bytes(m.IntN(40))
		if binary.BigEndian.Uint16(ports[2:]) == genevePort && depth < 4 {
			payload = m.geneve(depth)
		}
		h := binary.BigEndian.AppendUint16(ports, uint16(8+len(payload)))
		return ipUDP, slices.Concat(h, []byte{0, 0}, payload)
	case 6:
		return ipSCTP, append(ports, m.bytes(8+m.IntN(20))...)
	case 7, 8:
		if six {
			return ipICMPv6, append([]byte{byte(m.of(128, 129, 135, 136, 1, 2)), 0}, m.bytes(m.IntN(30))...)
		}
		return ipICMP, append([]byte{byte(m.of(8, 0, 3, 11)), byte(m.IntN(4))}, m.bytes(m.IntN(30))...)
	default:
		return byte(m.of(ipIGMP, ipIGRP, ipESP, ipAH, ipPIM, ipVRRP, 47, 89, ipICMP, ipICMPv6, ipTCP, ipFragment, 59, uint16(m.IntN(256)))), m.bytes(m.IntN(40))
	}
}

func (m packetMaker) geneve(depth int) []byte {
	options := m.IntN(4) / 2
	h := []byte{byte(options), 0, 0, 0, 0, 0, byte(m.of(5, 5, 7)), 0}
	if m.one(10) {
		h[0] |= byte(m.IntN(4)) << 6
	}
	h = append(h, m.bytes(4*options)...)
	if m.one(3) {
		ether, payload := m.network(depth + 1)
		binary.BigEndian.PutUint16(h[2:], ether)
		return append(h, payload...)
	}
	binary.BigEndian.PutUint16(h[2:], etherTEB)
	return append(h, m.ethernet(depth+1)...)
}
