package dissect

import "bytes"

func voiceProtocols() []protocol {
	sipWords := []string{
		"INVITE sip", "REGISTER sip", "OPTIONS sip", "ACK sip", "BYE sip", "CANCEL sip", "SUBSCRIBE sip", "NOTIFY sip",
		"MESSAGE sip", "PUBLISH sip", "REFER sip", "INFO sip", "PRACK sip", "UPDATE sip", "SIP/2.0 ", "INVITE tel:",
	}
	return []protocol{
		{
			name: "sip", category: categoryVoice, tcp: []uint16{5060}, udp: []uint16{5060},
			client: says(sipWords...), server: says(sipWords...),
			datagram: signature{starts: "IROABCSNMPUV\r\x00", match: func(l *look) answer {
				if anyOf(l.b, sipWords...) == yes {
					return yes
				}
				if first, _ := line(l.b); l.b[0] >= 'A' && bytes.HasSuffix(first, []byte(" SIP/2.0")) {
					return yes
				}
				return when(l.ported(5060, 5061) && (l.size == 4 && string(l.b) == "\r\n\r\n" || l.size == 2 && string(l.b) == "\r\n" || l.size == 4 && u32(l.b, 0) == 0), maybe)
			}},
		},
		{
			name: "stun", category: categoryVoice, udp: []uint16{3478, 19302}, tcp: []uint16{3478},
			datagram: signature{starts: "\x00\x01", match: matchSTUN}, readDatagram: readSTUN, client: signature{starts: "\x00\x01", match: matchSTUNTCP}, server: signature{starts: "\x00\x01", match: matchSTUNTCP},
			tells: "TURN as the service where relays are asked for",
		},
		{
			name: "rtcp", category: categoryVoice, datagram: signature{starts: "\x80\x81\x82\x83\x84\x85\x86\x87\x8f\xa0\xa1", match: matchRTCP},
		},
		{
			name: "h323", category: categoryVoice, tcp: []uint16{1720}, udp: []uint16{1719},
			client: signature{starts: "\x03", match: matchH225}, server: signature{starts: "\x03", match: matchH225},
			datagram: signature{starts: "", match: func(l *look) answer {
				return when(l.ported(1719) && len(l.b) > 8 && bytes.Contains(l.b[:min(len(l.b), 32)], []byte("\x06\x00\x08\x91\x4a\x00")), yes)
			}, portOnly: true},
		},
		{
			name: "mgcp", category: categoryVoice, udp: []uint16{2427, 2727}, datagram: signature{starts: "EMCRANDL0123456789", match: matchMGCP},
		},
		{
			name: "megaco", category: categoryVoice, udp: []uint16{2944, 2945}, datagram: says("MEGACO/", "!/1 [", "!/2 [", "!/3 [", "!/1 <"), tcp: []uint16{2944},
		},
		{
			name: "skinny", category: categoryVoice, tcp: []uint16{2000}, client: signature{starts: "", match: matchSkinny, portOnly: true}, server: signature{starts: "", match: matchSkinny, portOnly: true},
		},
		{
			name: "iax", category: categoryVoice, udp: []uint16{4569}, datagram: signature{starts: "", match: func(l *look) answer {
				b := l.b
				return when(len(b) >= 12 && b[0]&0x80 != 0 && b[8] <= 1 && b[9] <= 1 && b[10] == 6 && b[11] > 0 && b[11] < 41, l.byPort(4569))
			}},
		},
		{
			name: "mumble", category: categoryVoice, udp: []uint16{64738}, datagram: signature{starts: "\x00", match: func(l *look) answer {
				return when((l.size == 12 || l.size == 24) && u32(l.b, 0)&0xff000000 == 0 && l.ported(64738), yes)
			}, portOnly: true},
		},
		{name: "teamspeak", category: categoryVoice, udp: []uint16{9987}, datagram: says("TS3INIT1", "\xf4\xbe\x03\x00")},
		{
			name: "discord", category: categoryVoice, datagram: signature{starts: "\x00\x13", match: func(l *look) answer {
				if l.b[0] == 0x13 {
					return when(l.size == 8, starts(l.b, "\x13\x37\xca\xfe"))
				}
				return when((l.size == 74 || l.size == 70) && len(l.b) > 40 && (u32(l.b, 0) == 0x00010046 || u32(l.b, 0) == 0x00020046), yes)
			}},
		},
		{
			name: "zoom", category: categoryVoice, udp: []uint16{8801}, datagram: signature{starts: "\x01\x05\x1f", match: func(l *look) answer {
				b := l.b
				return when(l.ported(8801) && len(b) > 24 && (b[0] == 0x1f || b[0] == 1 || b[0] == 5), yes)
			}, portOnly: true},
		},
		{
			name: "rtp", category: categoryVoice, client: signature{starts: "\x00\x01\x02\x03\x04\x05", match: matchFramedRTP}, datagram: signature{starts: "\x80\x81\x90\x91\xa0\xb0", match: matchRTP},
		},
	}
}

// stunCookie stands in every message since RFC 5389.
const stunCookie = 0x2112a442

// matchSTUN recognises a message (RFC 8489, section 5): its length and the cookie; or
// of the older kind (RFC 3489), attributes that fill it.
func matchSTUN(l *look) answer {
	b := l.b
	if len(b) < 20 || b[0]&0xc0 != 0 || b[3]&3 != 0 {
		return no
	}
	n := int(u16(b, 2))
	if u32(b, 4) == stunCookie {
		return when(n+20 <= l.size, yes)
	}
	kind := u16(b, 0)
	if n+20 != l.size || kind != 1 && kind != 0x101 && kind != 0x111 && kind != 2 && kind != 0x102 && kind != 3 && kind != 0x103 && kind != 0x113 && kind != 4 && kind != 0x115 {
		return no
	}
	if n == 0 {
		return l.byPort(3478, 3479)
	}
	at := 20
	for at+4 <= len(b) {
		if u16(b, at) > 0x40 && u16(b, at) < 0x8000 {
			return no
		}
		at += 4 + (int(u16(b, at+2))+3)&^3
	}
	return when(at == n+20 || at == l.size, yes)
}

// matchSTUNTCP is matchSTUN of a stream (RFC 8489, section 6.2.2), also behind the
// length with which media frames it (RFC 4571).
func matchSTUNTCP(l *look) answer {
	b := l.b
	if need(l, 10) {
		return more
	}
	if u32(b, 4) == stunCookie {
		return when(b[0]&0xc0 == 0 && b[3]&3 == 0, yes)
	}
	return when(u32(b, 6) == stunCookie && b[2]&0xc0 == 0 && b[5]&3 == 0 && u16(b, 0) == u16(b, 4)+20, yes)
}

// matchRTCP recognises reports (RFC 3550, section 6): packets that fill the datagram.
func matchRTCP(l *look) answer {
	b := l.b
	if len(b) < 8 || b[0]>>6 != 2 || b[1] < 200 || b[1] > 207 {
		return no
	}
	n, at := 0, 0
	for at+4 <= len(b) && b[at]>>6 == 2 && b[at+1] >= 192 && b[at+1] <= 213 {
		at += 4 + 4*int(u16(b, at+2))
		n++
	}
	if at == l.size {
		if n > 1 || b[1] == 200 && at >= 28 || b[1] == 201 && (at-8)%24 == 0 {
			return yes
		}
		return maybe
	}
	// Encrypted ones (RFC 3711) carry an index and a tag behind.
	return when(n >= 1 && at < l.size && l.size-at <= 20 && (b[1] == 200 || b[1] == 201), maybe)
}

// matchRTP recognises a stream (RFC 3550, section 5.1) by two packets of one source
// and type, of which the second follows the first.
func matchRTP(l *look) answer {
	b := l.b
	kind := b[min(len(b)-1, 1)] & 0x7f
	if len(b) < 13 || b[0]>>6 != 2 || kind >= 64 && kind < 96 || kind > 34 && kind < 64 {
		return no
	}
	head := 12 + 4*int(b[0]&15)
	if head > l.size || u32(b, 8) == 0 {
		return no
	}
	f := l.first
	if f == nil && len(l.other) > 1 { // What comes back speaks for it if it has the same form.
		return when(l.other[0] == b[0] && l.other[1]&0x7f == kind && b[0] == 0x80, maybe)
	}
	if f == nil {
		return maybe
	}
	if len(f) < 12 || f[0]>>6 != 2 || u32(f, 8) != u32(b, 8) || u16(b, 2)-u16(f, 2) > 64 || u16(b, 2) == u16(f, 2) || u32(b, 4)-u32(f, 4) > 1<<20 {
		return no
	}
	return yes
}

// matchFramedRTP recognises RTP in a stream (RFC 4571): two packets that follow one
// another.
func matchFramedRTP(l *look) answer {
	b := l.b
	if len(b) > 2 && b[2] != 0x80 && b[2] != 0x90 {
		return no
	}
	if need(l, 14) {
		return more
	}
	n := int(u16(b, 0))
	if n < 13 || n > 1500 {
		return no
	}
	if len(b) < 2+n+14 {
		return more
	}
	next := b[2+n:]
	return when(next[2] == b[2] && u32(next, 10) == u32(b, 10) && u16(next, 4)-u16(b, 4) == 1, yes)
}

// readSTUN waits for DTLS, with which WebRTC goes on (RFC 5764, section 5.1.2).
func readSTUN(r *reading) Verdict {
	l := look{b: r.b, size: max(len(r.b), int(r.p.PayloadBytes)), final: true}
	if kind := u16(r.b, 0) & 0x3eef; u32(r.b, 4) == stunCookie && (kind == 3 || kind == 4) && r.s.service == "" {
		r.s.service = "turn"
	}
	if r.b[0] >= recordChange && matchDTLS(&l) == yes {
		r.s.app, r.s.service = r.e.tables.byName["dtls"], ""
		return readDTLS(r)
	}
	if r.s.payloads >= MaxPayloads {
		return Done
	}
	return More
}

// matchH225 recognises a call's setup (ITU-T H.225.0, Q.931) behind a TPKT.
func matchH225(l *look) answer {
	p, _, a := tpkt(l.b, 0)
	if a == no {
		return no
	}
	if len(p) < 5 {
		return when(len(p) == 0 || p[0] == 8, more)
	}
	kind := p[3]
	if p[1] <= 2 && p[1] > 0 && len(p) > int(2+p[1]) {
		kind = p[2+p[1]]
	}
	return when(p[0] == 8 && p[1] <= 2 && (kind == 1 || kind == 2 || kind == 5 || kind == 7 || kind == 0x5a || kind == 0x62 || kind == 3), yes)
}

// matchMGCP recognises a command (RFC 3435, section 3.2.1), or an answer to its port.
func matchMGCP(l *look) answer {
	first, _ := line(l.b)
	switch anyOf(first, "EPCF ", "CRCX ", "MDCX ", "DLCX ", "RQNT ", "NTFY ", "AUEP ", "AUCX ", "RSIP ") {
	case yes:
		return when(bytes.Contains(first, []byte(" MGCP ")), yes)
	case more:
		return no
	default:
	}
	if len(first) < 5 || !l.ported(2427, 2727) {
		return no
	}
	return when(first[0] >= '1' && first[0] <= '5' && first[3] == ' ' && printable(first), yes)
}

// matchSkinny recognises Cisco's call control: length, version and a number of
// message that exists.
func matchSkinny(l *look) answer {
	b := l.b
	if need(l, 12) {
		return when(l.ported(2000) && (len(b) < 4 || b[2] == 0 && b[3] == 0), more)
	}
	n, version, kind := le32(b, 0), le32(b, 4), le32(b, 8)
	return when(l.ported(2000) && n >= 4 && n < 4096 && version <= 0x20 && (kind <= 0x49 || kind >= 0x81 && kind <= 0x160 || kind == 0x8000), yes)
}
