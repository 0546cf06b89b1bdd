package synth

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// program is something people run.
type program struct {
	name, exe string
	args      []string
}

func programs() []program {
	return []program{
		{"git", "/usr/bin/git", []string{"git", "fetch", "--all"}},
		{"ls", "/bin/ls", []string{"ls", "-la", "/srv/www"}},
		{"python3", "/usr/bin/python3", []string{"python3", "/opt/jobs/report.py"}},
		{"curl", "/usr/bin/curl", []string{"curl", "-fsS", "https://www.example.com/status"}},
		{"psql", "/usr/bin/psql", []string{"psql", "-h", "db-01.example.com", "-c", "select 1"}},
		{"make", "/usr/bin/make", []string{"make", "test"}},
		{"vim", "/usr/bin/vim", []string{"vim", "notes.txt"}},
		{"rsync", "/usr/bin/rsync", []string{"rsync", "-a", "/srv/www/", "nas-01.example.com:/backup/"}},
	}
}

// service is something that is connected to.
type service struct {
	port uint32
	app  string
}

func services() []service {
	return []service{{443, "https"}, {443, "https"}, {443, "https"}, {80, "http"}, {22, "ssh"}, {5432, "postgresql"}, {25, "smtp"}, {993, "imaps"}}
}

// work is a person or a job that runs a program, which ends a while later.
func (g *Generator) work() {
	h, p := pick(g.rng, g.fleet.hosts), pick(g.rng, programs())
	proc := h.process(p.name, p.exe, p.args, h.shell.GetUser(), g.now)
	proc.Ppid, proc.WorkingDirectory = h.shell.GetPid(), "/home/"+h.shell.GetUser().GetName()
	g.at(0, execution(h, proc, h.shell))
	took := g.length(3 * time.Second)
	code := int32(0)
	if g.rng.IntN(20) == 0 {
		code = 1
	}
	g.at(took, &pb.Event{
		Type: event.TypeProcessExit, Host: h.msg,
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{
			Action: pb.ProcessAction_PROCESS_ACTION_TERMINATE, Process: proc, Parent: h.shell, ExitCode: &code,
			Usage: &pb.ProcessUsage{RssBytes: uint64(4+g.rng.IntN(400)) << 20, VszBytes: 1 << 30, Threads: uint32(1 + g.rng.IntN(8))},
		}},
	})
}

func execution(h *host, proc, parent *pb.Process) *pb.Event {
	return &pb.Event{
		Type: event.TypeProcessExecution, Host: h.msg,
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{
			Action: pb.ProcessAction_PROCESS_ACTION_LAUNCH, Process: proc, Parent: parent,
		}},
	}
}

// length is a random duration around a typical one, with a long tail.
func (g *Generator) length(typical time.Duration) time.Duration {
	return time.Duration(min(math.Exp(g.rng.NormFloat64()), 100) * float64(typical))
}

// connection is one that a host opened.
func (g *Generator) connection() {
	h, s := pick(g.rng, g.fleet.hosts), pick(g.rng, services())
	to := g.outside()
	to.Port = s.port
	g.at(0, &pb.Event{
		Type: event.TypeNetworkConnection, Host: h.msg,
		Body: &pb.Event_Network{Network: &pb.NetworkActivity{
			SrcEndpoint: h.endpoint(g.ephemeral()), DstEndpoint: to, ProtocolName: "tcp", ProtocolNumber: 6,
			Direction: "outbound", AppName: s.app, TcpState: "ESTABLISHED", StartTime: timestamppb.New(g.now), Process: h.shell,
		}},
	})
}

// flow is one seen from its first packet to its last.
func (g *Generator) flow() {
	h, s := pick(g.rng, g.fleet.hosts), pick(g.rng, services())
	to := g.outside()
	to.Port = s.port
	if to.GetHostname() != "" && g.rng.IntN(3) == 0 {
		g.lookup(h, to)
	}
	took := g.length(8 * time.Second)
	out, in := uint64(200+g.rng.IntN(20_000)), uint64(500+g.rng.IntN(2_000_000))
	g.plannedFlow(h, to, s.app, "", took, out, in)
}

// plannedFlow plans the events of a flow; anomaly labels them, if not empty.
func (g *Generator) plannedFlow(h *host, to *pb.Endpoint, app, anomaly string, took time.Duration, out, in uint64) {
	from := h.endpoint(g.ephemeral())
	begin := timestamppb.New(g.now)
	first := &pb.NetworkActivity{
		SrcEndpoint: from, DstEndpoint: to, ProtocolName: "tcp", ProtocolNumber: 6, Direction: "outbound", AppName: app, StartTime: begin,
	}
	last := &pb.NetworkActivity{
		SrcEndpoint: from, DstEndpoint: to, ProtocolName: "tcp", ProtocolNumber: 6, Direction: "outbound", AppName: app, StartTime: begin,
		EndTime: timestamppb.New(g.now.Add(took)), BytesOut: out, BytesIn: in, PacketsOut: out/900 + 3, PacketsIn: in/1200 + 3, EndReason: "fin",
	}
	if app == "https" {
		tls := g.secure(to)
		first.Tls, last.Tls = tls, tls
	}
	for _, n := range []*pb.NetworkActivity{first, last} {
		n.CommunityId, n.Category, n.Process = communityID(from, to, 6), category(app), h.shell
	}
	g.at(0, labelled(anomaly, &pb.Event{Type: event.TypeFlowCreated, Host: h.msg, Body: &pb.Event_Network{Network: first}}))
	g.updates(h, anomaly, last, took)
	g.at(took, labelled(anomaly, &pb.Event{Type: event.TypeFlowEnded, Host: h.msg, Body: &pb.Event_Network{Network: last}}))
}

// labelled marks an event as part of an incident.
func labelled(anomaly string, ev *pb.Event) *pb.Event {
	if anomaly != "" {
		ev.Labels = map[string]string{"anomaly": anomaly}
		ev.Severity = pb.Severity_SEVERITY_MEDIUM
	}
	return ev
}

// file is a file that was written, made or removed.
func (g *Generator) file() {
	h := pick(g.rng, g.fleet.hosts)
	name := fmt.Sprintf("%s-%03d.%s", pick(g.rng, []string{"report", "invoice", "build", "photo", "notes"}), g.rng.IntN(1000),
		pick(g.rng, []string{"txt", "pdf", "o", "jpg", "csv"}))
	typ, action := event.TypeFileModify, pb.FileAction_FILE_ACTION_MODIFY
	switch g.rng.IntN(10) {
	case 0:
		typ, action = event.TypeFileDelete, pb.FileAction_FILE_ACTION_DELETE
	case 1, 2:
		typ, action = event.TypeFileCreate, pb.FileAction_FILE_ACTION_CREATE
	}
	g.at(0, g.fileEvent(h, typ, action, name, h.shell))
}

func (g *Generator) fileEvent(h *host, typ string, action pb.FileAction, name string, actor *pb.Process) *pb.Event {
	user := h.shell.GetUser()
	return &pb.Event{
		Type: typ, Host: h.msg,
		Body: &pb.Event_File{File: &pb.FileActivity{
			Action: action, Actor: actor,
			File: &pb.File{
				Path: "/home/" + user.GetName() + "/" + name, Name: name, SizeBytes: uint64(100 + g.rng.IntN(5_000_000)),
				Mode: 0o644, Owner: user, ModifiedTime: timestamppb.New(g.now), Type: "regular",
			},
		}},
	}
}

// login is somebody who proves who they are, mostly at the first try.
func (g *Generator) login() {
	h, user := pick(g.rng, g.fleet.hosts), pick(g.rng, g.fleet.users[1:])
	from := pick(g.rng, g.fleet.hosts).endpoint(g.ephemeral())
	after := time.Duration(0)
	if g.rng.IntN(12) == 0 {
		g.at(0, auth(h, user, from, "", false))
		after = g.length(4 * time.Second)
	}
	g.at(after, auth(h, user, from, "", true))
}

func auth(h *host, user *pb.User, from *pb.Endpoint, anomaly string, ok bool) *pb.Event {
	a := &pb.Authentication{
		Action: pb.AuthAction_AUTH_ACTION_LOGON, Status: pb.AuthStatus_AUTH_STATUS_SUCCESS, User: user, SrcEndpoint: from,
		Service: "sshd", AuthProtocol: "publickey", LogonType: "network",
	}
	if !ok {
		a.Status, a.StatusDetail, a.AuthProtocol = pb.AuthStatus_AUTH_STATUS_FAILURE, "Failed password", "password"
	}
	ev := labelled(anomaly, &pb.Event{Type: event.TypeAuthAttempt, Host: h.msg, Body: &pb.Event_Authentication{Authentication: a}})
	if !ok && anomaly == "" {
		ev.Severity = pb.Severity_SEVERITY_LOW
	}
	return ev
}

// device is a machine that a scan found.
func (g *Generator) device() {
	h := pick(g.rng, g.fleet.hosts)
	d := &pb.DeviceInventory{
		Uid: h.msg.GetId(), Ip: []string{h.ip}, Mac: []string{h.mac}, Hostname: h.msg.GetName(), OsName: h.msg.GetOsType(),
		DeviceClass: h.class, Confidence: 0.9, Subnet: insideBlock + "0/24",
		FirstSeenTime: timestamppb.New(g.start), LastSeenTime: timestamppb.New(g.now),
		Ports: []*pb.Port{{Port: 22, Protocol: "tcp", Service: "ssh"}},
	}
	g.at(0, &pb.Event{Type: event.TypeDeviceDiscovered, Host: g.fleet.hosts[0].msg, Body: &pb.Event_Device{Device: d}})
}
