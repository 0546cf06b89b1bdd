package dissect

func vpnProtocols() []protocol {
	return []protocol{
		{name: "wireguard", category: categoryVPN, udp: []uint16{51820}, datagram: signature{starts: "\x01\x02\x03\x04", match: matchWireGuard}},
		{name: "isakmp", category: categoryVPN, udp: []uint16{500, 4500}, datagram: signature{starts: "", match: matchIKE}},
		{
			name: "openvpn", category: categoryVPN, udp: []uint16{1194}, tcp: []uint16{1194}, datagram: signature{starts: "\x38\x40\x50\x3a\x42", match: func(l *look) answer { return matchOpenVPN(l, l.b, l.size) }},
			client: signature{starts: "\x00", match: matchOpenVPNTCP}, server: signature{starts: "\x00", match: matchOpenVPNTCP},
		},
		{name: "l2tp", category: categoryVPN, udp: []uint16{1701}, datagram: signature{starts: "\xc8\x00\x02\x40\x42\xca", match: func(l *look) answer {
			b := l.b
			if len(b) < 12 || b[1]&15 != 2 && b[1]&15 != 3 {
				return no
			}
			if b[0] == 0xc8 {
				return when(int(u16(b, 2)) == l.size, yes)
			}
			return when(l.ported(1701) && (b[0]&0x40 == 0 || int(u16(b, 2)) == l.size), yes)
		}}},
		{name: "pptp", category: categoryVPN, tcp: []uint16{1723}, client: signature{starts: "\x00", match: matchPPTP}, server: signature{starts: "\x00", match: matchPPTP}},
		{name: "cisco-vpn", category: categoryVPN, udp: []uint16{10000, 62515}, tcp: []uint16{10000}, datagram: signature{starts: "", match: func(l *look) answer {
			b := l.b
			return when(l.ported(10000) && len(b) > 12 && u16(b, 0)>>8 == 0xfe && u16(b, 2)>>8 == 0x57, yes)
		}, portOnly: true}},
		{name: "softether", category: categoryVPN, tcp: []uint16{5555, 992}, client: says("vpnconnect"), udp: []uint16{5004}},
		{name: "tinc", category: categoryVPN, tcp: []uint16{655}, client: signature{starts: "0", match: matchTinc}, server: signature{starts: "0", match: matchTinc}},
		{name: "zerotier", category: categoryVPN, udp: []uint16{9993}},
		{name: "tailscale-disco", category: categoryVPN, udp: []uint16{41641}, datagram: says("TS\xf0\x9f\x92\xac")},
		{name: "teredo", category: categoryVPN, udp: []uint16{3544}, datagram: signature{starts: "\x60\x00", match: func(l *look) answer {
			b := l.b
			if b[0] == 0 { // Authentication or an origin in front (RFC 4380, section 5.1.1).
				return when(l.ported(3544) && len(b) > 8 && b[1] <= 1, yes)
			}
			return when(l.ported(3544) && len(b) >= 40 && int(u16(b, 4))+40 == l.size, yes)
		}, portOnly: true}},
		{name: "ayiya", category: categoryVPN, udp: []uint16{5072}},
		{name: "cloudflare-warp", category: categoryVPN, udp: []uint16{2408}},
		{name: "esp", category: categoryVPN, ip: 50},
		{name: "ah", category: categoryVPN, ip: 51},
	}
}

// matchWireGuard recognises messages by type and length (Donenfeld, "WireGuard",
// section 5.4).
func matchWireGuard(l *look) answer {
	b := l.b
	if len(b) < 32 || u24(b, 1) != 0 {
		return no
	}
	switch b[0] {
	case 1:
		return when(l.size == 148, yes)
	case 2:
		return when(l.size == 92, yes)
	case 3:
		return when(l.size == 64, yes)
	case 4:
		if f := l.first; len(f) >= 16 && f[0] == 4 && u32(f, 4) == u32(b, 4) && l.size%16 == 0 {
			return yes
		}
		return when(l.size%16 == 0 && u32(b, 12) == 0, maybe)
	}
	return no
}

// matchIKE recognises IKE, versions 1 and 2 (RFC 2408, section 3.1; RFC 7296, section
// 3.1), behind four zeros on port 4500 (RFC 3948), and what else goes there.
func matchIKE(l *look) answer {
	b := l.b
	natted := l.ported(4500)
	if natted {
		if l.size == 1 && b[0] == 0xff { // A keepalive.
			return maybe
		}
		if len(b) > 32 && u32(b, 0) == 0 {
			b = b[4:]
		} else if len(b) > 12 && u32(b, 0) >= 256 && u32(b, 4) < 1<<24 { // ESP.
			return maybe
		}
	}
	if len(b) < 28 || u32(b, 0)|u32(b, 4) == 0 {
		return no
	}
	version, exchange, n := b[17], b[18], int(u32(b, 24))
	if version>>4 != 1 && version>>4 != 2 || version&15 > 1 || b[19]&0xc0 != 0 || b[16] > 56 && b[16] < 128 {
		return no
	}
	if exchange == 0 || exchange > 6 && exchange < 32 || exchange > 43 {
		return no
	}
	whole := l.size - (len(l.b) - len(b))
	return when(n == whole || n >= 28 && n < whole && whole-n < 32, yes)
}

// matchOpenVPN recognises a hard reset: opcode, session, and a packet number 0 at the
// end; with tls-auth a digest, a number and a time between.
func matchOpenVPN(l *look, b []byte, size int) answer {
	if len(b) < 14 {
		return no
	}
	opcode := b[0] >> 3
	if opcode != 7 && opcode != 8 && opcode != 10 || b[0]&7 > 2 {
		return no
	}
	if size == 14 && opcode != 8 {
		return when(b[9] == 0 && u32(b, 10) == 0, yes)
	}
	if opcode == 8 && size >= 26 && b[9] == 1 && u32(b, 10) == 0 && size <= 30 { // An acknowledgement of 0.
		return yes
	}
	for _, digest := range [...]int{16, 20, 28, 32, 48, 64} {
		at := 9 + digest
		if len(b) < at+9 {
			break
		}
		number, when := u32(b, at), u32(b, at+4)
		if number == 1 && when > 1_000_000_000 && when < 4_000_000_000 {
			return yes
		}
	}
	if size > 54 && size < 128 && u32(b, 9) == 1 && u32(b, 13) > 1_000_000_000 { // tls-crypt.
		return yes
	}
	return when(opcode == 7 && l.ported(1194), maybe)
}

// matchOpenVPNTCP is matchOpenVPN behind a length of two bytes.
func matchOpenVPNTCP(l *look) answer {
	b := l.b
	n := int(u16(b, 0))
	if len(b) < 3 {
		return when(b[0] == 0, more)
	}
	if n < 14 || n > 255 || b[2] != 0x38 && b[2] != 0x40 && b[2] != 0x50 {
		return no
	}
	if len(b) < 2+n {
		return more
	}
	return matchOpenVPN(l, b[2:2+n], n)
}

// matchPPTP recognises the magic cookie of control messages (RFC 2637, section 2).
func matchPPTP(l *look) answer {
	b := l.b
	if need(l, 10) {
		return when(b[0] == 0, more)
	}
	return when(b[0] == 0 && u16(b, 2) == 1 && u32(b, 4) == 0x1a2b3c4d && b[8] == 0 && b[9] > 0 && b[9] <= 15, yes)
}

// matchTinc recognises the greeting "0 NAME 17".
func matchTinc(l *look) answer {
	first, whole := line(l.b)
	if len(first) > 1 && first[1] != ' ' {
		return no
	}
	if !whole {
		return when(len(first) < 64 && printable(first), more)
	}
	_, rest := word(first)
	_, version := word(rest)
	return when(len(version) >= 2 && version[0] == '1' && version[1] == '7', yes)
}
