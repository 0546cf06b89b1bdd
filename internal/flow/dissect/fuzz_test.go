package dissect

import (
	"crypto/tls"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// sound checks what is promised of texts in Facts.
func sound(t *testing.T, f *Facts) {
	t.Helper()
	if f == nil {
		return
	}
	texts := []string{f.App, f.Category, f.Service, f.Banner}
	if x := f.TLS; x != nil {
		texts = append(texts, x.Version, x.SNI, x.ALPNChosen, x.Cipher, x.JA4, x.JA3, x.Subject, x.Issuer, x.SHA256)
		texts = append(append(texts, x.ALPN...), x.Names...)
	}
	if x := f.DNS; x != nil {
		texts = append(texts, x.Query, x.Type, x.Response)
		for _, a := range x.Answers {
			texts = append(texts, a.Type, a.Data)
		}
	}
	if x := f.HTTP; x != nil {
		texts = append(texts, x.Version, x.Method, x.Host, x.URL, x.UserAgent, x.Server, x.ContentType)
	}
	if x := f.SSH; x != nil {
		texts = append(texts, x.Client, x.Server, x.HASSH, x.HASSHServer)
	}
	if x := f.DHCP; x != nil {
		texts = append(texts, x.Message, x.MAC, x.Hostname, x.VendorClass)
	}
	if x := f.QUIC; x != nil {
		texts = append(texts, x.Version, x.UserAgent)
	}
	if x := f.Cleartext; x != nil {
		texts = append(texts, x.Protocol, x.User)
	}
	for _, s := range texts {
		if !utf8.ValidString(s) || len(s) > 2*maxText || strings.ContainsFunc(s, unicode.IsControl) {
			t.Errorf("not a clean text: %q", s)
		}
	}
}

// cut splits messages at places that seed decides, into few enough parts that all
// are looked at.
func cut(messages []message, seed uint64) []message {
	r := rand.New(rand.NewPCG(seed, 1))
	var parts []message
	for _, m := range messages {
		for len(m.data) > 1 && r.IntN(3) > 0 {
			n := 1 + r.IntN(len(m.data)-1)
			parts = append(parts, message{m.dir, m.data[:n]})
			m.data = m.data[n:]
		}
		parts = append(parts, m)
	}
	return parts
}

// turns makes both sides speak by turns, of lengths that seed decides.
func turns(client, server []byte, seed uint64) []message {
	r := rand.New(rand.NewPCG(seed, 2))
	rest := [2][]byte{client, server}
	var messages []message
	for dir := Direction(seed % 2); len(rest[0])+len(rest[1]) > 0; dir = 1 - dir {
		n := len(rest[dir])
		if n > 1 && len(messages) < 4 && seed%3 > 0 {
			n = 1 + r.IntN(n)
			if i := slices.Index(rest[dir], '\n'); i >= 0 && seed%3 == 1 { // Lines, as people say them.
				n = i + 1
			}
		}
		if n > 0 {
			messages = append(messages, message{dir, rest[dir][:n]})
			rest[dir] = rest[dir][n:]
		}
	}
	return messages
}

// FuzzInspect: no input harms, texts are clean, nothing stays held; and of a TCP flow
// the same is learnt however its turns were cut into at most MaxPayloads segments.
func FuzzInspect(f *testing.F) {
	for _, c := range conversations() {
		var client, server []byte
		for _, m := range c.say {
			if m.dir == FromInitiator {
				client = append(client, m.data...)
			} else {
				server = append(server, m.data...)
			}
		}
		f.Add(c.tuple.Protocol == ipTCP, c.tuple.DstPort, client, server, uint64(1))
	}
	f.Fuzz(func(t *testing.T, tcp bool, port uint16, client, server []byte, seed uint64) {
		tuple := udpTuple(port)
		if tcp {
			tuple = tcpTuple(port)
		}
		if len(client) > 2000 || len(server) > 2000 {
			return
		}
		messages := turns(client, server, seed)
		e := New(Options{OnDNS: func(Tuple, *DNS, int64) {}})
		whole := play(e, tuple, messages, 1<<16)
		sound(t, whole)
		parts := cut(messages, seed)
		pieces := play(e, tuple, parts, 1<<16)
		sound(t, pieces)
		sound(t, playAsked(e, tuple, parts, 1<<16, func(known *Facts) { sound(t, known) }))
		if s := e.Stats(); s.Flows != 0 || s.Buffered != 0 {
			t.Errorf("held after the end: %+v", s)
		}
		if tcp && len(parts) <= MaxPayloads {
			if d := cmp.Diff(uncut(whole), uncut(pieces)); d != "" {
				t.Errorf("cut into %d parts (-whole +parts):\n%s", len(parts), d)
			}
		}
	})
}

// uncut leaves out what depends on segments by its nature.
func uncut(f *Facts) Facts {
	if f == nil {
		return Facts{}
	}
	c := *f
	c.Entropy, c.Lengths = 0, nil
	if c.DNS != nil {
		d := *c.DNS
		d.Latency = 0
		c.DNS = &d
	}
	return c
}

func FuzzDNS(f *testing.F) {
	f.Add(dnsQuestion(1, "example.com", 1))
	f.Add(dnsAnswer(1, "example.com", [4]byte{192, 0, 2, 1}))
	f.Add([]byte("\x00\x01\x80\x00\x00\x01\x00\x02\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01\xc0\x0c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := New(Options{})
		for _, port := range []uint16{53, 5353, 5355, 137} {
			sound(t, play(e, Tuple{SrcPort: port, DstPort: port, Protocol: ipUDP}, []message{{FromResponder, b}}, 1<<16))
		}
		if d, ok := new(shared).parseDNS(b, true); ok {
			sound(t, &Facts{DNS: d})
		}
	})
}

func FuzzTLS(f *testing.F) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var client, server []byte
		for _, m := range recordTLS(f, &tls.Config{ServerName: "a.example", NextProtos: []string{"h2"}}, v) {
			if m.dir == FromInitiator {
				client = append(client, m.data...)
			} else {
				server = append(server, m.data...)
			}
		}
		f.Add(client, server)
	}
	f.Fuzz(func(t *testing.T, client, server []byte) {
		e := New(Options{})
		sound(t, play(e, tcpTuple(443), []message{{FromInitiator, client}, {FromResponder, server}}, 1400))
		sound(t, play(e, udpTuple(5684), []message{{FromInitiator, client}, {FromResponder, server}}, 1400))
		if h, ok := parseHello(client, false); ok && (len(ja4(&h, 't')) != 36 || len(ja3(&h)) != 32) {
			t.Errorf("JA4 %q, JA3 %q", ja4(&h, 't'), ja3(&h))
		}
	})
}

func FuzzQUIC(f *testing.F) {
	f.Add(rfc9001Initial())
	f.Add([]byte("\xc0\x00\x00\x00\x00\x08abcdefgh\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := New(Options{})
		sound(t, play(e, udpTuple(443), []message{{FromInitiator, b}, {FromResponder, b}, {FromInitiator, b}}, 1<<16))
		if s := e.Stats(); s.Buffered != 0 {
			t.Errorf("held after the end: %+v", s)
		}
		var q quicState
		var p pool
		p.room = 1 << 20
		q.frames(&p, b)
		if len(q.hello.prefix()) > maxStream {
			t.Error("more is kept than may be")
		}
	})
}

func FuzzCertificate(f *testing.F) {
	f.Add(testCertificate(f).Certificate[0])
	f.Add([]byte("\x30\x03\x30\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := new(TLS)
		certificates{}.fill(x, b)
		looseCertificate(x, b)
		sound(t, &Facts{TLS: x})
		if len(x.Names) > maxNames || x.NotBefore.After(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%+v", x)
		}
	})
}
