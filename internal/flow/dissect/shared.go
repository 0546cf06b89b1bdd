package dissect

import (
	"bytes"
	"hash/maphash"
)

// sharedTexts is how many texts are remembered, to be given again.
const sharedTexts = 1 << 12

// shared gives the same string for the same text, where it was asked for lately: of
// names that hosts ask for, of software that they have, most come again and again.
// Then they cost no memory for each flow, and are in the cache when they are told. The
// zero value shares nothing.
type shared struct {
	seed  maphash.Seed
	texts []string // by hash; the latest stays
}

func newShared() shared {
	return shared{seed: maphash.MakeSeed(), texts: make([]string, sharedTexts)}
}

func (x *shared) of(b []byte) string {
	if len(b) == 0 || len(x.texts) == 0 {
		return string(b)
	}
	have := &x.texts[maphash.Bytes(x.seed, b)%sharedTexts]
	if *have != string(b) {
		*have = string(b)
	}
	return *have
}

// text is text, as a string that is shared where it can be.
func (x *shared) text(b []byte, limit int) string {
	if len(b) > limit || !plain(b) {
		return text(b, limit)
	}
	return x.of(bytes.TrimSpace(b))
}

// hostName is hostName, as a string that is shared where it can be.
func (x *shared) hostName(b []byte) string {
	if len(b) > maxName || !plain(b) {
		return hostName(b)
	}
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			return hostName(b)
		}
	}
	return x.of(bytes.TrimSuffix(bytes.TrimSpace(b), []byte{'.'}))
}

// maxClients is how many kinds of clients of TLS are remembered, and maxClientHello
// how much of a hello tells them apart, bytes.
const (
	maxClients     = 256
	maxClientHello = 2048
)

// client is what all hellos of one kind of client have in common.
type client struct {
	key       string // what it was made of
	ja4, ja3  string
	protocols []string // offered by ALPN; not to be changed
}

// clients remembers fingerprints: there are few kinds of clients, and each says the
// same in all its hellos but for names and keys.
type clients struct {
	seed maphash.Seed
	all  []client // by hash; the latest stays
	key  []byte
}

func newClients() clients {
	return clients{seed: maphash.MakeSeed(), all: make([]client, maxClients)}
}

// client describes who sent a hello. Transport is the letter of JA4.
func (e *Engine) client(h *hello, transport byte) *client {
	x := &e.clients
	x.key = h.appendKey(x.key[:0], transport)
	if len(x.key) > maxClientHello {
		return e.newClient(h, transport)
	}
	have := &x.all[maphash.Bytes(x.seed, x.key)%maxClients]
	if have.key != string(x.key) {
		*have = *e.newClient(h, transport)
		have.key = string(x.key)
	}
	return have
}

func (e *Engine) newClient(h *hello, transport byte) *client {
	c := &client{ja4: ja4(h, transport), ja3: ja3(h)}
	for a := (cursor{b: h.alpn}); len(a.b) > 1 && len(c.protocols) < maxALPN; {
		if name := a.take(a.u8()); len(name) > 0 {
			c.protocols = append(c.protocols, e.shared.text(name, maxName))
		}
	}
	return c
}

// appendKey appends all that fingerprints and ALPN are made of, each with its length.
func (h *hello) appendKey(k []byte, transport byte) []byte {
	sni := byte(0)
	if h.hasSNI {
		sni = 1
	}
	k = append(k, transport, sni, byte(h.version>>8), byte(h.version), byte(h.legacy>>8), byte(h.legacy))
	for _, part := range [...][]byte{h.ciphers, h.groups, h.points, h.signatures, h.alpn} {
		k = append(append(k, byte(len(part)>>8), byte(len(part))), part...)
	}
	for x := (cursor{b: h.extensions}); len(x.b) >= 4 && len(k) <= maxClientHello; {
		kind, n := x.u16(), x.u16()
		x.upTo(n)
		k = append(k, byte(kind>>8), byte(kind))
	}
	return k
}
