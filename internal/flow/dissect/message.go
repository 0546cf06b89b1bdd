package dissect

import "bytes"

func messageProtocols() []protocol {
	kafka := signature{starts: "\x00", match: matchKafka}
	return []protocol{
		{
			name: "mqtt", category: categoryMessage, tcp: []uint16{1883}, client: signature{starts: "\x10", match: matchMQTT}, server: signature{starts: "\x20", match: func(l *look) answer {
				if need(l, 4) {
					return more
				}
				return when(l.b[1] >= 2 && l.b[1] < 0x80 && l.b[2] <= 1 && l.b[3] <= 5 && (len(l.other) > 8 && l.other[0] == 0x10 || l.ported(1883)), yes)
			}}, read: readMQTT, tells: "user who logs in without TLS",
		},
		{name: "amqp", category: categoryMessage, tcp: []uint16{5672}, client: says("AMQP\x00\x00", "AMQP\x01\x01", "AMQP\x02\x01", "AMQP\x03\x01", "AMQP\x00\x01"), server: says("AMQP\x00", "AMQP\x03", "\x01\x00\x00\x00\x00\x01", "AMQP\x02")},
		{name: "kafka", category: categoryMessage, tcp: []uint16{9092}, client: kafka},
		{name: "nats", category: categoryMessage, tcp: []uint16{4222}, client: says("CONNECT {"), server: says("INFO {")},
		{name: "stomp", category: categoryMessage, tcp: []uint16{61613}, client: says("CONNECT\n", "CONNECT\r\n", "STOMP\n", "STOMP\r\n"), server: says("CONNECTED\n", "CONNECTED\r\n")},
		{
			name: "openwire", category: categoryMessage, tcp: []uint16{61616},
			client: signature{starts: "\x00", match: matchOpenWire}, server: signature{starts: "\x00", match: matchOpenWire},
		},
		{name: "zmtp", category: categoryMessage, client: signature{starts: "\xff", match: matchZeroMQ}, server: signature{starts: "\xff", match: matchZeroMQ}},
		{name: "pulsar", category: categoryMessage, tcp: []uint16{6650}},
		{
			name: "xmpp", category: categoryMessage, tcp: []uint16{5222, 5269},
			client: signature{starts: "<", match: matchXMPP}, server: signature{starts: "<", match: matchXMPP}, read: readXMPP, tells: "TLS after STARTTLS",
		},
		{
			name: "irc", category: categoryMessage, tcp: []uint16{6667, 6666, 6668, 6669, 194},
			client: signature{starts: "NUPCnu", match: matchIRC}, server: signature{starts: ":NEP", match: matchIRCServer}, read: readIRC, tells: "nickname",
		},
		{name: "oscar", category: categoryMessage, tcp: []uint16{5190}, client: signature{starts: "*", match: matchOSCAR}, server: signature{starts: "*", match: matchOSCAR}},
		{name: "msnp", category: categoryMessage, tcp: []uint16{1863}, client: says("VER 0 MSNP", "VER 1 MSNP"), server: says("VER 0 MSNP", "VER 1 MSNP")},
		{name: "ymsg", category: categoryMessage, tcp: []uint16{5050}, client: says("YMSG\x00"), server: says("YMSG\x00")},
		{name: "whatsapp", category: categoryMessage, tcp: []uint16{5222}, client: signature{starts: "WE", match: func(l *look) answer {
			if a := anyOf(l.b, "WA\x01", "WA\x02", "WA\x03", "WA\x04", "WA\x05", "WA\x06"); a != yes {
				return max(a, starts(l.b, "ED\x00\x01"))
			}
			if need(l, 5) {
				return more
			}
			return when(l.b[3] < 16, yes)
		}}},
		{name: "smpp", category: categoryMessage, tcp: []uint16{2775}, client: signature{starts: "\x00", match: matchSMPP}},
		{name: "gearman", category: categoryMessage, tcp: []uint16{4730}, client: says("\x00REQ\x00\x00\x00"), server: says("\x00RES\x00\x00\x00")},
		{name: "hl7", category: categoryMessage, tcp: []uint16{2575}, client: says("\x0bMSH|", "\x0bFHS|", "\x0bBHS|"), server: says("\x0bMSH|")},
		{name: "dicom", category: categoryMessage, tcp: []uint16{104, 11112}, client: signature{starts: "\x01", match: func(l *look) answer {
			if need(l, 10) {
				return min(more, starts(l.b[:min(2, len(l.b))], "\x01\x00"))
			}
			return when(u16(l.b, 0) == 0x0100 && u32(l.b, 2) < 1<<16 && u16(l.b, 6) == 1 && u16(l.b, 8) == 0, yes)
		}}},
		{name: "giop", category: categoryMessage, client: says("GIOP\x01"), server: says("GIOP\x01"), datagram: says("MIOP\x10")},
		{name: "java-rmi", category: categoryMessage, tcp: []uint16{1099}, client: says("JRMI\x00")},
		{name: "thrift", category: categoryMessage, tcp: []uint16{9090}, client: signature{starts: "\x80\x00", match: matchThrift}, server: signature{starts: "\x80\x00", match: matchThrift}},
		{name: "rtps", category: categoryMessage, datagram: says("RTPS\x01", "RTPS\x02"), udp: []uint16{7400, 7410}},
		{
			name: "z3950", category: categoryMessage, tcp: []uint16{210}, client: signature{starts: "\xb4", match: func(l *look) answer {
				if need(l, 6) {
					return more
				}
				_, body, ok := derHead(l.b)
				if !ok || len(body) < 2 {
					return when(len(l.b) < 8, more)
				}
				return when(body[0] == 0x83 && body[1] <= 2 || body[0] == 0x82 && body[1] < 8, yes)
			}},
		},
		{
			name: "lotusnotes", category: categoryMessage, tcp: []uint16{1352}, client: signature{starts: "", match: func(l *look) answer {
				if need(l, 14) {
					return when(l.ported(1352), more)
				}
				return when(string(l.b[4:8]) == "\x00\x02\x00\x00" || string(l.b[6:14]) == "\x00\x00\x02\x00\x00\x40\x02\x0f" || string(l.b[6:12]) == "\x00\x00\x02\x00\x00\x40", l.byPort(1352))
			}, portOnly: true},
		},
	}
}

// matchMQTT recognises CONNECT (MQTT 5, section 3.1): the protocol's name behind a
// length.
func matchMQTT(l *look) answer {
	at := mqttHeader(l.b)
	if at < 0 || len(l.b) < at+8 {
		return when(len(l.b) < 14, more)
	}
	return anyOf(l.b[at:], "\x00\x04MQTT", "\x00\x06MQIsdp")
}

// mqttHeader returns where the fixed header ends, -1 if that is not there.
func mqttHeader(b []byte) int {
	for i := 1; i < len(b) && i < 5; i++ {
		if b[i] < 0x80 {
			return i + 1
		}
	}
	return -1
}

func readMQTT(r *reading) Verdict {
	if r.dir == FromResponder {
		return Done
	}
	at := mqttHeader(r.b)
	if at < 0 {
		return More
	}
	c := cursor{b: r.b[at:]}
	c.take(c.u16())
	version, flags := c.u8(), c.u8()
	c.u16()
	if version == 5 {
		c.take(c.mqttNumber())
	}
	c.take(c.u16())
	if flags&4 != 0 { // A will.
		if version == 5 {
			c.take(c.mqttNumber())
		}
		c.take(c.u16())
		c.take(c.u16())
	}
	if flags&0x80 == 0 {
		return Done
	}
	user := c.take(c.u16())
	secret := 0
	if flags&0x40 != 0 {
		secret = c.u16()
	}
	if c.short {
		return when2(r.final, Done, More)
	}
	if secret == 0 { // The name may be the token itself.
		user = nil
	}
	r.login("mqtt", user)
	return Done
}

// mqttNumber reads a number of 7 bits a byte.
func (c *cursor) mqttNumber() int {
	v := 0
	for shift := 0; shift < 28; shift += 7 {
		b := c.u8()
		v |= b & 0x7f << shift
		if b < 0x80 {
			break
		}
	}
	return v
}

// matchKafka recognises a request: length, API and version within those that exist,
// and the client's name in text.
func matchKafka(l *look) answer {
	b := l.b
	if need(l, 14) {
		return when(len(b) < 5 || b[0] == 0 && b[4] == 0, more)
	}
	n, api, version, name := u32(b, 0), u16(b, 4), u16(b, 6), int(int16(u16(b, 12)))
	if n < 10 || n > 1<<24 || api > 80 || version > 20 || name < -1 || name > 255 {
		return no
	}
	if name < 1 {
		return l.byPort(9092)
	}
	if len(b) < 14+name {
		return more
	}
	for _, c := range b[14 : 14+name] {
		if c < 0x20 || c > 0x7e {
			return no
		}
	}
	return when(name >= 3 || l.ported(9092), yes)
}

func matchOpenWire(l *look) answer {
	if need(l, 14) {
		return when(l.b[0] == 0 && (len(l.b) < 5 || l.b[4] == 1), more)
	}
	return when(string(l.b[5:13]) == "ActiveMQ", yes)
}

func matchZeroMQ(l *look) answer {
	if need(l, 11) {
		return when(len(l.b) < 2 || l.b[1] == 0, more)
	}
	return when(u32(l.b, 1) == 0 && l.b[5] == 0 && l.b[9]&^1 == 0x7e && l.b[10] <= 4, yes)
}

// matchXMPP recognises the stream's opening tag (RFC 6120, section 4.2).
func matchXMPP(l *look) answer {
	b := l.b
	a := anyOf(b, "<?xml", "<stream:")
	if a != yes {
		if a = max(a, anyOf(b, "<iq ", "<message ", "<presence")); a != yes {
			return a
		}
		tag, _, whole := bytes.Cut(b, []byte{'>'})
		if !whole {
			return when(len(b) < 512, more)
		}
		return when(bytes.Contains(tag, []byte("from=")) || bytes.Contains(tag, []byte("to=")) || bytes.Contains(tag, []byte("id=")), yes)
	}
	if bytes.Contains(b, []byte("etherx.jabber.org/streams")) || bytes.Contains(b, []byte("xmlns='jabber:")) || bytes.Contains(b, []byte(`xmlns="jabber:`)) {
		return yes
	}
	if starts(b, "<stream:stream") == yes {
		return yes
	}
	return when(len(b) < 512, more)
}

// matchIRC recognises the commands with which a client comes (RFC 2812, section 3.1).
func matchIRC(l *look) answer {
	first, whole := line(l.b)
	if a := anyFold(l.b, "NICK ", "USER ", "PASS ", "CAP LS", "CAP REQ"); a != yes {
		return a
	}
	if !whole {
		return when(len(first) < 512, more)
	}
	if anyFold(first, "CAP LS", "CAP REQ") == yes {
		return yes
	}
	rest := l.b[len(first):]
	rest = bytes.TrimLeft(rest, "\r\n")
	if len(l.other) >= 4 && l.other[0] != ':' && starts(l.other, "NOTICE") != yes && starts(l.other, "PING") != yes {
		return no // FTP and POP3 ask for a user too, behind their greeting.
	}
	if len(rest) < 5 {
		if l.final {
			return when(printable(first) && starts(first, "NICK ") == yes, l.byPort(6667))
		}
		return more
	}
	return anyFold(rest, "NICK ", "USER ", "CAP ", "PING ", "JOIN ", "PROTOCTL")
}

// matchIRCServer recognises a server's notice or number.
func matchIRCServer(l *look) answer {
	first, whole := line(l.b)
	if !whole {
		if !printable8(first) {
			return no
		}
		return when(len(first) < 512, more)
	}
	if starts(first, "NOTICE AUTH :") == yes || starts(first, "NOTICE * :") == yes {
		return yes
	}
	if first = bytes.TrimSpace(first); len(first) == 0 || first[0] != ':' {
		return no
	}
	_, rest := word(first)
	command, _ := word(rest)
	if string(command) == "NOTICE" || string(command) == "CAP" || string(command) == "001" || string(command) == "020" {
		return yes
	}
	return no
}

// matchOSCAR recognises a FLAP of AOL's messengers: its mark, a channel, and the
// version or a SNAC.
func matchOSCAR(l *look) answer {
	b := l.b
	if need(l, 10) {
		return when(len(b) < 2 || b[1] >= 1 && b[1] <= 5, more)
	}
	n := u16(b, 4)
	return when(b[1] == 1 && n >= 4 && n < 1024 && u32(b, 6) == 1, yes)
}

func matchSMPP(l *look) answer {
	b := l.b
	if need(l, 16) {
		return when(b[0] == 0, more)
	}
	n, command := u32(b, 0), u32(b, 4)
	return when(n >= 17 && n < 1024 && (command == 1 || command == 2 || command == 9) && u32(b, 8) == 0 && u32(b, 12) > 0 && u32(b, 12) < 1<<20, yes)
}

// matchThrift recognises a call in the strict binary protocol, framed or not.
func matchThrift(l *look) answer {
	b, at := l.b, 0
	if b[0] == 0 {
		at = 4
	}
	if need(l, at+12) {
		if len(b) > at+1 && (b[at] != 0x80 || b[at+1] != 1) {
			return no
		}
		return more
	}
	n := int(u32(b, at+4))
	if u32(b, at)&0xffffff00 != 0x80010000 || b[at+3] == 0 || b[at+3] > 4 || n == 0 || n > 128 {
		return no
	}
	for _, c := range b[at+8 : min(len(b), at+8+min(n, 4))] {
		if c < 0x20 || c > 0x7e {
			return no
		}
	}
	return yes
}
