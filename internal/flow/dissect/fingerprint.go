package dissect

import (
	"crypto/md5" //nolint:gosec // JA3 and HASSH are defined by it, and guard nothing
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
)

// maxFingerprint is how many cipher suites, extensions or algorithms of a hello
// count; no client has more, and hostile ones cost a bounded time.
const maxFingerprint = 512

const emptyJA4 = "000000000000"

// ja4 is the JA4 fingerprint of a TLS client (FoxIO, technical_details/JA4.md,
// under the BSD licence): a readable part and two hashes,
//
//	t13d1516h2_8daaf6152771_b186095e22b6
//	│││ │ │ │  │            └ extensions sorted, without SNI and ALPN, _ signature algorithms in their order
//	│││ │ │ │  └ cipher suites, sorted
//	│││ │ │ └ first and last character of the first ALPN
//	│││ │ └ number of extensions, at most 99
//	│││ └ number of cipher suites, at most 99
//	││└ d with a server name, i without
//	│└ version
//	└ t over TCP, q over QUIC, d over datagrams
//
// without values of GREASE anywhere.
func ja4(h *hello, transport byte) string {
	var values [maxFingerprint]uint16
	ciphers := pairs(values[:0], h.ciphers)
	out := make([]byte, 0, 36)
	out = append(out, transport)
	out = append(out, ja4Version(h.version)...)
	if h.hasSNI {
		out = append(out, 'd')
	} else {
		out = append(out, 'i')
	}
	out = twoDigits(out, len(ciphers))
	mark := len(out)
	out = append(out, "00"...)
	out = append(out, ja4ALPN(h.alpn)...)

	slices.Sort(ciphers)
	out = append(out, '_')
	out = appendHash(out, ciphers, nil)

	extensions, count := values[:0], 0
	for x := (cursor{b: h.extensions}); len(x.b) >= 4 && count < maxFingerprint; {
		kind, n := uint16(x.u16()), x.u16()
		x.upTo(n)
		if grease(kind) {
			continue
		}
		count++
		if kind != extServerName && kind != extALPN {
			extensions = append(extensions, kind)
		}
	}
	twoDigits(out[:mark], count)
	slices.Sort(extensions)
	var more [maxFingerprint]uint16
	out = append(out, '_')
	out = appendHash(out, extensions, pairs(more[:0], h.signatures))
	return string(out)
}

// pairs appends the numbers in b but for GREASE.
func pairs(to []uint16, b []byte) []uint16 {
	for ; len(b) >= 2 && len(to) < maxFingerprint; b = b[2:] {
		if v := binary.BigEndian.Uint16(b); !grease(v) {
			to = append(to, v)
		}
	}
	return to
}

func twoDigits(to []byte, n int) []byte {
	n = min(n, 99)
	return append(to, byte('0'+n/10), byte('0'+n%10))
}

// appendHash appends the first 12 hexadecimal digits of the SHA-256 of the values,
// written as four digits with commas between, and of more of them behind a line.
func appendHash(to []byte, values, behind []uint16) []byte {
	if len(values) == 0 && len(behind) == 0 {
		return append(to, emptyJA4...)
	}
	var room [1024]byte
	b := appendHex(room[:0], values)
	if len(behind) > 0 {
		b = appendHex(append(b, '_'), behind)
	}
	sum := sha256.Sum256(b)
	return hex.AppendEncode(to, sum[:6])
}

func appendHex(to []byte, values []uint16) []byte {
	const digits = "0123456789abcdef"
	for i, v := range values {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(to, digits[v>>12], digits[v>>8&15], digits[v>>4&15], digits[v&15])
	}
	return to
}

func ja4Version(v uint16) string {
	switch v {
	case versionTLS13:
		return "13"
	case versionTLS12:
		return "12"
	case 0x0302:
		return "11"
	case versionTLS10:
		return "10"
	case versionSSL3:
		return "s3"
	case 0x0002:
		return "s2"
	case versionDTLS10:
		return "d1"
	case versionDTLS12:
		return "d2"
	case versionDTLS13:
		return "d3"
	}
	return "00"
}

// ja4ALPN is the first and the last character of the first protocol offered; where
// one of them is no letter or digit, of what it is in hexadecimal digits.
func ja4ALPN(list []byte) string {
	c := cursor{b: list}
	name := c.upTo(c.u8())
	if len(name) == 0 {
		return "00"
	}
	a, z := name[0], name[len(name)-1]
	if alphanumeric(a) && alphanumeric(z) {
		return string([]byte{a, z})
	}
	const digits = "0123456789abcdef"
	return string([]byte{digits[a>>4], digits[z&15]})
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// ja3 is the JA3 fingerprint (Salesforce): the MD5 of version, cipher suites,
// extensions, groups and point formats in decimal digits, without GREASE.
func ja3(h *hello) string {
	var room [2048]byte
	var values [maxFingerprint]uint16
	b := strconv.AppendUint(room[:0], uint64(h.legacy), 10)
	b = appendDecimal(append(b, ','), pairs(values[:0], h.ciphers))
	extensions := values[:0]
	for x := (cursor{b: h.extensions}); len(x.b) >= 4 && len(extensions) < maxFingerprint; {
		kind, n := uint16(x.u16()), x.u16()
		x.upTo(n)
		if !grease(kind) {
			extensions = append(extensions, kind)
		}
	}
	b = appendDecimal(append(b, ','), extensions)
	b = appendDecimal(append(b, ','), pairs(values[:0], h.groups))
	b = append(b, ',')
	for i, p := range h.points {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(p), 10)
	}
	return md5Hex(b)
}

func appendDecimal(to []byte, values []uint16) []byte {
	for i, v := range values {
		if i > 0 {
			to = append(to, '-')
		}
		to = strconv.AppendUint(to, uint64(v), 10)
	}
	return to
}

func md5Hex(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}
