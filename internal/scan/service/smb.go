package service

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// askSMB negotiates (MS-SMB2, section 2.2.3) and begins an NTLM session without a name
// or a password: the server's challenge tells its own names and build (MS-NLMP, section
// 2.2.1.2). Then it asks whether SMBv1 is offered.
func askSMB(q *inquiry, l *line) Facts {
	f := Facts{}
	if q.at.Port() == 139 && !netbiosSession(l) {
		return f
	}
	if !l.send(smbFrame(smb2Header(0, 0), smb2Negotiate())) || !f.readSMB2Negotiate(readSMB(l)) {
		if isSMB1(q) {
			f.put("smb.dialect1", "NT LM 0.12")
		}
		return f
	}
	token := spnegoNTLM(ntlmNegotiate())
	setup := binary.LittleEndian.AppendUint16(nil, 25)
	setup = append(setup, 0, 1)
	setup = append(setup, make([]byte, 8)...)
	setup = binary.LittleEndian.AppendUint16(setup, 88)
	setup = binary.LittleEndian.AppendUint16(setup, uint16(len(token)))
	setup = append(setup, make([]byte, 8)...)
	if l.send(smbFrame(smb2Header(1, 1), append(setup, token...))) {
		f.readNTLM("smb.", readSMB(l))
	}
	if isSMB1(q) {
		f.put("smb.dialect1", "NT LM 0.12")
	}
	return f
}

// netbiosSession opens a session on port 139 (RFC 1002, section 4.3.2).
func netbiosSession(l *line) bool {
	called, calling := netbiosName("*SMBSERVER", 0x20), netbiosName("SCANNER", 0)
	request := append(append([]byte{0x81, 0, 0, byte(len(called) + len(calling))}, called...), calling...)
	answer := l.say(request, func(b []byte) bool { return len(b) >= 4 })
	return len(answer) >= 4 && answer[0] == 0x82
}

// netbiosName writes a name of 16 octets, two letters for each (RFC 1001, section 14.1).
func netbiosName(name string, suffix byte) []byte {
	padded := append([]byte(fmt.Sprintf("%-15s", name))[:15], suffix)
	if name == "*" {
		padded = append([]byte{'*'}, make([]byte, 15)...)
	}
	out := []byte{32}
	for _, c := range padded {
		out = append(out, 'A'+c>>4, 'A'+c&15)
	}
	return append(out, 0)
}

func smbFrame(header, body []byte) []byte {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(header)+len(body)))
	return append(append(frame, header...), body...)
}

// readSMB reads one message behind its length of three octets.
func readSMB(l *line) []byte {
	b := l.framed(4, func(head []byte) int { return int(binary.BigEndian.Uint32(head) & 0xffffff) })
	if len(b) < 4 {
		return nil
	}
	return b[4:]
}

func smb2Header(command uint16, id uint64) []byte {
	h := []byte{0xfe, 'S', 'M', 'B', 64, 0, 1, 0, 0, 0, 0, 0}
	h = binary.LittleEndian.AppendUint16(h, command)
	h = append(h, 31, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	h = binary.LittleEndian.AppendUint64(h, id)
	h = append(h, 0xff, 0xfe, 0, 0)
	return append(h, make([]byte, 28)...)
}

func smb2Negotiate() []byte {
	dialects := []uint16{0x0202, 0x0210, 0x0300, 0x0302, 0x0311}
	b := binary.LittleEndian.AppendUint16(nil, 36)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(dialects)))
	b = append(b, 1, 0, 0, 0, 0x7f, 0, 0, 0)
	b = append(b, make([]byte, 15)...)
	b = append(b, 1)                                  // client id
	offset := (64 + 36 + 2*len(dialects) + 7) / 8 * 8 // of the contexts
	b = binary.LittleEndian.AppendUint32(b, uint32(offset))
	b = append(b, 1, 0, 0, 0)
	for _, d := range dialects {
		b = binary.LittleEndian.AppendUint16(b, d)
	}
	b = append(b, make([]byte, offset-64-len(b))...)
	// Preauthentication integrity, SHA-512, with a salt of 32 octets: 3.1.1 wants it.
	b = append(b, 1, 0, 38, 0, 0, 0, 0, 0, 1, 0, 32, 0, 1, 0)
	return append(b, make([]byte, 32)...)
}

// readSMB2Negotiate notes dialect and signing.
func (f Facts) readSMB2Negotiate(b []byte) bool {
	if len(b) < 64+8 || !bytes.HasPrefix(b, []byte("\xfeSMB")) || binary.LittleEndian.Uint32(b[8:]) != 0 {
		return false
	}
	mode, dialect := binary.LittleEndian.Uint16(b[66:]), binary.LittleEndian.Uint16(b[68:])
	names := map[uint16]string{0x0202: "2.0.2", 0x0210: "2.1", 0x0300: "3.0", 0x0302: "3.0.2", 0x0311: "3.1.1"}
	name, ok := names[dialect]
	if !ok {
		return false
	}
	f.put("smb.dialect", name)
	f.put("smb.signing", "not required")
	if mode&2 != 0 {
		f.put("smb.signing", "required")
	}
	return true
}

// isSMB1 asks on a connection of its own for SMBv1 alone.
func isSMB1(q *inquiry) bool {
	if q.life == nil {
		return false
	}
	l, err := q.dial(q.life)
	if err != nil {
		return false
	}
	defer l.hangUp()
	if q.at.Port() == 139 && !netbiosSession(l) {
		return false
	}
	header := append([]byte("\xffSMB\x72\x00\x00\x00\x00\x18\x01\x28"), make([]byte, 20)...)
	body := append([]byte{0, 12, 0, 2}, "NT LM 0.12\x00"...)
	if !l.send(smbFrame(header, body)) {
		return false
	}
	b := readSMB(l)
	return len(b) > 35 && bytes.HasPrefix(b, []byte("\xffSMB\x72")) && binary.LittleEndian.Uint32(b[5:]) == 0 && b[32] > 0 && b[33] == 0 && b[34] == 0
}

// ntlmNegotiate is the first message of NTLM (MS-NLMP, section 2.2.1.1), without names.
func ntlmNegotiate() []byte {
	b := append([]byte("NTLMSSP\x00"), 1, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 0xa2088207)
	return append(b, append(make([]byte, 16), 10, 0, 0, 0, 0, 0, 0, 15)...)
}

// spnegoNTLM wraps a token for a server that wants SPNEGO (RFC 4178, section 4.2).
func spnegoNTLM(token []byte) []byte {
	wrap := func(tag byte, b []byte) []byte { return append([]byte{tag, byte(len(b))}, b...) }
	mechanism := []byte{0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a}
	inner := append(wrap(0xa0, wrap(0x30, mechanism)), wrap(0xa2, wrap(0x04, token))...)
	return wrap(0x60, append([]byte{0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02}, wrap(0xa0, wrap(0x30, inner))...))
}

// readNTLM finds an NTLM challenge in b and notes names and build of the server.
func (f Facts) readNTLM(prefix string, b []byte) {
	start := bytes.Index(b, []byte("NTLMSSP\x00\x02\x00\x00\x00"))
	if start < 0 {
		return
	}
	b = b[start:]
	if len(b) < 48 {
		return
	}
	flags := binary.LittleEndian.Uint32(b[20:])
	size, offset := int(binary.LittleEndian.Uint16(b[40:])), int(binary.LittleEndian.Uint32(b[44:]))
	if flags&0x02000000 != 0 && len(b) >= 56 {
		f.put(prefix+"build", fmt.Sprintf("%d.%d.%d", b[48], b[49], binary.LittleEndian.Uint16(b[50:])))
	}
	if offset < 0 || offset > len(b) || size > len(b)-offset {
		return
	}
	names := map[uint16]string{1: "computer", 2: "domain", 3: "dns", 4: "dns_domain"}
	for info := b[offset : offset+size]; len(info) >= 4; {
		id, n := binary.LittleEndian.Uint16(info), int(binary.LittleEndian.Uint16(info[2:]))
		if id == 0 || n > len(info)-4 {
			return
		}
		if name := names[id]; name != "" {
			f.put(prefix+name, printable(fromUTF16(info[4:4+n]), 255))
		}
		info = info[4+n:]
	}
}

// fromUTF16 reads little-endian UTF-16.
func fromUTF16(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		units = append(units, binary.LittleEndian.Uint16(b))
	}
	return strings.TrimRight(string(utf16.Decode(units)), "\x00")
}
