package tell

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/flow/dissect"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Surroundings are what the observing host knows of a flow beside its packets. Each
// may be nil.
type Surroundings struct {
	// Own reports whether an address is the observing host's.
	Own func(packet.Addr) bool
	// Name is a name of an address, such as one that DNS gave for it; may be empty.
	Name func(packet.Addr) string
	// Interface names an interface of the source by its number.
	Interface func(uint16) string
	// Owner is the process of this host whose socket the flow is, or nil.
	Owner func(dissect.Tuple) *pb.Process
}

// body is a NetworkActivity with what nearly each has: one piece of memory instead of
// six, since there is one for each flow.
type body struct {
	activity   pb.NetworkActivity
	src, dst   pb.Endpoint
	start, end timestamppb.Timestamp
	rtt        durationpb.Duration
}

// Activity describes a flow as a body of an event.
func (s Surroundings) Activity(f *track.Flow) *pb.NetworkActivity {
	b := new(body)
	a := &b.activity
	s.endpoint(&b.src, f, f.Src, f.SrcPort, f.SrcMAC)
	s.endpoint(&b.dst, f, f.Dst, f.DstPort, f.DstMAC)
	setTime(&b.start, f.First)
	setTime(&b.end, f.Last)
	a.SrcEndpoint, a.DstEndpoint, a.StartTime, a.EndTime = &b.src, &b.dst, &b.start, &b.end
	a.ProtocolName, a.ProtocolNumber = ProtocolName(f.Protocol), uint32(f.Protocol)
	a.Direction, a.CommunityId = s.Direction(f.Src, f.Dst), f.ID.CommunityID()
	a.BytesOut, a.BytesIn, a.PacketsOut, a.PacketsIn = f.Out.Bytes, f.In.Bytes, f.Out.Packets, f.In.Packets
	a.PayloadBytesOut, a.PayloadBytesIn = f.Out.Payload, f.In.Payload
	a.TcpState, a.TcpFlagsOut, a.TcpFlagsIn = f.State, Flags(f.Out.Flags), Flags(f.In.Flags)
	a.RetransmissionsOut, a.RetransmissionsIn = uint64(f.Out.Retransmissions), uint64(f.In.Retransmissions)
	a.EndReason, a.ClosedBy, a.OneSided, a.Midstream = f.End.String(), ClosedBy(f), f.OneSided, f.Midstream
	a.Tunnels = Tunnels(f)
	if f.RTT > 0 {
		b.rtt.Seconds, b.rtt.Nanos = f.RTT/1e9, int32(f.RTT%1e9)
		a.RoundTripTime = &b.rtt
	}
	if kind, code, is := f.ICMP(); is {
		a.IcmpType, a.IcmpCode, b.src.Port, b.dst.Port = uint32(kind), uint32(code), 0, 0
	}
	if s.Owner != nil && a.GetDirection() != "unknown" {
		a.Process = s.Owner(f.Tuple)
	}
	if f.Facts != nil {
		learn(a, f.Facts)
	}
	return a
}

func (s Surroundings) endpoint(e *pb.Endpoint, f *track.Flow, addr packet.Addr, port uint16, mac packet.MAC) {
	e.Ip, e.Port, e.Mac, e.VlanId = Address(addr), uint32(port), Hardware(mac), uint32(f.VLAN)
	if s.Name != nil {
		e.Hostname = s.Name(addr)
	}
	if s.Interface != nil {
		e.InterfaceName = s.Interface(f.Interface)
	}
}

// Direction says how a flow lies to the observing host: "outbound" where it began,
// "inbound" where it answers, "internal" between its own addresses, or between
// others that are all private; "unknown" for what passes between others.
func (s Surroundings) Direction(src, dst packet.Addr) string {
	own := s.Own
	if own == nil {
		own = func(packet.Addr) bool { return false }
	}
	from, to := own(src), own(dst)
	switch {
	case from && to:
		return "internal"
	case from:
		return "outbound"
	case to:
		return "inbound"
	}
	from, to = private(src), private(dst)
	switch {
	case from && to:
		return "internal"
	case from:
		return "outbound"
	case to:
		return "inbound"
	}
	return "unknown"
}

// setTime sets a time in Unix nanoseconds.
func setTime(t *timestamppb.Timestamp, at int64) {
	when := time.Unix(0, at)
	t.Seconds, t.Nanos = when.Unix(), int32(when.Nanosecond())
}

// learn adds what the content told.
func learn(a *pb.NetworkActivity, f *dissect.Facts) {
	a.AppName, a.Category, a.AppConfidence, a.PayloadEntropy, a.PayloadLengths = f.App, f.Category, f.Confidence, f.Entropy, f.Lengths
	if t := f.TLS; t != nil {
		a.Tls = &pb.Tls{
			Version: t.Version, Sni: t.SNI, Alpn: t.ALPN, Cipher: t.Cipher, Ja4: t.JA4, Ja3: t.JA3, Ech: t.ECH,
			CertificateSubject: t.Subject, CertificateIssuer: t.Issuer, CertificateSha256: t.SHA256, CertificateSelfSigned: t.SelfSigned,
		}
		if !t.NotAfter.IsZero() {
			a.Tls.CertificateNotAfter, a.Tls.CertificateNotBefore = timestamppb.New(t.NotAfter), timestamppb.New(t.NotBefore)
		}
	}
	if q := f.QUIC; q != nil {
		a.Quic = &pb.Quic{Version: q.Version, UserAgent: q.UserAgent}
	}
	if d := f.DNS; d != nil {
		learnDNS(a, d)
	}
	if h := f.HTTP; h != nil {
		a.Http = &pb.Http{
			Version: h.Version, Method: h.Method, Host: h.Host, Url: h.URL, UserAgent: h.UserAgent,
			StatusCode: uint32(max(0, h.Status)), Server: h.Server, ContentType: h.ContentType,
		}
	}
	if s := f.SSH; s != nil {
		a.Ssh = &pb.Ssh{ClientVersion: s.Client, ServerVersion: s.Server, Hassh: s.HASSH, HasshServer: s.HASSHServer}
	}
	if d := f.DHCP; d != nil {
		learnDHCP(a, d)
	}
}

func learnDNS(a *pb.NetworkActivity, d *dissect.DNS) {
	a.DnsQuery, a.DnsQueryType, a.DnsResponseCode = d.Query, d.Type, d.Response
	if d.Latency > 0 {
		a.DnsLatency = durationpb.New(d.Latency)
	}
	for _, answer := range d.Answers {
		a.DnsAnswers = append(a.DnsAnswers, &pb.DnsAnswer{Type: answer.Type, Rdata: answer.Data, Ttl: answer.TTL})
	}
}

func learnDHCP(a *pb.NetworkActivity, d *dissect.DHCP) {
	address := func(x packet.Addr) string {
		if x == (packet.Addr{}) {
			return ""
		}
		return Address(x)
	}
	a.Dhcp = &pb.Dhcp{
		MessageType: d.Message, ClientMac: d.MAC, Hostname: d.Hostname, VendorClass: d.VendorClass,
		RequestedIp: address(d.Requested), AssignedIp: address(d.Assigned), ServerIp: address(d.Server),
	}
	for _, p := range d.Parameters {
		a.Dhcp.Parameters = append(a.Dhcp.Parameters, uint32(p))
	}
}
