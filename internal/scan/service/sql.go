package service

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"regexp"
	"strconv"
)

var versionPair = regexp.MustCompile(`(\d+\.\d+)\D{1,40}(\d+\.\d+)$`)

// askPostgres asks whether TLS is spoken (SSLRequest), and then for a version of the
// protocol that there is not: the refusal tells which there are, and no user was named
// (PostgreSQL documentation, section 53.2, message flow).
func askPostgres(q *inquiry, l *line) Facts {
	answer := l.say([]byte{0, 0, 0, 8, 4, 210, 22, 47}, func(b []byte) bool { return len(b) == 1 })
	f := Facts{}
	if len(answer) == 0 || len(answer) > 1 && answer[0] != 'E' {
		return f
	}
	switch answer[0] {
	case 'S':
		inner, facts := q.handshake(l)
		maps.Copy(f, facts)
		if inner == nil {
			return f
		}
		l = inner
	case 'N', 'E':
	default:
		return f
	}
	if answer[0] != 'E' {
		answer = l.say([]byte{0, 0, 0, 8, 0, 255, 0, 0}, func(b []byte) bool { return len(b) > 5 && len(b) > int(binary.BigEndian.Uint32(b[1:])) })
	}
	f.readPostgres(answer)
	return f
}

// readPostgres reads an ErrorResponse: fields of one letter and a text.
func (f Facts) readPostgres(b []byte) {
	if len(b) < 7 || b[0] != 'E' || !bytes.Contains(b, []byte("FATAL")) && !bytes.Contains(b, []byte("\x00C0")) {
		return
	}
	f["postgres"] = "yes"
	for part := range bytes.SplitSeq(b[5:], []byte{0}) {
		if len(part) < 2 {
			continue
		}
		text := printable(string(part[1:]), 200)
		switch part[0] {
		case 'M':
			f.put("postgres.message", text)
			if m := versionPair.FindStringSubmatch(text); m != nil {
				f.put("postgres.protocols", m[1]+" to "+m[2])
			}
		case 'F':
			f.put("postgres.file", text)
		case 'L':
			f.put("postgres.line", text)
		case 'R':
			f.put("postgres.routine", text)
		}
	}
}

// askMSSQL sends PRELOGIN (MS-TDS, section 2.2.6.5); the answer has the version.
func askMSSQL(_ *inquiry, l *line) Facts {
	options := []byte{0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 9, 0, 0, 0, 0, 0, 2}
	packet := binary.BigEndian.AppendUint16([]byte{0x12, 1}, uint16(8+len(options)))
	packet = append(append(packet, 0, 0, 0, 0), options...)
	f := Facts{}
	if l.send(packet) {
		f.readMSSQL(l.framed(8, func(head []byte) int { return int(binary.BigEndian.Uint16(head[2:])) - 8 }))
	}
	return f
}

func (f Facts) readMSSQL(b []byte) {
	if len(b) < 14 || b[0] != 4 {
		return
	}
	body := b[8:]
	for at := 0; at+5 <= len(body) && body[at] != 0xff; at += 5 {
		offset := int(binary.BigEndian.Uint16(body[at+1:]))
		if body[at] == 0 && offset+4 <= len(body) {
			f.put("mssql.version", fmt.Sprintf("%d.%d.%d", body[offset], body[offset+1], binary.BigEndian.Uint16(body[offset+2:])))
			return
		}
	}
}

// askOracle asks the listener for its version, which it tells everybody.
func askOracle(_ *inquiry, l *line) Facts {
	data := "(DESCRIPTION=(CONNECT_DATA=(CID=(PROGRAM=)(HOST=)(USER=))(COMMAND=version)(ARGUMENTS=64)(VERSION=186646528)))"
	const head = 58
	p := binary.BigEndian.AppendUint16(nil, uint16(head+len(data)))
	p = append(p, 0, 0, 1, 0, 0, 0, 0x01, 0x3a, 0x01, 0x2c, 0, 0, 0x20, 0, 0x7f, 0xff, 0x7f, 0x08, 0, 0, 0, 1)
	p = binary.BigEndian.AppendUint16(p, uint16(len(data)))
	p = binary.BigEndian.AppendUint16(p, head)
	p = append(p, make([]byte, head-len(p))...)
	f := Facts{}
	f.readOracle(l.say(append(p, data...), nil))
	return f
}

var vsnnum = regexp.MustCompile(`\(VSNNUM=(\d{1,10})\)`)

func (f Facts) readOracle(b []byte) {
	if len(b) < 12 || b[4] != 2 && b[4] != 4 || !bytes.Contains(b, []byte("(DESCRIPTION=")) {
		return
	}
	f.put("oracle.answer", printable(latin(b[bytes.IndexByte(b, '('):]), 500))
	if m := vsnnum.FindSubmatch(b); m != nil {
		if n, err := strconv.ParseUint(string(m[1]), 10, 32); err == nil {
			f.put("oracle.version", fmt.Sprintf("%d.%d.%d.%d.%d", n>>24, n>>20&15, n>>12&255, n>>8&15, n&255))
		}
	}
}
