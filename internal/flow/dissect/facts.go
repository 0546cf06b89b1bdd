package dissect

import (
	"time"

	"github.com/amoskys/amoskys/internal/flow/packet"
)

// Facts are what the content of a flow told. Text in it is valid UTF-8, without
// control characters, and bounded.
type Facts struct {
	// App is the protocol's name as IANA's registry of services or its own standard
	// writes it, lower case: "tls", "http", "dns", "ssh", "quic". Empty if unknown.
	App string
	// Category groups protocols: "web", "mail", "file_transfer", "remote_access",
	// "streaming", "vpn", "p2p", "industrial", "management", "name", "database",
	// "messaging", "voice", "authentication", "network", "game", "unknown".
	Category string
	// Service is a protocol that App carries hidden, as far as port, ALPN or a
	// well-known server name tell: "dot", "doh", "doq", "imaps", "tor"; else empty.
	Service string
	// Confidence is 1 where content proved it, 0.5 by port alone, less for a guess.
	Confidence float64

	// Banner is the first line, or the version, with which a server of another
	// protocol greeted.
	Banner string

	TLS  *TLS
	QUIC *QUIC
	DNS  *DNS
	HTTP *HTTP
	SSH  *SSH
	DHCP *DHCP
	// Cleartext is a login that anyone on the way could read.
	Cleartext *Cleartext
	// Entropy of the first payload of an unknown protocol, bits a byte, and the
	// lengths of the first payloads, negative from the responder.
	Entropy float64
	Lengths []int32
}

// TLS is a handshake (RFC 8446, RFC 5246).
type TLS struct {
	Version string // "1.3"; the version agreed, or the highest offered
	SNI     string
	ALPN    []string // offered by the client; shared between flows, not to be changed
	// ALPNChosen is the server's choice, where it is in the clear (TLS 1.2 and older).
	ALPNChosen string
	Cipher     string // IANA name of the suite chosen
	JA4        string
	JA3        string // MD5
	ECH        bool
	// Of the server's certificate, where it came in the clear. Names are shared between
	// flows and must not be changed.
	Subject, Issuer     string
	NotBefore, NotAfter time.Time
	SHA256              string
	SelfSigned          bool
	Names               []string
}

// QUIC is what an Initial packet told beside its TLS handshake (RFC 9000, RFC 9001).
type QUIC struct {
	Version   string // "1", "2", "draft-29"
	UserAgent string
}

// DNS is one question and its answer (RFC 1035). A flow may have many; the Facts
// keep the first, the Engine's OnDNS is told each.
type DNS struct {
	Query, Type string // "example.com", "AAAA"
	Response    string // "NOERROR", "NXDOMAIN"; empty without an answer
	Answers     []DNSAnswer
	Latency     time.Duration
	Multicast   bool
	// Asked says that the question was seen, and that an answer came from whom it was
	// put to. Anybody can send an answer to a question that nobody asked.
	Asked bool
}

// DNSAnswer is one record of an answer.
type DNSAnswer struct {
	Type, Data string
	TTL        uint32
	Addr       packet.Addr // of A and AAAA, else zero
}

// HTTP is the first request and its answer (RFC 9110).
type HTTP struct {
	Version, Method, Host, URL, UserAgent string
	Status                                int
	Server, ContentType                   string
}

// SSH is a handshake (RFC 4253) with HASSH fingerprints.
type SSH struct {
	Client, Server     string
	HASSH, HASSHServer string
}

// DHCP is what a client says of itself and is given (RFC 2131).
type DHCP struct {
	Message, MAC, Hostname, VendorClass string
	Requested, Assigned, Server         packet.Addr
	Parameters                          []uint8
	// ClientID is the client's identifier (RFC 2132, section 9.14; the DUID of DHCPv6) in
	// hexadecimal, and Client the address that it has already.
	ClientID   string
	Client     packet.Addr
	FromServer bool
}

// Cleartext is a login seen in the clear; the secret itself is never kept. User is empty
// where it may be the secret: without a password.
type Cleartext struct {
	Protocol, User string
}
