package dissect

// DTLS (RFC 9147, RFC 6347): TLS in datagrams, whose handshake messages may come in
// fragments.

// dtlsVersion says whether the two bytes are a version of DTLS; 0x0100 is what an
// early OpenSSL sent.
func dtlsVersion(v uint16) bool {
	return v == versionDTLS10 || v == versionDTLS12 || v == versionDTLS13 || v == 0x0100
}

// matchDTLS recognises a record.
func matchDTLS(l *look) answer {
	b := l.b
	if len(b) < 14 || b[0] < recordChange || b[0] > 26 || !dtlsVersion(u16(b, 1)) {
		return no
	}
	n := int(u16(b, 11))
	if n == 0 || n > l.size-13 {
		return no
	}
	if u16(b, 1) == 0x0100 && b[0] != recordHandshake {
		return no
	}
	if b[0] == recordHandshake && u16(b, 3) == 0 { // In the clear.
		if len(b) < 25 || u24(b, 19)+u24(b, 22) > u24(b, 14) || n < 12+u24(b, 22) {
			return no
		}
	}
	return yes
}

// readDTLS reads the records of a datagram.
func readDTLS(r *reading) Verdict {
	q := r.quic()
	q.tried++
	r.markTLS()
	b := r.b
	for len(b) >= 13 && dtlsVersion(u16(b, 1)) {
		n := int(u16(b, 11))
		body := b[13:min(len(b), 13+n)]
		if u16(b, 3) != 0 || b[0] == recordData { // Encrypted.
			return Done
		}
		if b[0] == recordHandshake {
			if r.dtlsHandshake(q, body) == Done {
				return Done
			}
		}
		b = b[min(len(b), 13+n):]
	}
	if q.tried >= maxReading {
		return Done
	}
	return More
}

// dtlsHandshake reads the fragments in one record.
func (r *reading) dtlsHandshake(q *quicState, b []byte) Verdict {
	for len(b) >= 12 {
		kind, length, at, n := b[0], u24(b, 1), u24(b, 6), u24(b, 9)
		body := b[12:min(len(b), 12+n)]
		whole := at == 0 && n == length && len(body) == n
		if !whole && (kind == handshakeClientHello || kind == handshakeCertificate) {
			if q.version != uint32(kind) { // Fragments of another message.
				q.hello.release(&r.e.pool)
				q.hello, q.version = assembler{}, uint32(kind)
			}
			q.hello.add(&r.e.pool, at, body)
			body = q.hello.prefix()
			whole = len(body) >= length
		}
		if r.dtlsMessage(kind, body, whole) == Done {
			return Done
		}
		b = b[min(len(b), 12+n):]
	}
	return More
}

func (r *reading) dtlsMessage(kind byte, body []byte, whole bool) Verdict {
	s := r.s
	switch kind {
	case handshakeClientHello:
		if whole && !s.tls.hello {
			s.tls.hello = true
			r.clientHello(body, 'd')
		}
	case handshakeServerHello:
		if whole && !r.serverHello(body) {
			s.tls.served = true
			return r.afterServerHello()
		}
	case handshakeCertificate:
		if leaf, ok := leafCertificate(body); ok {
			r.certificate(leaf)
			return Done
		}
	case handshakeHelloDone:
		return Done
	}
	return More
}
