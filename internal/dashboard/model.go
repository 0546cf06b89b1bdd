package dashboard

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Event is one stored event, as the API shows it.
type Event struct {
	Offset     uint64         `json:"offset" doc:"Position in the log."`
	ID         string         `json:"id" doc:"UUIDv7 of the event."`
	Time       time.Time      `json:"time" doc:"When it happened, by the observing host's clock."`
	LoggedTime time.Time      `json:"logged_time" doc:"When the hub took it."`
	Type       string         `json:"type"`
	Severity   string         `json:"severity" enum:"informational,low,medium,high,critical,unknown"`
	Host       string         `json:"host" doc:"The host that it is about."`
	Observer   string         `json:"observer" doc:"The host that saw it, where it is about another host or a device; else empty."`
	About      string         `json:"about" doc:"The device that it is about, where that is no host with agents."`
	Agent      string         `json:"agent"`
	AgentKind  string         `json:"agent_kind"`
	Publisher  string         `json:"publisher" doc:"SPIFFE id of the certificate it came with."`
	Message    string         `json:"message" doc:"One line for people."`
	Fields     map[string]any `json:"fields" doc:"Every attribute by its name in queries."`
}

// newEvent decodes a stored event. One that cannot be read keeps its place,
// with a message that says so.
func newEvent(stored *pb.StoredEvent) Event {
	e := Event{
		Offset: stored.GetOffset(), LoggedTime: stored.GetLoggedTime().AsTime(), Publisher: stored.GetPublisher(),
		Severity: "unknown", Fields: map[string]any{},
	}
	ev, err := event.Decode(stored.GetEvent())
	if err != nil {
		e.Time, e.Message = e.LoggedTime, "this event cannot be read: "+err.Error()
		return e
	}
	event.Attribute(ev, e.Publisher)
	e.ID, e.Time, e.Type = event.IDString(ev.GetId()), event.Time(ev), ev.GetType()
	if !ev.GetTime().IsValid() {
		e.Time = e.LoggedTime // JSON has no form for that of the event
	}
	e.Severity = event.SeverityText(ev.GetSeverity())
	e.Host, e.Agent, e.AgentKind = ev.GetHost().GetName(), ev.GetAgent().GetId(), ev.GetAgent().GetKind()
	e.Observer, e.About = ev.GetObserver().GetName(), event.AboutName(ev.GetAbout())
	e.Message = event.Summary(ev)
	for name, v := range event.Fields(ev) {
		e.Fields[name] = plain(v)
	}
	return e
}

// plain makes a value that JSON can hold.
func plain(v any) any {
	switch x := v.(type) {
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
	case time.Time:
		if year := x.Year(); year < 0 || year > 9999 {
			return x.Format(time.RFC3339Nano)
		}
	case []any:
		list := make([]any, len(x))
		for i := range x {
			list[i] = plain(x[i])
		}
		return list
	}
	return v
}

func newEvents(stored []*pb.StoredEvent) []Event {
	events := make([]Event, len(stored))
	for i, e := range stored {
		events[i] = newEvent(e)
	}
	return events
}

// Agent is what is known of one agent.
type Agent struct {
	ID                 string     `json:"id"`
	Kind               string     `json:"kind"`
	Host               string     `json:"host"`
	Node               string     `json:"node"`
	Version            string     `json:"version"`
	State              string     `json:"state" enum:"starting,running,degraded,stopping,stopped,crashed,unknown"`
	Health             string     `json:"health" enum:"green,yellow,red,unknown"`
	Detail             string     `json:"detail" doc:"Why the health is not green, and what the agent says of what it does."`
	PID                uint32     `json:"pid"`
	Port               uint32     `json:"port"`
	StartedAt          *time.Time `json:"started_at" nullable:"true"`
	LastEventAt        *time.Time `json:"last_event_at" nullable:"true"`
	EventsTotal        uint64     `json:"events_total"`
	EventsPerSecond    float64    `json:"events_per_second"`
	EventsDroppedTotal uint64     `json:"events_dropped_total"`
	CPUPercent         float64    `json:"cpu_percent" doc:"Share of one core."`
	RSSBytes           uint64     `json:"rss_bytes"`
	SpoolBytes         uint64     `json:"spool_bytes"`
	SpoolEvents        uint64     `json:"spool_events"`
	Restarts           uint32     `json:"restarts"`
	NodeConnected      bool       `json:"node_connected"`
	Enabled            bool       `json:"enabled"`
	Unsupervised       bool       `json:"unsupervised" doc:"Somebody started it by hand; no node can steer it."`
	Privileges         []string   `json:"privileges" nullable:"false" doc:"What it needs beyond a plain user's rights."`
	CertificateEndsAt  *time.Time `json:"certificate_ends_at" nullable:"true" doc:"When the certificate ends that it, or its node, is connected with."`
	LastExitAt         *time.Time `json:"last_exit_at" nullable:"true" doc:"When it last ended by itself."`
	LastExit           string     `json:"last_exit" doc:"How it last ended by itself, and the line of its log that says why."`
	Warning            string     `json:"warning" doc:"What people should know beyond its health, and what to do."`
}

func newAgent(a *pb.AgentStatus) Agent {
	return Agent{
		ID: a.GetId(), Kind: a.GetKind(), Host: a.GetHost(), Node: a.GetNodeId(), Version: a.GetVersion(),
		State: stateText(a.GetState()), Health: healthText(a.GetHealth()), Detail: a.GetDetail(),
		PID: a.GetPid(), Port: a.GetPort(), StartedAt: instant(a.GetStartedTime()), LastEventAt: instant(a.GetLastEventTime()),
		EventsTotal: a.GetEventsTotal(), EventsPerSecond: finite(a.GetEventsPerSecond()), EventsDroppedTotal: a.GetEventsDroppedTotal(),
		CPUPercent: finite(a.GetCpuPercent()), RSSBytes: a.GetRssBytes(), SpoolBytes: a.GetSpoolBytes(), SpoolEvents: a.GetSpoolEvents(),
		Restarts: a.GetRestarts(), NodeConnected: a.GetNodeConnected(), Enabled: a.GetEnabled(),
		Unsupervised: a.GetUnsupervised(), Privileges: append([]string{}, a.GetPrivileges()...),
		CertificateEndsAt: instant(a.GetCertificateNotAfter()), Warning: a.GetWarning(),
		LastExitAt: instant(a.GetLastExitTime()), LastExit: a.GetLastExit(),
	}
}

func newAgents(list []*pb.AgentStatus) []Agent {
	agents := make([]Agent, len(list))
	for i, a := range list {
		agents[i] = newAgent(a)
	}
	return agents
}

func stateText(s pb.AgentState) string {
	if s == pb.AgentState_AGENT_STATE_UNSPECIFIED || pb.AgentState_name[int32(s)] == "" {
		return "unknown"
	}
	return strings.ToLower(strings.TrimPrefix(s.String(), "AGENT_STATE_"))
}

func healthText(h pb.AgentHealthLevel) string {
	switch h {
	case pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN:
		return "green"
	case pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_YELLOW:
		return "yellow"
	case pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_RED:
		return "red"
	case pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_UNSPECIFIED, pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREY: // both grey
	}
	return "unknown"
}

// instant is nil where there is no time, or none that JSON can hold.
func instant(t *timestamppb.Timestamp) *time.Time {
	if !t.IsValid() || t.GetSeconds() == 0 && t.GetNanos() == 0 {
		return nil
	}
	at := t.AsTime()
	return &at
}

// finite replaces what JSON cannot hold by 0.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// value is nil where there is no number.
func value(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// StoreStatus is what can be searched.
type StoreStatus struct {
	State      string     `json:"state" doc:"ok, behind (the log has events that are not stored yet), degraded, failed, unreachable or unknown."`
	Events     uint64     `json:"events"`
	Capacity   uint64     `json:"capacity"`
	OldestTime *time.Time `json:"oldest_time" nullable:"true"`
	NextOffset uint64     `json:"next_offset" doc:"Everything before it that the log had is stored."`
	LagEvents  uint64     `json:"lag_events" doc:"Events of the log that are not stored yet."`
	Reason     string     `json:"reason" doc:"Why the state is not ok."`
}

func newStoreStatus(s *pb.StoreStatus) StoreStatus {
	return StoreStatus{
		State: s.GetState(), Events: s.GetEvents(), Capacity: s.GetCapacity(),
		OldestTime: instant(s.GetOldestTime()), NextOffset: s.GetNextOffset(), LagEvents: s.GetLagEvents(), Reason: s.GetReason(),
	}
}

// rawEvent is the event as protojson writes it.
func rawEvent(stored *pb.StoredEvent) (map[string]any, error) {
	ev, err := event.Decode(stored.GetEvent())
	if err != nil {
		return nil, err
	}
	event.Attribute(ev, stored.GetPublisher())
	text, err := event.ToJSON(ev)
	if err != nil {
		return nil, err
	}
	raw := map[string]any{}
	return raw, json.Unmarshal(text, &raw)
}
