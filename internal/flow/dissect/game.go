package dissect

func gameProtocols() []protocol {
	return []protocol{
		{name: "source-engine", category: categoryGame, udp: []uint16{27015, 27016, 27017, 27018, 27019, 27020, 2302}, datagram: says(
			"\xff\xff\xff\xffTSource Engine Query\x00", "\xff\xff\xff\xffI\x11", "\xff\xff\xff\xffU\xff\xff\xff\xff", "\xff\xff\xff\xffA", "\xff\xff\xff\xffW",
			"\xff\xff\xff\xffV\xff\xff\xff\xff", "\xff\xff\xff\xffm", "\xff\xff\xff\xffD", "\xff\xff\xff\xffE", "\xff\xff\xff\xffU", "\xff\xff\xff\xffV", "\xff\xff\xff\xffI", "\xff\xff\xff\xffqconnect", "\xff\xff\xff\xffgetchallenge",
			"\xff\xff\xff\xffq", "\xff\xff\xff\xffdetails", "\xff\xff\xff\xffping", "\xff\xff\xff\xffplayers", "\xff\xff\xff\xffrules",
		)},
		{name: "steam", category: categoryGame, udp: []uint16{27036}, datagram: says("\xff\xff\xff\xff\x21\x4c\x5f\xa0", "VS01"), tcp: []uint16{27036}, client: signature{starts: "", match: func(l *look) answer {
			if need(l, 8) {
				return when(len(l.b) < 4 || l.b[3] == 0, when(l.ported(27017, 27018, 27019, 27020, 27036), more))
			}
			return starts(l.b[4:], "VT01")
		}}},
		{name: "quake", category: categoryGame, udp: []uint16{27960, 26000}, datagram: says("\xff\xff\xff\xffgetinfo", "\xff\xff\xff\xffgetstatus", "\xff\xff\xff\xffstatusResponse", "\xff\xff\xff\xffinfoResponse", "\xff\xff\xff\xffgetservers", "\xff\xff\xff\xffconnect", "\xff\xff\xff\xffgetKeyAuthorize", "\x80\x00\x00\x0c\x01QUAKE\x00")},
		{name: "raknet", category: categoryGame, udp: []uint16{19132}, datagram: signature{starts: "\x01\x02\x05\x06\x07\x08\x1c", match: matchRakNet}},
		{name: "minecraft", category: categoryGame, tcp: []uint16{25565}, client: signature{starts: "", match: matchMinecraft}},
		{name: "starcraft", category: categoryGame, tcp: []uint16{1119}, client: signature{starts: "\x4a", match: func(l *look) answer {
			return starts(l.b, "\x4a\x00\x00\x0a\x66\x02\x0a\xed\x2d\x66")
		}}},
		{name: "half-life", category: categoryGame, datagram: says("\xff\xff\xff\xffinfostring", "\xff\xff\xff\xffinfo\x00", "\xff\xff\xff\xff\x31")},
		{name: "teeworlds", category: categoryGame, udp: []uint16{8303}, datagram: says("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffgie3", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffinf", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfflis2", "\x20\x00\x00\x05")},
		{name: "yojimbo", category: categoryGame, datagram: signature{starts: "\x00", match: func(l *look) answer {
			return when(len(l.b) > 14, starts(l.b[1:], "NETCODE 1.0"))
		}}},
		{name: "roblox", category: categoryGame, datagram: signature{starts: "\x7b", match: func(l *look) answer {
			return when(len(l.b) >= 24, starts(l.b[1:], offlineMagic[:8]))
		}}},
		{name: "xbox-live", category: categoryGame, udp: []uint16{3074}, datagram: signature{starts: "\x00", match: func(l *look) answer {
			b := l.b
			return when(l.ported(3074) && len(b) > 12 && int(u16(b, 0))+0 == l.size && b[2] == 0x0c, yes)
		}, portOnly: true}},
	}
}

// offlineMagic stands in RakNet's messages before there is a connection.
const offlineMagic = "\x00\xff\xff\x00\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd\x12\x34\x56\x78"

// matchRakNet recognises messages before a connection by their magic.
func matchRakNet(l *look) answer {
	b := l.b
	for _, at := range [...]int{1, 9, 17} {
		if len(b) >= at+16 && string(b[at:at+16]) == offlineMagic {
			return yes
		}
	}
	return no
}

// matchMinecraft recognises a handshake: length, packet 0, version, a host and a port,
// and the next state 1 or 2.
func matchMinecraft(l *look) answer {
	b := l.b
	if need(l, 7) {
		return when(len(b) < 2 || b[1] == 0, more)
	}
	n := int(b[0])
	if n < 7 || n >= 0x80 || b[1] != 0 {
		return no
	}
	at := 2
	for at < 7 && b[at] >= 0x80 {
		at++
	}
	at++
	if at >= 7 {
		return no
	}
	host := int(b[at])
	if host == 0 || at+host+4 != n+1 {
		return no
	}
	if len(b) < n+1 {
		return more
	}
	return when(printable8(b[at+1:at+1+host]) && (b[n] == 1 || b[n] == 2 || b[n] == 3), yes)
}
