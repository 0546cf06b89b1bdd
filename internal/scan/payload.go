package scan

import (
	"encoding/hex"
	"strings"
)

// UsualUDP are the ports of services that answer by UDP and are met often, for Plan.UDP.
func UsualUDP() []uint16 {
	return []uint16{53, 111, 123, 137, 161, 177, 389, 443, 500, 520, 623, 1194, 1434, 1900, 2152, 3478, 3702, 5060, 5353, 5683, 10001, 11211, 27015, 30718, 44818, 47808}
}

// payload is what the usual service of a port answers, and changes nothing. Others get
// an empty line.
func payload(port uint16) []byte {
	switch port {
	case 53: // DNS: the version of the server (RFC 4892)
		return hexed("a53e 0000 0001 0000 0000 0000 0776657273696f6e 0462696e64 00 0010 0003")
	case 111: // portmapper: the null procedure (RFC 5531)
		return hexed("2f1ac2e7 00000000 00000002 000186a0 00000002 00000000 00000000 00000000 00000000 00000000")
	case 123: // NTP: a client's question, version 4 (RFC 5905)
		return append(hexed("23000000"), make([]byte, 44)...)
	case 137: // NetBIOS: node status of "*" (RFC 1002, section 4.2.17)
		return hexed("7ac1 0000 0001 0000 0000 0000 20 434b" + strings.Repeat("41", 30) + "00 0021 0001")
	case 161: // SNMPv3: who are you (RFC 3414, section 4), without any name or secret
		return hexed("303a 020103 300f 02024a69 0203 00ffe3 040104 020103 0410 300e 0400 020100 020100 0400 0400 0400 3012 0400 0400 a00c 02023723 020100 020100 3000")
	case 177: // XDMCP: a query without names of authentication
		return hexed("0001 0002 0001 00")
	case 389: // LDAP without connection: the root of the directory
		return hexed("3025 020101 6320 0400 0a0100 0a0100 020100 020100 010100 870b 6f626a656374436c617373 3000")
	case 443: // QUIC: a version that nobody speaks, to be told of others (RFC 8999)
		return append(hexed("c0 1a2a3a4a 08 0102030405060708 08 1112131415161718"), make([]byte, 1200-23)...)
	case 500: // IKE: a main mode of one weak proposal (RFC 2408), answered or refused
		return hexed("5b5e64c03e99b51f 0000000000000000 01 10 02 00 00000000 00000050" +
			"00000034 00000001 00000001 00000028 01010001 00000020 01010000 80010007 800e0100 80020002 80030001 8004000e 800b0001")
	case 520: // RIP: the whole table (RFC 2453)
		return hexed("0101 0000 0000 0000 00000000 00000000 00000000 00000010")
	case 623: // IPMI: presence, by ASF
		return hexed("0600ff06 000011be 80 00 00 00")
	case 1194: // OpenVPN: a client's reset
		return hexed("38 0102030405060708 00 00000000")
	case 1434: // SQL Server Browser: all instances (MC-SQLR)
		return hexed("02")
	case 1900: // SSDP
		return []byte("M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\nMan: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n")
	case 2152: // GTP: an echo (3GPP TS 29.281)
		return hexed("32 01 0004 00000000 0001 0000")
	case 3478: // STUN: a binding request (RFC 8489)
		return hexed("0001 0000 2112a442 616d6f736b79730000000001")
	case 3702: // WS-Discovery: any device
		return []byte(`<?xml version="1.0" encoding="utf-8"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><e:Header><a:MessageID>urn:uuid:5d1c7f0e-2a44-4b6f-9c1a-6f0a3c2b1d01</a:MessageID><a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To><a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action></e:Header><e:Body><d:Probe/></e:Body></e:Envelope>`)
	case 5060: // SIP (RFC 3261, section 11)
		return []byte("OPTIONS sip:amoskys SIP/2.0\r\nVia: SIP/2.0/UDP amoskys;branch=z9hG4bKamoskys1;rport\r\nMax-Forwards: 70\r\nTo: <sip:amoskys>\r\nFrom: <sip:scan@amoskys>;tag=1\r\nCall-ID: 1@amoskys\r\nCSeq: 1 OPTIONS\r\nContact: <sip:scan@amoskys>\r\nContent-Length: 0\r\n\r\n")
	case 5353: // mDNS: all services (RFC 6763, section 9), to be answered to us alone
		return hexed("0000 0000 0001 0000 0000 0000 095f7365727669636573 075f646e732d7364 045f756470 056c6f63616c 00 000c 8001")
	case 5683: // CoAP: what is there (RFC 7252, RFC 6690)
		return hexed("4001 1a2b bb2e77656c6c2d6b6e6f776e 04636f7265")
	case 10001: // Ubiquiti's discovery
		return hexed("01000000")
	case 11211: // memcached: its version
		return hexed("0001 0000 0001 0000 76657273696f6e0d0a")
	case 27015: // games that speak Source: their name
		return append(hexed("ffffffff 54"), "Source Engine Query\x00"...)
	case 30718: // Lantronix' serial servers
		return hexed("000000f8")
	case 44818: // EtherNet/IP: list identity
		return hexed("6300 0000 00000000 00000000 0000000000000000 00000000")
	case 47808: // BACnet: read the object identifier of the device (ASHRAE 135)
		return hexed("810a 0011 0104 0005 010c 0c 023fffff 194b")
	}
	return []byte("\r\n\r\n")
}

// hexed reads the hexadecimal digits of a text; blanks part them for people.
func hexed(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err) // of the table above, which a test reads whole
	}
	return b
}
