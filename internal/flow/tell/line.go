// Package tell turns flows into what is told of them: events of the wire contract,
// and lines for people and programs.
package tell

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// Line is one flow as `amoskys replay --json` prints it. Its keys are stable and
// named by ECS where that has a name; "out" is what the source sent. What is not
// known is left out.
type Line struct {
	CommunityID string `json:"community_id"`
	SrcIP       string `json:"src_ip"`
	SrcPort     uint16 `json:"src_port"`
	DstIP       string `json:"dst_ip"`
	DstPort     uint16 `json:"dst_port"`
	Protocol    string `json:"protocol"`
	App         string `json:"app"`
	Category    string `json:"category"`
	Packets     uint64 `json:"packets"`
	Bytes       uint64 `json:"bytes"` // of IP packets
	Start       string `json:"start"` // RFC 3339
	End         string `json:"end"`

	Confidence  float64 `json:"app_confidence,omitempty"`
	PacketsOut  uint64  `json:"packets_out"`
	PacketsIn   uint64  `json:"packets_in"`
	BytesOut    uint64  `json:"bytes_out"`
	BytesIn     uint64  `json:"bytes_in"`
	PayloadOut  uint64  `json:"payload_bytes_out"`
	PayloadIn   uint64  `json:"payload_bytes_in"`
	Seconds     float64 `json:"duration_seconds"`
	EndReason   string  `json:"end_reason"`
	OneSided    bool    `json:"one_sided,omitempty"`
	VLAN        uint16  `json:"vlan_id,omitempty"`
	Tunnels     string  `json:"tunnels,omitempty"` // outermost first, separated by commas
	SrcMAC      string  `json:"src_mac,omitempty"`
	DstMAC      string  `json:"dst_mac,omitempty"`
	ICMPType    *uint16 `json:"icmp.type,omitempty"`
	ICMPCode    *uint16 `json:"icmp.code,omitempty"`
	State       string  `json:"tcp.state,omitempty"`
	FlagsOut    string  `json:"tcp.flags_out,omitempty"`
	FlagsIn     string  `json:"tcp.flags_in,omitempty"`
	RetransOut  uint32  `json:"tcp.retransmissions_out,omitempty"`
	RetransIn   uint32  `json:"tcp.retransmissions_in,omitempty"`
	RTT         float64 `json:"tcp.rtt_seconds,omitempty"`
	ClosedBy    string  `json:"tcp.closed_by,omitempty"` // "source" or "destination"
	Midstream   bool    `json:"tcp.midstream,omitempty"`
	TLSName     string  `json:"tls.server_name,omitempty"`
	JA4         string  `json:"tls.ja4,omitempty"`
	JA3         string  `json:"tls.ja3,omitempty"`
	TLSVersion  string  `json:"tls.version,omitempty"`
	ALPN        string  `json:"tls.alpn,omitempty"` // offered, separated by commas
	Cipher      string  `json:"tls.cipher,omitempty"`
	ECH         bool    `json:"tls.ech,omitempty"`
	Subject     string  `json:"tls.certificate.subject,omitempty"`
	Issuer      string  `json:"tls.certificate.issuer,omitempty"`
	SHA256      string  `json:"tls.certificate.sha256,omitempty"`
	NotAfter    string  `json:"tls.certificate.not_after,omitempty"`
	SelfSigned  bool    `json:"tls.certificate.self_signed,omitempty"`
	QUIC        string  `json:"quic.version,omitempty"`
	DNSQuery    string  `json:"dns.query,omitempty"`
	DNSType     string  `json:"dns.type,omitempty"`
	DNSResponse string  `json:"dns.response_code,omitempty"`
	Host        string  `json:"http.host,omitempty"`
	Method      string  `json:"http.method,omitempty"`
	URL         string  `json:"http.url,omitempty"`
	UserAgent   string  `json:"http.user_agent,omitempty"`
	Status      int     `json:"http.status_code,omitempty"`
	Server      string  `json:"http.server,omitempty"`
	SSHClient   string  `json:"ssh.client,omitempty"`
	SSHServer   string  `json:"ssh.server,omitempty"`
	HASSH       string  `json:"ssh.hassh,omitempty"`
	HASSHServer string  `json:"ssh.hassh_server,omitempty"`
	DHCPName    string  `json:"dhcp.hostname,omitempty"`
	DHCPVendor  string  `json:"dhcp.vendor_class,omitempty"`
	Cleartext   string  `json:"cleartext.protocol,omitempty"`
	User        string  `json:"cleartext.user,omitempty"`
	Entropy     float64 `json:"payload_entropy,omitempty"`
	// From databases that the user provides.
	SrcCountry string `json:"source.geo.country_iso_code,omitempty"`
	SrcAS      uint32 `json:"source.as.number,omitempty"`
	SrcASName  string `json:"source.as.organization.name,omitempty"`
	DstCountry string `json:"destination.geo.country_iso_code,omitempty"`
	DstAS      uint32 `json:"destination.as.number,omitempty"`
	DstASName  string `json:"destination.as.organization.name,omitempty"`
}

// LineOf describes a flow.
func LineOf(f *track.Flow) Line {
	l := Line{
		CommunityID: f.ID.CommunityID(), SrcIP: Address(f.Src), DstIP: Address(f.Dst), SrcPort: f.SrcPort, DstPort: f.DstPort,
		Protocol: ProtocolName(f.Protocol), Category: "unknown",
		Packets: f.Out.Packets + f.In.Packets, Bytes: f.Out.Bytes + f.In.Bytes, Start: stamp(f.First), End: stamp(f.Last),
		PacketsOut: f.Out.Packets, PacketsIn: f.In.Packets, BytesOut: f.Out.Bytes, BytesIn: f.In.Bytes,
		PayloadOut: f.Out.Payload, PayloadIn: f.In.Payload, Seconds: time.Duration(f.Last - f.First).Seconds(),
		EndReason: f.End.String(), OneSided: f.OneSided, VLAN: f.VLAN, Tunnels: strings.Join(Tunnels(f), ","),
		SrcMAC: Hardware(f.SrcMAC), DstMAC: Hardware(f.DstMAC),
		State: f.State, FlagsOut: Flags(f.Out.Flags), FlagsIn: Flags(f.In.Flags),
		RetransOut: f.Out.Retransmissions, RetransIn: f.In.Retransmissions,
		RTT: time.Duration(f.RTT).Seconds(), ClosedBy: ClosedBy(f), Midstream: f.Midstream,
	}
	if kind, code, is := f.ICMP(); is {
		wide, also := uint16(kind), uint16(code)
		l.ICMPType, l.ICMPCode = &wide, &also
	}
	if f.Facts != nil {
		l.learn(f.Facts)
	}
	return l
}

// learn adds what the content told.
func (l *Line) learn(f *dissect.Facts) {
	l.App, l.Category, l.Confidence, l.Entropy = f.App, cmp.Or(f.Category, "unknown"), f.Confidence, f.Entropy
	if t := f.TLS; t != nil {
		l.TLSName, l.JA4, l.JA3, l.TLSVersion, l.Cipher, l.ECH = t.SNI, t.JA4, t.JA3, t.Version, t.Cipher, t.ECH
		l.ALPN = strings.Join(t.ALPN, ",")
		l.Subject, l.Issuer, l.SHA256, l.SelfSigned = t.Subject, t.Issuer, t.SHA256, t.SelfSigned
		if !t.NotAfter.IsZero() {
			l.NotAfter = t.NotAfter.UTC().Format(time.RFC3339)
		}
	}
	if f.QUIC != nil {
		l.QUIC = f.QUIC.Version
	}
	if d := f.DNS; d != nil {
		l.DNSQuery, l.DNSType, l.DNSResponse = d.Query, d.Type, d.Response
	}
	if h := f.HTTP; h != nil {
		l.Host, l.Method, l.URL, l.UserAgent, l.Status, l.Server = h.Host, h.Method, h.URL, h.UserAgent, h.Status, h.Server
	}
	if s := f.SSH; s != nil {
		l.SSHClient, l.SSHServer, l.HASSH, l.HASSHServer = s.Client, s.Server, s.HASSH, s.HASSHServer
	}
	if d := f.DHCP; d != nil {
		l.DHCPName, l.DHCPVendor = d.Hostname, d.VendorClass
	}
	if c := f.Cleartext; c != nil {
		l.Cleartext, l.User = c.Protocol, c.User
	}
}

// Name is the name by which the content calls the other side, for people; may be
// empty.
func (l *Line) Name() string {
	return cmp.Or(l.TLSName, l.Host, l.DNSQuery, l.SSHServer, l.DHCPName)
}

func stamp(at int64) string { return time.Unix(0, at).UTC().Format(time.RFC3339Nano) }

// Address writes an address as people do, IPv4 without its mapping.
func Address(a packet.Addr) string { return a.IP().String() }

// Hardware writes an address of IEEE 802; empty where there is none.
func Hardware(m packet.MAC) string {
	if m == (packet.MAC{}) {
		return ""
	}
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, octet := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[octet>>4], digits[octet&15])
	}
	return string(b)
}

// Flags writes TCP flags as letters of "FSRPAUEC", in this order.
func Flags(flags uint8) string {
	b := make([]byte, 0, 8)
	for i, letter := range []byte("FSRPAUEC") {
		if flags&(1<<i) != 0 {
			b = append(b, letter)
		}
	}
	return string(b)
}

// ClosedBy says who closed or reset a flow of TCP: "source", "destination", or empty.
func ClosedBy(f *track.Flow) string {
	switch {
	case !f.Closed:
		return ""
	case f.ClosedBy == dissect.FromInitiator:
		return "source"
	}
	return "destination"
}

// ProtocolName is the keyword of IANA's registry of protocol numbers, in lower case;
// a number without one is itself.
func ProtocolName(number uint8) string {
	if name, known := protocolNames[number]; known {
		return name
	}
	return strconv.Itoa(int(number))
}

//nolint:gochecknoglobals // constant
var protocolNames = map[uint8]string{
	0: "hopopt", 1: "icmp", 2: "igmp", 4: "ipv4", 6: "tcp", 8: "egp", 9: "igp", 17: "udp", 27: "rdp", 33: "dccp", 41: "ipv6",
	43: "ipv6-route", 44: "ipv6-frag", 46: "rsvp", 47: "gre", 50: "esp", 51: "ah", 58: "ipv6-icmp", 59: "ipv6-nonxt",
	60: "ipv6-opts", 88: "eigrp", 89: "ospfigp", 94: "ipip", 97: "etherip", 98: "encap", 103: "pim", 108: "ipcomp",
	112: "vrrp", 115: "l2tp", 132: "sctp", 133: "fc", 136: "udplite", 137: "mpls-in-ip",
}

// Tunnels names the headers around the first packet of a flow, such as "vlan:7",
// outermost first. An IP header that carries another is "ip:SOURCE>DESTINATION": those
// who put packets into the tunnel, and take them out.
func Tunnels(f *track.Flow) []string {
	out := make([]string, 0, len(f.Tunnels)+1)
	for i, t := range f.Tunnels {
		if i == int(f.OuterAt) {
			out = appendOuter(out, f)
		}
		name := tunnelName(t.Kind)
		if t.ID != 0 {
			name += ":" + strconv.FormatUint(uint64(t.ID), 10)
		}
		out = append(out, name)
	}
	return out
}

func appendOuter(out []string, f *track.Flow) []string {
	if f.OuterSrc == (packet.Addr{}) && f.OuterDst == (packet.Addr{}) {
		return out
	}
	return append(out, "ip:"+Address(f.OuterSrc)+">"+Address(f.OuterDst))
}

func tunnelName(k packet.TunnelKind) string {
	names := [...]string{"none", "vlan", "mpls", "pppoe", "gre", "vxlan", "geneve", "ipip", "gtpu", "erspan", "teredo", "l2tp"}
	if int(k) < len(names) {
		return names[k]
	}
	return "tunnel"
}
