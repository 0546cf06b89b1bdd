package dissect

import "bytes"

func remoteProtocols() []protocol {
	return []protocol{
		{
			name: "rdp", category: categoryRemote, tcp: []uint16{3389}, udp: []uint16{3389},
			client: signature{starts: "\x03", match: matchRDP}, server: signature{starts: "\x03", match: matchRDPAnswer}, read: readRDP,
			datagram: signature{starts: "\xff", match: func(l *look) answer { // MS-RDPEUDP: a SYN.
				return when(len(l.b) >= 16 && u32(l.b, 0) == 0xffffffff && u16(l.b, 6)&1 == 1 && l.size >= 1000 && u16(l.b, 6) < 0x4000, l.byPort(3389))
			}},
			tells: "TLS once both sides agreed on it",
		},
		{
			name: "rfb", category: categoryRemote, tcp: []uint16{5900, 5901, 5902, 5800},
			client: signature{starts: "R", match: matchRFB}, server: signature{starts: "R", match: matchRFB},
		},
		{
			name: "telnet", category: categoryRemote, tcp: []uint16{23, 2323},
			client: signature{starts: "\xff", match: matchTelnet}, server: signature{starts: "\xff", match: matchTelnet}, read: readTelnet,
			tells: "user who logs in",
		},
		{
			name: "x11", category: categoryRemote, tcp: []uint16{6000, 6001, 6010},
			client: signature{starts: "Bl", match: func(l *look) answer { return anyOf(l.b, "B\x00\x00\x0b\x00\x00", "l\x00\x0b\x00\x00\x00") }},
		},
		{
			name: "xdmcp", category: categoryRemote, udp: []uint16{177}, datagram: signature{starts: "\x00", match: func(l *look) answer {
				b := l.b
				return when(len(b) >= 6 && u16(b, 0) == 1 && u16(b, 2) >= 1 && u16(b, 2) <= 13 && int(u16(b, 4))+6 == l.size, l.byPort(177))
			}},
		},
		{
			name: "rlogin", category: categoryRemote, tcp: []uint16{513}, client: signature{starts: "\x00", match: func(l *look) answer {
				return matchStrings(l, 1, 3, '/', 513)
			}},
		},
		{
			name: "rsh", category: categoryRemote, tcp: []uint16{514}, client: signature{starts: "0123456789", match: matchRSH},
		},
		{
			name: "teamviewer", category: categoryRemote, tcp: []uint16{5938}, udp: []uint16{5938},
			client: signature{starts: "\x17\x11", match: func(l *look) answer {
				if need(l, 5) {
					return min(more, anyOf(l.b, "\x17\x24", "\x11\x30"))
				}
				return when(anyOf(l.b, "\x17\x24", "\x11\x30") == yes && l.b[2] < 64 && l.ported(5938), yes)
			}},
			datagram: signature{starts: "\x00", match: func(l *look) answer {
				return when(len(l.b) >= 13 && l.b[0] == 0 && l.b[11] == 0x17 && l.b[12] == 0x24, yes)
			}},
		},
		{name: "anydesk", category: categoryRemote, tcp: []uint16{7070}},
		{
			name: "citrix-ica", category: categoryRemote, tcp: []uint16{1494, 2598},
			client: says("\x7f\x7fICA\x00", "\x1aCGP/01"), server: says("\x7f\x7fICA\x00", "\x1aCGP/01"),
		},
		{
			name: "vmware", category: categoryRemote, tcp: []uint16{902},
			server: says("220 VMware Authentication Daemon"), udp: []uint16{902},
			datagram: signature{starts: "\xa4", match: func(l *look) answer {
				return when(l.size >= 40 && len(l.b) > 3 && u16(l.b, 0) == 0xa400, l.byPort(902))
			}},
		},
		{name: "nomachine", category: categoryRemote, tcp: []uint16{4000}, client: says("NXD-"), server: says("NXD-"), udp: []uint16{4000}},
		{
			name: "radmin", category: categoryRemote, tcp: []uint16{4899}, client: says("\x01\x00\x00\x00\x01\x00\x00\x00\x08\x08", "\x01\x00\x00\x00\x01\x00\x00\x00\x08\x80"),
			server: says("\x01\x00\x00\x00\x25\x00\x00"),
		},
		{name: "spice", category: categoryRemote, tcp: []uint16{5930}, client: says("REDQ\x02\x00\x00\x00", "REDQ\x01\x00\x00\x00"), server: says("REDQ\x02\x00\x00\x00")},
		{
			name: "pcanywhere", category: categoryRemote, udp: []uint16{5632}, datagram: signature{starts: "NS", match: func(l *look) answer {
				return when(l.size == 2 && l.ported(5632) && (l.b[1] == 'Q' || l.b[1] == 'T'), yes)
			}, portOnly: true},
		},
		{name: "adb", category: categoryManage, tcp: []uint16{5555}, client: says("CNXN\x00\x00\x00\x01", "CNXN\x01\x00\x00\x01"), server: says("CNXN", "AUTH\x01\x00\x00\x00")},
	}
}

// tpkt returns the payload of the TPKT (RFC 1006, section 6) at a place and where
// the next begins; more is not no only where b ends too early.
func tpkt(b []byte, at int) (payload []byte, next int, a answer) {
	if len(b) < at+4 {
		for i, c := range b[min(len(b), at):] {
			if i == 0 && c != 3 || i == 1 && c != 0 {
				return nil, 0, no
			}
		}
		return nil, 0, more
	}
	n := int(u16(b, at+2))
	if b[at] != 3 || b[at+1] != 0 || n < 7 {
		return nil, 0, no
	}
	if len(b) < at+n {
		return b[at+4:], at + n, more
	}
	return b[at+4 : at+n], at + n, yes
}

// Kinds of PDU of COTP (X.224, section 13).
const (
	cotpConnect = 0xe0
	cotpConfirm = 0xd0
	cotpData    = 0xf0
)

// matchRDP recognises a connection request with Microsoft's cookie or negotiation
// (MS-RDPBCGR, section 2.2.1.1), or one without parameters to its port.
func matchRDP(l *look) answer {
	p, _, a := tpkt(l.b, 0)
	if a == no || len(p) > 1 && p[1] != cotpConnect {
		return no
	}
	if a == more {
		return more
	}
	rest := p[min(len(p), 7):]
	if bytes.HasPrefix(rest, []byte("Cookie: mst")) || bytes.Contains(rest, []byte("\x01\x00\x08\x00")) || bytes.Contains(rest, []byte("\x01\x01\x08\x00")) || bytes.Contains(rest, []byte("\x01\x08\x08\x00")) {
		return yes
	}
	return when(int(p[0])+1 == len(p) && len(rest) == 0, l.byPort(3389))
}

// matchRDPAnswer recognises the confirmation with a negotiation response.
func matchRDPAnswer(l *look) answer {
	p, _, a := tpkt(l.b, 0)
	if a == no || len(p) > 1 && p[1] != cotpConfirm {
		return no
	}
	if a == more {
		return more
	}
	if len(p) == 15 && (p[7] == 2 || p[7] == 3) && le16(p, 9) == 8 {
		return yes
	}
	return when(len(p) == 7 && l.ported(3389), maybe)
}

// readRDP goes on with TLS where the server chose it (MS-RDPBCGR, section 5.4.2.1).
func readRDP(r *reading) Verdict {
	p, next, a := tpkt(r.b, 0)
	if a != yes {
		return More
	}
	if r.dir == FromInitiator {
		r.s.tls.base[0] = next
		return More
	}
	if len(p) == 15 && p[7] == 2 && le32(p, 11) != 0 {
		r.s.tls.base[1] = next
		r.s.tls.started = true
		return More
	}
	return Done
}

// matchRFB recognises the version of VNC's protocol (RFC 6143, section 7.1.1).
func matchRFB(l *look) answer {
	a := starts(l.b, "RFB 00")
	if a != yes || len(l.b) >= 12 && l.b[11] == '\n' && l.b[7] == '.' {
		return a
	}
	return when(len(l.b) < 12, more)
}

// matchTelnet recognises option negotiation (RFC 854): a command, and either another
// or the option of a known number and a second one behind.
func matchTelnet(l *look) answer {
	b := l.b
	commands := 0
	for at := 0; at < len(b) && commands < 2; {
		if b[at] != 0xff {
			return when(commands > 0 && b[at] < 0x80, l.byPort(23, 2323))
		}
		if len(b) < at+3 {
			if len(b) > at+1 && (b[at+1] < 0xf0 || b[at+1] == 0xff) {
				return no
			}
			return more
		}
		if b[at+1] < 0xfa || b[at+1] == 0xff || b[at+2] > 49 && b[at+2] < 138 || b[at+2] > 140 {
			return no
		}
		if b[at+1] == 0xfa {
			return when(commands > 0, yes)
		}
		commands++
		at += 3
	}
	if commands >= 2 {
		return yes
	}
	if l.final {
		return l.byPort(23, 2323)
	}
	return more
}

// readTelnet waits for the server to ask for a login, and takes what the client
// types next.
func readTelnet(r *reading) Verdict {
	s := r.s
	if r.dir == FromResponder {
		if s.step == stepTalk && (containsFold(r.b[s.dns.offset[1]:], "LOGIN:") || containsFold(r.b[s.dns.offset[1]:], "USERNAME:") || containsFold(r.b[s.dns.offset[1]:], "USER:")) {
			s.step = stepAskUser // What the client says from now on.
		}
		s.dns.offset[1] = max(0, len(r.b)-16)
		return More
	}
	if s.step != stepAskUser {
		s.dns.offset[0] = len(r.b)
		return More
	}
	typed := r.b[min(len(r.b), s.dns.offset[0]):]
	end := bytes.IndexAny(typed, "\r\n")
	if end < 0 {
		return More
	}
	var user []byte
	for i := 0; i < end && len(user) < maxName; i++ {
		switch c := typed[i]; {
		case c == 0xff:
			i += 2
		case (c == 0x7f || c == 8) && len(user) > 0:
			user = user[:len(user)-1]
		case c >= 0x20 && c < 0x7f:
			user = append(user, c)
		}
	}
	r.cleartext("telnet", user)
	return Done
}

// matchStrings recognises strings that end in zeros, behind some bytes, one of which
// holds a mark.
func matchStrings(l *look, from, count int, mark byte, port uint16) answer {
	found := false
	for _, c := range l.b[min(len(l.b), from):] {
		switch {
		case c == 0:
			if count--; count == 0 {
				return when(found, l.byPort(port))
			}
		case c < 0x20 || c > 0x7e:
			return no
		case c == mark:
			found = true
		}
	}
	return more
}

// matchRSH recognises the port for errors, two users and a command.
func matchRSH(l *look) answer {
	digits := 0
	for digits < len(l.b) && digits < 6 && l.b[digits] >= '0' && l.b[digits] <= '9' {
		digits++
	}
	if digits == len(l.b) {
		return when(digits < 6, more)
	}
	if l.b[digits] != 0 {
		return no
	}
	zeros := 0
	for _, c := range l.b[digits+1:] {
		if c == 0 {
			if zeros++; zeros == 3 {
				return l.byPort(514, 512)
			}
		} else if c < 0x20 || c > 0x7e {
			return no
		}
	}
	return more
}
