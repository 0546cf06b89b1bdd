package dissect

import "bytes"

func contains(b []byte, word string) bool {
	return bytes.Contains(b[:min(len(b), 1024)], []byte(word))
}

func networkProtocols() []protocol { //nolint:funlen // a table
	all := []protocol{ //nolint:prealloc // a table
		{
			name: "ntp", category: categoryNetwork, udp: []uint16{123}, datagram: signature{starts: "", match: matchNTP},
		},
		{
			name: "ptp", category: categoryNetwork, udp: []uint16{319, 320}, datagram: signature{starts: "", match: matchPTP, portOnly: true},
		},
		{
			name: "bgp", category: categoryNetwork, tcp: []uint16{179}, client: signature{starts: "\xff", match: matchBGP}, server: signature{starts: "\xff", match: matchBGP},
		},
		{
			name: "ldp", category: categoryNetwork, tcp: []uint16{646}, udp: []uint16{646},
			client: signature{starts: "\x00", match: matchLDP}, server: signature{starts: "\x00", match: matchLDP}, datagram: signature{starts: "\x00", match: matchLDP},
		},
		{
			name: "rip", category: categoryNetwork, udp: []uint16{520, 521}, datagram: signature{starts: "\x01\x02", match: matchRIP, portOnly: true},
		},
		{
			name: "hsrp", category: categoryNetwork, udp: []uint16{1985, 2029}, datagram: signature{starts: "\x00\x01", match: matchHSRP, portOnly: true},
		},
		{
			name: "glbp", category: categoryNetwork, udp: []uint16{3222}, datagram: signature{starts: "\x01", match: func(l *look) answer {
				return when(l.size >= 32 && l.ported(3222) && len(l.b) > 1 && l.b[1] == 0, yes)
			}, portOnly: true},
		},
		{
			name: "bfd", category: categoryNetwork, udp: []uint16{3784, 3785, 4784}, datagram: signature{starts: "", match: func(l *look) answer {
				b := l.b
				return when(len(b) >= 24 && b[0]>>5 == 1 && int(b[3]) == l.size && b[2] != 0 && u32(b, 4) != 0 && l.size <= 52, l.byPort(3784, 4784))
			}},
		},
		{
			name: "lisp", category: categoryNetwork, udp: []uint16{4341, 4342}, tcp: []uint16{4342}, datagram: signature{starts: "", match: matchLISP, portOnly: true},
		},
		{
			name: "gtp", category: categoryNetwork, udp: []uint16{2123, 2152, 3386}, datagram: signature{starts: "", match: matchGTP, portOnly: true},
		},
		{
			name: "pfcp", category: categoryNetwork, udp: []uint16{8805}, datagram: signature{starts: "\x20\x21\x22\x23", match: func(l *look) answer {
				return when(len(l.b) >= 8 && int(u16(l.b, 2))+4 == l.size && l.b[1] != 0 && l.b[1] < 60, l.byPort(8805))
			}},
		},
		{
			name: "vxlan", category: categoryNetwork, udp: []uint16{4789}, datagram: signature{starts: "\x08", match: func(l *look) answer {
				return when(len(l.b) >= 22 && u24(l.b, 1) == 0 && l.b[7] == 0, l.byPort(4789, 8472))
			}},
		},
		{
			name: "geneve", category: categoryNetwork, udp: []uint16{6081}, datagram: signature{starts: "\x00\x01\x02\x03\x04", match: func(l *look) answer {
				return when(len(l.b) >= 22 && u16(l.b, 2) == 0x6558 && l.b[7] == 0, l.byPort(6081))
			}},
		},
		{
			name: "capwap", category: categoryNetwork, udp: []uint16{5246, 5247}, datagram: signature{starts: "\x00\x01", match: func(l *look) answer {
				b := l.b
				if b[0] == 1 { // DTLS follows.
					return when(len(b) > 17 && u24(b, 1) == 0 && dtlsVersion(u16(b, 5)), yes)
				}
				return when(len(b) >= 16 && l.ported(5246, 5247) && b[1]>>3 >= 1 && b[1]>>3 <= 8, yes)
			}},
		},
		{
			name: "openflow", category: categoryManage, tcp: []uint16{6633, 6653}, client: signature{starts: "\x01\x02\x03\x04\x05", match: matchOpenFlow}, server: signature{starts: "\x01\x02\x03\x04\x05", match: matchOpenFlow},
		},
		{
			name: "diameter", category: categoryLogin, tcp: []uint16{3868}, client: signature{starts: "\x01", match: matchDiameter}, server: signature{starts: "\x01", match: matchDiameter},
		},
		{
			name: "pgm", category: categoryNetwork, ip: 113,
		},
	}
	for _, p := range []struct {
		number uint8
		name   string
	}{
		{1, "icmp"},
		{2, "igmp"},
		{4, "ipip"},
		{8, "egp"},
		{9, "igp"},
		{33, "dccp"},
		{41, "ipv6"},
		{46, "rsvp"},
		{47, "gre"},
		{58, "icmpv6"},
		{88, "eigrp"},
		{89, "ospf"},
		{94, "ipip"},
		{97, "etherip"},
		{103, "pim"},
		{108, "ipcomp"},
		{112, "vrrp"},
		{124, "isis"},
		{132, "sctp"},
		{137, "mpls"},
	} {
		all = append(all, protocol{name: p.name, category: categoryNetwork, ip: p.number})
	}
	return all
}

// matchNTP recognises NTP (RFC 5905, section 7.3): versions 1 to 4, modes that fit
// their length.
func matchNTP(l *look) answer {
	b := l.b
	version, mode := b[0]>>3&7, b[0]&7
	if len(b) < 8 || version == 0 || version > 4 || mode == 0 {
		return no
	}
	switch mode {
	case 6: // Control (RFC 9327).
		return when(l.ported(123) && len(b) >= 12 && b[1]&0x1f <= 31 && int(u16(b, 10)) <= l.size-12, yes)
	case 7: // Private, of ntpd.
		return when(l.ported(123) && b[2] <= 3 && b[3] < 64, yes)
	}
	if l.size < 48 || len(b) < 48 || b[1] > 16 {
		return no
	}
	if l.ported(123) {
		return when(l.size == 48 || l.size >= 52 && l.size%4 == 0, yes)
	}
	return when(l.size == 48 && int8(b[3]) < 0 && int8(b[3]) > -40 && b[2] < 18 && u16(b, 4) < 16 && u16(b, 8) < 64, maybe)
}

// matchPTP recognises the Precision Time Protocol, version 2 (IEEE 1588-2019,
// section 13.3).
func matchPTP(l *look) answer {
	b := l.b
	return when(len(b) >= 34 && b[1]&15 == 2 && int(u16(b, 2)) <= l.size && int(u16(b, 2)) >= 34 && b[0]&15 <= 13 && l.ported(319, 320), yes)
}

// matchBGP recognises the marker of 16 ones (RFC 4271, section 4.1), and a length
// and type.
func matchBGP(l *look) answer {
	b := l.b
	for _, c := range b[:min(len(b), 16)] {
		if c != 0xff {
			return no
		}
	}
	if need(l, 19) {
		return more
	}
	return when(u16(b, 16) >= 19 && u16(b, 16) <= 4096 && b[18] >= 1 && b[18] <= 5, yes)
}

// matchLDP recognises a PDU of the Label Distribution Protocol (RFC 5036, section
// 3.5) with a message of a known type.
func matchLDP(l *look) answer {
	b := l.b
	if need(l, 14) {
		return when(b[0] == 0 && (len(b) < 2 || b[1] == 1), more)
	}
	n, kind, inner := int(u16(b, 2)), u16(b, 10)&0x7fff, int(u16(b, 12))
	known := kind == 1 || kind >= 0x100 && kind <= 0x404 || kind == 0x200 || kind == 0x201
	return when(u16(b, 0) == 1 && n >= 14 && n <= 4096 && u16(b, 8) == 0 && known && inner+10 <= n, yes)
}

// matchRIP recognises versions 1 and 2 (RFC 2453, section 4), and RIPng (RFC 2080).
func matchRIP(l *look) answer {
	b := l.b
	if len(b) < 24 || b[1] == 0 || b[1] > 2 || u16(b, 2) != 0 || (l.size-4)%20 != 0 || !l.ported(520, 521) {
		return no
	}
	f := u16(b, 4)
	return when(l.ported(521) || f == 2 || f == 0 || f == 0xffff, yes)
}

// matchHSRP recognises Cisco's Hot Standby Router Protocol (RFC 2281, section 5.1),
// and version 2, which is TLVs.
func matchHSRP(l *look) answer {
	b := l.b
	if len(b) < 8 || !l.ported(1985, 2029) {
		return no
	}
	if b[0] == 1 { // A group state of 40 bytes.
		return when(b[1] == 40 && b[2] == 2, yes)
	}
	return when(b[1] <= 3 && (l.size >= 20 && b[2] <= 16 || b[1] == 3), yes)
}

// matchLISP recognises control messages (RFC 9301, section 5) and encapsulated
// packets of IP (RFC 9300, section 5).
func matchLISP(l *look) answer {
	b := l.b
	if l.ported(4342) {
		t := b[0] >> 4
		return when(len(b) >= 12 && (t >= 1 && t <= 4 || t == 8) && (t == 8 && (b[4]>>4 == 4 || b[4]>>4 == 6) || t != 8 && b[3] < 64), yes)
	}
	return when(l.ported(4341) && len(b) > 28 && (b[8]>>4 == 4 || b[8]>>4 == 6), yes)
}

// matchGTP recognises GTP, versions 1 and 2 (3GPP TS 29.060, section 6; TS 29.274,
// section 5), and GTP prime.
func matchGTP(l *look) answer {
	b := l.b
	if len(b) < 8 || !l.ported(2123, 2152, 3386) {
		return no
	}
	n := int(u16(b, 2))
	switch b[0] >> 5 {
	case 1:
		if b[0]&0x10 == 0 { // GTP prime.
			return when(n+6 == l.size || n+20 == l.size, yes)
		}
		return when(b[1] != 0 && n+8 == l.size, yes)
	case 2:
		return when(b[1] != 0 && n+4 == l.size, yes)
	case 0:
		return when(n+20 == l.size || n+6 == l.size, yes)
	}
	return no
}

// matchOpenFlow recognises a HELLO.
func matchOpenFlow(l *look) answer {
	b := l.b
	if need(l, 8) {
		return more
	}
	n := u16(b, 2)
	return when(b[0] <= 6 && b[1] == 0 && (n == 8 || n == 16 || n == 24), l.byPort(6633, 6653))
}

// matchDiameter recognises the header (RFC 6733, section 3) with a command of its
// base, and flags that must be zero.
func matchDiameter(l *look) answer {
	b := l.b
	if need(l, 20) {
		return more
	}
	n, command, app := u24(b, 1), u24(b, 5), u32(b, 8)
	ok := n >= 20 && n%4 == 0 && n < 1<<16 && b[4]&0x0f == 0 && (command >= 257 && command <= 330 || command >= 8388600 && command <= 8388800)
	return when(ok && (app < 16 || app>>16 == 0x0100 || app == 0xffffffff), yes)
}
