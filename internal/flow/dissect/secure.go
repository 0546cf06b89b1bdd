package dissect

func secureProtocols() []protocol {
	const records = "\x14\x15\x16\x17"
	return []protocol{
		{
			name: "tls", category: categoryWeb, tcp: []uint16{443, 8443, 853, 993, 995, 465, 636, 989, 990, 992, 5061, 8883, 5671, 6697, 5223},
			client: signature{starts: records + "\x80\x81", match: func(l *look) answer {
				if l.b[0]&0x80 != 0 {
					return matchSSL2(l)
				}
				return matchTLS(l)
			}},
			server: signature{starts: records, match: matchTLS}, read: readTLS, ends: tlsEnds,
			tells: "version, server name, ALPN, cipher suite, ECH, JA4, JA3; of TLS 1.2 and older the certificate: subject, issuer, validity, SHA-256, names",
		},
		{
			name: "quic", category: categoryWeb, udp: []uint16{443, 8443, 853, 784, 8853},
			datagram: signature{starts: "", match: func(l *look) answer {
				if l.b[0]&0x80 == 0 && l.b[0]&0x09 != 0x09 {
					return no
				}
				return matchQUIC(l)
			}}, readDatagram: readQUIC,
			tells: "version, and of the ClientHello what TLS tells, its pieces put together; user agent of Google's clients; server name of Google's own QUIC (Q0xx)",
		},
		{
			name: "dtls", category: categoryNetwork, udp: []uint16{2056, 5684},
			datagram: signature{starts: records + "\x18\x19\x1a", match: matchDTLS}, readDatagram: readDTLS, tells: "as TLS",
		},
		{
			name: "ssh", category: categoryRemote, tcp: []uint16{22, 2222},
			client: says("SSH-2.0-", "SSH-1."), server: says("SSH-2.0-", "SSH-1."), read: readSSH,
			tells: "versions of both sides, HASSH and HASSH of the server",
		},
	}
}
