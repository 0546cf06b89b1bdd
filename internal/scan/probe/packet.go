package probe

import (
	"encoding/binary"
	"net/netip"
)

// Lengths and numbers of the headers (RFC 791, 8200, 9293, 792, 4443).
const (
	header4, header6       = 20, 40
	protocolICMP           = 1
	protocolTCP            = 6
	protocolUDP            = 17
	protocolICMP6          = 58
	flagSYN, flagRST       = 0x02, 0x04
	flagACK                = 0x10
	synOptions             = 20
	hopLimit         uint8 = 64
)

// HopLimit is through how many routers a probe may go that is not to find them.
const HopLimit = hopLimit

// MaxPacket is the most bytes that a packet of ours has.
const MaxPacket = 128

// AppendSYN appends an IP packet that asks for a connection. It offers what Linux
// offers (MSS, SACK, time stamps, window scale), so that the answer shows which of
// these the other side knows. seq is what an answer acknowledges, less one.
func AppendSYN(b []byte, src, dst netip.Addr, from, to uint16, seq uint32) []byte {
	const length = 20 + synOptions
	at := len(b)
	b = appendIP(b, src, dst, protocolTCP, length, uint16(seq), hopLimit)
	tcp := len(b)
	b = binary.BigEndian.AppendUint16(b, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = append(b, length/4<<4, flagSYN, 0xfa, 0xf0, 0, 0, 0, 0) // a window of 64,240
	b = append(b, 2, 4, 0x05, 0xb4, 4, 2, 8, 10)                // MSS 1460, SACK, time stamp
	b = binary.BigEndian.AppendUint32(b, seq^0x5bd1e995)        // any number
	b = append(b, 0, 0, 0, 0, 1, 3, 3, 7)
	binary.BigEndian.PutUint16(b[tcp+16:], checksum(b[tcp:], pseudo(b[at:tcp], protocolTCP, length)))
	return b
}

// AppendEcho appends an IP packet with an echo request, of ICMP or ICMPv6 as the
// addresses are.
func AppendEcho(b []byte, src, dst netip.Addr, id, seq uint16) []byte {
	return appendEcho(b, src, dst, id, seq, hopLimit, [8]byte([]byte("amoskys ")))
}

// AppendEchoTTL appends an echo request that lives for ttl routers. All of one host have
// the same checksum, by which balancers choose a way, so that all go the same one.
func AppendEchoTTL(b []byte, src, dst netip.Addr, id, seq uint16, ttl uint8) []byte {
	payload := [8]byte([]byte("amosky\x00\x00"))
	sum := uint32(id) + uint32(seq)
	binary.BigEndian.PutUint16(payload[6:], ^uint16(sum>>16+sum&0xffff))
	return appendEcho(b, src, dst, id, seq, ttl, payload)
}

func appendEcho(b []byte, src, dst netip.Addr, id, seq uint16, ttl uint8, payload [8]byte) []byte {
	const length = 8 + 8
	at := len(b)
	kind, protocol := byte(8), byte(protocolICMP)
	if dst.Is6() {
		kind, protocol = 128, protocolICMP6
	}
	b = appendIP(b, src, dst, protocol, length, id, ttl)
	icmp := len(b)
	b = append(b, kind, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, seq)
	b = append(b, payload[:]...)
	sum := uint32(0)
	if dst.Is6() { // RFC 4443, section 2.3
		sum = pseudo(b[at:icmp], protocolICMP6, length)
	}
	binary.BigEndian.PutUint16(b[icmp+2:], checksum(b[icmp:], sum))
	return b
}

// AppendUDPTTL appends a datagram that lives for ttl routers. cookie is what it carries; its
// checksum, which an error quotes, is made of that too.
func AppendUDPTTL(b []byte, src, dst netip.Addr, from, to uint16, cookie uint32, ttl uint8) []byte {
	const length = 8 + 4
	at := len(b)
	b = appendIP(b, src, dst, protocolUDP, length, uint16(cookie), ttl)
	udp := len(b)
	b = binary.BigEndian.AppendUint16(b, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = append(b, 0, length, 0, 0)
	b = binary.BigEndian.AppendUint32(b, cookie)
	sum := checksum(b[udp:], pseudo(b[at:udp], protocolUDP, length))
	if sum == 0 {
		sum = 0xffff // 0 is none (RFC 768)
	}
	binary.BigEndian.PutUint16(b[udp+6:], sum)
	return b
}

// UDPSeq is what Answer.Seq has of an error that quotes a datagram.
func UDPSeq(packet []byte) uint32 {
	at := header4
	if packet[0]>>4 == 6 {
		at = header6
	}
	return binary.BigEndian.Uint32(packet[at+4:])
}

// appendIP appends the header of IPv4 or IPv6 for a payload of length bytes.
func appendIP(b []byte, src, dst netip.Addr, protocol byte, length int, id uint16, ttl uint8) []byte {
	if dst.Is6() {
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(length))
		b = append(b, protocol, ttl)
		s, d := src.As16(), dst.As16()
		b = append(b, s[:]...)
		return append(b, d[:]...)
	}
	at := len(b)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(header4+length))
	b = binary.BigEndian.AppendUint16(b, id)
	b = append(b, 0x40, 0, ttl, protocol, 0, 0) // do not fragment
	s, d := src.As4(), dst.As4()
	b = append(b, s[:]...)
	b = append(b, d[:]...)
	binary.BigEndian.PutUint16(b[at+10:], checksum(b[at:], 0))
	return b
}

// pseudo is the sum of the pseudo-header that checksums of TCP and ICMPv6 cover.
func pseudo(ip []byte, protocol byte, length int) uint32 {
	addresses := ip[12:20]
	if ip[0]>>4 == 6 {
		addresses = ip[8:40]
	}
	return add(uint32(protocol)+uint32(length), addresses)
}

func add(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// checksum is that of the internet (RFC 1071), with a sum to begin with.
func checksum(b []byte, sum uint32) uint16 {
	sum = add(sum, b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
