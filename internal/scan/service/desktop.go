package service

import (
	"bytes"
	"encoding/binary"
	"maps"
)

// askRDP asks which security is spoken (MS-RDPBCGR, section 2.2.1.1), takes the
// certificate, and the names of the host from the challenge of NTLM (MS-CSSP, section
// 2.2.1). No name is sent.
func askRDP(q *inquiry, l *line) Facts {
	f := Facts{}
	request := []byte{3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 0x0b, 0, 0, 0}
	if !l.send(request) {
		return f
	}
	b := l.framed(4, func(head []byte) int { return int(binary.BigEndian.Uint16(head[2:])) - 4 })
	if !f.readRDP(b) || f["rdp.security"] == "standard" {
		return f
	}
	inner, facts := q.handshake(l)
	maps.Copy(f, facts)
	if inner == nil || f["rdp.security"] != "network level" {
		return f
	}
	token := element(0xa1, element(0x30, element(0x30, element(0xa0, element(4, ntlmNegotiate())))))
	f.readNTLM("rdp.", inner.say(element(0x30, element(0xa0, []byte{2, 1, 6}), token), func(b []byte) bool { _, _, _, ok := tlv(b); return ok }))
	return f
}

// readRDP reads the connection confirm.
func (f Facts) readRDP(b []byte) bool {
	if len(b) < 11 || b[0] != 3 || b[5]&0xf0 != 0xd0 {
		return false
	}
	f["rdp"] = "yes"
	f["rdp.security"] = "standard"
	if len(b) >= 19 && b[11] == 2 {
		switch binary.LittleEndian.Uint32(b[15:]) {
		case 1:
			f["rdp.security"] = "tls"
		case 2, 8:
			f["rdp.security"] = "network level"
		}
	}
	return true
}

// askModbus asks for vendor, product and revision (Modbus application protocol 1.1b3,
// section 6.21, read device identification).
func askModbus(_ *inquiry, l *line) Facts {
	f := Facts{}
	for _, unit := range []byte{0, 1, 255} {
		b := l.say([]byte{0, 1, 0, 0, 0, 5, unit, 0x2b, 0x0e, 1, 0}, func(b []byte) bool {
			return len(b) >= 6 && len(b) >= 6+int(binary.BigEndian.Uint16(b[4:]))
		})
		f.readModbus(b)
		if len(b) == 0 || f["modbus.product"] != "" {
			break
		}
	}
	return f
}

func (f Facts) readModbus(b []byte) {
	if len(b) < 9 || !bytes.HasPrefix(b, []byte{0, 1, 0, 0}) || b[7] != 0x2b && b[7] != 0xab {
		return
	}
	f["modbus"] = "yes"
	if b[7] != 0x2b || len(b) < 14 {
		return
	}
	names := map[byte]string{0: "modbus.vendor", 1: "modbus.product", 2: "modbus.revision"}
	for objects := b[14:]; len(objects) >= 2; {
		id, n := objects[0], int(objects[1])
		if n > len(objects)-2 {
			return
		}
		if name := names[id]; name != "" {
			f.put(name, printable(latin(objects[2:2+n]), 100))
		}
		objects = objects[2+n:]
	}
}

// askS7 opens a connection to a controller (RFC 1006, then S7 setup) and reads the list
// of its component's names (system status list 0x001c).
func askS7(_ *inquiry, l *line) Facts {
	whole := func(b []byte) bool { return len(b) >= 4 && len(b) >= int(binary.BigEndian.Uint16(b[2:])) }
	f := Facts{}
	b := l.say([]byte{3, 0, 0, 22, 17, 0xe0, 0, 0, 0, 1, 0, 0xc0, 1, 10, 0xc1, 2, 1, 0, 0xc2, 2, 1, 2}, whole)
	if len(b) < 7 || b[0] != 3 || b[5] != 0xd0 {
		return f
	}
	f["tsap"] = "yes"
	b = l.say([]byte{3, 0, 0, 25, 2, 0xf0, 0x80, 0x32, 1, 0, 0, 0, 0, 0, 8, 0, 0, 0xf0, 0, 0, 1, 0, 1, 1, 0xe0}, whole)
	if len(b) < 9 || b[7] != 0x32 {
		return f
	}
	f["s7"] = "yes"
	f.readS7(l.say([]byte{
		3, 0, 0, 33, 2, 0xf0, 0x80, 0x32, 7, 0, 0, 0, 0, 0, 8, 0, 8,
		0, 1, 0x12, 4, 0x11, 0x44, 1, 0, 0xff, 9, 0, 4, 0, 0x1c, 0, 0,
	}, whole))
	return f
}

// readS7 reads records of 34 octets: an index and 32 of text.
func (f Facts) readS7(b []byte) {
	const head = 41 // TPKT, COTP, S7 header, parameters, data header, list id, index, size and count
	names := map[uint16]string{1: "s7.station", 2: "s7.module", 5: "s7.serial", 7: "s7.type"}
	for at := head; at+34 <= len(b); at += 34 {
		if name := names[binary.BigEndian.Uint16(b[at:])]; name != "" {
			f.put(name, printable(string(bytes.TrimRight(b[at+2:at+34], "\x00 ")), 32))
		}
	}
}

// askQUIC offers a version that there is not: who speaks QUIC lists those that there
// are (RFC 9000, section 6).
func askQUIC(_ *inquiry, l *line) Facts {
	packet := make([]byte, 1200)
	copy(packet, []byte{0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 'A', 'M', 'O', 'S', 'K', 'Y', 'S', '1', 8, 'A', 'M', 'O', 'S', 'K', 'Y', 'S', '2'})
	f := Facts{}
	if b := askTwice(l, packet); len(b) > 7 && b[0]&0x80 != 0 && binary.BigEndian.Uint32(b[1:]) == 0 && bytes.Contains(b[:min(len(b), 40)], []byte("AMOSKYS2")) {
		f["quic"] = "yes"
	}
	return f
}
