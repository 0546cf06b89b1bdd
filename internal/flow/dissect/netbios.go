package dissect

import (
	"strings"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// matchMulticastDNS recognises mDNS, which unlike DNS may have many questions or
// none, by port 5353 at one end.
func matchMulticastDNS(l *look) answer {
	if l.srcPort != 5353 && l.dstPort != 5353 {
		return no
	}
	b := l.b
	if !dnsHeader(b, 256) {
		return no
	}
	end := skipName(b)
	if end < 0 || end+4 > len(b) || !knownType(u16(b, end)) {
		return no
	}
	return yes
}

// matchLLMNR is DNS on port 5355.
func matchLLMNR(l *look) answer {
	if l.srcPort != 5355 && l.dstPort != 5355 {
		return no
	}
	return matchDNS(l)
}

// matchNetBIOSName recognises the name service (RFC 1002, section 4.2): DNS with
// names of 32 letters A to P.
func matchNetBIOSName(l *look) answer {
	b := l.b
	if len(b) < 12+34 || int(u16(b, 4))+int(u16(b, 6)) == 0 || u16(b, 4) > 2 || u16(b, 6) > 2 || b[12] != 32 {
		return when(l.ported(137) && dnsHeader(b, 2), maybe)
	}
	for _, c := range b[13:45] {
		if c < 'A' || c > 'P' {
			return when(l.ported(137), maybe)
		}
	}
	return yes
}

// netbiosName decodes the first-level encoding of a name (RFC 1001, section 14.1).
func netbiosName(b []byte) (string, byte) {
	if len(b) < 32 {
		return "", 0
	}
	var out [16]byte
	for i := range out {
		out[i] = (b[2*i]-'A')<<4 | (b[2*i+1]-'A')&15
	}
	return strings.TrimSpace(text(out[:15], maxName)), out[15]
}

// readNetBIOSName reads the question, and the name that a host registers.
func readNetBIOSName(r *reading) Verdict {
	b := r.b
	if len(b) < 46 || b[12] != 32 {
		return More
	}
	name, suffix := netbiosName(b[13:45])
	f := r.facts()
	kind := "NB"
	if end := skipName(b); end > 0 && u16(b, end) == 33 {
		kind = "NBSTAT"
	}
	if f.DNS == nil {
		f.DNS = &DNS{Query: name, Type: kind}
	}
	if u16(b, 2)&0x8000 != 0 {
		f.DNS.Response = rcodeName(u16(b, 2) & 15)
	}
	registers := u16(b, 2)>>11&15 == 5 && u16(b, 2)&0x8000 == 0
	if registers && suffix == 0 && r.e.o.OnName != nil && name != "" {
		r.e.o.OnName("netbios", name, srcOf(r), r.at)
	}
	return r.doneUnlessTold()
}

// NetBIOSName is a name that a host registers, with its 16th byte, which says what for,
// and whether it is of a group of hosts.
type NetBIOSName struct {
	Name   string
	Suffix byte
	Group  bool
}

// ReadNetBIOSName reads the name in a registration or a refresh of one (RFC 1002,
// sections 4.2.2 and 4.2.4); ok is false for all else.
func ReadNetBIOSName(b []byte) (n NetBIOSName, ok bool) {
	if len(b) < 46 || b[12] != 32 || u16(b, 2)&0x8000 != 0 {
		return n, false
	}
	if op := u16(b, 2) >> 11 & 15; op != 5 && op != 8 && op != 9 {
		return n, false
	}
	for _, c := range b[13:45] {
		if c < 'A' || c > 'P' {
			return n, false
		}
	}
	n.Name, n.Suffix = netbiosName(b[13:45])
	// The flags lie before the address at the end of the record (section 4.2.2).
	n.Group = len(b) >= 52 && b[len(b)-6]&0x80 != 0
	return n, n.Name != ""
}

// srcOf is who sent the datagram.
func srcOf(r *reading) packet.Addr {
	if r.dir == FromInitiator {
		return r.s.tuple.Src
	}
	return r.s.tuple.Dst
}

// matchNetBIOSDatagram recognises the datagram service (RFC 1002, section 4.4):
// direct or broadcast, from port 138, with a name behind the header.
func matchNetBIOSDatagram(l *look) answer {
	b := l.b
	if len(b) < 14+34 || b[0] < 0x10 || b[0] > 0x16 || b[14] != 32 || (l.srcPort != 138 && l.dstPort != 138) {
		return no
	}
	for _, c := range b[15:47] {
		if c < 'A' || c > 'P' {
			return maybe
		}
	}
	return yes
}

// readNetBIOSDatagram reads who sends.
func readNetBIOSDatagram(r *reading) Verdict {
	if name, suffix := netbiosName(r.b[min(len(r.b), 15):]); name != "" && suffix == 0 && r.e.o.OnName != nil {
		r.e.o.OnName("netbios", name, srcOf(r), r.at)
	}
	return Done
}
