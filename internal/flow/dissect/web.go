package dissect

func webProtocols() []protocol {
	return []protocol{
		{
			name: "http", category: categoryWeb, tcp: []uint16{80, 8080, 8000, 8008, 8081, 8888, 3128, 5985},
			client: signature{starts: "GPHDOCTMLUSBRVNA", match: matchHTTPRequest}, server: signature{starts: "H", match: matchHTTPResponse}, read: readHTTP, ends: httpEnds,
			tells: "version, method, host, URL without secrets, user agent, status, server, content type, user of basic authentication; what a proxy's CONNECT carries",
		},
		{
			name: "websocket", category: categoryWeb,
			tells: "named by the answer 101 to an HTTP upgrade; its request as HTTP tells it",
		},
		{
			name: "shoutcast", category: categoryStream, server: signature{starts: "I", match: func(l *look) answer { return starts(l.b, "ICY 200 ") }},
		},
		{
			name: "fastcgi", category: categoryWeb, tcp: []uint16{9000}, client: signature{starts: "\x01", match: matchFastCGI},
		},
		{
			name: "ajp", category: categoryWeb, tcp: []uint16{8009},
			client: signature{starts: "\x12", match: matchAJP}, server: signature{starts: "A", match: matchAJP},
		},
		{
			name: "haproxy", category: categoryWeb,
			client: signature{starts: "P\r", match: func(l *look) answer {
				return anyOf(l.b, "PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN", "\r\n\r\n\x00\r\nQUIT\n")
			}},
		},
	}
}

// httpMethods are the methods of RFC 9110, WebDAV (RFC 4918) and its kin, each with
// the space behind it.
var httpMethods = [...]string{ //nolint:gochecknoglobals // constant
	"GET ", "POST ", "HEAD ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ", "TRACE ", "PATCH ", "PROPFIND ", "PROPPATCH ",
	"MKCOL ", "COPY ", "MOVE ", "LOCK ", "UNLOCK ", "REPORT ", "SEARCH ", "SUBSCRIBE ", "UNSUBSCRIBE ", "BPROPFIND ",
	"MERGE ", "CHECKOUT ", "BITS_POST ", "RPC_IN_DATA ", "RPC_OUT_DATA ", "VERSION-CONTROL ", "M-SEARCH ", "NOTIFY ", "ACL ", "BIND ", "BASELINE-CONTROL ", "MKACTIVITY ",
}

// matchHTTPRequest recognises a request line (RFC 9112, section 3), or the preface
// of HTTP/2 (RFC 9113, section 3.4). Other protocols have lines of the same form
// and another name in place of HTTP.
func matchHTTPRequest(l *look) answer {
	b := l.b
	switch starts(b, "PRI * HTTP/2.0\r\n") {
	case yes:
		return yes
	case more:
		return more
	default:
	}
	method := 0
	best := no
	for _, m := range httpMethods {
		switch starts(b, m) {
		case yes:
			method = len(m)
		case more:
			best = more
		default:
		}
	}
	if method == 0 {
		return best
	}
	request, whole := line(b)
	if !printable8(request) {
		return no
	}
	if whole {
		if n := len(request); n >= method+10 && (request[n-9] == ' ' && string(request[n-8:n-3]) == "HTTP/") {
			return yes
		}
		return no
	}
	if !l.final {
		return more
	}
	if len(request) > method && (request[method] == '/' || anyFold(request[method:], "HTTP://") == yes) {
		return yes
	}
	return no
}

// printable8 is printable with any byte beyond ASCII allowed, as some clients send.
func printable8(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// matchHTTPResponse recognises a status line (RFC 9112, section 4).
func matchHTTPResponse(l *look) answer {
	a := anyOf(l.b, "HTTP/1.1 ", "HTTP/1.0 ", "HTTP/2 ", "HTTP/0.9 ")
	if a != yes || len(l.b) >= 12 {
		return a
	}
	return more
}

// matchFastCGI recognises the first record: BEGIN_REQUEST with its fixed length.
func matchFastCGI(l *look) answer {
	if a := starts(l.b, "\x01\x01"); a != yes || len(l.b) < 16 {
		return min(a, more)
	}
	b := l.b
	if u16(b, 4) != 8 || u16(b, 8) == 0 || u16(b, 8) > 3 || b[10] > 1 || u32(b, 11) != 0 {
		return no
	}
	return yes
}

// matchAJP recognises the magic numbers of Apache JServ packets and a known code.
func matchAJP(l *look) answer {
	b := l.b
	a := anyOf(b, "\x12\x34", "AB")
	if a != yes || len(b) < 5 {
		return min(a, more)
	}
	n, code := int(u16(b, 2)), b[4]
	if n == 0 || n > 8192 {
		return no
	}
	if b[0] == 'A' {
		if code >= 3 && code <= 6 || code == 9 && n == 1 {
			return yes
		}
		return no
	}
	if code == 2 || (code == 7 || code == 8 || code == 10) && n == 1 {
		return yes
	}
	return no
}
