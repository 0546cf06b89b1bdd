package dissect

import "bytes"

func manageProtocols() []protocol {
	dcerpc := signature{starts: "\x05", match: matchDCERPC}
	return []protocol{
		{name: "snmp", category: categoryManage, udp: []uint16{161, 162, 10161, 10162}, tcp: []uint16{161}, datagram: signature{starts: "\x30", match: matchSNMP}, client: signature{starts: "\x30", match: matchSNMP}},
		{name: "syslog", category: categoryManage, udp: []uint16{514}, tcp: []uint16{514, 601, 1514}, datagram: signature{starts: "<", match: matchSyslog}, client: signature{starts: "<0123456789", match: matchSyslog}},
		{name: "netflow", category: categoryManage, udp: []uint16{2055, 9995, 9996, 9555}, datagram: signature{starts: "\x00", match: matchNetFlow}},
		{name: "ipfix", category: categoryManage, udp: []uint16{4739, 2055}, tcp: []uint16{4739}, datagram: signature{starts: "\x00", match: func(l *look) answer {
			return when(len(l.b) >= 20 && u16(l.b, 0) == 10 && int(u16(l.b, 2)) == l.size && u16(l.b, 18) >= 4 && (u16(l.b, 16) == 2 || u16(l.b, 16) == 3 || u16(l.b, 16) >= 256), yes)
		}}},
		{name: "sflow", category: categoryManage, udp: []uint16{6343}, datagram: signature{starts: "\x00", match: func(l *look) answer {
			b := l.b
			return when(len(b) >= 28 && (u32(b, 0) == 5 || u32(b, 0) == 2 || u32(b, 0) == 4) && (u32(b, 4) == 1 || u32(b, 4) == 2), yes)
		}}},
		{name: "dcerpc", category: categoryManage, tcp: []uint16{135, 593}, udp: []uint16{135}, client: dcerpc, server: dcerpc, datagram: signature{starts: "\x04", match: func(l *look) answer {
			return when(connectionlessRPC(l.b), yes)
		}}},
		{name: "zabbix", category: categoryManage, tcp: []uint16{10050, 10051}, client: says("ZBXD\x01", "ZBXD\x03"), server: says("ZBXD\x01", "ZBXD\x03")},
		{name: "checkmk", category: categoryManage, tcp: []uint16{6556}, server: says("<<<check_mk>>>")},
		{name: "munin", category: categoryManage, tcp: []uint16{4949}, server: says("# munin node at")},
		{name: "nrpe", category: categoryManage, tcp: []uint16{5666}},
		{name: "collectd", category: categoryManage, udp: []uint16{25826}, datagram: signature{starts: "\x00\x02", match: func(l *look) answer {
			b := l.b
			n := int(u16(b, 2))
			if len(b) < 12 || n < 6 || n+4 > len(b) || u16(b, 0) != 0 || b[n-1] != 0 || !printable(b[4:n-1]) {
				return no
			}
			return when(u16(b, n) == 8 || u16(b, n) == 1, yes)
		}}},
		{name: "statsd", category: categoryManage, udp: []uint16{8125}, datagram: signature{starts: "", match: matchStatsD, portOnly: true}},
		{name: "graphite", category: categoryManage, tcp: []uint16{2003}},
		{name: "gelf", category: categoryManage, udp: []uint16{12201}, datagram: signature{starts: "\x1e", match: func(l *look) answer {
			b := l.b
			return when(len(b) > 12 && b[1] == 0x0f && b[10] < b[11] && b[11] <= 128, yes)
		}}},
		{name: "whois", category: categoryManage, tcp: []uint16{43, 4343}, client: signature{starts: "", match: func(l *look) answer { return matchQuery(l, 43, 4343) }, portOnly: true}},
		{name: "finger", category: categoryManage, tcp: []uint16{79}, client: signature{starts: "", match: func(l *look) answer { return matchQuery(l, 79) }, portOnly: true}},
		{name: "ipmi", category: categoryManage, udp: []uint16{623, 664}, datagram: signature{starts: "\x06", match: func(l *look) answer {
			return when(len(l.b) >= 8 && l.b[1] == 0 && (l.b[3]&0x1f == 7 || l.b[3]&0x1f == 6), l.byPort(623, 664))
		}}},
		{name: "wake-on-lan", category: categoryManage, udp: []uint16{9}, datagram: signature{starts: "\xff", match: matchMagicPacket}},
		{name: "tplink-shp", category: categoryManage, udp: []uint16{9999}, tcp: []uint16{9999}, datagram: says("\xd0\xf2\x81\xf8\x8b\xff", "\xd0\xad\xd0\xad"), client: signature{starts: "\x00", match: matchSmartHome}, server: signature{starts: "\x00", match: matchSmartHome}},
		{name: "tuya", category: categoryManage, udp: []uint16{6666, 6667}, tcp: []uint16{6668}, datagram: says("\x00\x00\x55\xaa\x00", "\x00\x00\x66\x99\x00"), client: says("\x00\x00\x55\xaa\x00", "\x00\x00\x66\x99\x00")},
		{name: "ubnt-discovery", category: categoryManage, udp: []uint16{10001}, datagram: signature{starts: "\x01\x02", match: func(l *look) answer {
			b := l.b
			if len(b) < 4 || !l.ported(10001) {
				return no
			}
			return when((b[0] == 1 && b[1] == 0 || b[0] == 2 && (b[1] == 6 || b[1] == 8 || b[1] == 10 || b[1] == 11)) && int(u16(b, 2))+4 == l.size, yes)
		}, portOnly: true}},
		{name: "mikrotik-discovery", category: categoryManage, udp: []uint16{5678}, datagram: signature{starts: "\x00", match: func(l *look) answer {
			b := l.b
			return when(l.ported(5678) && (l.size == 4 || len(b) > 8 && u16(b, 4) == 1 && u16(b, 6) == 6), yes)
		}, portOnly: true}},
		{name: "tivoconnect", category: categoryManage, udp: []uint16{2190}, datagram: says("TiVoConnect=", "tivoconnect=")},
		{name: "sonos", category: categoryManage, udp: []uint16{6969}},
		{name: "dropbox-lansync", category: categoryFile, udp: []uint16{17500}, datagram: signature{starts: "{", match: func(l *look) answer {
			return when(contains(l.b, `"host_int"`), yes)
		}}},
		{name: "roughtime", category: categoryNetwork, udp: []uint16{2002}, datagram: says("ROUGHTIM")},
		{name: "canon-bjnp", category: categoryManage, udp: []uint16{8610, 8611, 8612}, datagram: says("BJNP\x01", "BJNP\x02", "BJNB\x01", "MFNP\x01")},
		{name: "gvcp", category: categoryIndustrial, udp: []uint16{3956}, datagram: signature{starts: "\x42\x00", match: func(l *look) answer {
			return when(len(l.b) >= 8 && l.ported(3956) && (l.b[0] == 0x42 && int(u16(l.b, 4))+8 == l.size || l.b[0] == 0 && int(u16(l.b, 4))+8 == l.size), yes)
		}, portOnly: true}},
		{name: "ipp", category: categoryManage, tcp: []uint16{631}, udp: []uint16{631}, datagram: signature{starts: "0123456789abcdef", match: func(l *look) answer {
			// A printer announced by CUPS: type, state, and its address.
			return when(l.ported(631) && contains(l.b, " ipp://"), yes)
		}, portOnly: true}},
		{name: "jetdirect", category: categoryManage, tcp: []uint16{9100}, client: says("\x1b%-12345X", "@PJL "), server: says("@PJL ")},
		{name: "lpd", category: categoryManage, tcp: []uint16{515}, client: signature{starts: "\x01\x02\x03\x04\x05", match: func(l *look) answer {
			return when(l.ported(515), matchQuery(&look{b: l.b[1:], final: l.final, srcPort: l.srcPort, dstPort: l.dstPort}, 515))
		}}},
		{name: "time", category: categoryNetwork, tcp: []uint16{37}, udp: []uint16{37}},
		{name: "daytime", category: categoryNetwork, tcp: []uint16{13}, udp: []uint16{13}},
		{name: "echo", category: categoryNetwork, tcp: []uint16{7}, udp: []uint16{7}, datagram: signature{starts: "", match: func(l *look) answer {
			return when(l.ported(7) && len(l.other) > 3 && bytes.Equal(l.other, l.b[:min(len(l.b), len(l.other))]), yes)
		}, portOnly: true}},
		{name: "discard", category: categoryNetwork, tcp: []uint16{9}},
	}
}

// matchSNMP recognises a message of version 1, 2c or 3 (RFC 3416, RFC 3412).
func matchSNMP(l *look) answer {
	_, body, ok := derHead(l.b)
	if !ok || len(body) < 6 {
		return when(len(l.b) < 12, more)
	}
	if body[0] != derInteger || body[1] != 1 || body[2] > 3 || body[2] == 2 {
		return no
	}
	if body[2] == 3 {
		return when(body[3] == derSequence && body[5] == derInteger, yes)
	}
	if body[3] != derOctets || body[4] >= 0x80 {
		return no
	}
	at := 5 + int(body[4])
	if at >= len(body) {
		return when(len(l.b) >= l.size && at < 160, more)
	}
	return when(body[at] >= 0xa0 && body[at] <= 0xa8, yes)
}

// matchSyslog recognises a priority in brackets (RFC 5424, section 6.2.1; RFC 3164)
// and text behind, over TCP perhaps after its length (RFC 6587).
func matchSyslog(l *look) answer {
	b := l.b
	at := 0
	if b[0] != '<' {
		for at < len(b) && at < 6 && b[at] >= '0' && b[at] <= '9' {
			at++
		}
		if at == len(b) {
			return when(at < 6, more)
		}
		if b[at] != ' ' {
			return no
		}
		at++
		if at < len(b) && b[at] != '<' {
			return no
		}
	}
	value, i := 0, at+1
	for ; i < len(b) && i <= at+4; i++ {
		c := b[i]
		if c == '>' {
			break
		}
		if c < '0' || c > '9' {
			return no
		}
		value = value*10 + int(c-'0')
	}
	if i >= len(b) {
		return more
	}
	if b[i] != '>' || i == at+1 || value > 191 {
		return no
	}
	if len(b) < i+9 {
		return when(printable8(b[i+1:]), more)
	}
	if rest := b[i+1 : i+9]; printable8(rest) {
		return yes
	}
	return no
}

// matchNetFlow recognises versions 1, 5, 7 and 9: counts that agree with the length,
// or a template.
func matchNetFlow(l *look) answer {
	b := l.b
	if len(b) < 24 {
		return no
	}
	count := int(u16(b, 2))
	switch u16(b, 0) {
	case 5:
		return when(count > 0 && count <= 30 && l.size == 24+48*count, yes)
	case 1:
		return when(count > 0 && count <= 24 && l.size == 16+52*count, yes)
	case 7:
		return when(count > 0 && count <= 28 && l.size == 24+52*count, yes)
	case 9:
		set, n := u16(b, 20), int(u16(b, 22))
		return when(count > 0 && count < 128 && (set == 0 || set == 1 || set >= 256) && n >= 4 && 20+n <= l.size && u32(b, 8) > 800_000_000, yes)
	}
	return no
}

// matchDCERPC recognises a PDU of connections (C706, section 12.6.1; MS-RPCE).
func matchDCERPC(l *look) answer {
	b := l.b
	if need(l, 16) {
		return when(len(b) < 2 || b[1] <= 1, more)
	}
	n := le16(b, 8)
	if b[4]&0xef == 0 && b[4] == 0 { // Big-endian.
		n = u16(b, 8)
	}
	return when(b[1] <= 1 && b[2] <= 19 && (u32(b, 4) == 0x10000000 || u32(b, 4) == 0) && n >= 16 && n <= 0x4000 && le16(b, 10) < 4096, yes)
}

// connectionlessRPC recognises a PDU of datagrams (C706, section 12.5.1).
func connectionlessRPC(b []byte) bool {
	return len(b) >= 80 && b[0] == 4 && b[1] <= 19 && b[3] <= 3 && (b[4] == 0x10 || b[4] == 0) && b[5] <= 3 && b[6] == 0
}

// matchQuery recognises one line of text to a port of questions.
func matchQuery(l *look, ports ...uint16) answer {
	if !l.ported(ports...) {
		return no
	}
	q, whole := line(l.b)
	if !printable8(q) || len(q) > 256 {
		return no
	}
	if !whole {
		return more
	}
	return yes
}

// matchStatsD recognises metrics in text: name, value and kind.
func matchStatsD(l *look) answer {
	if !l.ported(8125) || !printable(l.b) {
		return no
	}
	colon, bar := bytes.IndexByte(l.b, ':'), bytes.IndexByte(l.b, '|')
	return when(colon > 0 && bar > colon, yes)
}

// matchMagicPacket recognises six ones and one address sixteen times.
func matchMagicPacket(l *look) answer {
	b := l.b
	if len(b) < 102 || u32(b, 0) != 0xffffffff || u16(b, 4) != 0xffff {
		return no
	}
	for i := 1; i < 16; i++ {
		if !bytes.Equal(b[6:12], b[6+6*i:12+6*i]) {
			return no
		}
	}
	return yes
}

// matchSmartHome recognises JSON under TP-Link's cipher, behind its length.
func matchSmartHome(l *look) answer {
	if need(l, 8) {
		return min(more, starts(l.b[:min(2, len(l.b))], "\x00\x00"))
	}
	return when(u16(l.b, 0) == 0, starts(l.b[4:], "\xd0\xf2\x81\xf8"))
}
