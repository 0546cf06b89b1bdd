package dashboard

import "time"

// Overview answers "is everything healthy, and what changed".
type Overview struct {
	OverviewStatus
	Recent []Event `json:"recent" nullable:"false" doc:"The newest events."`
}

// OverviewStatus is an Overview without events, as the live stream sends it.
type OverviewStatus struct {
	AsOf   *time.Time  `json:"as_of" nullable:"true" doc:"When all but status was so: earlier than now while the hub is unreachable, and null when nothing is known."`
	Status HubStatus   `json:"status"`
	Log    LogStatus   `json:"log"`
	Store  StoreStatus `json:"store"`
	// StoreAway says that Findings, Top and Recent are empty for want of the store.
	StoreAway   string       `json:"store_away" doc:"Why findings, top and recent are missing, and what to do; empty while the store answers."`
	Agents      AgentCounts  `json:"agents"`
	Nodes       NodeCounts   `json:"nodes"`
	Troubles    []Trouble    `json:"troubles" nullable:"false" doc:"Hosts and agents that people should look at, worst first, at most 10."`
	Subscribers []Subscriber `json:"subscribers" nullable:"false"`
	Rate        Rate         `json:"rate"`
	LatencyMS   Latency      `json:"latency_ms"`
	Findings    Findings     `json:"findings"`
	Top         Top          `json:"top"`
}

// HubStatus is the state of the hub.
type HubStatus struct {
	State         string     `json:"state" enum:"ok,degraded,failed,unreachable"`
	Reasons       []string   `json:"reasons" nullable:"false" doc:"Why the state is not ok, one sentence each."`
	Version       string     `json:"version"`
	UptimeSeconds float64    `json:"uptime_seconds"`
	Since         *time.Time `json:"since,omitempty" doc:"Since when the hub has been unreachable."`
}

// LogStatus is the state of the log.
type LogStatus struct {
	State       string     `json:"state"`
	Reason      string     `json:"reason"`
	FirstOffset uint64     `json:"first_offset"`
	NextOffset  uint64     `json:"next_offset"`
	Bytes       uint64     `json:"bytes"`
	Segments    uint32     `json:"segments"`
	OldestTime  *time.Time `json:"oldest_time" nullable:"true"`
	FreeBytes   uint64     `json:"free_bytes"`
	Quarantined uint32     `json:"quarantined"`
	Recovery    string     `json:"recovery" doc:"What opening the log found."`
	Losses      []LogLoss  `json:"losses" nullable:"false" doc:"What is gone, not by retention, until somebody accepts it."`
}

// LogLoss is a range of the log that is gone without retention having removed it.
type LogLoss struct {
	ID         uint64     `json:"id" doc:"For amoskys wal accept-loss."`
	FromOffset uint64     `json:"from_offset"`
	ToOffset   uint64     `json:"to_offset" doc:"The first offset behind it; from_offset when how much is gone is not known."`
	NoticedAt  *time.Time `json:"noticed_at" nullable:"true"`
	Reason     string     `json:"reason"`
}

// AgentCounts counts agents by health.
type AgentCounts struct {
	Total   int `json:"total"`
	Green   int `json:"green"`
	Yellow  int `json:"yellow"`
	Red     int `json:"red"`
	Unknown int `json:"unknown"`
}

// NodeCounts counts hosts by the state of their node.
type NodeCounts struct {
	Total        int `json:"total"`
	Connected    int `json:"connected"`
	Reconnecting int `json:"reconnecting"`
	Away         int `json:"away"`
	Silent       int `json:"silent"`
}

// Trouble is a host or an agent that people should look at.
type Trouble struct {
	Kind     string     `json:"kind" enum:"host,agent,crash" doc:"A host that is gone, an agent that is not well, or one that runs again after a crash."`
	Host     string     `json:"host"`
	Agent    string     `json:"agent"`
	Health   string     `json:"health" enum:"green,yellow,red,unknown"`
	State    string     `json:"state" doc:"Of the agent, or of the host's node."`
	Detail   string     `json:"detail"`
	Since    *time.Time `json:"since" nullable:"true" doc:"When the host was last seen, or the agent crashed."`
	Restarts uint32     `json:"restarts"`
}

// Subscriber is a reader of the log.
type Subscriber struct {
	Name      string `json:"name"`
	Offset    uint64 `json:"offset"`
	LagEvents uint64 `json:"lag_events"`
	State     string `json:"state" doc:"ok, behind, waiting (it will be tried again) or stopped (nobody reads in its name)."`
	Hold      bool   `json:"hold" doc:"The log keeps what it has not passed."`
}

// Rate is what passes through the hub.
type Rate struct {
	EventsPerSecond float64 `json:"events_per_second" doc:"Mean of the last half minute, as the hub counts: docs/operations.md."`
	EventsTotal     uint64  `json:"events_total"`
	ErrorsTotal     uint64  `json:"errors_total"`
	Connections     uint32  `json:"connections"`
	QueueDepth      float64 `json:"queue_depth"`
}

// Latency is from receipt to acknowledgement, in the last minute.
type Latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// Findings are those of the range.
type Findings struct {
	Total      uint64            `json:"total"`
	BySeverity map[string]uint64 `json:"by_severity"`
	Newest     []Event           `json:"newest" nullable:"false"`
}

// Top lists what does most.
type Top struct {
	Processes []TopProcess `json:"processes" nullable:"false"`
	Hosts     []TopHost    `json:"hosts" nullable:"false"`
	Types     []TypeCount  `json:"types" nullable:"false"`
}

// TopProcess is a process that uses much.
type TopProcess struct {
	Name       string  `json:"name"`
	Host       string  `json:"host"`
	CPUPercent float64 `json:"cpu_percent" doc:"Share of one core."`
	RSSBytes   uint64  `json:"rss_bytes"`
	PID        uint32  `json:"pid"`
	UID        string  `json:"uid"`
}

// TopHost is a host that sends much.
type TopHost struct {
	Name            string  `json:"name"`
	EventsPerSecond float64 `json:"events_per_second" doc:"Mean of the range."`
}

// TypeCount is how many events of a type are of the range.
type TypeCount struct {
	Type  string `json:"type"`
	Count uint64 `json:"count"`
}
