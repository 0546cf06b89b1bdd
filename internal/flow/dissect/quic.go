package dissect

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// QUIC (RFC 9000): the packets with which a connection begins are encrypted with
// keys that anyone on the way can derive (RFC 9001, section 5.2; RFC 9369), and carry
// the ClientHello.

// Versions of QUIC.
const (
	quicV1      = 1
	quicV2      = 0x6b3343cf
	quicDraft22 = 0xff000016
	quicDraft23 = 0xff000017
	quicDraft29 = 0xff00001d
	quicDraft33 = 0xff000021
	quicDraft34 = 0xff000022
	quicMvfst22 = 0xfaceb001
	quicMvfst27 = 0xfaceb002
	quicQ043    = 0x51303433
	quicQ046    = 0x51303436
	quicQ050    = 0x51303530
	quicT050    = 0x54303530
	quicT051    = 0x54303531
)

// Salts from which the first keys are derived: RFC 9001, RFC 9369, the drafts of
// QUIC-TLS, and those which Google used while it changed over.
const (
	saltV1      = "\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a"
	saltV2      = "\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9"
	saltDraft29 = "\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99"
	saltDraft23 = "\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02"
	saltDraft22 = "\x7f\xbc\xdb\x0e\x7c\x66\xbb\xe9\x2a\x96\xcd\x21\x51\x9e\xbd\x7a\x02\x64\x41\x90"
	saltQ050    = "\x50\x45\x74\xef\xd0\x66\xfe\x2f\x9d\x94\x5c\xfc\xdb\xd3\xa7\xf0\xd3\xb5\x6b\x45"
	saltT050    = "\x7f\xf5\x79\xe5\xac\xd0\x72\x91\x55\x80\x30\x4c\x43\xa2\x36\x7c\x60\x48\x83\x10"
	saltT051    = "\x7a\x4e\xde\xf4\xe7\xcc\xee\x5f\xa4\x50\x6c\x19\x12\x4f\xc8\xcc\xda\x6e\x03\x3d"
)

// quicState is what is kept while the pieces of a ClientHello come.
type quicState struct {
	hello   assembler
	block   cipher.Block // of the header protection
	aead    cipher.AEAD
	iv      [12]byte
	tried   int // datagrams
	version uint32
}

func (q *quicState) release(p *pool) { q.hello.release(p) }

// quicSalts returns the salts that a version may have, none where it is not known.
func quicSalts(v uint32) []string {
	if s := quicSalt(v); s != "" {
		return []string{s}
	}
	if v>>8 == quicMvfst22>>8 { // Facebook's experiments follow the drafts of their day.
		return []string{saltV1, saltDraft29, saltDraft23, saltDraft22}
	}
	return nil
}

func quicSalt(v uint32) string {
	switch {
	case v == quicV1 || v == quicDraft33 || v == quicDraft34:
		return saltV1
	case v == quicV2:
		return saltV2
	case v >= quicDraft29 && v < quicDraft33:
		return saltDraft29
	case v >= quicDraft23 && v < quicDraft29, v == quicMvfst27:
		return saltDraft23
	case v == quicDraft22, v == quicMvfst22:
		return saltDraft22
	case v == quicQ050:
		return saltQ050
	case v == quicT050:
		return saltT050
	case v == quicT051:
		return saltT051
	}
	return ""
}

// quicVersionName is a version as Facts write it, "" for what is none.
func quicVersionName(v uint32) string {
	switch {
	case v == quicV1:
		return "1"
	case v == quicV2:
		return "2"
	case v > 0xff000000 && v <= quicDraft34:
		return fmt.Sprintf("draft-%02d", v&0xff)
	case v>>8 == quicMvfst22>>8:
		return fmt.Sprintf("mvfst-%x", v&0xff)
	case v == quicT050 || v == quicT051 || googleQUIC(v):
		return string(binary.BigEndian.AppendUint32(nil, v))
	}
	return ""
}

// googleQUIC says whether a version is Q0xx, of Google's own QUIC.
func googleQUIC(v uint32) bool {
	return v>>16 == 0x5130 && v>>8&0xff >= '2' && v>>8&0xff <= '5' && v&0xff >= '0' && v&0xff <= '9'
}

// quicNegotiates says whether a version is one of those reserved to provoke
// negotiation (RFC 9000, section 15).
func quicNegotiates(v uint32) bool { return v&0x0f0f0f0f == 0x0a0a0a0a }

// matchQUIC recognises a packet with a long header, and of Google's QUIC one that
// names its version.
func matchQUIC(l *look) answer {
	b := l.b
	if len(b) < 12 {
		return no
	}
	if b[0]&0x80 == 0 {
		return matchGoogleQUIC(b)
	}
	v := u32(b, 1)
	d := int(b[5])
	if v == 0 { // Version Negotiation: a list of versions.
		for i := negotiated(b); i > 0 && i+4 <= len(b); i += 4 {
			if quicVersionName(u32(b, i)) != "" {
				return yes
			}
		}
		return no
	}
	if v >= quicQ046&^0xff && googleQUIC(v) {
		return yes
	}
	if b[0]&0x40 == 0 || d > 20 || 6+d >= len(b) || int(b[6+d]) > 20 {
		return no
	}
	if quicVersionName(v) != "" {
		return yes
	}
	if quicNegotiates(v) && l.size >= 1200 {
		return maybe
	}
	return no
}

// negotiated returns where the list of a Version Negotiation packet begins, 0 if
// nowhere.
func negotiated(b []byte) int {
	d := int(b[5])
	if d > 20 || 6+d >= len(b) {
		return 0
	}
	s := int(b[6+d])
	if s > 20 {
		return 0
	}
	return 7 + d + s
}

// matchGoogleQUIC recognises the public header of versions up to Q043: flags, the
// connection's number in 8 bytes, and the version.
func matchGoogleQUIC(b []byte) answer {
	if b[0]&0x09 != 0x09 || b[0]&0xc0 != 0 || len(b) < 14 || !googleQUIC(u32(b, 9)) {
		return no
	}
	return yes
}

// readQUIC reads client's packets until they make up a ClientHello.
func readQUIC(r *reading) Verdict {
	b := r.b
	if len(b) < 7 {
		return More
	}
	f := r.facts()
	if f.QUIC == nil {
		f.QUIC = new(QUIC)
	}
	if b[0]&0x80 == 0 {
		if matchGoogleQUIC(b) == yes {
			f.QUIC.Version = quicVersionName(u32(b, 9))
			return r.googleHello(b[13:])
		}
		return r.quicTried()
	}
	v := u32(b, 1)
	if name := quicVersionName(v); name != "" {
		f.QUIC.Version = name
	}
	if googleQUIC(v) && v != quicQ050 {
		return r.googleHello(b[5:])
	}
	for len(b) > 0 && b[0]&0x80 != 0 {
		rest, done := r.quicPacket(b)
		if done {
			return Done
		}
		b = rest
	}
	return r.quicTried()
}

// quicTried ends after some datagrams without a whole ClientHello.
func (r *reading) quicTried() Verdict {
	q := r.quic()
	q.tried++
	if q.tried > MaxPayloads {
		return r.quicUnfinished()
	}
	return More
}

// quicUnfinished reads what there is of the ClientHello.
func (r *reading) quicUnfinished() Verdict {
	if b := r.quic().hello.prefix(); len(b) > 4 && b[0] == handshakeClientHello && r.facts().TLS == nil {
		r.clientHello(b[4:], 'q')
	}
	return Done
}

func (r *reading) quic() *quicState {
	if r.s.quic == nil {
		r.s.quic = new(quicState)
	}
	return r.s.quic
}

// quicPacket takes one packet off a datagram, reads it if it is an Initial that it
// can decrypt, and says whether the ClientHello is whole.
func (r *reading) quicPacket(b []byte) (rest []byte, done bool) {
	c := cursor{b: b}
	form := c.u8()
	v := u32(c.take(4), 0)
	dcid := c.take(c.u8())
	c.take(c.u8())
	initial := form&0x30 == 0
	if v == quicV2 {
		initial = form&0x30 == 0x10
	}
	if c.short || len(dcid) > 20 {
		return nil, false
	}
	if initial {
		c.take(c.varint())
	} else if kind := form & 0x30; kind == 0x30 && v != quicV2 || kind == 0 && v == quicV2 {
		return nil, false // A Retry fills the datagram.
	}
	n := c.varint()
	at := len(b) - len(c.b) // where the packet number lies
	c.take(n)
	if c.short || n < 20 {
		return nil, false
	}
	if !initial || len(quicSalts(v)) == 0 {
		return c.b, false
	}
	q := r.quic()
	fresh := q.aead == nil || q.version != v
	var plain []byte
	ok := false
	if !fresh {
		plain, ok = q.open(r.e, b[:at+n], at)
	}
	if !ok && (fresh || r.dir == FromInitiator) { // The first, or a Retry changed the keys.
		for _, salt := range quicSalts(v) {
			if ok = q.derive(v, salt, dcid); ok {
				if plain, ok = q.open(r.e, b[:at+n], at); ok {
					break
				}
			}
		}
	}
	if !ok && fresh {
		q.aead = nil // It was the server's.
	}
	if ok {
		q.frames(&r.e.pool, plain)
		done = r.quicHello(q)
	}
	return c.b, done
}

// quicHello reads the ClientHello once it is whole.
func (r *reading) quicHello(q *quicState) bool {
	b := q.hello.prefix()
	if len(b) >= 4 && b[0] != handshakeClientHello {
		return r.googleHello(b) == Done
	}
	if len(b) < 4 || len(b) < 4+u24(b, 1) {
		return false
	}
	r.clientHello(b[4:4+u24(b, 1)], 'q')
	return true
}

// varint reads a number of 1 to 8 bytes (RFC 9000, section 16).
func (c *cursor) varint() int {
	if len(c.b) == 0 {
		c.short = true
		return 0
	}
	n := 1 << (c.b[0] >> 6)
	b := c.take(n)
	if b == nil {
		return 0
	}
	v := uint64(b[0] & 0x3f)
	for _, x := range b[1:] {
		v = v<<8 | uint64(x)
	}
	if v > 1<<30 {
		c.short = true
		return 0
	}
	return int(v)
}

// derive makes the client's keys for Initial packets (RFC 9001, section 5.2).
func (q *quicState) derive(v uint32, salt string, dcid []byte) bool {
	q.version = v
	secret, err := hkdf.Extract(sha256.New, dcid, []byte(salt))
	if err != nil {
		return false
	}
	prefix := "quic "
	if v == quicV2 {
		prefix = "quicv2 "
	}
	client := expandLabel(secret, "client in", 32)
	key, iv, hp := expandLabel(client, prefix+"key", 16), expandLabel(client, prefix+"iv", 12), expandLabel(client, prefix+"hp", 16)
	if key == nil || iv == nil || hp == nil {
		return false
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return false
	}
	if q.aead, err = cipher.NewGCM(block); err != nil {
		return false
	}
	if q.block, err = aes.NewCipher(hp); err != nil {
		return false
	}
	copy(q.iv[:], iv)
	return true
}

// expandLabel is HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
func expandLabel(secret []byte, label string, n int) []byte {
	info := string([]byte{byte(n >> 8), byte(n), byte(6 + len(label))}) + "tls13 " + label + "\x00"
	out, err := hkdf.Expand(sha256.New, secret, info, n)
	if err != nil {
		return nil
	}
	return out
}

// open removes the protection of a packet whose number lies at a place (RFC 9001,
// sections 5.3 and 5.4). The plain text lies in the Engine's scratch.
func (q *quicState) open(e *Engine, packet []byte, at int) ([]byte, bool) {
	if len(packet) < at+20 {
		return nil, false
	}
	var mask [16]byte
	q.block.Encrypt(mask[:], packet[at+4:at+20])
	e.scratch = append(e.scratch[:0], packet[:at+4]...)
	header := e.scratch
	header[0] ^= mask[0] & 0x0f
	n := int(header[0]&3) + 1
	nonce := q.iv
	for i := range n {
		header[at+i] ^= mask[1+i] //nolint:gosec // n is 1 to 4
		nonce[12-n+i] ^= header[at+i]
	}
	header = header[:at+n]
	out := e.scratch[len(header):len(header)]
	plain, err := q.aead.Open(out, nonce[:], packet[at+n:], header)
	if err != nil {
		return nil, false
	}
	return plain, true
}

// Frames of QUIC that an Initial packet may carry (RFC 9000, section 12.4).
const (
	framePadding = 0
	framePing    = 1
	frameAck     = 2
	frameAckECN  = 3
	frameCrypto  = 6
)

// frames collects what CRYPTO frames carry.
func (q *quicState) frames(p *pool, b []byte) {
	c := cursor{b: b}
	for len(c.b) > 0 && !c.short {
		switch kind := c.varint(); kind {
		case framePadding, framePing:
		case frameAck, frameAckECN:
			c.varint()
			c.varint()
			ranges := c.varint()
			c.varint()
			for ; ranges > 0 && !c.short; ranges-- {
				c.varint()
				c.varint()
			}
			for i := 0; kind == frameAckECN && i < 3; i++ {
				c.varint()
			}
		case frameCrypto:
			at, n := c.varint(), c.varint()
			if data := c.take(n); data != nil {
				q.hello.add(p, at, data)
			}
		default:
			return
		}
	}
}

// quicUserAgent finds Google's user agent (0x3129) among transport parameters
// (RFC 9000, section 18).
func quicUserAgent(b []byte) []byte {
	for c := (cursor{b: b}); len(c.b) > 0 && !c.short; {
		kind := c.varint()
		if value := c.take(c.varint()); kind == 0x3129 {
			return value
		}
	}
	return nil
}
