package dissect

func fileProtocols() []protocol { //nolint:funlen // a table
	smb := signature{starts: "\x00", match: matchSMB}
	rpc := signature{starts: "\x80", match: matchRPCRecord}
	return []protocol{
		{
			name: "smb", category: categoryFile, tcp: []uint16{445}, client: smb, server: smb, read: readSMB,
			tells: "highest dialect offered, as the banner",
		},
		{
			name: "netbios-ssn", category: categoryFile, tcp: []uint16{139},
			client: signature{starts: "\x81", match: func(l *look) answer {
				if need(l, 6) {
					return min(more, starts(l.b, "\x81\x00\x00"))
				}
				return when(u16(l.b, 0) == 0x8100 && u16(l.b, 2) >= 0x44 && u16(l.b, 2) <= 256 && l.b[4] == 32 && l.b[5] >= 'A' && l.b[5] <= 'P', yes)
			}},
			server: signature{starts: "\x82\x83", match: func(l *look) answer {
				if need(l, 4) {
					return more
				}
				n := u24(l.b, 1)
				return when(l.b[0] == 0x82 && n == 0 || l.b[0] == 0x83 && n == 1, l.byPort(139))
			}},
		},
		{
			name: "nfs", category: categoryFile, tcp: []uint16{2049, 20048}, udp: []uint16{2049, 20048},
			client: signature{starts: "\x80", match: func(l *look) answer { return matchRPCCall(l, 4, true) }},
			server: signature{starts: "\x80", match: func(l *look) answer { return when(l.ported(2049), matchRPCRecord(l)) }},
			datagram: signature{starts: "", match: func(l *look) answer {
				if matchRPCCall(l, 0, true) == yes {
					return yes
				}
				return when(l.ported(2049), matchRPCReply(l, 0))
			}},
		},
		{
			name: "sunrpc", category: categoryNetwork, tcp: []uint16{111}, udp: []uint16{111}, client: rpc, server: rpc,
			datagram: signature{starts: "", match: func(l *look) answer {
				if matchRPCCall(l, 0, false) == yes {
					return yes
				}
				return matchRPCReply(l, 0)
			}},
		},
		{
			name: "rsync", category: categoryFile, tcp: []uint16{873}, client: says("@RSYNCD:"), server: says("@RSYNCD:"),
		},
		{
			name: "git", category: categoryFile, tcp: []uint16{9418}, client: signature{starts: "0", match: func(l *look) answer {
				if need(l, 8) {
					return when(l.b[0] == '0', more)
				}
				for _, c := range l.b[:4] {
					if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
						return no
					}
				}
				return starts(l.b[4:], "git-")
			}},
		},
		{name: "svn", category: categoryFile, tcp: []uint16{3690}, server: says("( success ( ")},
		{name: "cvspserver", category: categoryFile, tcp: []uint16{2401}, client: says("BEGIN AUTH REQUEST", "BEGIN VERIFICATION REQUEST")},
		{
			name: "tftp", category: categoryFile, udp: []uint16{69}, datagram: signature{starts: "\x00", match: matchTFTP},
		},
		{
			name: "afp", category: categoryFile, tcp: []uint16{548}, client: signature{starts: "\x00", match: matchDSI}, server: signature{starts: "\x01", match: matchDSI},
		},
		{
			name: "iscsi", category: categoryFile, tcp: []uint16{3260, 860},
			client: signature{starts: "\x43\x03", match: func(l *look) answer { return matchISCSI(l, 0x03) }}, server: signature{starts: "\x23", match: func(l *look) answer { return matchISCSI(l, 0x23) }},
		},
		{
			name: "nbd", category: categoryFile, tcp: []uint16{10809}, server: says("NBDMAGIC"),
		},
		{
			name: "ceph", category: categoryFile, tcp: []uint16{6789, 3300}, client: says("ceph v"), server: says("ceph v"),
		},
		{
			name: "lustre", category: categoryFile, tcp: []uint16{988}, client: says("\x00\x71\xce\xac\x01", "cirE\x03\x00\x00\x00"), server: says("cirE\x03\x00\x00\x00"),
		},
		{
			name: "afs", category: categoryFile, udp: []uint16{7000, 7001, 7002, 7003, 7004, 7005, 7006, 7007, 7008, 7009}, datagram: signature{starts: "", match: matchRx, portOnly: true},
		},
		{
			name: "glusterfs", category: categoryFile, tcp: []uint16{24007},
		},
	}
}

// matchSMB recognises SMB behind its length (MS-SMB2, section 2.1; MS-CIFS).
func matchSMB(l *look) answer {
	b := l.b
	if need(l, 8) {
		return when(b[0] == 0, more)
	}
	return when(b[0] == 0 && u24(b, 1) >= 32 && u24(b, 1) < 1<<20, anyOf(b[4:], "\xffSMB", "\xfeSMB", "\xfdSMB"))
}

// readSMB reads the dialect: of SMB 1, or what the answer to a negotiation chose.
func readSMB(r *reading) Verdict {
	b := r.b
	if len(b) < 8 || r.dir == FromInitiator {
		return More
	}
	f := r.facts()
	switch {
	case b[4] == 0xff:
		f.Banner = "SMB 1"
	case b[4] == 0xfe && len(b) < 4+64+6:
		if !r.final {
			return More
		}
	case b[4] == 0xfe && le16(b, 4+12) == 0: // NEGOTIATE (MS-SMB2, section 2.2.4).
		switch le16(b, 4+64+4) {
		case 0x0202:
			f.Banner = "SMB 2.0.2"
		case 0x0210:
			f.Banner = "SMB 2.1"
		case 0x02ff:
			f.Banner = "SMB 2"
		case 0x0300:
			f.Banner = "SMB 3.0"
		case 0x0302:
			f.Banner = "SMB 3.0.2"
		case 0x0311:
			f.Banner = "SMB 3.1.1"
		}
	}
	return Done
}

// rpcProgram says whether a number is a program of ONC RPC (RFC 5531, section 8.4)
// that files are served by, or any of those assigned.
func rpcProgram(v uint32, files bool) bool {
	if files {
		return v == 100003 || v == 100005 || v == 100021 || v == 100024 || v == 100227 || v == 100011
	}
	return v >= 100000 && v < 101000 || v >= 390000 && v < 400100 || v >= 150000 && v < 150020
}

// matchRPCCall recognises a call: version 2 of RPC, and a program.
func matchRPCCall(l *look, at int, files bool) answer {
	b := l.b
	if need(l, at+24) {
		if at == 4 && (b[0] != 0x80 || len(b) > 1 && b[1] != 0) {
			return no
		}
		return more
	}
	if at == 4 && (b[0] != 0x80 || b[1] != 0) {
		return no
	}
	return when(u32(b, at+4) == 0 && u32(b, at+8) == 2 && rpcProgram(u32(b, at+12), files) && u32(b, at+16) < 16 && u32(b, at+20) < 64, yes)
}

// matchRPCReply recognises a reply that was accepted: most of it is zeros.
func matchRPCReply(l *look, at int) answer {
	b := l.b
	if need(l, at+24) {
		return more
	}
	if at == 0 && l.size > 65000 {
		return no
	}
	verifier := u32(b, at+16)
	return when(u32(b, at+4) == 1 && u32(b, at+8) == 0 && u32(b, at+12) < 7 && verifier <= 400 && u32(b, at) != 0, l.byPort(111, 2049))
}

// matchRPCRecord is a call or reply behind the mark of its length (RFC 5531, section
// 11).
func matchRPCRecord(l *look) answer {
	b := l.b
	if b[0] != 0x80 || len(b) > 1 && b[1] != 0 {
		return no
	}
	if need(l, 28) {
		return more
	}
	if a := matchRPCCall(l, 4, false); a == yes {
		return yes
	}
	return matchRPCReply(l, 4)
}

// matchTFTP recognises a request (RFC 1350, section 5): a file and a mode.
func matchTFTP(l *look) answer {
	b := l.b
	if len(b) < 4 || b[0] != 0 {
		return no
	}
	switch b[1] {
	case 1, 2:
		name := 2
		for name < len(b) && b[name] >= 0x20 && b[name] != 0x7f {
			name++
		}
		if name == 2 || name >= len(b) || b[name] != 0 {
			return no
		}
		return anyFold(b[name+1:], "OCTET\x00", "NETASCII\x00", "MAIL\x00")
	case 3:
		return when(l.size <= 516 && u16(b, 2) <= 8 && u16(b, 2) > 0 && l.first != nil, maybe)
	case 4:
		return when(l.size == 4, maybe)
	case 5:
		return when(len(b) > 6 && u16(b, 2) <= 8 && b[len(b)-1] == 0 && printable(b[4:len(b)-1]), l.byPort(69))
	}
	return no
}

// matchDSI recognises the header of Apple's Data Stream Interface.
func matchDSI(l *look) answer {
	b := l.b
	if need(l, 16) {
		return when(b[0] <= 1 && (len(b) < 2 || b[1] >= 1 && b[1] <= 8), more)
	}
	n := u32(b, 8)
	return when(b[0] <= 1 && b[1] >= 1 && b[1] <= 8 && u32(b, 12) == 0 && n < 1<<16 && (b[0] == 1 || u32(b, 4) <= 64), l.byPort(548))
}

// matchISCSI recognises a login (RFC 7143, section 11.12).
func matchISCSI(l *look, opcode byte) answer {
	b := l.b
	if need(l, 48) {
		return when(b[0]&0x3f == opcode, more)
	}
	return when(b[0]&0x3f == opcode && b[1]&0x30 == 0 && b[2] <= 2 && b[3] <= 2 && b[4] == 0 && u24(b, 5) < 1<<14, l.byPort(3260, 860))
}

// matchRx recognises the header of Rx, the RPC of the Andrew file system: a type,
// known flags, and few bytes of the rest set.
func matchRx(l *look) answer {
	b := l.b
	if len(b) < 28 || b[20] == 0 || b[20] > 13 || b[21] > 0x3f || b[23] > 3 {
		return no
	}
	if l.srcPort < 7000 || l.srcPort > 7032 {
		if l.dstPort < 7000 || l.dstPort > 7032 {
			return no
		}
	}
	return when(u32(b, 16) < 1<<24, yes)
}
