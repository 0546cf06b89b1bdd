package bpf

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// filterMaker makes random filters from the grammar of the language. Some of
// them are wrong on purpose: a word too many, a mask that does not fit, a
// protocol that has no ports.
type filterMaker struct {
	*rand.Rand
	// depth bounds nesting.
	depth int
	link  LinkType
}

func newFilterMaker(seed uint64) *filterMaker {
	return &filterMaker{Rand: rand.New(rand.NewPCG(seed, 42))}
}

func (m *filterMaker) pick(words ...string) string { return words[m.IntN(len(words))] }

func (m *filterMaker) one(in int) bool { return m.IntN(in) == 0 }

// filter makes a whole filter. Conditions on what the link type does not have
// are rare in it.
func (m *filterMaker) filter(link LinkType) string {
	m.depth, m.link = 0, link
	f := m.expression(1 + m.IntN(4))
	if m.one(40) {
		f = m.mutate(f)
	}
	return f
}

// mutate takes a word out, doubles it, or puts one in.
func (m *filterMaker) mutate(f string) string {
	words := strings.Fields(f)
	at := m.IntN(len(words))
	switch m.IntN(3) {
	case 0:
		words = append(words[:at], words[at+1:]...)
	case 1:
		words = append(words[:at+1], words[at:]...)
	default:
		words[at] = m.pick("and", "or", "not", "(", ")", "host", "port", "tcp", "5", "1.2.3.4", "=", "[", "]", "src", "proto", "::1", "vlan", "mask", "/", "-", "$3", "\\tcp", "1:2:3:4:5:6", "len", "xyz")
	}
	return strings.Join(words, " ")
}

func (m *filterMaker) join() string { return m.pick(" and ", " or ", " and ", " or ", " && ", " || ") }

// expression makes terms joined by and, or; some leave out the qualifiers that
// the one before has.
func (m *filterMaker) expression(terms int) string {
	m.depth++
	defer func() { m.depth-- }()
	var b strings.Builder
	like := ""
	for i := range terms {
		if i > 0 {
			b.WriteString(m.join())
			if like != "" && m.one(3) {
				b.WriteString(m.ids(like))
				continue
			}
		}
		var term string
		term, like = m.term()
		b.WriteString(term)
	}
	return b.String()
}

// ids makes what may stand where the qualifiers are left out.
func (m *filterMaker) ids(like string) string {
	switch {
	case m.one(8):
		return m.pick("not ", "! ", "!") + m.id(like)
	case m.depth < 4 && m.one(8):
		m.depth++
		defer func() { m.depth-- }()
		return "(" + m.ids(like) + m.join() + m.ids(like) + ")"
	case m.one(20):
		return "(" + m.id(like) + ")"
	}
	return m.id(like)
}

func (m *filterMaker) id(like string) string {
	switch like {
	case "host":
		return m.pick(m.ipv4(), m.ipv4(), m.ipv6(), "10.1")
	case "net":
		return m.network()
	case "port":
		return m.port()
	case "portrange":
		return m.portrange()
	case "ether":
		return m.mac()
	default:
		return m.pick("\\tcp", "\\udp", "\\icmp", "6", "17", "0x11", "ospf", "gre", "1", "58", "44")
	}
}

// The addresses and ports are those of the packets that the tests make.
func (m *filterMaker) ipv4() string {
	return m.pick("10.0.0.1", "10.0.0.2", "192.168.1.1", "172.16.5.9", "8.8.8.8", "224.0.0.5", "255.255.255.255", "127.0.0.1")
}

func (m *filterMaker) ipv6() string {
	return m.pick("2001:db8::1", "fe80::1", "ff02::1", "::1", "2001:db8:0:1::5", "::")
}

func (m *filterMaker) network() string {
	return m.pick("10.0.0.0/8", "10", "192.168", "192.168.1.0/24", "10.0.0.0/30", "172.16.0.0 mask 255.240.0.0", "0.0.0.0/0", "10.0.0.1/32",
		"2001:db8::/32", "fe80::/10", "::/0", "2001:db8:0:1::/64", "ff00::/8", "2001:db8::1/128", "224.0.0.0/4", "128.0.0.0/1", "2000::/3")
}

func (m *filterMaker) port() string {
	if m.one(12) {
		return m.pick("http", "https", "domain", "ssh", "syslog", "tftp", "70000")
	}
	return m.pick("80", "443", "53", "22", "0", "65535", "1024", "0x50", "6081")
}

func (m *filterMaker) portrange() string {
	return m.pick("1-1023", "80-90", "0-65535", "443-80", "53-53", "1024-65535", "http-https", "22", "0-1", "53-domain")
}

func (m *filterMaker) mac() string {
	return m.pick("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:05", "2-0-0-0-0-2", "0200.0000.0001", "020000000002")
}

// term makes one condition; like says what an address without qualifiers
// behind it may be.
func (m *filterMaker) term() (text, like string) {
	if m.depth < 4 {
		switch {
		case m.one(8):
			return "(" + m.expression(1+m.IntN(3)) + ")", ""
		case m.one(8):
			text, like = m.term()
			return m.pick("not ", "! ", "!") + text, like
		}
	}
	if m.link != packet.LinkEthernet && !m.one(20) {
		return m.elsewhere()
	}
	return m.anyTerm()
}

// elsewhere makes a condition that may have a meaning outside of Ethernet.
func (m *filterMaker) elsewhere() (text, like string) {
	for {
		text, like = m.anyTerm()
		unfit := false
		for _, word := range []string{"ether ", "link ", "vlan", "mpls", "llc", "cast"} {
			unfit = unfit || strings.Contains(text, word)
		}
		if !unfit {
			return text, like
		}
	}
}

func (m *filterMaker) anyTerm() (text, like string) {
	dir := m.pick("", "", "", "src ", "dst ", "src or dst ", "src and dst ", "dst or src ")
	switch m.IntN(14) {
	case 0, 1:
		return m.pick("", "", "", "ip ", "arp ", "rarp ", "") + dir + "host " + m.ids("host"), "host"
	case 2:
		return m.pick("", "", "", "", "ip ", "arp ") + dir + "net " + m.ids("net"), "net"
	case 3, 4:
		return m.pick("", "", "", "tcp ", "tcp ", "udp ", "sctp ") + dir + "port " + m.ids("port"), "port"
	case 5:
		return m.pick("", "", "tcp ", "udp ", "sctp ") + dir + "portrange " + m.ids("portrange"), "portrange"
	case 6:
		return m.pick("ether ", "ether ", "link ") + dir + m.pick("host ", "host ", "") + m.ids("ether"), "ether"
	case 7:
		return m.pick("", "ip ", "ip6 ") + "proto " + m.ids("proto"), "proto"
	case 8:
		return m.pick("ether proto 0x800", "ether proto \\arp", "ether proto 0x86dd", "ether proto 3", "ether proto \\ip6", "ether proto 0x8847", "ether proto \\ipx", "ether proto 1500", "ether proto 1501", "iso proto \\esis", "isis proto 5"), ""
	case 9, 10:
		return m.pick("ip", "ip6", "arp", "rarp", "tcp", "udp", "icmp", "icmp6", "sctp", "igmp", "ah", "esp", "pim", "vrrp", "carp", "igrp", "tcp", "udp",
			"stp", "ipx", "netbeui", "iso", "isis", "esis", "clnp", "l1", "l2", "lsp", "atalk", "aarp", "decnet", "lat", "mopdl", "moprc", "sca"), ""
	case 11:
		return m.pick("broadcast", "multicast", "ip broadcast", "ip multicast", "ip6 multicast", "ether broadcast", "ether multicast",
			"less 100", "greater 60", "less 20", "llc", "llc u", "llc i", "llc xid", "byte 12 = 8", "byte 0 < 2", "byte 1 > 3"), ""
	case 12:
		return m.pick("vlan", "vlan 5", "vlan 100", "vlan (7)", "mpls", "mpls 100", "mpls 5", "pppoed", "pppoes", "pppoes 3", "geneve", "geneve 5", "vlan", "mpls", "pppoes"), ""
	default:
		return m.arithmetic(0) + m.pick(" = ", " != ", " > ", " < ", " >= ", " <= ", " == ", "=", ">") + m.arithmetic(1), ""
	}
}

func (m *filterMaker) arithmetic(depth int) string {
	if depth > 3 {
		return m.number()
	}
	switch m.IntN(9) {
	case 0, 1, 2:
		return m.pick("ip", "tcp", "udp", "ether", "ip6", "icmp", "icmp6", "tcp", "ip", "arp", "sctp", "link", "ppp", "igmp") +
			"[" + m.index(depth+1) + m.pick("", "", ":1", ":2", ":4", ":2", ":1") + "]"
	case 3, 4:
		return m.arithmetic(depth+1) + m.pick(" + ", " - ", " * ", " / ", " & ", " | ", " ^ ", " % ", " << ", " >> ", "&", "|", " & ", " & ") + m.arithmetic(depth+1)
	case 5:
		if m.one(3) {
			return m.pick("len", "(len)", "- 1", "-(ip[0])", "- len", "-3", "length")
		}
		return "(" + m.arithmetic(depth+1) + ")"
	default:
		return m.number()
	}
}

func (m *filterMaker) index(depth int) string {
	if m.one(5) {
		return m.arithmetic(depth)
	}
	return m.pick("0", "1", "2", "6", "8", "9", "12", "13", "16", "20", "40", "60", "200", "tcpflags", "icmptype", "icmp6type", "0xc")
}

func (m *filterMaker) number() string {
	return m.pick("0", "1", "2", "3", "4", "5", "6", "7", "15", "16", "0x0f", "0xf0", "64", "80", "0x800", "255", "0xffff", "0xffffffff", "0x80000000", "32", "31", "tcp-syn", "tcp-ack", "icmp-echo",
		fmt.Sprint(m.IntN(300)))
}
