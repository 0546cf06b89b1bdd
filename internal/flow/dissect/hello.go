package dissect

import "slices"

// TLS extensions (IANA registry of TLS ExtensionType values).
const (
	extServerName        = 0
	extGroups            = 10
	extPointFormats      = 11
	extSignatures        = 13
	extALPN              = 16
	extSupportedVersions = 43
	extQUICParameters    = 57
	extGoogleParameters  = 0x3127 // Google's version 19 of the same: a user agent
	extECH               = 0xfe0d
	extESNI              = 0xffce
)

// maxALPN is how many protocols of a hello are kept.
const maxALPN = 16

// hello is a ClientHello taken apart. Its slices lie in the message.
type hello struct {
	version    uint16 // the highest offered
	legacy     uint16
	ciphers    []byte // pairs of bytes
	extensions []byte // the whole list
	signatures []byte // pairs
	groups     []byte // pairs
	points     []byte
	alpn       []byte // the list, each with its length in front
	sni        []byte
	hasSNI     bool
	ech        bool
	userAgent  []byte
}

// parseHello reads the body of a ClientHello (RFC 8446, section 4.1.2). Of one that
// is cut off it reads what is there; ok says that it has cipher suites.
func parseHello(b []byte, datagram bool) (h hello, ok bool) {
	c := cursor{b: b}
	h.legacy = uint16(c.u16())
	h.version = h.legacy
	c.take(32)
	c.take(c.u8())
	if datagram {
		c.take(c.u8())
	}
	h.ciphers = c.take(c.u16())
	c.take(c.u8())
	if c.short && h.ciphers == nil {
		return h, false
	}
	if len(c.b) < 2 {
		return h, true
	}
	h.extensions = c.upTo(c.u16())
	highest := uint16(0)
	for x := (cursor{b: h.extensions}); len(x.b) >= 4; {
		kind, n := uint16(x.u16()), x.u16()
		body := cursor{b: x.upTo(n)}
		switch kind {
		case extServerName:
			h.hasSNI = true
			body.u16()
			if body.u8() == 0 {
				h.sni = body.upTo(body.u16())
			}
		case extGroups:
			h.groups = body.upTo(body.u16())
		case extPointFormats:
			h.points = body.upTo(body.u8())
		case extSignatures:
			h.signatures = body.upTo(body.u16())
		case extALPN:
			h.alpn = body.upTo(body.u16())
		case extSupportedVersions:
			for v := (cursor{b: body.upTo(body.u8())}); len(v.b) >= 2; {
				highest = higherVersion(highest, uint16(v.u16()))
			}
		case extECH, extESNI:
			h.ech = true
		case extGoogleParameters:
			h.userAgent = body.b
		case extQUICParameters:
			h.userAgent = first2(h.userAgent, quicUserAgent(body.b))
		}
	}
	if highest != 0 {
		h.version = highest
	}
	return h, true
}

func first2(a, b []byte) []byte {
	if a != nil {
		return a
	}
	return b
}

// higherVersion compares versions of TLS, and of DTLS, which count down; GREASE is
// none (RFC 8701).
func higherVersion(a, b uint16) uint16 {
	if grease(b) {
		return a
	}
	if a>>8 == 0xfe || b>>8 == 0xfe {
		if a == 0 || (b>>8 == 0xfe && b < a) {
			return b
		}
		return a
	}
	return max(a, b)
}

// grease says whether a value is reserved to be ignored (RFC 8701).
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// versionName is a version as Facts write it.
func versionName(v uint16) string {
	switch v {
	case 0x0002:
		return "2.0"
	case versionSSL3:
		return "3.0"
	case versionTLS10, versionDTLS10:
		return "1.0"
	case 0x0302:
		return "1.1"
	case versionTLS12, versionDTLS12:
		return "1.2"
	case versionTLS13, versionDTLS13:
		return "1.3"
	}
	if v>>8 == 0x7f { // A draft of TLS 1.3.
		return "1.3"
	}
	return ""
}

// clientHello fills Facts. Transport is the letter of JA4: t, q or d.
func (r *reading) clientHello(b []byte, transport byte) {
	h, ok := parseHello(b, transport == 'd')
	t := r.tls()
	if !ok {
		return
	}
	if t.Version == "" {
		t.Version = versionName(h.version)
	}
	t.SNI = r.e.shared.hostName(h.sni)
	t.ECH = h.ech
	c := r.e.client(&h, transport)
	t.ALPN, t.JA4, t.JA3 = c.protocols, c.ja4, c.ja3
	if f := r.facts(); f.QUIC != nil && h.userAgent != nil {
		f.QUIC.UserAgent = r.e.shared.text(h.userAgent, maxText)
	}
	r.s.service = serviceOfTLS(r, t)
}

// retryRandom is the random of a ServerHello that asks for another ClientHello
// (RFC 8446, section 4.1.3): the first 8 bytes tell it.
const retryRandom = "\xcf\x21\xad\x74\xe5\x9a\x61\x11"

// serverHello fills Facts and reports whether it asks for another ClientHello.
func (r *reading) serverHello(b []byte) (retry bool) {
	c := cursor{b: b}
	version := uint16(c.u16())
	random := c.take(32)
	c.take(c.u8())
	cipher := uint16(c.u16())
	c.u8()
	if c.short {
		return false
	}
	t := r.tls()
	if slices.Equal(random[:8], []byte(retryRandom)) {
		return true
	}
	t.Cipher = cipherName(cipher)
	for x := (cursor{b: c.upTo(c.u16())}); len(x.b) >= 4; {
		kind, n := x.u16(), x.u16()
		body := cursor{b: x.upTo(n)}
		switch kind {
		case extSupportedVersions:
			if v := uint16(body.u16()); v != 0 {
				version = v
			}
		case extALPN:
			body.u16()
			t.ALPNChosen = r.e.shared.text(body.take(body.u8()), maxName)
		}
	}
	t.Version = versionName(version)
	return false
}
