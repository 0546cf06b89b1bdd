package dissect

import (
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// conversations are what protocols say, by their specifications.
func conversations() []struct {
	app, service string
	tuple        Tuple
	say          []message
	check        func(f *Facts) bool
} {
	out := func(s string) message { return message{FromInitiator, []byte(s)} }
	in := func(s string) message { return message{FromResponder, []byte(s)} }
	user := func(name string) func(f *Facts) bool {
		return func(f *Facts) bool { return f.Cleartext != nil && f.Cleartext.User == name }
	}
	named := func(*Facts) bool { return true }
	return []struct {
		app, service string
		tuple        Tuple
		say          []message
		check        func(f *Facts) bool
	}{
		{"http", "", tcpTuple(81), []message{
			out("GET /a?token=secretsecret&x=1 HTTP/1.1\r\nHost: Example.COM\r\nUser-Agent: curl/8\r\nAuthorization: Basic YWxpY2U6czNjcjN0\r\n\r\n"),
			in("HTTP/1.1 404 Not Found\r\nServer: nginx\r\nContent-Type: text/html\r\n\r\n"),
		}, func(f *Facts) bool {
			h := f.HTTP
			return h.Method == "GET" && h.Host == "example.com" && h.UserAgent == "curl/8" && h.Status == 404 && h.Server == "nginx" && //nolint:usestdlibvars // as above
				h.ContentType == "text/html" && h.Version == "1.1" && !strings.Contains(h.URL, "secretsecret") && f.Cleartext.User == "alice"
		}},
		{"http", "", tcpTuple(8080), []message{out("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}, func(f *Facts) bool { return f.HTTP.Version == "2" }},
		{"http", "connect", tcpTuple(3128), []message{out("CONNECT example.com:443 HTTP/1.1\r\n\r\n"), in("HTTP/1.1 403 no\r\n\r\n")}, func(f *Facts) bool { return f.HTTP.Host == "example.com:443" }},
		{"websocket", "", tcpTuple(80), []message{out("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"), in("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")}, named},
		{"smtp", "", tcpTuple(25), []message{in("220 mx ESMTP ready\r\n"), out("EHLO a\r\n"), in("250-mx\r\n250 AUTH PLAIN\r\n"), out("AUTH PLAIN AGJvYgBzM2NyM3Q=\r\n"), in("235 ok\r\n")}, user("bob")},
		{"smtp", "", tcpTuple(2500), []message{in("220 mx ESMTP\r\n"), out("EHLO a\r\n"), in("250 AUTH LOGIN\r\n"), out("AUTH LOGIN\r\n"), in("334 VXNlcm5hbWU6\r\n"), out("Ym9i\r\n")}, user("bob")},
		{"pop3", "", tcpTuple(110), []message{in("+OK POP3 ready\r\n"), out("USER carol\r\n"), in("+OK\r\n"), out("PASS x\r\n")}, user("carol")},
		{"imap", "", tcpTuple(143), []message{in("* OK ready\r\n"), out("a1 LOGIN \"dave\" secret\r\n")}, user("dave")},
		{"ftp", "", tcpTuple(21), []message{in("220 (vsFTPd 3.0)\r\n"), out("USER erin\r\n"), in("331 password\r\n"), out("PASS x\r\n")}, func(f *Facts) bool {
			return f.Cleartext.User == "erin" && f.Banner == "220 (vsFTPd 3.0)"
		}},
		{"telnet", "", tcpTuple(23), []message{in("\xff\xfd\x18\xff\xfd\x20"), out("\xff\xfb\x18"), in("host login: "), out("fra"), out("nk\r\n"), in("Password: "), out("x\r\n")}, user("frank")},
		{"redis", "", tcpTuple(6379), []message{out("*3\r\n$4\r\nAUTH\r\n$4\r\ngina\r\n$6\r\nsecret\r\n")}, user("gina")},
		{"mqtt", "", tcpTuple(1883), []message{out("\x10\x1a\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x04hugo\x00\x04pass")}, user("hugo")},
		{"ldap", "", tcpTuple(389), []message{out("\x30\x1c\x02\x01\x01\x60\x17\x02\x01\x03\x04\x0acn=a,dc=ex\x80\x06secret"), in("\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00")}, user("cn=a,dc=ex")},
		{"postgresql", "", tcpTuple(5432), []message{out("\x00\x00\x00\x17\x00\x03\x00\x00user\x00iris\x00db\x00\x00\x00"), in("R\x00\x00\x00\x08\x00\x00\x00\x03")}, user("iris")},
		{"socks", "", tcpTuple(1080), []message{out("\x05\x02\x00\x02"), in("\x05\x02"), out("\x01\x04jack\x02pw"), in("\x01\x00"), out("\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50")}, user("jack")},
		{"mysql", "", tcpTuple(3307), []message{in("\x4a\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abcdefgh\x00")}, func(f *Facts) bool { return f.Banner == "8.0.36" }},
		{"irc", "", tcpTuple(6667), []message{out("NICK kim\r\nUSER kim 0 * :Kim\r\n")}, user("kim")},
		{"rfb", "", tcpTuple(1), []message{in("RFB 003.008\n")}, named},
		{"amqp", "", tcpTuple(1), []message{out("AMQP\x00\x00\x09\x01")}, named},
		{"mongodb", "", tcpTuple(1), []message{out("\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00\x00\x00\x00\x00admin.$cmd\x00")}, named},
		{"cassandra", "", tcpTuple(1), []message{out("\x04\x00\x00\x00\x05\x00\x00\x00\x00")}, named},
		{"kafka", "", tcpTuple(1), []message{out("\x00\x00\x00\x18\x00\x12\x00\x03\x00\x00\x00\x01\x00\x08producer\x00\x00\x00\x00")}, named},
		{"bgp", "", tcpTuple(1), []message{out(strings.Repeat("\xff", 16) + "\x00\x1d\x01\x04\xfd\xe8\x00\xb4\xc0\x00\x02\x01\x00")}, named},
		{"dnp3", "", tcpTuple(1), []message{out("\x05\x64\x05\xc0\x01\x00\x00\x04\xe9\x21")}, named},
		{"modbus", "", tcpTuple(502), []message{out("\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x0a")}, named},
		{"iec-104", "", tcpTuple(1), []message{out("\x68\x04\x07\x00\x00\x00")}, named},
		{"s7comm", "", tcpTuple(102), []message{
			out("\x03\x00\x00\x16\x11\xe0\x00\x00\x00\x01\x00\xc1\x02\x01\x00\xc2\x02\x01\x02\xc0\x01\x0a"), in("\x03\x00\x00\x16\x11\xd0\x00\x01\x00\x01\x00\xc0\x01\x0a\xc1\x02\x01\x00\xc2\x02\x01\x02"),
			out("\x03\x00\x00\x19\x02\xf0\x80\x32\x01\x00\x00\x00\x00\x00\x08\x00\x00\xf0\x00\x00\x01\x00\x01\x01\xe0"),
		}, named},
		{"rdp", "", tcpTuple(1), []message{out("\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00")}, named},
		{"smb", "", tcpTuple(445), []message{out("\x00\x00\x00\x54\xfeSMB\x40\x00" + strings.Repeat("\x00", 78))}, named},
		{"rtmp", "", tcpTuple(1935), []message{out("\x03\x00\x00\x00\x01\x00\x00\x00\x00abcdefgh")}, named},
		{"git", "", tcpTuple(9418), []message{out("003egit-upload-pack /project.git\x00host=example.com\x00")}, named},
		{"bittorrent", "", tcpTuple(1), []message{out("\x13BitTorrent protocol\x00\x00\x00\x00")}, named},
		{"pptp", "", tcpTuple(1723), []message{out("\x00\x9c\x00\x01\x1a\x2b\x3c\x4d\x00\x01\x00\x00\x01\x00")}, named},
		{"tls", "", tcpTuple(443), []message{out("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + strings.Repeat("\x00", 37))}, func(f *Facts) bool { return f.TLS.Version == "1.0" }},

		{"ntp", "", udpTuple(123), []message{out("\x23\x00\x06\xec" + strings.Repeat("\x00", 44))}, named},
		{"snmp", "", udpTuple(161), []message{out("\x30\x29\x02\x01\x01\x04\x06public\xa0\x1c\x02\x04\x01\x02\x03\x04\x02\x01\x00\x02\x01\x00\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00")}, func(f *Facts) bool { return f.Cleartext == nil }},
		{"stun", "", udpTuple(1), []message{out("\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl")}, named},
		{"rtp", "", udpTuple(1), []message{out("\x80\x00\x00\x01\x00\x00\x00\xa0\x01\x02\x03\x04abcd"), out("\x80\x00\x00\x02\x00\x00\x01\x40\x01\x02\x03\x04abcd")}, named},
		{"sip", "", udpTuple(1), []message{out("REGISTER sip:example.com SIP/2.0\r\n")}, named},
		{"syslog", "", udpTuple(514), []message{out("<34>1 2003-10-11T22:14:15.003Z host su - ID47 - text")}, named},
		{"tftp", "", udpTuple(69), []message{out("\x00\x01boot.bin\x00octet\x00")}, named},
		{"radius", "", udpTuple(1812), []message{out("\x01\x05\x00\x1c0123456789abcdef\x01\x06bob1\x05\x02")}, named},
		{"wireguard", "", udpTuple(1), []message{out("\x01\x00\x00\x00" + strings.Repeat("x", 144))}, named},
		{"isakmp", "", udpTuple(500), []message{out("12345678\x00\x00\x00\x00\x00\x00\x00\x00\x21\x20\x22\x08\x00\x00\x00\x00\x00\x00\x00\x1c")}, named},
		{"openvpn", "", udpTuple(1), []message{out("\x38abcdefgh\x00\x00\x00\x00\x00")}, named},
		{"netflow", "", udpTuple(2055), []message{out("\x00\x05\x00\x01" + strings.Repeat("\x00", 68))}, named},
		{"coap", "", udpTuple(5683), []message{out("\x40\x01\x00\x01\xb4test")}, named},
		{"bacnet", "", udpTuple(1), []message{out("\x81\x0b\x00\x0c\x01\x20\xff\xff\x00\xff\x10\x08")}, named},
		{"ssdp", "", udpTuple(1900), []message{out("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n")}, named},
		{"source-engine", "", udpTuple(1), []message{out("\xff\xff\xff\xffTSource Engine Query\x00")}, named},
		{"kerberos", "", udpTuple(88), []message{out("\x6a\x81\x90\x30\x81\x8d\xa1\x03\x02\x01\x05\xa2\x03\x02\x01\x0a")}, named},
		{"esp", "", Tuple{Protocol: 50}, nil, named},
		{"ospf", "", Tuple{Protocol: 89}, nil, named},
	}
}

func TestConversations(t *testing.T) {
	for _, c := range conversations() {
		t.Run(c.app, func(t *testing.T) {
			e := New(Options{})
			f := play(e, c.tuple, c.say, 1<<16)
			if f == nil || f.App != c.app || f.Confidence != 1 || f.Service != c.service || f.Category == "" || !c.check(f) {
				t.Errorf("got %+v", f)
			}
			if s := e.Stats(); s.Buffered != 0 || s.Flows != 0 {
				t.Errorf("held after the end: %+v", s)
			}
		})
	}
}

// TestPortAlone: where nothing was said, the port is a guess and says so; where what
// was said is something else, it says nothing.
func TestPortAlone(t *testing.T) {
	e := New(Options{})
	if f := play(e, tcpTuple(22), nil, 1); f == nil || f.App != "ssh" || f.Confidence != 0.5 {
		t.Errorf("a silent flow: %+v", f)
	}
	f := play(e, tcpTuple(22), []message{{FromInitiator, []byte("\x99\x98\x97\x96\x95\x94")}}, 1<<16)
	if f == nil || f.App != "" || f.Category != "unknown" || len(f.Lengths) != 1 || f.Lengths[0] != 6 || f.Entropy < 2.5 {
		t.Errorf("content that contradicts: %+v", f)
	}
}

// TestOrder: segments out of order, twice, overlapping, and with their first missing.
func TestOrder(t *testing.T) {
	request := "GET /path HTTP/1.1\r\nHost: example.com\r\n\r\n"
	for _, c := range []struct {
		name  string
		parts [][2]int
		syn   bool
	}{
		{"in order", [][2]int{{0, 10}, {10, 20}, {20, len(request)}}, false},
		{"the last first", [][2]int{{20, len(request)}, {10, 20}, {0, 10}}, true},
		{"the second first, without a SYN", [][2]int{{10, 20}, {0, 10}, {20, len(request)}}, false},
		{"overlapping", [][2]int{{0, 15}, {5, 25}, {20, len(request)}}, false},
		{"twice", [][2]int{{0, 10}, {0, 10}, {10, len(request)}, {0, len(request)}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := New(Options{})
			s := e.Begin(tcpTuple(80))
			p := segmentAt(999, "")
			if c.syn {
				p.Flags = 2
				e.Inspect(s, FromInitiator, &p)
			}
			for _, part := range c.parts {
				p = segmentAt(1000+uint32(part[0]), request[part[0]:part[1]])
				e.Inspect(s, FromInitiator, &p)
			}
			f := e.End(s)
			if f == nil || f.HTTP == nil || f.HTTP.Host != "example.com" {
				t.Errorf("%+v", f)
			}
			if st := e.Stats(); st.Buffered != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestTwoAnswers: of two answers to a SYN, the one that the initiator goes on with
// counts, whichever came last.
func TestTwoAnswers(t *testing.T) {
	for _, numbers := range [][2]uint32{{1000, 0x60000000}, {0x60000000, 1000}, {1000, 0xf0000000}} {
		e := New(Options{})
		s := e.Begin(tcpTuple(80))
		for _, n := range numbers {
			p := packet.Packet{Protocol: ipTCP, Seq: n, Flags: packet.SYN | packet.ACK}
			e.Inspect(s, FromResponder, &p)
		}
		request := segmentAt(1, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
		request.Flags, request.Ack = packet.ACK, 1001
		e.Inspect(s, FromInitiator, &request)
		answer := segmentAt(1001, "HTTP/1.1 204 No Content\r\n\r\n")
		e.Inspect(s, FromResponder, &answer)
		if f := e.End(s); f == nil || f.HTTP == nil || f.HTTP.Host != "example.com" || f.HTTP.Status != 204 {
			t.Errorf("%x: %+v", numbers, f)
		}
	}
}

// TestBounds: States and buffers run out without harm.
func TestBounds(t *testing.T) {
	e := New(Options{MaxFlows: 1, MaxBuffered: 1})
	s := e.Begin(tcpTuple(80))
	if e.Begin(tcpTuple(81)) != nil || e.Stats().Refused != 1 {
		t.Error("a second State was given")
	}
	if e.End(nil) != nil || e.Inspect(nil, FromInitiator, nil) != Done {
		t.Error("a nil State is not done")
	}
	p := segmentAt(0, "GE")
	e.Inspect(s, FromInitiator, &p)
	e.End(s)
	if e.Stats().Starved == 0 {
		t.Errorf("%+v", e.Stats())
	}
}
