package dissect

func industrialProtocols() []protocol {
	modbus := signature{starts: "", match: matchModbus}
	dnp := signature{starts: "\x05", match: matchDNP3}
	s7 := signature{starts: "\x03", match: matchS7}
	iec := signature{starts: "\x68", match: matchIEC104}
	opc := says("HELF", "ACKF", "OPNF", "ERRF", "MSGF", "RHEF")
	enip := signature{starts: "\x04\x63\x64\x65\x66\x6f\x70", match: matchENIP}
	pmu := signature{starts: "\xaa", match: matchSynchrophasor}
	c1222 := signature{starts: "\x60", match: matchC1222}
	return []protocol{
		{name: "dnp3", category: categoryIndustrial, tcp: []uint16{20000, 19999}, udp: []uint16{20000}, client: dnp, server: dnp, datagram: dnp},
		{name: "opcua", category: categoryIndustrial, tcp: []uint16{4840}, client: opc, server: opc},
		{name: "s7comm", category: categoryIndustrial, tcp: []uint16{102}, client: s7, server: s7},
		{name: "iec-104", category: categoryIndustrial, tcp: []uint16{2404}, client: iec, server: iec},
		{
			name: "ethernet-ip", category: categoryIndustrial, tcp: []uint16{44818}, udp: []uint16{44818, 2222}, client: enip, server: enip,
			datagram: signature{starts: "\x04\x63\x64\x65\x66\x6f\x70\x02", match: func(l *look) answer {
				if l.b[0] == 2 { // CIP over UDP: two items, an address and data.
					return when(len(l.b) >= 10 && le16(l.b, 0) == 2 && (le16(l.b, 2) == 0x8002 || le16(l.b, 2) == 0x00a1), yes)
				}
				return matchENIP(l)
			}},
		},
		{
			name: "bacnet", category: categoryIndustrial, udp: []uint16{47808}, datagram: signature{starts: "\x81", match: func(l *look) answer {
				b := l.b
				return when(len(b) >= 6 && b[1] <= 0x0b && int(u16(b, 2)) == l.size, yes)
			}},
		},
		{name: "c37.118", category: categoryIndustrial, tcp: []uint16{4712}, udp: []uint16{4713}, client: pmu, server: pmu, datagram: pmu},
		{name: "ansi-c12.22", category: categoryIndustrial, tcp: []uint16{1153}, udp: []uint16{1153}, client: c1222, server: c1222, datagram: c1222},
		{
			name: "profinet", category: categoryIndustrial, udp: []uint16{34964}, datagram: signature{starts: "\x04", match: func(l *look) answer {
				return when(connectionlessRPC(l.b) && l.ported(34962, 34963, 34964), yes)
			}, portOnly: true},
		},
		{
			name: "ads", category: categoryIndustrial, tcp: []uint16{48898}, client: signature{starts: "\x00", match: matchADS}, server: signature{starts: "\x00", match: matchADS}, udp: []uint16{48899},
		},
		{name: "fins", category: categoryIndustrial, tcp: []uint16{9600}, udp: []uint16{9600}, client: says("FINS\x00\x00"), server: says("FINS\x00\x00"), datagram: signature{starts: "\x80\xc0\x81\xc1", match: func(l *look) answer {
			b := l.b
			return when(len(b) >= 12 && b[1] == 0 && b[2] <= 7 && b[3] <= 0x7f && l.ported(9600), yes)
		}, portOnly: true}},
		{name: "hart-ip", category: categoryIndustrial, tcp: []uint16{5094}, udp: []uint16{5094}, client: signature{starts: "\x01", match: matchHART}, server: signature{starts: "\x01", match: matchHART}, datagram: signature{starts: "\x01", match: func(l *look) answer {
			return when(int(u16(l.b, 6)) == l.size, matchHART(l))
		}}},
		{name: "melsec", category: categoryIndustrial, tcp: []uint16{5007}, udp: []uint16{5006}, client: says("\x50\x00\x00\xff\xff\x03"), datagram: says("\x50\x00\x00\xff\xff\x03", "\x57\x00\x00\x00\x00\x11\x11\x07")},
		{name: "egd", category: categoryIndustrial, udp: []uint16{18246}, datagram: signature{starts: "\x0d", match: func(l *look) answer {
			return when(len(l.b) >= 32 && l.b[1] == 1, l.byPort(18246))
		}}},
		{name: "coap", category: categoryIndustrial, udp: []uint16{5683}, datagram: signature{starts: "", match: matchCoAP}},
		{name: "knxnet", category: categoryIndustrial, udp: []uint16{3671}, datagram: signature{starts: "\x06", match: func(l *look) answer {
			return when(len(l.b) >= 6 && u16(l.b, 0) == 0x0610 && int(u16(l.b, 4)) == l.size, yes)
		}}},
		{name: "someip", category: categoryIndustrial, udp: []uint16{30490, 30501}, datagram: signature{starts: "", match: func(l *look) answer {
			b := l.b
			return when(len(b) >= 16 && int(u32(b, 4))+8 == l.size && b[12] == 1 && (b[14] <= 2 || b[14] == 0x80 || b[14] == 0x81) && b[15] <= 0x20, yes)
		}}},
		{name: "dlms", category: categoryIndustrial, tcp: []uint16{4059}, udp: []uint16{4059}, client: signature{starts: "\x00", match: matchDLMS}, server: signature{starts: "\x00", match: matchDLMS}},
		{name: "atg", category: categoryIndustrial, tcp: []uint16{10001}, client: signature{starts: "\x01", match: func(l *look) answer {
			if need(l, 7) {
				return when(len(l.b) < 2 || l.b[1] == 'I' || l.b[1] == 'S' || l.b[1] == 'i' || l.b[1] == 's', more)
			}
			for _, c := range l.b[2:7] {
				if c < '0' || c > '9' {
					return no
				}
			}
			return yes
		}}},
		{name: "modbus", category: categoryIndustrial, tcp: []uint16{502}, client: modbus, server: modbus},
	}
}

// matchModbus recognises the header of Modbus over TCP: protocol 0, a length that the
// function allows. Most of it is zeros, so without the port two messages must agree.
func matchModbus(l *look) answer {
	b := l.b
	if need(l, 8) {
		if len(b) > 4 && (b[2] != 0 || b[3] != 0 || b[4] != 0) {
			return no
		}
		return more
	}
	n, function := int(u16(b, 4)), b[7]&0x7f
	if u16(b, 2) != 0 || n < 2 || n > 254 || function == 0 {
		return no
	}
	if b[7] >= 0x80 && n != 3 {
		return no
	}
	if l.ported(502) {
		return yes
	}
	return when(function <= 6 && n == 6 || function == 0x2b || function <= 4 && len(b) > 8 && int(b[8])+3 == n, maybe)
}

// matchDNP3 recognises a link frame (IEEE 1815, section 9.2): its mark and the
// checksum of its header.
func matchDNP3(l *look) answer {
	b := l.b
	if need(l, 10) {
		return min(more, starts(b[:min(2, len(b))], "\x05\x64"))
	}
	return when(b[1] == 0x64 && b[2] >= 5 && le16(b, 8) == dnpChecksum(b[:8]), yes)
}

// dnpChecksum is CRC-16/DNP: polynomial 0x3d65, reflected, inverted.
func dnpChecksum(b []byte) uint16 {
	crc := uint16(0)
	for _, c := range b {
		crc ^= uint16(c)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xa6bc
			} else {
				crc >>= 1
			}
		}
	}
	return ^crc
}

// matchS7 recognises S7 data behind TPKT and COTP, perhaps behind the connection's
// request.
func matchS7(l *look) answer {
	p, next, a := tpkt(l.b, 0)
	if a == no {
		return no
	}
	if a == more {
		if len(p) > 1 && p[1] != cotpConnect && p[1] != cotpConfirm && p[1] != cotpData {
			return no
		}
		return more
	}
	if p[1] == cotpConnect || p[1] == cotpConfirm {
		if len(p) < 7 {
			return no
		}
		if p, _, a = tpkt(l.b, next); a != yes {
			if a == more && l.final && l.ported(102) {
				return maybe
			}
			return a
		}
	}
	if len(p) < 4 || p[0] != 2 || p[1] != cotpData {
		return no
	}
	return when(p[3] == 0x32 || p[3] == 0x72, yes)
}

// matchIEC104 recognises an APCI (IEC 60870-5-104, section 5): control without data,
// or data of a known type.
func matchIEC104(l *look) answer {
	b := l.b
	if need(l, 6) {
		return when(len(b) < 2 || b[1] >= 4 && b[1] <= 253, more)
	}
	switch {
	case b[1] == 4 && b[2]&3 == 3:
		return when((b[2] == 7 || b[2] == 0x0b || b[2] == 0x13 || b[2] == 0x23 || b[2] == 0x43 || b[2] == 0x83) && b[3] == 0 && b[4] == 0 && b[5] == 0, yes)
	case b[1] == 4 && b[2] == 1:
		return when(b[3] == 0 && b[4]&1 == 0, l.byPort(2404))
	case b[2]&1 == 0 && b[4]&1 == 0 && b[1] >= 10:
		if need(l, 12) {
			return more
		}
		cause := b[8] & 0x3f
		return when(b[6] > 0 && b[6] <= 127 && cause > 0 && cause <= 47 && (b[10] != 0 || b[11] != 0), l.byPort(2404))
	}
	return no
}

// matchENIP recognises the encapsulation header (ODVA, volume 2): a command, and
// zeros in status and options.
func matchENIP(l *look) answer {
	b := l.b
	if need(l, 24) {
		return when(len(b) < 2 || b[1] == 0, more)
	}
	switch le16(b, 0) {
	case 4, 0x63, 0x64, 0x66, 0x6f, 0x70:
	case 0x65:
		if le16(b, 2) != 4 {
			return no
		}
	default:
		return no
	}
	return when(le32(b, 8) < 0x100 && le32(b, 20) == 0 && le16(b, 2) < 4096, yes)
}

// matchSynchrophasor recognises a frame of IEEE C37.118.2, section 6.2: its type and
// version, a length, and its checksum.
func matchSynchrophasor(l *look) answer {
	b := l.b
	if need(l, 14) {
		return when(len(b) < 2 || b[1]&0x8f >= 1 && b[1]&0x8f <= 3 && b[1] < 0x60, more)
	}
	n := int(u16(b, 2))
	if b[1] >= 0x60 || b[1]&15 != 1 && b[1]&15 != 2 || n < 16 || n > maxNaming {
		return no
	}
	if len(b) < n {
		return more
	}
	return when(u16(b, n-2) == phasorChecksum(b[:n-2]), yes)
}

// phasorChecksum is CRC-CCITT: polynomial 0x1021, of ones.
func phasorChecksum(b []byte) uint16 {
	crc := uint16(0xffff)
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// matchC1222 recognises ANSI C12.22: an ACSE message with the standard's names.
func matchC1222(l *look) answer {
	_, body, ok := derHead(l.b)
	if !ok || len(body) < 4 {
		return when(len(l.b) < 10, more)
	}
	return when((body[0] == 0xa2 || body[0] == 0xa1) && body[1] < 0x80 && (body[2] == derObject || body[2] == 0x80 || body[2] == 0x0d), l.byPort(1153))
}

// matchADS recognises Beckhoff's AMS over TCP: two zeros, a length, and networks of
// which the sixth byte counts.
func matchADS(l *look) answer {
	b := l.b
	if need(l, 38) {
		if len(b) > 1 && b[1] != 0 {
			return no
		}
		return more
	}
	n, data := le32(b, 2), le32(b, 26)
	return when(u16(b, 0) == 0 && n == data+32 && le16(b, 22) <= 9, yes)
}

func matchHART(l *look) answer {
	b := l.b
	if need(l, 8) {
		return when(len(b) < 2 || b[1] <= 2, more)
	}
	return when(b[0] == 1 && b[1] <= 3 && b[2] <= 3 && u16(b, 6) >= 8 && u16(b, 6) < 512, l.byPort(5094))
}

// matchDLMS recognises the wrapper of DLMS/COSEM over TCP: version 1, and an
// association or a request.
func matchDLMS(l *look) answer {
	b := l.b
	if need(l, 9) {
		return when(len(b) < 2 || b[1] == 1, more)
	}
	return when(u16(b, 0) == 1 && u16(b, 6) > 0 && u16(b, 6) < 2048 && (b[8] == 0x60 || b[8] == 0x61 || b[8] >= 0xc0 && b[8] <= 0xc8), l.byPort(4059))
}

// matchCoAP recognises a message (RFC 7252, section 3): version 1, a code that exists
// and options that the datagram holds.
func matchCoAP(l *look) answer {
	b := l.b
	if len(b) < 4 || b[0]>>6 != 1 || b[0]&15 > 8 {
		return no
	}
	class, detail := b[1]>>5, b[1]&31
	token := int(b[0] & 15)
	switch {
	case b[1] == 0:
		return when(l.size == 4 && b[0]&0x30 != 0x10, l.byPort(5683))
	case class == 0 && detail <= 7, class == 2 && detail <= 5 || b[1] == 0x5f, class == 4 && detail <= 15, class == 5 && detail <= 5:
	default:
		return no
	}
	at := 4 + token
	for at < len(b) && b[at] != 0xff {
		delta, n := int(b[at]>>4), int(b[at]&15)
		if delta == 15 || n == 15 {
			return no
		}
		at++
		for _, v := range []*int{&delta, &n} {
			switch *v {
			case 13:
				if at >= len(b) {
					return no
				}
				*v = 13 + int(b[at])
				at++
			case 14:
				*v = 269 + int(u16(b, at))
				at += 2
			}
		}
		at += n
	}
	if at > l.size || at == len(b)-1 && b[at] == 0xff {
		return no
	}
	return l.byPort(5683, 61616)
}
