package dissect

import "bytes"

func databaseProtocols() []protocol {
	tds := signature{starts: "\x01\x04\x10\x12", match: matchTDS}
	mongo := signature{starts: "", match: matchMongo}
	cassandra := signature{starts: "\x03\x04\x05\x42\x82\x83\x84\x85", match: matchCassandra}
	return []protocol{
		{
			name: "postgresql", category: categoryDatabase, tcp: []uint16{5432},
			client: signature{starts: "\x00", match: matchPostgres}, server: signature{starts: "R", match: func(l *look) answer {
				if need(l, 9) {
					return min(more, starts(l.b[:min(len(l.b), 4)], "R\x00\x00\x00"))
				}
				return when(starts(l.b, "R\x00\x00\x00") == yes && l.b[4] >= 8 && l.b[4] < 64 && u24(l.b, 5) == 0 && l.b[8] <= 12, yes)
			}}, read: readPostgres,
			tells: "user whose password went in the clear, version of the server, TLS after SSLRequest",
		},
		{
			name: "mysql", category: categoryDatabase, tcp: []uint16{3306, 33060},
			server: signature{starts: "", match: matchMySQL}, read: readMySQL, tells: "version of the server, TLS after SSLRequest",
		},
		{name: "tds", category: categoryDatabase, tcp: []uint16{1433}, client: tds, server: tds},
		{
			name: "oracle-tns", category: categoryDatabase, tcp: []uint16{1521, 1526, 2483}, client: signature{starts: "\x00\x01", match: matchTNS},
			server: signature{starts: "\x00", match: func(l *look) answer {
				if need(l, 8) {
					return more
				}
				return when(l.ported(1521, 1526) && l.b[4] >= 2 && l.b[4] <= 14 && u16(l.b, 2) == 0 && u16(l.b, 6) == 0, yes)
			}},
		},
		{name: "mongodb", category: categoryDatabase, tcp: []uint16{27017, 27018, 27019}, client: mongo, server: mongo},
		{name: "cassandra", category: categoryDatabase, tcp: []uint16{9042}, client: cassandra, server: cassandra},
		{
			name: "redis", category: categoryDatabase, tcp: []uint16{6379},
			client: signature{starts: "*PIA", match: matchRedis}, server: signature{starts: "+-$*:", match: matchRedisAnswer}, read: readRedis, tells: "user of AUTH",
		},
		{
			name: "memcached", category: categoryDatabase, tcp: []uint16{11211}, udp: []uint16{11211},
			client: signature{starts: "gsadivrfpmt\x80", match: matchMemcached},
			server: signature{starts: "VSES\x81", match: func(l *look) answer {
				return anyOf(l.b, "VALUE ", "STORED\r\n", "STAT pid", "STAT ", "VERSION ", "NOT_STORED\r\n")
			}},
			datagram: signature{starts: "", match: func(l *look) answer {
				b := l.b
				return when(len(b) > 12 && u16(b, 2) == 0 && u16(b, 4) == 1 && u16(b, 6) == 0, anyOf(b[min(len(b), 8):], "get ", "gets ", "set ", "stats", "VALUE ", "STAT ", "version"))
			}},
		},
		{
			name: "elasticsearch", category: categoryDatabase, tcp: []uint16{9300}, client: signature{starts: "E", match: matchElastic}, server: signature{starts: "E", match: matchElastic},
		},
		{
			name: "drda", category: categoryDatabase, tcp: []uint16{446, 50000}, client: signature{starts: "\x00\x01\x02", match: matchDRDA}, server: signature{starts: "\x00\x01\x02", match: matchDRDA},
		},
		{name: "couchdb", category: categoryDatabase, tcp: []uint16{5984}},
		{name: "neo4j-bolt", category: categoryDatabase, tcp: []uint16{7687}, client: says("\x60\x60\xb0\x17")},
		{name: "zookeeper", category: categoryDatabase, tcp: []uint16{2181}, client: signature{starts: "\x00", match: func(l *look) answer {
			if need(l, 12) {
				return when(l.b[0] == 0, more)
			}
			n := u32(l.b, 0)
			return when((n == 44 || n == 45) && u32(l.b, 4) == 0 && u32(l.b, 8) == 0, l.byPort(2181))
		}}},
		{
			name: "firebird", category: categoryDatabase, tcp: []uint16{3050}, client: signature{starts: "\x00", match: func(l *look) answer {
				if need(l, 16) {
					return min(more, starts(l.b[:min(4, len(l.b))], "\x00\x00\x00\x01"))
				}
				return when(u32(l.b, 0) == 1 && u32(l.b, 4) == 0x13 && u32(l.b, 8) <= 3, yes)
			}},
		},
		{
			name: "clickhouse", category: categoryDatabase, tcp: []uint16{9000}, client: says("\x00\x11ClickHouse "),
		},
		{name: "influxdb", category: categoryDatabase, tcp: []uint16{8086}},
	}
}

// matchPostgres recognises the first message of a client (PostgreSQL documentation,
// "Message Formats"): StartupMessage, SSLRequest, GSSENCRequest, CancelRequest.
func matchPostgres(l *look) answer {
	b := l.b
	if need(l, 8) {
		return when(b[0] == 0 && (len(b) < 2 || b[1] == 0), more)
	}
	n, code := u32(b, 0), u32(b, 4)
	switch code {
	case 80877103, 80877104:
		return when(n == 8, yes)
	case 80877102:
		return when(n == 16, yes)
	case 196608, 196610, 131072:
		if n < 9 || n > 10000 {
			return no
		}
		if need(l, 13) {
			return more
		}
		return when(b[8] == 0 || alphanumeric(b[8]) || b[8] == '_', yes)
	}
	return no
}

func readPostgres(r *reading) Verdict {
	b := r.b
	s := r.s
	if r.dir == FromInitiator {
		at := 0
		if len(b) >= 8 && u32(b, 0) == 8 { // A request to encrypt.
			at = 8
			if s.step == stepTalk {
				s.step = stepAskedTLS
				s.tls.base[0] = 8
				return More
			}
		}
		if len(b) < at+8 || len(b) < at+int(u32(b, at)) && !r.final {
			return More
		}
		if s.dns.offset[0] == 0 && u32(b, at+4) == 196608 {
			s.dns.offset[0] = at
		}
		return More
	}
	at := 0
	if s.step == stepAskedTLS && len(b) > 0 && (b[0] == 'S' || b[0] == 'N' || b[0] == 'G') {
		if b[0] == 'S' {
			s.tls.base[1], s.tls.started = 1, true
			return More
		}
		at = 1
	}
	return r.postgresAnswer(b[at:])
}

// postgresAnswer reads what the server wants of the client, and its version.
func (r *reading) postgresAnswer(b []byte) Verdict {
	for len(b) >= 9 {
		n := int(u32(b, 1))
		if n < 4 || len(b) < 1+n {
			break
		}
		switch b[0] {
		case 'R':
			if u32(b, 5) == 3 { // A password in the clear.
				r.cleartext("postgresql", r.postgresUser())
			}
		case 'S':
			name, value, _ := bytes.Cut(b[5:1+n], []byte{0})
			if string(name) == "server_version" {
				r.facts().Banner = text(bytes.TrimRight(value, "\x00"), maxName)
				return Done
			}
		case 'E', 'Z':
			return Done
		}
		b = b[1+n:]
	}
	return More
}

func (r *reading) postgresUser() []byte {
	b := r.s.streams[0].seen()
	b = b[min(len(b), r.s.dns.offset[0]):]
	n := min(len(b), int(u32(b, 0)))
	parts := bytes.Split(b[min(8, n):n], []byte{0})
	for i := 0; i+1 < len(parts) && i < 32; i += 2 {
		if string(parts[i]) == "user" {
			return parts[i+1]
		}
	}
	return nil
}

// matchMySQL recognises the greeting: packet 0, protocol 10 and a version of digits;
// or an error before it.
func matchMySQL(l *look) answer {
	b := l.b
	if need(l, 8) {
		if len(b) > 4 && (b[1] != 0 || b[2] != 0 || b[3] != 0 || b[4] != 10 && b[4] != 0xff) {
			return no
		}
		if len(b) > 2 && (b[1] != 0 || b[2] != 0) {
			return no
		}
		return more
	}
	if b[2] != 0 || b[1] > 1 || b[3] != 0 || b[0] < 8 {
		return no
	}
	if b[4] == 0xff {
		code := le16(b, 5)
		return when(code >= 1000 && code < 4000 && l.ported(3306), yes)
	}
	if b[4] != 10 {
		return no
	}
	for i, c := range b[5:min(len(b), 128)] {
		if c == 0 {
			return when(i >= 3, yes)
		}
		if c < 0x20 || c > 0x7e || i == 0 && (c < '0' || c > '9') {
			return no
		}
	}
	return when(len(b) < 128, more)
}

func readMySQL(r *reading) Verdict {
	b := r.b
	if r.dir == FromResponder {
		if len(b) < 6 {
			return More
		}
		if f := r.facts(); b[4] == 10 {
			version, _, _ := bytes.Cut(b[5:min(len(b), 5+maxName)], []byte{0})
			f.Banner = text(version, maxName)
		} else {
			return Done
		}
		r.s.tls.base[1] = 4 + int(b[0]) + int(b[1])<<8
		return More
	}
	if len(b) < 36 {
		return when2(r.final, Done, More)
	}
	if b[0] == 32 && b[1] == 0 && b[2] == 0 && le32(b, 4)&0x800 != 0 { // SSLRequest.
		r.s.tls.base[0], r.s.tls.started = 36, true
		return More
	}
	return Done
}

func when2(ok bool, a, b Verdict) Verdict {
	if ok {
		return a
	}
	return b
}

// matchTDS recognises a prelogin, login or batch (MS-TDS, section 2.2.3.1).
func matchTDS(l *look) answer {
	b := l.b
	if need(l, 13) {
		return when(len(b) < 2 || b[1] <= 1, more)
	}
	n := int(u16(b, 2))
	if b[1] > 1 || n < 9 || n > 32767 || b[7] != 0 || b[6] > 1 {
		return no
	}
	switch b[0] {
	case 0x12:
		if b[4] != 0 || b[5] != 0 {
			return no
		}
		if b[8] == 0 {
			return when(u16(b, 9) < 64 && u16(b, 11) <= 64, yes)
		}
		return when(b[8] == recordHandshake && b[9] == 3, yes)
	case 0x10:
		return when(int(le32(b, 8)) == n-8, yes)
	case 0x04:
		if b[8] == 0 { // The answer to a prelogin.
			return when(u16(b, 9) < 64 && u16(b, 11) <= 64 && n < 512, yes)
		}
		return when(l.ported(1433) && (b[8] == 0xaa || b[8] == 0xab || b[8] == 0xad || b[8] == 0xe3), yes)
	case 0x01:
		return when(l.ported(1433), yes)
	}
	return no
}

// matchTNS recognises Oracle's CONNECT by its descriptor.
func matchTNS(l *look) answer {
	b := l.b
	if need(l, 34) {
		if len(b) > 4 && (b[4] != 1 || b[2] != 0 || b[3] != 0) {
			return no
		}
		return more
	}
	n := int(u16(b, 0))
	if u16(b, 2) != 0 || b[4] != 1 || u16(b, 6) != 0 || n < 34 || n > 4096 {
		return no
	}
	at := int(u16(b, 26))
	if at < 34 || at > 128 {
		return no
	}
	if len(b) < at+4 {
		return when(at < n, more)
	}
	if b[at] == '(' || n <= at {
		return yes
	}
	return l.byPort(1521, 1526)
}

// matchMongo recognises the header of the wire protocol: length, numbers, opcode.
func matchMongo(l *look) answer {
	b := l.b
	if need(l, 16) {
		return when(len(b) < 4 || b[3] == 0, more)
	}
	n, to, op := le32(b, 0), le32(b, 8), le32(b, 12)
	if n < 16 || n > 48<<20 || le32(b, 4) > 1<<31 {
		return no
	}
	switch op {
	case 2004, 2010, 2012, 2013, 2001, 2002, 2005, 2006, 2007:
		return when(op == 2013 || op == 2012 || to == 0 || to == 0xffffffff, yes)
	case 1, 2011:
		return when(to != 0, yes)
	}
	return no
}

// matchCassandra recognises a frame of the native protocol, versions 3 to 5.
func matchCassandra(l *look) answer {
	b := l.b
	if need(l, 9) {
		return more
	}
	n := u32(b, 5)
	if b[1] > 0x1f || n > 1<<20 {
		return no
	}
	switch b[4] {
	case 0x05: // OPTIONS.
		return when(b[0] < 0x80 && n == 0, yes)
	case 0x01: // STARTUP: a map of strings.
		if need(l, 13) {
			return more
		}
		return when(b[0] < 0x80 && n > 10 && n < 1024 && u16(b, 9) > 0 && u16(b, 9) < 10 && u16(b, 11) < 32, yes)
	case 0x06, 0x02, 0x03, 0x0e:
		return when(b[0] >= 0x80 && n < 4096 && l.ported(9042), yes)
	}
	return no
}

// matchRedis recognises an array of strings (RESP), or a command in a line.
func matchRedis(l *look) answer {
	b := l.b
	if b[0] != '*' {
		return anyFold(b, "PING\r\n", "INFO\r\n", "AUTH ")
	}
	i := 1
	for i < len(b) && i < 6 && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == len(b) && i < 6 {
		return more
	}
	if i == 1 {
		return no
	}
	return starts(b[i:], "\r\n$")
}

// matchRedisAnswer is weak, but to a command that was seen.
func matchRedisAnswer(l *look) answer {
	if a := anyOf(l.b, "+PONG\r\n", "-NOAUTH ", "-WRONGPASS", "-MISCONF", "-ERR unknown command"); a != no {
		return a
	}
	return no
}

// readRedis reads the user of an AUTH with two arguments; with one there is none.
func readRedis(r *reading) Verdict {
	if r.dir == FromResponder {
		return Done
	}
	var parts [3][]byte
	n := 0
	for rest := r.b; n < 3; n++ {
		i := bytes.IndexByte(rest, '$')
		if i < 0 {
			break
		}
		_, whole := line(rest[i:])
		length, _ := line(rest[i+1:])
		at := i + 1 + len(length) + 2
		size := 0
		for _, c := range length {
			if c < '0' || c > '9' || size > 4096 {
				return Done
			}
			size = size*10 + int(c-'0')
		}
		if !whole || at+size > len(rest) {
			break
		}
		parts[n], rest = rest[at:at+size], rest[at+size:]
	}
	if n > 0 && !equalFold(parts[0], "AUTH") {
		return Done
	}
	three := len(r.b) > 1 && r.b[1] == '3'
	if n == 3 && three {
		r.cleartext("redis", parts[1])
		return Done
	}
	if n > 0 && !three {
		r.cleartext("redis", []byte("default"))
		return Done
	}
	return More
}

func matchMemcached(l *look) answer {
	b := l.b
	if b[0] == 0x80 {
		if need(l, 24) {
			return more
		}
		n := int(u16(b, 2)) + int(b[4])
		return when(b[1] <= 0x40 && b[5] == 0 && u16(b, 6) < 1024 && n <= int(u32(b, 8)) && u32(b, 8) < 1<<21 && u32(b, 16) == 0 && u32(b, 20) == 0, l.byPort(11211))
	}
	if a := anyOf(b, "stats\r\n", "version\r\n", "flush_all", "stats items", "stats slabs"); a != no {
		return a
	}
	a := anyOf(b, "get ", "gets ", "set ", "add ", "delete ", "incr ", "decr ", "replace ", "prepend ", "append ")
	if a != yes {
		return a
	}
	command, whole := line(b)
	if !whole {
		return more
	}
	return when(printable(command), l.byPort(11211))
}

// matchElastic recognises Elasticsearch's transport: its mark, a length, a status.
func matchElastic(l *look) answer {
	if a := starts(l.b, "ES"); a != yes || need(l, 19) {
		return min(a, more)
	}
	b := l.b
	n := u32(b, 2)
	return when(n < 1<<26 && b[14] < 0x20 && u32(b, 15) < 100_000_000, yes)
}

// matchDRDA recognises a DDM of IBM's database protocol: lengths that agree, and a
// mark.
func matchDRDA(l *look) answer {
	b := l.b
	if need(l, 10) {
		return when(len(b) < 3 || b[2] == 0xd0, more)
	}
	n, inner := int(u16(b, 0)), int(u16(b, 6))
	return when(b[2] == 0xd0 && n == inner+6 && b[3]&0x0f >= 1 && b[3]&0x0f <= 5, yes)
}
