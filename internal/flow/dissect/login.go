package dissect

import "bytes"

func loginProtocols() []protocol {
	return []protocol{
		{
			name: "kerberos", category: categoryLogin, tcp: []uint16{88, 464}, udp: []uint16{88, 464},
			client: signature{starts: "\x00", match: func(l *look) answer { return matchKerberosTCP(l) }}, server: signature{starts: "\x00", match: func(l *look) answer { return matchKerberosTCP(l) }},
			datagram: signature{starts: "", match: func(l *look) answer {
				if kerberos(l.b) == yes {
					return yes
				}
				// Changing passwords (RFC 3244): a length, a version, and the length of an AP-REQ.
				return when(len(l.b) > 6 && int(u16(l.b, 0)) == l.size && l.ported(464), yes)
			}},
		},
		{
			name: "ldap", category: categoryLogin, tcp: []uint16{389, 3268}, udp: []uint16{389},
			client: signature{starts: "\x30", match: matchLDAP}, server: signature{starts: "\x30", match: matchLDAP}, datagram: signature{starts: "\x30", match: matchLDAP}, read: readLDAP,
			tells: "user of a simple bind, TLS after StartTLS",
		},
		{
			name: "radius", category: categoryLogin, udp: []uint16{1812, 1813, 1645, 1646, 3799}, datagram: signature{starts: "", match: matchRADIUS},
		},
		{
			name: "tacacs", category: categoryLogin, tcp: []uint16{49}, client: signature{starts: "\xc0\xc1", match: matchTACACS}, server: signature{starts: "\xc0\xc1", match: matchTACACS},
		},
		{
			name: "socks", category: categoryVPN, tcp: []uint16{1080, 9050},
			client: signature{starts: "\x04\x05", match: matchSOCKS}, server: signature{starts: "\x00\x05", match: matchSOCKSAnswer}, read: readSOCKS,
			tells: "user; TLS that is carried",
		},
		{
			name: "ident", category: categoryLogin, tcp: []uint16{113}, client: signature{starts: "0123456789", match: matchIdent, portOnly: true},
		},
	}
}

// kerberos recognises a message (RFC 4120, section 5): its tag, and the version 5 at
// its front.
func kerberos(b []byte) answer {
	tag, body, ok := derHead(b)
	if !ok {
		return when(len(b) < 6, more)
	}
	if tag < 0x6a || tag > 0x7e || tag > 0x6f && tag < 0x74 {
		return no
	}
	inner, body, ok := derHead(body)
	if !ok {
		return more
	}
	if inner != derSequence {
		return no
	}
	if len(body) < 5 {
		return more
	}
	// [1] or [0] INTEGER 5.
	return when((body[0] == 0xa1 || body[0] == 0xa0) && body[1] == 3 && body[2] == derInteger && body[3] == 1 && body[4] == 5, yes)
}

// derHead takes tag and length off b, of which the content may lack its end.
func derHead(b []byte) (tag byte, body []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, false
	}
	at := 2
	if b[1] > 0x80 {
		at += int(b[1] & 0x7f)
		if at > 6 || len(b) < at {
			return 0, nil, false
		}
	}
	return b[0], b[at:], true
}

func matchKerberosTCP(l *look) answer {
	if l.b[0] != 0 {
		return no
	}
	if need(l, 6) {
		return more
	}
	if u32(l.b, 0) > 1<<20 || u32(l.b, 0) < 16 {
		return no
	}
	return kerberos(l.b[4:])
}

// matchLDAP recognises a message (RFC 4511, section 4.1.1): a sequence of a number
// and an operation.
func matchLDAP(l *look) answer {
	b := l.b
	tag, body, ok := derHead(b)
	if !ok {
		return when(len(b) < 6, more)
	}
	if tag != derSequence {
		return no
	}
	if len(body) < 8 {
		return when(len(body) == 0 || body[0] == derInteger, more)
	}
	if body[0] != derInteger || body[1] == 0 || body[1] > 4 {
		return no
	}
	body = body[2+int(body[1]):]
	op, inner, ok := derHead(body)
	if !ok || len(inner) < 3 {
		if op == 0x42 && len(body) >= 2 {
			return when(body[1] == 0, maybe)
		}
		return more
	}
	switch op {
	case 0x60: // A bind: the version.
		return when(inner[0] == derInteger && inner[1] == 1 && inner[2] >= 2 && inner[2] <= 3, yes)
	case 0x61, 0x65, 0x69, 0x6b, 0x6f, 0x67, 0x78: // A result: an enumeration.
		return when(inner[0] == 0x0a && inner[1] == 1 && inner[2] < 124, yes)
	case 0x63, 0x64, 0x66, 0x68, 0x6c: // A name.
		return when(inner[0] == derOctets, yes)
	case 0x77: // An object identifier in text.
		return when(inner[0] == 0x80 && inner[2] >= '0' && inner[2] <= '2', yes)
	}
	return no
}

// startTLSObject asks for TLS (RFC 4511, section 4.14).
const startTLSObject = "1.3.6.1.4.1.1466.20037"

// readLDAP reads a simple bind or a change to TLS at the front.
func readLDAP(r *reading) Verdict {
	tag, body, whole, _, ok := derNext(r.b)
	if !ok || tag != derSequence {
		return More
	}
	_, _, _, body, ok = derNext(body)
	op, inner, _, _, ok2 := derNext(body)
	if !ok || !ok2 {
		return Done
	}
	if r.dir == FromResponder {
		if r.s.step == stepAskedTLS && op == 0x78 && bytes.Contains(inner[:min(len(inner), 3)], []byte{0x0a, 1, 0}) {
			r.s.tls.base[1], r.s.tls.started = len(whole), true
			return More
		}
		return Done
	}
	switch op {
	case 0x60:
		_, _, _, inner, _ = derNext(inner)
		_, name, _, inner, ok := derNext(inner)
		if ok && len(inner) > 2 && inner[0] == 0x80 && inner[1] > 0 {
			r.cleartext("ldap", name)
		}
		return Done
	case 0x77:
		if bytes.Contains(inner, []byte(startTLSObject)) {
			r.s.tls.base[0], r.s.step = len(whole), stepAskedTLS
			return More
		}
	}
	return Done
}

// matchRADIUS recognises a packet (RFC 2865, section 3) by attributes that fill it.
func matchRADIUS(l *look) answer {
	b := l.b
	if len(b) < 20 || int(u16(b, 2)) > l.size || int(u16(b, 2)) < 20 || u16(b, 2) > 4096 {
		return no
	}
	code := b[0]
	if code == 0 || code > 13 && (code < 40 || code > 45) || code > 5 && code < 11 {
		return no
	}
	n, at, attributes := int(u16(b, 2)), 20, 0
	for at+2 <= min(len(b), n) {
		if b[at+1] < 2 || b[at] == 0 {
			return when(attributes > 0 && n == l.size && l.ported(1812, 1813, 1645, 1646, 3799), maybe)
		}
		at += int(b[at+1])
		attributes++
	}
	if at != n && (len(b) >= l.size || at > n) {
		return when(n == l.size && l.ported(1812, 1813, 1645, 1646, 3799), maybe)
	}
	ported := l.ported(1812, 1813, 1645, 1646, 3799)
	if attributes == 0 {
		return when(ported && n == l.size, yes)
	}
	return when(ported || attributes > 2 && n == l.size, yes)
}

// matchTACACS recognises the header (RFC 8907, section 4.1).
func matchTACACS(l *look) answer {
	b := l.b
	if need(l, 12) {
		return when(len(b) < 2 || b[1] >= 1 && b[1] <= 3, more)
	}
	return when(b[0]&0xfe == 0xc0 && b[1] >= 1 && b[1] <= 3 && b[2] >= 1 && b[2] <= 8 && b[3]&^5 == 0 && u32(b, 8) < 1<<16, yes)
}

// matchSOCKS recognises version 5 (RFC 1928) by the methods offered and the request
// behind them, and version 4.
func matchSOCKS(l *look) answer {
	b := l.b
	if b[0] == 4 {
		if need(l, 9) {
			return when(len(b) < 2 || b[1] == 1 || b[1] == 2, more)
		}
		if b[1] != 1 && b[1] != 2 || u16(b, 2) == 0 {
			return no
		}
		for i, c := range b[8:] {
			if c == 0 {
				return when(i < 64, l.byPort(1080, 9050))
			}
			if c < 0x20 || c > 0x7e {
				return no
			}
		}
		return when(len(b) < 128, more)
	}
	if need(l, 3) {
		return when(len(b) < 2 || b[1] > 0 && b[1] < 16, more)
	}
	n := int(b[1])
	if n == 0 || n > 16 {
		return no
	}
	for _, m := range b[2:min(len(b), 2+n)] {
		if m > 9 && m < 0x80 {
			return no
		}
	}
	rest := b[min(len(b), 2+n):]
	if len(rest) > 0 && rest[0] == 1 { // A user and a secret (RFC 1929).
		if len(rest) < 4 {
			return more
		}
		return when(rest[1] > 0, l.byPort(1080, 9050))
	}
	if len(rest) < 4 {
		if len(rest) > 0 && rest[0] != 5 {
			return no
		}
		if l.final {
			return l.byPort(1080, 9050)
		}
		return more
	}
	return when(rest[0] == 5 && rest[1] >= 1 && rest[1] <= 3 && rest[2] == 0 && (rest[3] == 1 || rest[3] == 3 || rest[3] == 4), yes)
}

// matchSOCKSAnswer recognises what a server says to what the client said.
func matchSOCKSAnswer(l *look) answer {
	b := l.b
	if len(l.other) < 3 {
		return no
	}
	if need(l, 2) {
		return more
	}
	if b[0] == 5 && l.other[0] == 5 {
		return when(b[1] <= 9, maybe)
	}
	return when(b[0] == 0 && l.other[0] == 4 && b[1] >= 0x5a && b[1] <= 0x5d, yes)
}

// readSOCKS follows to where what is carried begins.
func readSOCKS(r *reading) Verdict {
	b := r.b
	if r.dir == FromInitiator {
		var at int
		switch b[0] {
		case 4:
			at = 8
			zeros := 1
			if len(b) >= 9 && u24(b, 4) == 0 && b[7] != 0 { // Version 4A: a name behind.
				zeros = 2
			}
			for ; zeros > 0 && at < len(b); at++ {
				if b[at] == 0 {
					zeros--
				}
			}
			if zeros > 0 {
				return More
			}
		default:
			at = r.socks5Request(b)
			if at < 0 {
				return More
			}
		}
		r.s.tls.base[0] = at
		r.s.step = stepAskedTLS
		r.socksStart()
		return More
	}
	if b[0] == 0 {
		r.s.tls.base[1] = 8
	} else if r.s.tls.base[1] = socks5Answer(b, r.s.lines > 0); r.s.tls.base[1] < 0 {
		r.s.tls.base[1] = 0
		return More
	}
	r.socksStart()
	return More
}

// socksStart begins TLS once it is known where, in both directions.
func (r *reading) socksStart() {
	if r.s.tls.base[0] > 0 && r.s.tls.base[1] > 0 {
		r.s.tls.started = true
	}
}

// socks5Request returns where the client's request ends, -1 if that is not there.
func (r *reading) socks5Request(b []byte) int {
	if len(b) < 2 {
		return -1
	}
	at := 2 + int(b[1])
	if len(b) > at+2 && b[at] == 1 {
		n := int(b[at+1])
		if len(b) < at+3+n {
			return -1
		}
		r.cleartext("socks", b[at+2:at+2+n])
		r.s.lines = 1
		at += 3 + n + int(b[at+2+n])
	}
	return socksAddress(b, at)
}

// socks5Answer returns where the server's answer to the request ends.
func socks5Answer(b []byte, login bool) int {
	at := 2
	if login || len(b) > 1 && b[1] == 2 {
		at = 4
	}
	return socksAddress(b, at)
}

// socksAddress returns where a request or answer at a place ends.
func socksAddress(b []byte, at int) int {
	if len(b) < at+5 || b[at] != 5 {
		return -1
	}
	switch b[at+3] {
	case 1:
		at += 4 + 4 + 2
	case 3:
		at += 4 + 1 + int(b[at+4]) + 2
	case 4:
		at += 4 + 16 + 2
	default:
		return -1
	}
	if len(b) < at {
		return -1
	}
	return at
}

// matchIdent recognises a question about two ports (RFC 1413).
func matchIdent(l *look) answer {
	q, whole := line(l.b)
	for _, c := range q {
		if (c < '0' || c > '9') && c != ',' && c != ' ' {
			return no
		}
	}
	if !whole {
		return when(len(q) < 16, more)
	}
	return when(l.ported(113) && bytes.IndexByte(q, ',') > 0, yes)
}
