package dissect

import (
	"bytes"
	"strings"
	"time"
)

// Tags of DER (X.690).
const (
	derInteger   = 0x02
	derOctets    = 0x04
	derObject    = 0x06
	derUTF8      = 0x0c
	derSequence  = 0x30
	derSet       = 0x31
	derPrintable = 0x13
	derUTCTime   = 0x17
	derTime      = 0x18
)

// derNext takes one element off b: its tag, its content, all of it, and what
// follows. ok is false where b does not hold all of it.
func derNext(b []byte) (tag byte, body, whole, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, nil, false
	}
	n, at := int(b[1]), 2
	if n >= 0x80 {
		digits := n & 0x7f
		if digits == 0 || digits > 3 || len(b) < 2+digits {
			return 0, nil, nil, nil, false
		}
		n = 0
		for _, d := range b[2 : 2+digits] {
			n = n<<8 | int(d)
		}
		at += digits
	}
	if len(b) < at+n {
		return 0, nil, nil, nil, false
	}
	return b[0], b[at : at+n], b[:at+n], b[at+n:], true
}

// looseCertificate reads subject, issuer and validity of a certificate (RFC 5280,
// section 4.1) that crypto/x509 refuses.
func looseCertificate(t *TLS, der []byte) {
	_, outer, _, _, ok := derNext(der)
	if !ok {
		return
	}
	_, b, _, _, ok := derNext(outer)
	if !ok {
		return
	}
	if len(b) > 0 && b[0] == 0xa0 { // The version.
		_, _, _, b, _ = derNext(b)
	}
	_, _, _, b, _ = derNext(b) // The serial number.
	_, _, _, b, _ = derNext(b) // The algorithm.
	_, issuer, issuerRaw, b, _ := derNext(b)
	_, validity, _, b, _ := derNext(b)
	_, subject, subjectRaw, _, ok := derNext(b)
	if !ok {
		return
	}
	t.Issuer, t.Subject = derName(issuer), derName(subject)
	t.SelfSigned = bytes.Equal(issuerRaw, subjectRaw)
	tag, from, _, validity, _ := derNext(validity)
	t.NotBefore = derDate(tag, from)
	tag, to, _, _, _ := derNext(validity)
	t.NotAfter = derDate(tag, to)
}

// derName writes a distinguished name as "CN=…,O=…".
func derName(b []byte) string {
	var parts []string
	for len(b) > 0 && len(parts) < 16 {
		_, set, _, rest, ok := derNext(b)
		if !ok {
			break
		}
		b = rest
		_, pair, _, _, _ := derNext(set)
		_, object, _, value, _ := derNext(pair)
		_, content, _, _, ok := derNext(value)
		if !ok || len(object) != 3 || object[0] != 0x55 || object[1] != 4 {
			continue
		}
		name := map[byte]string{3: "CN", 6: "C", 7: "L", 8: "ST", 10: "O", 11: "OU"}[object[2]]
		if name != "" {
			parts = append(parts, name+"="+text(content, maxName))
		}
	}
	return cleanText(strings.Join(parts, ","), maxText)
}

func derDate(tag byte, b []byte) time.Time {
	layout := "060102150405Z"
	if tag == derTime {
		layout = "20060102150405Z"
	} else if tag != derUTCTime {
		return time.Time{}
	}
	at, err := time.Parse(layout, string(b))
	if err != nil {
		return time.Time{}
	}
	return at
}
