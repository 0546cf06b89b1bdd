package dissect

import "strconv"

// knownType says whether a type is among those assigned and in use (IANA registry of
// DNS parameters).
func knownType(v uint16) bool {
	return v >= 1 && v <= 65 || v >= 99 && v <= 109 || v >= 128 && v <= 130 || v >= 249 && v <= 262 || v == 32768 || v == 32769 || v == 65535 || v >= 65280 && v <= 65534
}

var dnsTypes = map[uint16]string{ //nolint:gochecknoglobals // constant
	1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS", 12: "PTR",
	13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 24: "SIG", 25: "KEY", 28: "AAAA", 29: "LOC", 32: "NB",
	33: "SRV", 35: "NAPTR", 36: "KX", 37: "CERT", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY",
	46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP",
	59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 99: "SPF", 108: "EUI48",
	109: "EUI64", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILB", 255: "ANY", 256: "URI", 257: "CAA",
}

// typeName is IANA's name of a type, or TYPE with its number (RFC 3597).
func typeName(v uint16) string {
	if n, ok := dnsTypes[v]; ok {
		return n
	}
	return "TYPE" + strconv.Itoa(int(v))
}

// rcodeName is IANA's name of a response code.
func rcodeName(v uint16) string {
	names := [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"}
	if int(v) < len(names) {
		return names[v]
	}
	return "RCODE" + strconv.Itoa(int(v))
}
