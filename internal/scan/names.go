package scan

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	portNetBIOS, portMDNS = 137, 5353
	// dnsWait is the longest wait for the name service, and dnsPatience how often it may
	// be silent before a scan does without.
	dnsWait, dnsPatience = 1500 * time.Millisecond, 16
)

// namer looks names of hosts up.
type namer struct {
	s      *scanner
	silent atomic.Int32 // times that the name service did not answer
}

// name adds names to a host: those of DNS first, then mDNS, then NetBIOS.
func (n *namer) name(ctx context.Context, h *Host) {
	replies := make(chan map[uint16][]byte, 1)
	go func() {
		replies <- n.s.exchange(ctx, h.Address(), []uint16{portMDNS, portNetBIOS}, func(port uint16) []byte {
			if port == portMDNS {
				return reverseQuestion(h.IP)
			}
			return payload(port)
		})
	}()
	for _, name := range n.dns(ctx, h.IP) {
		h.Names = appendName(h.Names, name, "dns")
	}
	own := <-replies
	h.Names = appendName(h.Names, readReverse(own[portMDNS]), "mdns")
	h.Names = appendName(h.Names, ReadNetBIOS(own[portNetBIOS]), "netbios")
}

func (n *namer) dns(ctx context.Context, ip netip.Addr) []string {
	if n.silent.Load() >= dnsPatience {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dnsWait)
	defer cancel()
	names, err := net.DefaultResolver.LookupAddr(ctx, ip.String())
	if fault, is := errors.AsType[*net.DNSError](err); is && !fault.IsNotFound {
		n.silent.Add(1)
	}
	return names
}

// appendName adds a name that is one, unless it is there.
func appendName(names []Name, name, source string) []Name {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return names
	}
	if slices.ContainsFunc(names, func(n Name) bool { return strings.EqualFold(n.Name, name) }) {
		return names
	}
	return append(names, Name{name, source})
}

// reverseQuestion asks by mDNS for the name of an address, to be answered to us alone
// (RFC 6762, section 5.4).
func reverseQuestion(ip netip.Addr) []byte {
	name, err := dnsmessage.NewName(reverseName(ip))
	if err != nil {
		return nil
	}
	m := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET | 1<<15}}}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// reverseName is the name under which an address has its names (RFC 1035, section 3.5,
// and RFC 3596, section 2.5).
func reverseName(ip netip.Addr) string {
	const digits = "0123456789abcdef"
	b := ip.AsSlice()
	var out strings.Builder
	for i := range b {
		o := b[len(b)-1-i]
		if ip.Is4() {
			out.WriteString(netip.AddrFrom4([4]byte{3: o}).String()[len("0.0.0."):] + ".")
			continue
		}
		out.Write([]byte{digits[o&15], '.', digits[o>>4], '.'})
	}
	if ip.Is4() {
		return out.String() + "in-addr.arpa."
	}
	return out.String() + "ip6.arpa."
}

// readReverse reads the first name of an answer to reverseQuestion.
func readReverse(b []byte) string {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || p.SkipAllQuestions() != nil {
		return ""
	}
	for range 16 {
		r, err := p.AnswerHeader()
		if err != nil {
			return ""
		}
		if r.Type != dnsmessage.TypePTR || !strings.HasSuffix(strings.ToLower(r.Name.String()), ".arpa.") {
			if p.SkipAnswer() != nil {
				return ""
			}
			continue
		}
		ptr, err := p.PTRResource()
		if err != nil {
			return ""
		}
		return ptr.PTR.String()
	}
	return ""
}

// ReadNetBIOS reads the name of a host from its answer to a node status request (RFC
// 1002, section 4.2.18): the unique name of its workstation service. It is empty where
// there is none.
func ReadNetBIOS(b []byte) string {
	const header, name, each = 12, 34, 18
	at := header + name + 10 // type, class, time to live and length follow the name
	if len(b) <= at || b[2]&0x80 == 0 || binary.BigEndian.Uint16(b[6:]) == 0 || binary.BigEndian.Uint16(b[header+name:]) != 0x21 {
		return ""
	}
	count := int(b[at])
	for b = b[at+1:]; count > 0 && len(b) >= each; b, count = b[each:], count-1 {
		const groupName = 0x80
		if b[15] == 0 && b[16]&groupName == 0 {
			return strings.TrimRight(strings.ToValidUTF8(string(b[:15]), ""), " \x00")
		}
	}
	return ""
}
