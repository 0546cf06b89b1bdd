package dissect

import (
	"bytes"
	"encoding/base64"
	"strconv"
)

// maxHeaders is how many header lines of a message are looked at.
const maxHeaders = 128

// readHTTP reads the first request and its answer (RFC 9112).
func readHTTP(r *reading) Verdict {
	h := r.http()
	if r.dir == FromInitiator == (starts(r.b, "HTTP/") == yes) && starts(r.b, "HTTP/") != more {
		// The sides are the other way round: read what there is by its form.
		if r.dir == FromInitiator {
			return r.httpResponse(h)
		}
	}
	if r.dir == FromInitiator || starts(r.b, "HTTP/") == no {
		return r.httpRequest(h)
	}
	return r.httpResponse(h)
}

func (r *reading) http() *HTTP {
	if r.s.facts == nil {
		both := new(struct {
			f Facts
			h HTTP
		})
		r.s.facts, both.f.HTTP = &both.f, &both.h
	}
	f := r.facts()
	if f.HTTP == nil {
		f.HTTP = new(HTTP)
	}
	return f.HTTP
}

// headerEnd returns how long the head of a message is, -1 if its end is not there.
func headerEnd(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return -1
		}
		at += i + 1
		if at < len(b) && b[at] == '\n' {
			return at + 1
		}
		if at+1 < len(b) && b[at] == '\r' && b[at+1] == '\n' {
			return at + 2
		}
	}
}

// httpEnds is where the head of the first message ends.
func httpEnds(b []byte, _ int) int { return headerEnd(b) }

func (r *reading) httpRequest(h *HTTP) Verdict {
	if h.Method != "" {
		return More
	}
	end := headerEnd(r.b)
	if end < 0 {
		if !r.final {
			return More
		}
		end = len(r.b)
	}
	request, _ := line(r.b[:end])
	if starts(request, "PRI * HTTP/2.0") == yes {
		h.Version = "2"
		return Done
	}
	method, rest := word(request)
	target, version := word(rest)
	h.Method = r.e.shared.text(method, 32)
	h.Version = r.e.shared.text(bytes.TrimPrefix(version, []byte("HTTP/")), 8)
	lines(r.b[min(end, len(request)+1):end], func() func(l []byte) bool {
		n := 0
		return func(l []byte) bool {
			n++
			r.requestHeader(h, l)
			return n < maxHeaders
		}
	}())
	h.URL = r.e.cleanURL(target)
	if h.Method == "CONNECT" { //nolint:usestdlibvars // net/http is not wanted here for a word
		if h.Host == "" {
			h.Host = hostName(target)
		}
		r.s.service = serviceConnect
		r.s.tls.base[r.dir] = end
		return More
	}
	if at := bytes.Index(target, []byte("://")); at > 0 && at < 8 && h.Host == "" {
		host := target[at+3:]
		if i := bytes.IndexAny(host, "/?#"); i >= 0 {
			host = host[:i]
		}
		h.Host = hostName(host[bytes.LastIndexByte(host, '@')+1:])
	}
	r.s.streams[r.dir].unread = true
	return More
}

// requestHeader takes one line of a request's head.
func (r *reading) requestHeader(h *HTTP, l []byte) {
	name, value, ok := bytes.Cut(l, []byte{':'})
	if !ok {
		return
	}
	value = bytes.TrimLeft(value, " \t")
	switch {
	case equalFold(name, "HOST"):
		h.Host = r.e.shared.hostName(value)
	case equalFold(name, "USER-AGENT"):
		h.UserAgent = r.e.shared.text(value, maxText)
	case equalFold(name, "AUTHORIZATION"), equalFold(name, "PROXY-AUTHORIZATION"):
		scheme, secret := word(value)
		if equalFold(scheme, "BASIC") {
			if user, ok := userOfPair(secret, ':'); ok {
				r.login("http", user)
			}
		}
	case equalFold(name, "CONTENT-TYPE"):
		if h.ContentType == "" {
			h.ContentType = r.e.shared.text(value, maxName)
		}
	}
}

// equalFold compares with a word in upper case.
func equalFold(b []byte, word string) bool {
	return len(b) == len(word) && startsFold(b, word) == yes
}

// userOfPair decodes base64 and returns what stands before the separator; the rest
// is a secret. Where there is no rest, what stands before may be one, as tokens are
// given so: the user is nil then.
func userOfPair(b []byte, separator byte) ([]byte, bool) {
	var room [384]byte
	b = b[:min(len(b), 512)/4*4]
	n, err := base64.StdEncoding.Decode(room[:], b)
	if err != nil && n == 0 {
		return nil, false
	}
	user, secret, _ := bytes.Cut(room[:n], []byte{separator})
	if len(secret) == 0 {
		return nil, n > 0
	}
	return append([]byte(nil), user...), true
}

// cleartext notes the login of a user who has a name.
func (r *reading) cleartext(protocol string, user []byte) {
	if len(user) > 0 {
		r.login(protocol, user)
	}
}

// login notes a login; the first of a flow counts. A name that looks like a secret is
// masked.
func (r *reading) login(protocol string, user []byte) {
	if f := r.facts(); f.Cleartext == nil {
		f.Cleartext = &Cleartext{Protocol: protocol, User: r.e.masker.Text(text(user, maxName))}
	}
}

func (r *reading) httpResponse(h *HTTP) Verdict {
	end := headerEnd(r.b)
	if end < 0 {
		if !r.final {
			return More
		}
		end = len(r.b)
	}
	status, _ := line(r.b[:end])
	version, rest := word(status)
	code, _ := word(rest)
	n, _ := strconv.Atoi(string(code[:min(len(code), 3)]))
	if n == 100 || n == 102 || n == 103 { // Another answer follows (RFC 9110, section 15.2).
		if next := r.b[end:]; len(next) > 0 && headerEnd(next) > 0 {
			again := *r
			again.b = next
			return again.httpResponse(h)
		}
		if !r.final {
			return More
		}
	}
	h.Status = n
	if h.Version == "" || h.Version == "2" {
		h.Version = r.e.shared.text(bytes.TrimPrefix(version, []byte("HTTP/")), 8)
	}
	count := 0
	lines(r.b[min(end, len(status)+1):end], func(l []byte) bool {
		count++
		name, value, ok := bytes.Cut(l, []byte{':'})
		switch value = bytes.TrimLeft(value, " \t"); {
		case !ok:
		case equalFold(name, "SERVER"):
			h.Server = r.e.shared.text(value, maxName)
		case equalFold(name, "CONTENT-TYPE"):
			h.ContentType = r.e.shared.text(value, maxName)
		case equalFold(name, "UPGRADE") && n == 101 && equalFold(value, "WEBSOCKET"):
			r.s.app = r.e.tables.byName["websocket"]
		}
		return count < maxHeaders
	})
	if r.s.service == serviceConnect && n >= 200 && n < 300 {
		r.s.tls.base[r.dir] = end
		r.s.tls.started = true
		return More
	}
	return Done
}

// cleanURL is a target without secrets: no user and password, no values of tokens, and
// no token in the path.
func (e *Engine) cleanURL(b []byte) string { return e.masker.Text(text(b, maxText)) }
