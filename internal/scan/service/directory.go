package service

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
)

// tlv reads one element of BER (X.690) with a definite length; false where there is
// none.
func tlv(b []byte) (tag byte, body, rest []byte, ok bool) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return 0, nil, nil, false
	}
	n, head := int(b[1]), 2
	if n >= 0x80 {
		octets := n & 0x7f
		if octets == 0 || octets > 3 || len(b) < 2+octets {
			return 0, nil, nil, false
		}
		n = 0
		for _, c := range b[2 : 2+octets] {
			n = n<<8 | int(c)
		}
		head += octets
	}
	if n > len(b)-head {
		return 0, nil, nil, false
	}
	return b[0], b[head : head+n], b[head+n:], true
}

// put writes one element.
func element(tag byte, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	if len(body) < 0x80 {
		return append([]byte{tag, byte(len(body))}, body...)
	}
	return append([]byte{tag, 0x82, byte(len(body) >> 8), byte(len(body))}, body...)
}

// within opens elements one in another, by their tags.
func within(b []byte, tags ...byte) []byte {
	for _, want := range tags {
		for {
			tag, body, rest, ok := tlv(b)
			if !ok {
				return nil
			}
			if tag == want {
				b = body
				break
			}
			b = rest
		}
	}
	return b
}

// askLDAP reads the root of a directory (RFC 4512, section 5.1), which everybody may.
func askLDAP(_ *inquiry, l *line) Facts {
	text := func(s string) []byte { return element(4, []byte(s)) }
	search := element(0x63, text(""), []byte{10, 1, 0, 10, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0}, element(0x87, []byte("objectClass")), element(0x30, text("*"), text("+")))
	f := Facts{}
	f.readLDAP(l.say(element(0x30, []byte{2, 1, 1}, search), ldapDone))
	return f
}

// ldapDone tells that the result of a search has come.
func ldapDone(b []byte) bool {
	for {
		tag, body, rest, ok := tlv(b)
		if !ok || tag != 0x30 {
			return false
		}
		if within(body, 0x65) != nil {
			return true
		}
		b = rest
	}
}

func (f Facts) readLDAP(b []byte) {
	keys := map[string]string{
		"vendorname": "ldap.vendor", "vendorversion": "ldap.version", "namingcontexts": "ldap.contexts", "dnshostname": "ldap.host",
		"objectclass": "ldap.class", "domaincontrollerfunctionality": "ldap.level", "defaultnamingcontext": "ldap.domain",
	}
	for len(b) > 0 {
		tag, message, rest, ok := tlv(b)
		if !ok || tag != 0x30 {
			return
		}
		b = rest
		if within(message, 0x65) != nil {
			f["ldap"] = "yes"
		}
		entry := within(message, 0x64)
		if entry == nil {
			continue
		}
		f["ldap"] = "yes"
		attributes := within(entry, 0x30)
		for len(attributes) > 0 {
			_, attribute, more, ok := tlv(attributes)
			if !ok {
				break
			}
			attributes = more
			_, name, values, ok := tlv(attribute)
			if !ok {
				continue
			}
			if key := keys[strings.ToLower(string(name))]; key != "" {
				f.put(key, ldapValues(values))
			}
		}
	}
}

// ldapValues joins the values of a set by spaces.
func ldapValues(set []byte) string {
	_, values, _, ok := tlv(set)
	var texts []string
	for ok && len(values) > 0 && len(texts) < 16 {
		var value []byte
		if _, value, values, ok = tlv(values); ok {
			texts = append(texts, printable(string(value), 200))
		}
	}
	return strings.Join(texts, " ")
}

// askKerberos asks a ticket for nobody, of a realm that there is not (RFC 4120, section
// 5.4): the error names the realm of the server.
func askKerberos(q *inquiry, l *line) Facts {
	text := func(s string) []byte { return element(0x1b, []byte(s)) }
	realm := "AMOSKYS.INVALID"
	body := element(
		0x30,
		element(0xa0, []byte{3, 5, 0, 0, 0, 0, 0}),
		element(0xa1, element(0x30, element(0xa0, []byte{2, 1, 1}), element(0xa1, element(0x30, text("nobody"))))),
		element(0xa2, text(realm)),
		element(0xa3, element(0x30, element(0xa0, []byte{2, 1, 2}), element(0xa1, element(0x30, text("krbtgt"), text(realm))))),
		element(0xa5, element(0x18, []byte("20370913024805Z"))),
		element(0xa7, []byte{2, 4, 0x41, 0x4d, 0x4f, 0x53}),
		element(0xa8, element(0x30, []byte{2, 1, 18, 2, 1, 17, 2, 1, 23})),
	)
	request := element(0x6a, element(0x30, element(0xa1, []byte{2, 1, 5}), element(0xa2, []byte{2, 1, 10}), element(0xa4, body)))
	f := Facts{}
	if q.protocol == udp {
		f.readKerberos(askTwice(l, request))
	} else if l.send(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)) {
		if b := l.framed(4, func(head []byte) int { return int(binary.BigEndian.Uint32(head)) }); len(b) > 4 {
			f.readKerberos(b[4:])
		}
	}
	return f
}

func (f Facts) readKerberos(b []byte) {
	if tag, _, _, ok := tlv(b); !ok || tag != 0x7e {
		return
	}
	f["kerberos"] = "yes"
	f.put("kerberos.realm", printable(string(within(b, 0x7e, 0x30, 0xa9, 0x1b)), 200))
	if text := within(b, 0x7e, 0x30, 0xab, 0x1b); text != nil {
		f.put("kerberos.text", printable(string(text), 200))
	}
}

// askSNMP asks for the engine without a community or a name (RFC 3414, section 4).
func askSNMP(_ *inquiry, l *line) Facts {
	null := []byte{4, 0}
	header := element(0x30, []byte{2, 2, 0x41, 0x4d, 2, 3, 0, 0xff, 0xe3, 4, 1, 4, 2, 1, 3})
	security := element(4, element(0x30, null, []byte{2, 1, 0, 2, 1, 0}, null, null, null))
	get := element(0xa0, []byte{2, 2, 0x41, 0x4d, 2, 1, 0, 2, 1, 0, 0x30, 0})
	f := Facts{}
	f.readSNMP(askTwice(l, element(0x30, []byte{2, 1, 3}, header, security, element(0x30, null, null, get))))
	return f
}

func (f Facts) readSNMP(b []byte) {
	message := within(b, 0x30)
	if tag, version, rest, ok := tlv(message); ok && tag == 2 && len(version) == 1 && version[0] == 3 {
		engine := within(rest, 4, 0x30, 4)
		if len(engine) >= 5 && len(engine) <= 32 {
			f["snmp"] = "yes"
			f.put("snmp.engine", hex.EncodeToString(engine))
			f.put("snmp.enterprise", strconv.FormatUint(uint64(binary.BigEndian.Uint32(engine)&0x7fffffff), 10))
		}
	}
}
