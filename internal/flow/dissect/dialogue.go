package dissect

import "bytes"

// Dialogues of lines: mail, files, chat. A reader follows commands and answers until
// it saw a login, a change to TLS, or enough.

// maxLines is after how many lines a dialogue has told what it will.
const maxLines = 64

// Steps of a dialogue.
const (
	stepTalk     = iota
	stepAskedTLS // the client asked to change over
	stepAskUser  // the client's next line is a user in base64
)

// talk calls f with each new line of the direction.
func (r *reading) talk(f func(l []byte) Verdict) Verdict {
	at := &r.s.dns.offset[r.dir]
	verdict := More
	if *at > len(r.b) {
		return More
	}
	*at += lines(r.b[*at:], func(l []byte) bool {
		r.s.lines++
		verdict = f(l)
		return verdict == More && !r.s.tls.started
	})
	if r.s.lines > maxLines {
		return Done
	}
	return verdict
}

// startTLS says that TLS begins in both directions behind what was read of them.
// The other side may already have sent its first bytes of it.
func (r *reading) startTLS(here int) {
	t := &r.s.tls
	t.started = true
	t.base[r.dir] = here
	t.base[1-r.dir] = r.s.dns.offset[1-r.dir]
}

// greeting keeps the first line of the server.
func (r *reading) greeting(l []byte) {
	if f := r.facts(); f.Banner == "" {
		f.Banner = text(l, maxName)
	}
}

// behind is where the line that talk's function was called with ends, its line end
// included.
func (r *reading) behind(l []byte) int {
	at := cap(r.b) - cap(l) + len(l)
	return at + newlineAfter(r.b, at)
}

// newlineAfter is how many bytes end the line at a place.
func newlineAfter(b []byte, at int) int {
	if at < len(b) && b[at] == '\r' {
		return 2
	}
	return 1
}

// readSMTP follows RFC 5321, with STARTTLS (RFC 3207) and AUTH (RFC 4954).
func readSMTP(r *reading) Verdict {
	if r.dir == FromResponder {
		return r.talk(func(l []byte) Verdict {
			r.greeting(l)
			switch {
			case r.s.step == stepAskedTLS && starts(l, "220") == yes:
				r.startTLS(r.behind(l))
			case r.s.step == stepAskedTLS && len(l) > 0 && l[0] >= '4':
				r.s.step = stepTalk
			}
			return More
		})
	}
	return r.talk(func(l []byte) Verdict {
		if r.s.step == stepAskUser {
			r.s.step = stepTalk
			r.loginUser("smtp", l)
			return Done
		}
		command, rest := word(l)
		switch {
		case equalFold(command, "STARTTLS"):
			r.s.step = stepAskedTLS
		case equalFold(command, "AUTH"):
			return r.authenticate("smtp", rest)
		case equalFold(command, "DATA"):
			return Done
		}
		return More
	})
}

// authenticate reads SASL's PLAIN (RFC 4616) and LOGIN.
func (r *reading) authenticate(protocol string, l []byte) Verdict {
	mechanism, initial := word(l)
	switch {
	case equalFold(mechanism, "PLAIN") && len(initial) > 1:
		r.plainUser(protocol, initial)
		return Done
	case equalFold(mechanism, "LOGIN") && len(initial) > 1:
		r.loginUser(protocol, initial)
		return Done
	case equalFold(mechanism, "LOGIN"), equalFold(mechanism, "PLAIN"):
		r.s.step = stepAskUser
	}
	return More
}

// plainUser decodes "authorize\0user\0secret".
func (r *reading) plainUser(protocol string, b []byte) {
	decoded := decode64(b)
	parts := bytes.SplitN(decoded, []byte{0}, 3)
	if len(parts) == 3 {
		r.cleartext(protocol, parts[1])
	}
}

// loginUser decodes a user, or the whole of PLAIN where that was asked for.
func (r *reading) loginUser(protocol string, b []byte) {
	decoded := decode64(b)
	if bytes.IndexByte(decoded, 0) >= 0 {
		r.plainUser(protocol, b)
		return
	}
	r.cleartext(protocol, decoded)
}

// readPOP3 follows RFC 1939, with STLS (RFC 2595).
func readPOP3(r *reading) Verdict {
	if r.dir == FromResponder {
		return r.talk(func(l []byte) Verdict {
			r.greeting(l)
			switch {
			case r.s.step == stepAskedTLS && starts(l, "+OK") == yes:
				r.startTLS(r.behind(l))
			case r.s.step == stepAskedTLS:
				r.s.step = stepTalk
			}
			return More
		})
	}
	return r.talk(func(l []byte) Verdict {
		if r.s.step == stepAskUser {
			r.loginUser("pop3", l)
			return Done
		}
		command, rest := word(l)
		switch {
		case equalFold(command, "USER"), equalFold(command, "APOP"):
			user, _ := word(rest)
			r.cleartext("pop3", user)
			return Done
		case equalFold(command, "AUTH"):
			return r.authenticate("pop3", rest)
		case equalFold(command, "STLS"):
			r.s.step = stepAskedTLS
		}
		return More
	})
}

// readIMAP follows RFC 9051: a tag, a command.
func readIMAP(r *reading) Verdict {
	if r.dir == FromResponder {
		return r.talk(func(l []byte) Verdict {
			r.greeting(l)
			if r.s.step == stepAskedTLS && (len(l) == 0 || l[0] != '*') {
				_, rest := word(l)
				r.s.step = stepTalk
				if anyFold(rest, "OK") == yes {
					r.startTLS(r.behind(l))
				}
			}
			return More
		})
	}
	return r.talk(func(l []byte) Verdict {
		if r.s.step == stepAskUser {
			r.loginUser("imap", l)
			return Done
		}
		_, rest := word(l)
		command, rest := word(rest)
		switch {
		case equalFold(command, "LOGIN"):
			user, _ := word(rest)
			r.cleartext("imap", bytes.Trim(user, `"`))
			return Done
		case equalFold(command, "AUTHENTICATE"):
			return r.authenticate("imap", rest)
		case equalFold(command, "STARTTLS"):
			r.s.step = stepAskedTLS
		}
		return More
	})
}

// readFTP follows RFC 959, with AUTH TLS (RFC 4217).
func readFTP(r *reading) Verdict {
	if r.dir == FromResponder {
		return r.talk(func(l []byte) Verdict {
			r.greeting(l)
			if r.s.step == stepAskedTLS && len(l) > 2 {
				if starts(l, "234") == yes {
					r.startTLS(r.behind(l))
				}
				r.s.step = stepTalk
			}
			return More
		})
	}
	return r.talk(func(l []byte) Verdict {
		command, rest := word(l)
		switch {
		case equalFold(command, "USER"):
			r.cleartext("ftp", rest)
			return Done
		case equalFold(command, "AUTH"):
			r.s.step = stepAskedTLS
		}
		return More
	})
}

// readIRC reads who comes (RFC 2812).
func readIRC(r *reading) Verdict {
	if r.dir == FromResponder {
		return More
	}
	return r.talk(func(l []byte) Verdict {
		command, rest := word(l)
		if equalFold(command, "NICK") {
			nick, _ := word(rest)
			r.cleartext("irc", bytes.TrimPrefix(nick, []byte{':'}))
			return Done
		}
		if equalFold(command, "STARTTLS") {
			return Done
		}
		return More
	})
}

// readXMPP waits for STARTTLS (RFC 6120, section 5).
func readXMPP(r *reading) Verdict {
	if r.dir == FromInitiator {
		if i := bytes.Index(r.b, []byte("<starttls")); i >= 0 {
			if end := bytes.IndexByte(r.b[i:], '>'); end >= 0 {
				at := i + end + 1
				if rest := r.b[at:]; len(rest) >= 11 && string(rest[:11]) == "</starttls>" {
					at += 11
				}
				r.s.dns.offset[r.dir] = at
				r.s.step = stepAskedTLS
			}
		}
		return More
	}
	if i := bytes.Index(r.b, []byte("<proceed")); i >= 0 && r.s.step == stepAskedTLS {
		if end := bytes.IndexByte(r.b[i:], '>'); end >= 0 {
			at := i + end + 1
			if rest := r.b[at:]; len(rest) >= 10 && string(rest[:10]) == "</proceed>" {
				at += 10
			}
			r.startTLS(at)
		}
	}
	return More
}
