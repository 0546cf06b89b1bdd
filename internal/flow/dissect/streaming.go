package dissect

func streamProtocols() []protocol {
	rtspWords := []string{
		"OPTIONS rtsp", "DESCRIBE rtsp", "SETUP rtsp", "PLAY rtsp", "ANNOUNCE rtsp", "GET_PARAMETER rtsp", "SET_PARAMETER rtsp",
		"TEARDOWN rtsp", "RECORD rtsp", "PAUSE rtsp", "RTSP/1.0 ", "RTSP/2.0 ", "REGISTER rtsp", "OPTIONS * RTSP/",
	}
	return []protocol{
		{
			name: "rtsp", category: categoryStream, tcp: []uint16{554, 8554, 7070}, udp: []uint16{554},
			client: says(rtspWords...), server: says(rtspWords...), datagram: says(rtspWords...),
		},
		{
			name: "rtmp", category: categoryStream, tcp: []uint16{1935},
			client: signature{starts: "\x03", match: matchRTMP}, server: signature{starts: "\x03", match: matchRTMP},
		},
		{name: "mms", category: categoryStream, tcp: []uint16{1755}, client: signature{starts: "\x01", match: func(l *look) answer {
			if need(l, 16) {
				return min(more, starts(l.b[:min(4, len(l.b))], "\x01\x00\x00\x00"))
			}
			return when(u32(l.b, 0) == 0x01000000 && u32(l.b, 4) == 0xcefa0bb0, yes)
		}}},
		{name: "srt", category: categoryStream, datagram: signature{starts: "\x80", match: func(l *look) answer {
			b := l.b
			return when(l.size >= 64 && len(b) >= 36 && u32(b, 0) == 0x80000000 && u32(b, 4) == 0 && (u32(b, 16) == 4 || u32(b, 16) == 5) && u16(b, 20) <= 4 && u32(b, 28) <= 9000, yes)
		}}},
		{name: "mpeg-ts", category: categoryStream, datagram: signature{starts: "G", match: func(l *look) answer {
			return when(l.size%188 == 0 && l.size >= 376 && len(l.b) >= 376 && l.b[188] == 'G' && (len(l.b) < 564 || l.b[376] == 'G'), yes)
		}}},
		{name: "spotify", category: categoryStream, tcp: []uint16{4070}, udp: []uint16{57621}, datagram: says("SpotUdp0"), client: signature{starts: "\x00", match: func(l *look) answer {
			if need(l, 9) {
				return min(more, starts(l.b[:min(2, len(l.b))], "\x00\x04"))
			}
			return when(u32(l.b, 0) == 0x00040000 && l.b[6] == 0x52 && (l.b[7] == 0x0e || l.b[7] == 0x0f) && l.b[8] == 0x50, yes)
		}}},
		{name: "flute", category: categoryStream, datagram: signature{starts: "\x10\x14\x18\x1c\x11", match: func(l *look) answer {
			b := l.b
			// LCT (RFC 5651): version 1, and a header of words that the datagram holds;
			// FDT instances of FLUTE (RFC 6726) carry their extension 192.
			return when(len(b) > 24 && b[0]>>4 == 1 && contains(b, "<FDT-Instance"), yes)
		}}},
		{name: "airplay", category: categoryStream, tcp: []uint16{7000}, client: says("ANNOUNCE airplay")},
		{name: "sd-rtn", category: categoryStream, udp: []uint16{8130, 8443}, datagram: signature{starts: "", match: func(l *look) answer {
			return when(len(l.b) > 24 && contains(l.b, ".edge.agora.io"), yes)
		}}},
	}
}

// matchRTMP recognises the handshake: version 3, a time, and zeros (Adobe's
// specification, section 5.2); players with other numbers for the zeros by their port.
func matchRTMP(l *look) answer {
	b := l.b
	if need(l, 9) {
		return more
	}
	if u32(b, 5) == 0 {
		if need(l, 13) {
			return more
		}
		return when(u32(b, 9) != 0, yes)
	}
	return when(l.ported(1935) && b[5] < 0x80, maybe)
}
