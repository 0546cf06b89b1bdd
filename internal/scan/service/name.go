package service

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// askDNS asks for the version, as a text of class CHAOS (RFC 4892).
func askDNS(q *inquiry, l *line) Facts {
	f := Facts{}
	for _, name := range []string{"version.bind.", "id.server."} {
		question := dnsQuestion(name, dnsmessage.TypeTXT, dnsmessage.ClassCHAOS)
		var b []byte
		if q.protocol == udp {
			b = askTwice(l, question)
		} else if l.send(append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...)) {
			if b = l.framed(2, func(head []byte) int { return int(binary.BigEndian.Uint16(head)) }); len(b) > 2 {
				b = b[2:]
			}
		}
		if !f.readDNS(name, b) {
			break
		}
	}
	return f
}

// askMDNS asks a host alone which services it announces (RFC 6763, section 9).
func askMDNS(_ *inquiry, l *line) Facts {
	f := Facts{}
	f.readMDNS(askTwice(l, dnsQuestion("_services._dns-sd._udp.local.", dnsmessage.TypePTR, dnsmessage.ClassINET)))
	return f
}

func dnsQuestion(name string, kind dnsmessage.Type, class dnsmessage.Class) []byte {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return nil
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 0x414d}, Questions: []dnsmessage.Question{{Name: n, Type: kind, Class: class}}}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// readDNS notes what an answer to one of our questions says; false for anything else.
func (f Facts) readDNS(name string, b []byte) bool {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || h.ID != 0x414d || !h.Response {
		return false
	}
	f["dns"] = "yes"
	f.put("dns.code", strings.TrimPrefix(h.RCode.String(), "RCode"))
	if h.RecursionAvailable {
		f["dns.recursion"] = "offered"
	}
	if p.SkipAllQuestions() != nil {
		return true
	}
	for range 8 {
		a, err := p.Answer()
		if err != nil {
			return true
		}
		if txt, ok := a.Body.(*dnsmessage.TXTResource); ok {
			key := map[string]string{"version.bind.": "dns.version", "id.server.": "dns.id"}[name]
			f.put(key, printable(strings.Join(txt.TXT, ""), 120))
		}
	}
	return true
}

func (f Facts) readMDNS(b []byte) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || p.SkipAllQuestions() != nil {
		return
	}
	f["mdns"] = "yes"
	var services []string
	for range 32 {
		a, err := p.Answer()
		if err != nil {
			break
		}
		if ptr, ok := a.Body.(*dnsmessage.PTRResource); ok {
			services = append(services, strings.TrimSuffix(ptr.PTR.String(), ".local."))
		}
	}
	f.put("mdns.services", printable(strings.Join(services, " "), 500))
}

// askNTP asks for the time (RFC 5905, mode 3), and then for the variables of the system
// (RFC 9327, mode 6), which few answer still.
func askNTP(_ *inquiry, l *line) Facts {
	f := Facts{}
	if !f.readNTP(askTwice(l, append([]byte{0x23}, make([]byte, 47)...))) {
		return f
	}
	if l.send([]byte{0x16, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}) {
		f.readNTPVariables(l.hear(min(l.wait, 300*time.Millisecond), nil))
	}
	return f
}

func (f Facts) readNTP(b []byte) bool {
	if len(b) < 48 || b[0]&7 != 4 {
		return false
	}
	f.put("ntp", fmt.Sprintf("version %d, stratum %d", b[0]>>3&7, b[1]))
	if b[1] == 1 {
		f.put("ntp.source", printable(strings.TrimRight(string(b[12:16]), "\x00"), 4))
	}
	return true
}

func (f Facts) readNTPVariables(b []byte) {
	if len(b) > 12 && b[0]&7 == 6 && b[1]&0x80 != 0 {
		f.put("ntp.variables", printable(latin(b[12:]), 1000))
	}
}

// askNetBIOS asks for the table of names (RFC 1002, section 4.2.17).
func askNetBIOS(_ *inquiry, l *line) Facts {
	f := Facts{}
	question := append([]byte{0x41, 0x4d, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, netbiosName("*", 0)...)
	f.readNetBIOS(askTwice(l, append(question, 0, 0x21, 0, 1)))
	return f
}

func (f Facts) readNetBIOS(b []byte) {
	const head = 12 + 34 + 10
	if len(b) < head+1 || b[0] != 0x41 || b[1] != 0x4d || b[2]&0x80 == 0 {
		return
	}
	f["netbios"] = "yes"
	n := int(b[head])
	b = b[head+1:]
	for range n {
		if len(b) < 18 {
			return
		}
		name, suffix, group := strings.TrimSpace(printable(latin(b[:15]), 15)), b[15], b[16]&0x80 != 0
		switch {
		case suffix == 0 && !group && f["netbios.computer"] == "":
			f.put("netbios.computer", name)
		case suffix == 0 && group && f["netbios.domain"] == "":
			f.put("netbios.domain", name)
		case suffix == 0x1c && group:
			f["netbios.controller"] = "yes"
		}
		b = b[18:]
	}
	if len(b) >= 6 {
		f.put("netbios.mac", fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]))
	}
}
