package dissect

func nameProtocols() []protocol {
	return []protocol{
		{
			name: "mdns", category: categoryName, udp: []uint16{5353},
			datagram: signature{starts: "", match: matchMulticastDNS, portOnly: true}, readDatagram: readMulticastDNS,
			tells: "first question or record and its answers; names of hosts",
		},
		{
			name: "llmnr", category: categoryName, udp: []uint16{5355},
			datagram: signature{starts: "", match: matchLLMNR, portOnly: true}, readDatagram: readDNS, tells: "as DNS",
		},
		{
			name: "netbios-ns", category: categoryName, udp: []uint16{137},
			datagram: signature{starts: "", match: matchNetBIOSName}, readDatagram: readNetBIOSName, tells: "name asked for; name that a host registers",
		},
		{
			name: "netbios-dgm", category: categoryName, udp: []uint16{138},
			datagram: signature{starts: "\x10\x11\x12\x13\x14\x15\x16", match: matchNetBIOSDatagram}, readDatagram: readNetBIOSDatagram, tells: "name of the sender",
		},
		{
			name: "dns", category: categoryName, tcp: []uint16{53}, udp: []uint16{53},
			client: signature{starts: "\x00\x01\x02\x03\x04", match: matchDNSTCP}, server: signature{starts: "\x00\x01\x02\x03\x04\x05\x06\x07\x08", match: matchDNSTCP}, read: readDNSTCP,
			datagram: signature{starts: "", match: matchDNS}, readDatagram: readDNS,
			tells: "question, type, response code, answers, latency; every question where a consumer asks for it",
		},
		{
			name: "dhcp", category: categoryNetwork, udp: []uint16{67, 68},
			datagram: signature{starts: "\x01\x02", match: matchDHCP}, readDatagram: readDHCP,
			tells: "message, hardware address, host name, vendor class, addresses requested and assigned, server, parameters asked for",
		},
		{
			name: "dhcpv6", category: categoryNetwork, udp: []uint16{546, 547},
			datagram: signature{starts: "", match: matchDHCP6, portOnly: true}, readDatagram: readDHCP6,
			tells: "message, hardware address in the DUID, host name, vendor class, address assigned, parameters asked for",
		},
		{
			name: "ssdp", category: categoryNetwork, udp: []uint16{1900},
			datagram: signature{starts: "MNH", match: func(l *look) answer {
				if anyOf(l.b, "M-SEARCH * HTTP/1.", "NOTIFY * HTTP/1.") == yes {
					return yes
				}
				return when(l.ported(1900) || contains(l.b, "\nUSN:") || contains(l.b, "\nST:"), starts(l.b, "HTTP/1.1 200"))
			}},
		},
		{
			name: "slp", category: categoryNetwork, udp: []uint16{427}, tcp: []uint16{427},
			datagram: signature{starts: "\x01\x02", match: matchSLP}, client: signature{starts: "\x01\x02", match: matchSLP},
		},
		{
			name: "ws-discovery", category: categoryNetwork, udp: []uint16{3702},
			datagram: signature{starts: "<\xef", match: func(l *look) answer {
				return when(contains(l.b, "soap-envelope") || contains(l.b, "schemas.xmlsoap.org/soap"), l.byPort(3702))
			}},
		},
	}
}

// matchSLP recognises the header of the Service Location Protocol (RFC 2608, section
// 8; version 1, RFC 2165): version, function, length, and a language tag.
func matchSLP(l *look) answer {
	b := l.b
	if need(l, 14) {
		return more
	}
	if b[0] == 1 {
		return when(l.ported(427) && b[1] >= 1 && b[1] <= 10 && int(u16(b, 2)) == l.size && l.size < 1500, yes)
	}
	if b[1] == 0 || b[1] > 11 || u16(b, 5)&0x1fff != 0 || u24(b, 2) < 16 || u24(b, 2) > 65535 {
		return no
	}
	n := int(u16(b, 12))
	if n < 2 || n > 16 {
		return no
	}
	if len(b) < 14+n {
		return more
	}
	return when(printable(b[14:14+n]), yes)
}
