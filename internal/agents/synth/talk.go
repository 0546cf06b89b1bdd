package synth

import (
	"crypto/sha1" //nolint:gosec // what Community ID is made with
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Times of made-up flows.
const (
	// updateEvery is how often a flow that goes on is told of.
	updateEvery = 30 * time.Second
	// mostUpdates bounds what one long flow makes.
	mostUpdates = 10
	day         = 24 * time.Hour
)

// category is what an application is for; empty for one that is not in the table.
func category(app string) string {
	return map[string]string{
		"https": "web", "http": "web", "ssh": "remote access", "postgresql": "database",
		"smtp": "mail", "imaps": "mail", "dns": "network",
	}[app]
}

// communityID names the flow between two ends by Community ID version 1, seed 0: the
// base64 of SHA-1 over both ends, the lower first. Ends without an address have none.
func communityID(a, b *pb.Endpoint, protocol byte) string {
	from, errA := netip.ParseAddr(a.GetIp())
	to, errB := netip.ParseAddr(b.GetIp())
	if errA != nil || errB != nil || from.Is4() != to.Is4() {
		return ""
	}
	fromPort, toPort := uint16(a.GetPort()), uint16(b.GetPort())
	if c := from.Compare(to); c > 0 || c == 0 && fromPort > toPort {
		from, to, fromPort, toPort = to, from, toPort, fromPort
	}
	buf := append([]byte{0, 0}, from.AsSlice()...)
	buf = append(append(buf, to.AsSlice()...), protocol, 0)
	buf = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(buf, fromPort), toPort)
	sum := sha1.Sum(buf) //nolint:gosec // as above
	return "1:" + base64.StdEncoding.EncodeToString(sum[:])
}

// secure is what the hellos of an https flow told, and in one of four, of TLS 1.2, the
// certificate too: one that a made-up authority issued, or its own.
func (g *Generator) secure(to *pb.Endpoint) *pb.Tls {
	clients := []string{"t13d1516h2_8daaf6152771_02713d6af862", "t13d1715h2_5b57614c22b0_3d5424432f57", "t13d311100_e8f1e7e78f70_d41ae481755e"}
	t := &pb.Tls{Version: "1.3", Sni: to.GetHostname(), Alpn: []string{"h2"}, Ja4: pick(g.rng, clients), Ja4S: "t130200_1301_a56c5b993250"}
	if to.GetHostname() == "" || g.rng.IntN(4) != 0 {
		return t
	}
	t.Version, t.Ja4S = "1.2", "t120400_c030_4e8089b08790"
	t.CertificateSubject, t.CertificateIssuer = "CN="+to.GetHostname(), "CN=Example Authority "+string(rune('A'+g.rng.IntN(3)))
	t.CertificateNotAfter = timestamppb.New(g.start.Truncate(day).Add(time.Duration(g.rng.IntN(120)-5) * day))
	if g.rng.IntN(12) == 0 {
		t.CertificateIssuer, t.CertificateSelfSigned = t.GetCertificateSubject(), true
	}
	return t
}

// lookup is a question for a name and its answer, before a flow goes there; one in
// twelve asks for a name that is not there.
func (g *Generator) lookup(h *host, of *pb.Endpoint) {
	from, server := h.endpoint(g.ephemeral()), pick(g.rng, g.fleet.hosts)
	took := g.length(6 * time.Millisecond)
	n := &pb.NetworkActivity{
		SrcEndpoint: from, DstEndpoint: server.endpoint(53), ProtocolName: "udp", ProtocolNumber: 17, Direction: "internal",
		AppName: "dns", Category: category("dns"), StartTime: timestamppb.New(g.now), EndTime: timestamppb.New(g.now.Add(took)),
		BytesOut: 62, BytesIn: 140, PacketsOut: 1, PacketsIn: 1, EndReason: "idle", Process: h.shell,
		DnsQuery: of.GetHostname(), DnsQueryType: "A", DnsResponseCode: "NOERROR", DnsLatency: durationpb.New(took),
		DnsAnswers: []*pb.DnsAnswer{{Type: "A", Rdata: of.GetIp(), Ttl: 300}},
	}
	if g.rng.IntN(12) == 0 {
		n.DnsQuery, n.DnsResponseCode, n.DnsAnswers = "missing-"+of.GetHostname(), "NXDOMAIN", nil
	}
	n.CommunityId = communityID(from, n.GetDstEndpoint(), 17)
	g.at(took, &pb.Event{Type: event.TypeFlowEnded, Host: h.msg, Body: &pb.Event_Network{Network: n}})
}

// updates tells of a flow that goes on, with what it has carried by then.
func (g *Generator) updates(h *host, anomaly string, last *pb.NetworkActivity, took time.Duration) {
	for i := 1; i <= mostUpdates && time.Duration(i)*updateEvery < took; i++ {
		at := time.Duration(i) * updateEvery
		n, ok := proto.Clone(last).(*pb.NetworkActivity)
		if !ok {
			panic("synth: a clone is of another type") // programmer error
		}
		share := float64(at) / float64(took)
		part := func(v uint64) uint64 { return uint64(float64(v) * share) }
		n.EndTime, n.EndReason = nil, ""
		n.BytesOut, n.BytesIn = part(n.GetBytesOut()), part(n.GetBytesIn())
		n.PacketsOut, n.PacketsIn = part(n.GetPacketsOut()), part(n.GetPacketsIn())
		g.at(at, labelled(anomaly, &pb.Event{Type: event.TypeFlowUpdated, Host: h.msg, Body: &pb.Event_Network{Network: n}}))
	}
}

// finding is what somebody would make of an incident.
func (g *Generator) finding(after time.Duration, h *host, anomaly, technique string, severity pb.Severity, observables map[string]string) {
	ev := labelled(anomaly, &pb.Event{
		Type: "finding." + g.kind + "." + anomaly, Host: h.msg,
		Body: &pb.Event_Finding{Finding: &pb.DetectionFinding{
			Uid:   fmt.Sprintf("%s-%016x", anomaly, g.rng.Uint64()),
			Title: "Made up: " + strings.ReplaceAll(anomaly, "_", " "), Techniques: []string{technique},
			RiskScore: 50, Confidence: 0.8, Observables: observables, Status: "open",
		}},
	})
	ev.Severity = severity
	g.at(after, ev)
}
