package dissect

import "bytes"

func peerProtocols() []protocol {
	coin := says("\xf9\xbe\xb4\xd9", "\x0b\x11\x09\x07", "\xfa\xbf\xb5\xda", "\xfb\xc0\xb6\xdb", "\xc0\xc0\xc0\xc0", "\xbf\x0c\x6b\xbd", "\xe3\xe1\xf3\xe8")
	levin := says("\x01\x21\x01\x01\x01\x01\x01\x01", "\x01\x11\x01\x01\x01\x01\x21\x01")
	donkey := signature{starts: "\xe3\xc5\xd4", match: matchED2K}
	return []protocol{
		{
			name: "bittorrent", category: categoryP2P, tcp: []uint16{6881}, udp: []uint16{6881},
			client: says("\x13BitTorrent protocol"), server: says("\x13BitTorrent protocol"),
			datagram: signature{starts: "", match: matchBitTorrent},
		},
		{name: "bitcoin", category: categoryP2P, tcp: []uint16{8333}, client: coin, server: coin},
		{name: "monero", category: categoryP2P, tcp: []uint16{18080}, client: levin, server: levin},
		{name: "stratum", category: categoryP2P, tcp: []uint16{3333}, client: signature{starts: "{", match: matchStratum}},
		{name: "gnutella", category: categoryP2P, tcp: []uint16{6346}, client: says("GNUTELLA CONNECT/", "GNUTELLA/0."), server: says("GNUTELLA/0."), udp: []uint16{6346}, datagram: says("GND\x01", "GND\x02", "GND\x00")},
		{name: "edonkey", category: categoryP2P, tcp: []uint16{4662, 4661}, udp: []uint16{4672, 4665}, client: donkey, server: donkey, datagram: signature{starts: "\xe3\xe4\xe5\xc5", match: func(l *look) answer {
			return when(len(l.b) >= 2 && (l.b[0] == 0xe4 && (l.b[1] <= 0x62) || l.b[0] == 0xe3 && l.b[1] >= 0x90 && l.b[1] <= 0xa3), maybe)
		}}},
		{name: "direct-connect", category: categoryP2P, tcp: []uint16{411, 412}, client: says("$MyNick ", "$Lock EXTENDEDPROTOCOL", "HSUP ADBA", "CSUP ADBA"), server: says("$Lock ", "$MyNick ")},
		{name: "soulseek", category: categoryP2P, tcp: []uint16{2234, 2242}},
		{name: "syncthing", category: categoryP2P, tcp: []uint16{22000}, udp: []uint16{21027}, datagram: says("\x2e\xa7\xd9\x0b")},
		{name: "ipfs", category: categoryP2P, tcp: []uint16{4001}, client: says("\x13/multistream/1.0.0"), server: says("\x13/multistream/1.0.0")},
		{name: "ethereum-discovery", category: categoryP2P, udp: []uint16{30303}, datagram: signature{starts: "", match: func(l *look) answer {
			// discv4: hash, signature of 65 bytes ending in 0 or 1, a kind, and a list.
			b := l.b
			return when(len(b) > 100 && b[96] <= 1 && b[97] >= 1 && b[97] <= 6 && b[98] >= 0xc0, l.byPort(30303))
		}}},
		{name: "raft", category: categoryP2P, client: signature{starts: "\x01", match: func(l *look) answer {
			// The C implementation: protocol 1, a kind, and an address in text.
			if need(l, 28) {
				return min(more, starts(l.b[:min(8, len(l.b))], "\x01\x00\x00\x00\x00\x00\x00\x00"))
			}
			n := le32(l.b, 16)
			return when(bytes.HasPrefix(l.b, []byte("\x01\x00\x00\x00\x00\x00\x00\x00")) && n >= 8 && n <= 64 && le32(l.b, 20) == 0 && alphanumeric(l.b[24]) && alphanumeric(l.b[25]), yes)
		}}},
	}
}

// matchBitTorrent recognises the hash table (BEP 5), trackers (BEP 15), local
// discovery (BEP 14), and uTP (BEP 29) by two packets that agree.
func matchBitTorrent(l *look) answer {
	b := l.b
	switch b[0] {
	case 'd':
		if anyOf(b, "d1:ad2:id20:", "d1:rd2:id20:", "d1:eli20", "d1:rd5:nodes", "d2:ip6:", "d1:ad3:", "d1:q4:ping", "d1:y1:", "d2:ip") == yes {
			return when(contains(b, "2:id20:") || contains(b, "1:y1:"), yes)
		}
		return no
	case 'B':
		return starts(b, "BT-SEARCH * HTTP/1.1")
	case 0x13:
		return starts(b, "\x13BitTorrent protocol")
	case 0:
		return when(l.size == 16 && u32(b, 0) == 0x417 && u32(b, 4) == 0x27101980, yes)
	}
	return matchUTP(l)
}

// matchUTP recognises a header: version 1, a type, extensions that fit.
func matchUTP(l *look) answer {
	b := l.b
	if len(b) < 20 || b[0]&15 != 1 || b[0]>>4 > 4 || b[1] > 2 || u32(b, 12) > 1<<24 {
		return no
	}
	switch b[0] >> 4 {
	case 4: // A SYN.
		if l.size == 20 || b[1] != 0 && l.size <= 30 {
			if u16(b, 18) == 0 && u32(b, 8) == 0 && u16(b, 16) <= 1 {
				return yes
			}
		}
		return when(l.size == 20 || b[1] != 0 && l.size <= 30, maybe)
	case 2: // State.
		return when(l.size == 20 || b[1] == 1 && len(b) > 22 && int(b[21])+22 == l.size, utpAgrees(l))
	}
	return utpAgrees(l)
}

// utpAgrees compares with the connection number seen first in either direction.
func utpAgrees(l *look) answer {
	if f := l.first; len(f) >= 20 && f[0]&15 == 1 && u16(f, 2) == u16(l.b, 2) && u32(l.b, 4) != u32(f, 4) && u32(l.b, 4)-u32(f, 4) < 1<<26 {
		return yes
	}
	if f := l.other; len(f) >= 20 && f[0]&15 == 1 && f[1] <= 2 && u32(f, 12) <= 1<<24 {
		if d := u16(f, 2) - u16(l.b, 2); d == 1 || d == 0xffff {
			return yes
		}
	}
	return maybe
}

func matchStratum(l *look) answer {
	first, whole := line(l.b)
	for _, w := range []string{`"mining.`, `"eth_submitLogin"`, `"eth_getWork"`, `"eth_login"`} {
		if bytes.Contains(first, []byte(w)) {
			return yes
		}
	}
	if bytes.Contains(first, []byte(`"method":"login"`)) && bytes.Contains(first, []byte(`"agent"`)) {
		return yes
	}
	if !whole && len(first) < 1024 {
		return more
	}
	return no
}

// matchED2K recognises a message of eDonkey: mark, length, and the opcode of a hello.
func matchED2K(l *look) answer {
	b := l.b
	if need(l, 6) {
		return when(len(b) < 5 || b[4] == 0, more)
	}
	n := le32(b, 1)
	if n == 0 || n > 4096 {
		return no
	}
	if b[0] == 0xe3 && (b[5] == 0x01 || b[5] == 0x4c) {
		if need(l, 7) {
			return more
		}
		return when(b[6] == 0x10 || n > 24 && b[5] == 0x4c, yes)
	}
	return maybe
}
