package dissect

// TLS (RFC 8446, RFC 5246, RFC 6066) over TCP: ClientHello, ServerHello, and the
// certificate of TLS 1.2 and older.

// TLS record types.
const (
	recordChange    = 20
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
)

// TLS handshake types.
const (
	handshakeClientHello = 1
	handshakeServerHello = 2
	handshakeHelloVerify = 3
	handshakeCertificate = 11
	handshakeHelloDone   = 14
)

// Versions of TLS and DTLS.
const (
	versionSSL3   = 0x0300
	versionTLS10  = 0x0301
	versionTLS12  = 0x0303
	versionTLS13  = 0x0304
	versionDTLS10 = 0xfeff
	versionDTLS12 = 0xfefd
	versionDTLS13 = 0xfefc
)

// maxRecord is how long the payload of a TLS record may be (RFC 5246, section
// 6.2.3), bytes.
const maxRecord = 1<<14 + 2048

// tlsState is what is known of a TLS handshake while it is read.
type tlsState struct {
	hello, served bool
	base          [2]int // where TLS begins in each direction
	started       bool   // base is known, for protocols that change over to TLS
}

// matchTLS recognises a record: of a hello, or, where the beginning was missed, of
// data that another record follows.
func matchTLS(l *look) answer {
	b := l.b
	if len(b) < 3 {
		if b[0] < recordChange || b[0] > recordData || (len(b) > 1 && b[1] != 3) {
			return no
		}
		return more
	}
	if b[0] < recordChange || b[0] > recordData || b[1] != 3 || b[2] > 4 {
		return no
	}
	if len(b) < 6 {
		return more
	}
	n := int(u16(b, 3))
	if n == 0 || n > maxRecord {
		return no
	}
	switch b[0] {
	case recordHandshake:
		if b[5] == handshakeClientHello || b[5] == handshakeServerHello {
			if n < 4 {
				return yes // Its header lies in several records.
			}
			if len(b) < 9 {
				return more
			}
			if b[6] == 0 && u24(b, 6) > 32 {
				return yes
			}
			return no
		}
	case recordAlert:
		if n != 2 || b[5] == 0 || b[5] > 2 {
			if n < 16 || n > 64 { // Encrypted.
				return no
			}
		}
	case recordChange:
		if n != 1 || b[5] != 1 {
			return no
		}
	}
	next := 5 + n
	if len(b) < next+3 {
		if b[0] == recordData && next < maxNaming {
			return moreOrMaybe(l)
		}
		if b[0] == recordData {
			return maybe
		}
		return moreOrMaybe(l)
	}
	if b[next] >= recordChange && b[next] <= recordData && b[next+1] == 3 && b[next+2] == b[2] {
		return yes
	}
	return no
}

// moreOrMaybe is maybe where nothing will follow.
func moreOrMaybe(l *look) answer {
	if l.final {
		return maybe
	}
	return more
}

// matchSSL2 recognises the hello by which old clients offered SSL 3 and TLS 1.0 to
// servers of SSL 2 (RFC 5246, appendix E.2).
func matchSSL2(l *look) answer {
	b := l.b
	if b[0]&0x80 == 0 || (len(b) > 2 && b[2] != handshakeClientHello) || (len(b) > 3 && b[3] != 3 && b[3] != 0) {
		return no
	}
	if len(b) < 11 {
		return more
	}
	n := int(b[0]&0x7f)<<8 | int(b[1])
	ciphers, session, challenge := int(u16(b, 5)), int(u16(b, 7)), int(u16(b, 9))
	version := u16(b, 3)
	if (version != 2 && (version < versionSSL3 || version > versionTLS12)) ||
		ciphers == 0 || ciphers%3 != 0 || challenge < 16 || challenge > 32 || n != 9+ciphers+session+challenge {
		return no
	}
	return yes
}

// maxEnds is how many records of a direction are read as soon as they end; hellos and
// certificates have less. Somebody may send as many as there are bytes.
const maxEnds = 4

// tlsEnds is where the first handshake record behind a place ends.
func tlsEnds(b []byte, shown int) int {
	at := 0
	for range maxEnds {
		if len(b) < at+5 || b[at] != recordHandshake || b[at+1] != 3 {
			return 0
		}
		if at += 5 + int(u16(b, at+3)); at > shown {
			return at
		}
	}
	return 0
}

// readTLS reads a flow that is TLS from its first byte.
func readTLS(r *reading) Verdict { return r.tlsFrom(0) }

// tlsFrom reads TLS that begins at a place of the direction.
func (r *reading) tlsFrom(base int) Verdict {
	if base > len(r.b) {
		return More
	}
	b := r.b[base:]
	if len(b) == 0 {
		return More
	}
	if b[0]&0x80 != 0 && r.dir == FromInitiator {
		r.tls().Version = "2.0"
		if v := u16(b, 3); v >= versionSSL3 {
			r.tls().Version = versionName(v)
		}
		return Done
	}
	messages, whole := handshakeMessages(r.e, b)
	if len(messages) == 0 && whole {
		r.markTLS()
		return r.unseenTLS(b)
	}
	final := r.final || whole
	for len(messages) >= 4 {
		n := u24(messages, 1)
		body := messages[4:]
		complete := n <= len(body)
		if complete {
			body = body[:n]
		}
		if v := r.handshake(messages[0], body, complete, final); v == Done {
			return Done
		}
		if !complete {
			return More
		}
		messages = messages[4+n:]
	}
	if whole && r.s.tls.served { // Encrypted from here on.
		return Done
	}
	return More
}

// unseenTLS is TLS whose handshake was missed, or refused by an alert.
func (r *reading) unseenTLS(b []byte) Verdict {
	if b[0] == recordData || b[0] == recordAlert || b[0] == recordChange {
		return Done
	}
	return More
}

// handshake reads one message and reports whether there is more to learn.
func (r *reading) handshake(kind byte, body []byte, complete, final bool) Verdict {
	s := r.s
	switch kind {
	case handshakeClientHello:
		if s.tls.hello || (!complete && !final) {
			return More
		}
		s.tls.hello = true
		r.clientHello(body, 't')
		if s.tls.served {
			return r.afterServerHello()
		}
		r.s.streams[r.dir].unread = true
	case handshakeServerHello:
		if !complete && !final {
			return More
		}
		if s.tls.served {
			return More
		}
		retry := r.serverHello(body)
		if retry {
			return More
		}
		s.tls.served = true
		return r.afterServerHello()
	case handshakeCertificate:
		if leaf, ok := leafCertificate(body); ok {
			r.certificate(leaf)
			return Done
		}
		if complete || final {
			return Done
		}
	case handshakeHelloDone:
		return Done
	}
	return More
}

// afterServerHello ends with TLS 1.3, whose certificate is encrypted.
func (r *reading) afterServerHello() Verdict {
	if r.tls().Version == "1.3" {
		return Done
	}
	return More
}

// markTLS makes sure that Facts say TLS.
func (r *reading) markTLS() { r.tls() }

func (r *reading) tls() *TLS {
	if r.s.facts == nil {
		both := new(struct {
			f Facts
			t TLS
		})
		r.s.facts, both.f.TLS = &both.f, &both.t
	}
	f := r.facts()
	if f.TLS == nil {
		f.TLS = new(TLS)
	}
	return f.TLS
}

// handshakeMessages puts together what the handshake records at the front of b
// carry. Whole says that a record of another kind follows, so that no more come in
// the clear. The result lies in b, or in the Engine's scratch.
func handshakeMessages(e *Engine, b []byte) (messages []byte, whole bool) {
	e.scratch = e.scratch[:0]
	for records := 0; ; records++ {
		if len(b) < 5 {
			break
		}
		if b[0] != recordHandshake || b[1] != 3 {
			whole = true
			break
		}
		n := int(u16(b, 3))
		body := b[5:min(len(b), 5+n)]
		partial := len(body) < n
		switch records {
		case 0:
			messages = body
		case 1:
			e.scratch = append(append(e.scratch, messages...), body...)
			messages = e.scratch
		default:
			e.scratch = append(e.scratch, body...)
			messages = e.scratch
		}
		if partial {
			break
		}
		b = b[5+n:]
	}
	return messages, whole
}
