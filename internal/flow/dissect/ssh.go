package dissect

import "bytes"

// readSSH reads versions (RFC 4253, section 4.2) and the lists of algorithms of both
// sides, whose fingerprints are HASSH (Salesforce).
func readSSH(r *reading) Verdict {
	f := r.facts()
	if f.SSH == nil {
		f.SSH = new(SSH)
	}
	at := bytes.Index(r.b, []byte("SSH-"))
	if at < 0 {
		return More
	}
	version, whole := line(r.b[at:])
	if !whole {
		return More
	}
	to, hassh := &f.SSH.Client, &f.SSH.HASSH
	if r.dir == FromResponder {
		to, hassh = &f.SSH.Server, &f.SSH.HASSHServer
	}
	*to = text(version, maxName)
	if starts(version, "SSH-1.") == yes && starts(version, "SSH-1.99") != yes {
		r.s.streams[r.dir].unread = true
		return r.sshDone(f.SSH)
	}
	packet := r.b[at+len(version):]
	packet = packet[min(len(packet), newlineAfter(packet, 0)):]
	n := int(u32(packet, 0))
	if len(packet) < 6 || n > maxStream {
		if n > maxStream {
			r.s.streams[r.dir].unread = true
		}
		return More
	}
	if len(packet) < 4+n && !r.final {
		return More
	}
	if *hassh == "" {
		*hassh = hasshOf(packet[5:min(len(packet), 4+n)], r.dir)
		r.s.streams[r.dir].unread = true
	}
	return r.sshDone(f.SSH)
}

func (r *reading) sshDone(s *SSH) Verdict {
	if r.s.streams[0].unread && r.s.streams[1].unread || s.HASSH != "" && s.HASSHServer != "" {
		return Done
	}
	return More
}

// hasshOf is the MD5 of the lists of key exchange, encryption, authentication and
// compression of a SSH_MSG_KEXINIT (RFC 4253, section 7.1) in one direction.
func hasshOf(b []byte, dir Direction) string {
	c := cursor{b: b}
	if c.u8() != 20 {
		return ""
	}
	c.take(16)
	var lists [8][]byte
	for i := range lists {
		lists[i] = c.take(int(u32(c.take(4), 0)))
	}
	if c.short {
		return ""
	}
	d := int(dir) // Lists come in pairs: to the server, to the client.
	joined := bytes.Join([][]byte{lists[0], lists[2+d], lists[4+d], lists[6+d]}, []byte{';'})
	return md5Hex(joined)
}
