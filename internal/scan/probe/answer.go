package probe

import (
	"encoding/binary"
	"net/netip"
)

// Kind is what an answer says.
type Kind uint8

// The kinds of answers.
const (
	None        Kind = iota
	Accepts          // SYN-ACK: the port is open
	Refuses          // RST: the port is closed
	Echoes           // echo reply
	Unreachable      // somebody on the way, or the host itself, says that it cannot be reached
	Expired          // a router says that the probe had lived through as many as it might
)

// Answer is what a packet says about a probe of ours.
type Answer struct {
	Kind Kind
	// From is who sent it. About is whom the probe was for: the same, but of an
	// Unreachable or Expired the destination of the packet that it quotes.
	From, About netip.Addr
	// Port is the port that was asked, Local ours.
	Port, Local uint16
	// Seq is the number of the probe: what is acknowledged less one, or is quoted. Of
	// an echo it is the id, then the number, 16 bits each; of a quoted datagram its length
	// and its checksum.
	Seq uint32
	// Echo says that what is quoted is an echo request, UDP that it is a datagram; else it
	// is a SYN.
	Echo, UDP bool
	// Code is the code of an Unreachable (RFC 792 or RFC 4443).
	Code uint8
	// Traits are those of an answer of TCP.
	Traits Traits
}

// Traits are what a host's TCP/IP stack shows of itself when it answers a SYN that
// offers MSS, SACK, time stamps and window scale.
type Traits struct {
	// Open says that they are of a SYN-ACK; a RST shows TTL, ID and DontFragment only.
	Open bool
	// TTL is what is left of it on arrival; hop limit of IPv6.
	TTL          uint8
	DontFragment bool
	// ID is the identification of the IPv4 packet.
	ID     uint16
	Window uint16
	// MSS is 0 and Scale -1 where they were not offered.
	MSS   uint16
	Scale int8
	// Options are the kinds of options in their order, by letters: M for MSS, N no
	// operation, W window scale, S SACK permitted, T time stamps, E end of list, U any
	// other. Linux answers "MSTNW".
	Options string
	// Timestamp is the sender's clock of the time stamps, whose unit is its own.
	Timestamp uint32
}

// Read reads an IP packet, without the header of the link. Of one that says nothing
// about a probe it gives Kind None.
func Read(b []byte) Answer {
	if len(b) < header4 {
		return Answer{}
	}
	switch b[0] >> 4 {
	case 4:
		return read4(b)
	case 6:
		return read6(b)
	}
	return Answer{}
}

func read4(b []byte) Answer {
	header, length := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < header4 || length < header || len(b) < header || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
		return Answer{} // cut, or a fragment
	}
	b = b[:min(length, len(b))] // short frames are padded
	a := Answer{From: netip.AddrFrom4([4]byte(b[12:16]))}
	a.About = a.From
	a.Traits.TTL, a.Traits.ID, a.Traits.DontFragment = b[8], binary.BigEndian.Uint16(b[4:]), b[6]&0x40 != 0
	switch payload := b[header:]; b[9] {
	case protocolTCP:
		a.readTCP(payload)
	case protocolICMP:
		a.readICMP(payload)
	}
	return a
}

func read6(b []byte) Answer {
	if len(b) < header6 {
		return Answer{}
	}
	b = b[:min(header6+int(binary.BigEndian.Uint16(b[4:])), len(b))]
	a := Answer{From: netip.AddrFrom16([16]byte(b[8:24]))}
	a.About = a.From
	a.Traits.TTL = b[7]
	switch payload := b[header6:]; b[6] {
	case protocolTCP:
		a.readTCP(payload)
	case protocolICMP6:
		a.readICMP6(payload)
	}
	return a
}

func (a *Answer) readTCP(b []byte) {
	if len(b) < 20 {
		return
	}
	flags, header := b[13], int(b[12]>>4)*4
	switch {
	case header < 20 || flags&flagACK == 0:
		return // without an acknowledgement nothing shows that it is an answer to us
	case flags&flagRST != 0:
		a.Kind = Refuses
	case flags&flagSYN != 0:
		a.Kind = Accepts
	default:
		return
	}
	a.Port, a.Local = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	a.Seq = binary.BigEndian.Uint32(b[8:]) - 1
	t := &a.Traits
	t.Open, t.Window, t.Scale = a.Kind == Accepts, binary.BigEndian.Uint16(b[14:]), -1
	if t.Open {
		t.readOptions(b[20:min(header, len(b))])
	}
}

// readOptions reads the options of a SYN-ACK (RFC 9293, section 3.1; RFC 7323; RFC 2018).
func (t *Traits) readOptions(b []byte) {
	var kinds [40]byte
	n := 0
	for len(b) > 0 {
		kind, length := b[0], 1
		if kind > 1 {
			if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
				break
			}
			length = int(b[1])
		}
		letter := byte('U')
		switch {
		case kind == 0:
			letter = 'E'
		case kind == 1:
			letter = 'N'
		case kind == 2 && length == 4:
			letter, t.MSS = 'M', binary.BigEndian.Uint16(b[2:])
		case kind == 3 && length == 3:
			letter, t.Scale = 'W', int8(min(b[2], 127))
		case kind == 4 && length == 2:
			letter = 'S'
		case kind == 8 && length == 10:
			letter, t.Timestamp = 'T', binary.BigEndian.Uint32(b[2:])
		}
		kinds[n] = letter
		n++
		if kind == 0 {
			break
		}
		b = b[length:]
	}
	t.Options = usualOptions(kinds[:n])
}

// usualOptions makes a string, without memory for what nearly all hosts send.
func usualOptions(kinds []byte) string {
	switch string(kinds) {
	case "MSTNW":
		return "MSTNW"
	case "MNWST":
		return "MNWST"
	case "MNWNNTSE":
		return "MNWNNTSE"
	}
	return string(kinds)
}

func (a *Answer) readICMP(b []byte) {
	if len(b) < 8 {
		return
	}
	switch b[0] {
	case 0:
		a.Kind, a.Seq = Echoes, binary.BigEndian.Uint32(b[4:])
	case 3:
		a.quoted(Unreachable, b[8:], b[1])
	case 11:
		a.quoted(Expired, b[8:], b[1])
	}
}

func (a *Answer) readICMP6(b []byte) {
	if len(b) < 8 {
		return
	}
	switch b[0] {
	case 129:
		a.Kind, a.Seq = Echoes, binary.BigEndian.Uint32(b[4:])
	case 1:
		a.quoted(Unreachable, b[8:], b[1])
	case 3:
		a.quoted(Expired, b[8:], b[1])
	}
}

// quoted reads the packet that an error quotes: at least its IP header and 8 bytes.
func (a *Answer) quoted(kind Kind, b []byte, code uint8) {
	var about netip.Addr
	var protocol byte
	switch {
	case len(b) >= header4 && b[0]>>4 == 4:
		header := int(b[0]&0xf) * 4
		if header < header4 || len(b) < header+8 {
			return
		}
		about, protocol, b = netip.AddrFrom4([4]byte(b[16:20])), b[9], b[header:]
	case len(b) >= header6+8 && b[0]>>4 == 6:
		about, protocol, b = netip.AddrFrom16([16]byte(b[24:40])), b[6], b[header6:]
	default:
		return
	}
	switch protocol {
	case protocolTCP:
		a.Local, a.Port, a.Seq = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])
	case protocolUDP:
		a.UDP = true
		a.Local, a.Port, a.Seq = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])
	case protocolICMP, protocolICMP6:
		if b[0] != 8 && b[0] != 128 {
			return
		}
		a.Echo, a.Seq = true, binary.BigEndian.Uint32(b[4:])
	default:
		return
	}
	a.Kind, a.About, a.Code = kind, about, code
}
