package remote

import (
	"context"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Status is the object that `amoskys status --json` prints. Keys are only ever
// added: docs/cli.md promises them.
type Status struct {
	Hub   HubStatus    `json:"hub"`
	Store *StoreStatus `json:"store,omitempty"`
	Roles []RoleStatus `json:"roles,omitempty"` // that up runs here
	// UpSince is when up was started here; the hub and each role may have been started
	// again since.
	UpSince *time.Time    `json:"up_since,omitempty"`
	Nodes   []NodeStatus  `json:"nodes"` // of every host that has or had one
	Agents  []AgentStatus `json:"agents"`
}

// HubStatus is the hub's part. State is ok, degraded, failed, or down when it
// does not answer; Error then says why.
type HubStatus struct {
	State           string   `json:"state"`
	Address         string   `json:"address,omitempty"` // as it was dialled
	Proxy           string   `json:"proxy,omitempty"`   // on the way there, without credentials
	Version         string   `json:"version"`
	UptimeSeconds   float64  `json:"uptime_seconds"`
	EventsPerSecond float64  `json:"events_per_second"`
	Reasons         []string `json:"reasons,omitempty"`
	Error           string   `json:"error,omitempty"`
	EventsTotal     uint64   `json:"events_total"`
	ErrorsTotal     uint64   `json:"errors_total"`
	Connections     uint32   `json:"connections"`
	AckP99Ms        float64  `json:"ack_p99_ms"`
	LogState        string   `json:"log_state"`
	LogEvents       uint64   `json:"log_events"` // events the log holds now
	LogBytes        uint64   `json:"log_bytes"`
	LogSegments     uint32   `json:"log_segments"`
	// LastBackup is the last one that is whole, where one is known.
	LastBackup *Backup `json:"last_backup,omitempty"`
}

// Backup is a backup that was made.
type Backup struct {
	ID       string    `json:"id"`
	Place    string    `json:"place"`
	Time     time.Time `json:"time"`
	Bytes    uint64    `json:"bytes"`
	Offset   uint64    `json:"offset"` // of the log, up to which it reaches
	WithKeys bool      `json:"with_keys"`
}

func backupOf(b *pb.Backup) *Backup {
	if b == nil {
		return nil
	}
	return &Backup{ID: b.GetId(), Place: b.GetPlace(), Time: b.GetTime().AsTime(), Bytes: b.GetBytes(), Offset: b.GetOffset(), WithKeys: b.GetWithKeys()}
}

// RoleStatus is one role that up runs on this machine. State is waiting, starting,
// running, crashed, stopping or stopped; health is green, yellow, grey or red.
type RoleStatus struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	Health   string `json:"health"`
	Detail   string `json:"detail,omitempty"`
	PID      int    `json:"pid"`
	Port     int    `json:"port"`
	Restarts int    `json:"restarts"`
}

// AgentStatus is one agent. State is starting, running, degraded, stopping,
// stopped, crashed or unknown; health is green, yellow or red.
type AgentStatus struct {
	ID              string  `json:"id"`
	Kind            string  `json:"kind"`
	Host            string  `json:"host"`
	State           string  `json:"state"`
	EventsPerSecond float64 `json:"events_per_second"`
	RSSBytes        uint64  `json:"rss_bytes"`
	CPUPercent      float64 `json:"cpu_percent"`
	Health          string  `json:"health"`
	Detail          string  `json:"detail,omitempty"`
	PID             uint32  `json:"pid"`
	Port            uint32  `json:"port"`
	EventsTotal     uint64  `json:"events_total"`
	EventsDropped   uint64  `json:"events_dropped_total"`
	SpoolEvents     uint64  `json:"spool_events"`
	SpoolBytes      uint64  `json:"spool_bytes"`
	Restarts        uint32  `json:"restarts"`
	NodeConnected   bool    `json:"node_connected"`
	Unsupervised    bool    `json:"unsupervised,omitempty"` // started by hand
	// CertificateEnds is when the certificate ends that it is connected with.
	CertificateEnds *time.Time `json:"certificate_not_after,omitempty"`
	Warning         string     `json:"warning,omitempty"` // what to know beyond its health
	// LastExit says when it last ended by itself, and how.
	LastExitTime *time.Time `json:"last_exit_time,omitempty"`
	LastExit     string     `json:"last_exit,omitempty"`
}

// NodeStatus is the node of one host. State is connected, reconnecting (gone for
// some seconds), away, or silent (gone for fleet.silent_host_minutes of the hub);
// health is green, unknown, yellow or red.
type NodeStatus struct {
	Host      string    `json:"host"`
	State     string    `json:"state"`
	Health    string    `json:"health"`
	Connected bool      `json:"connected"`
	LastSeen  time.Time `json:"last_seen"`
	Agents    uint32    `json:"agents"`
	Version   string    `json:"version"`
	Detail    string    `json:"detail,omitempty"`
}

// Status asks the hub for itself and its agents. With an error, the Status says
// that the hub is down and why.
func (c *Client) Status(ctx context.Context) (Status, error) {
	hub, err := c.Query.Status(ctx, &pb.StatusRequest{})
	var agents *pb.ListAgentsResponse
	if err == nil {
		agents, err = c.Fleet.ListAgents(ctx, &pb.ListAgentsRequest{})
	}
	if err != nil {
		err = c.Explain(err)
		down := Down(err)
		down.Hub.Address, down.Hub.Proxy = c.Addr, c.Proxy
		return down, err
	}
	out := Status{Hub: HubOf(hub), Agents: make([]AgentStatus, 0, len(agents.GetAgents())), Nodes: []NodeStatus{}}
	out.Hub.Address, out.Hub.Proxy = c.Addr, c.Proxy
	for _, a := range agents.GetAgents() {
		out.Agents = append(out.Agents, AgentOf(a))
	}
	for _, n := range agents.GetNodes() {
		out.Nodes = append(out.Nodes, NodeOf(n))
	}
	return out, nil
}

// Down is the Status of a hub that cannot be asked.
func Down(err error) Status {
	return Status{Hub: HubStatus{State: "down", Error: err.Error()}, Agents: []AgentStatus{}, Nodes: []NodeStatus{}}
}

// HubOf is the hub's answer as we print it.
func HubOf(s *pb.StatusResponse) HubStatus {
	log := s.GetLog()
	return HubStatus{
		State: s.GetState(), Version: s.GetVersion(), UptimeSeconds: s.GetUptime().AsDuration().Seconds(),
		EventsPerSecond: s.GetEventsPerSecond(), Reasons: s.GetReasons(),
		EventsTotal: s.GetEventsTotal(), ErrorsTotal: s.GetErrorsTotal(), Connections: s.GetConnections(),
		AckP99Ms: s.GetLatency().GetP99Ms(), LogState: log.GetState(), LogBytes: log.GetBytes(),
		LogSegments: log.GetSegments(), LogEvents: log.GetNextOffset() - min(log.GetFirstOffset(), log.GetNextOffset()),
		LastBackup: backupOf(s.GetLastBackup()),
	}
}

// AgentOf is one agent as we print it.
func AgentOf(a *pb.AgentStatus) AgentStatus {
	out := AgentStatus{
		ID: a.GetId(), Kind: a.GetKind(), Host: a.GetHost(), State: StateName(a.GetState()),
		EventsPerSecond: a.GetEventsPerSecond(), RSSBytes: a.GetRssBytes(), CPUPercent: a.GetCpuPercent(),
		Health: HealthName(a.GetHealth()), Detail: a.GetDetail(), PID: a.GetPid(), Port: a.GetPort(),
		EventsTotal: a.GetEventsTotal(), EventsDropped: a.GetEventsDroppedTotal(),
		SpoolEvents: a.GetSpoolEvents(), SpoolBytes: a.GetSpoolBytes(),
		Restarts: a.GetRestarts(), NodeConnected: a.GetNodeConnected(), Unsupervised: a.GetUnsupervised(),
		Warning: a.GetWarning(), LastExit: a.GetLastExit(),
	}
	if at := a.GetLastExitTime(); at != nil {
		t := at.AsTime()
		out.LastExitTime = &t
	}
	if end := a.GetCertificateNotAfter(); end != nil {
		at := end.AsTime()
		out.CertificateEnds = &at
	}
	return out
}

// NodeOf is one host's node as we print it.
func NodeOf(n *pb.NodeStatus) NodeStatus {
	return NodeStatus{
		Host: n.GetHost(), State: event.NodeState(n.GetHealth()), Health: HealthName(n.GetHealth()), Connected: n.GetConnected(),
		LastSeen: n.GetLastSeenTime().AsTime(), Agents: n.GetAgents(), Version: n.GetVersion(), Detail: n.GetDetail(),
	}
}

// StateName is the word for a state, such as "running".
func StateName(s pb.AgentState) string {
	if s == pb.AgentState_AGENT_STATE_UNSPECIFIED {
		return "unknown"
	}
	return strings.ToLower(strings.TrimPrefix(s.String(), "AGENT_STATE_"))
}

// HealthName is the word for a colour, such as "green".
func HealthName(h pb.AgentHealthLevel) string {
	if h == pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_UNSPECIFIED {
		return "unknown"
	}
	return strings.ToLower(strings.TrimPrefix(h.String(), "AGENT_HEALTH_LEVEL_"))
}
