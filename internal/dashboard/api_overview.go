package dashboard

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Overview answers "is everything healthy, and what changed".
type Overview struct {
	OverviewStatus
	Recent []Event `json:"recent" nullable:"false" doc:"The newest events."`
}

// OverviewStatus is an Overview without events, as the live stream sends it.
type OverviewStatus struct {
	Status      HubStatus    `json:"status"`
	Log         LogStatus    `json:"log"`
	Store       StoreStatus  `json:"store"`
	Agents      AgentCounts  `json:"agents"`
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
}

// AgentCounts counts agents by health.
type AgentCounts struct {
	Total   int `json:"total"`
	Green   int `json:"green"`
	Yellow  int `json:"yellow"`
	Red     int `json:"red"`
	Unknown int `json:"unknown"`
}

// Subscriber is a reader of the log.
type Subscriber struct {
	Name      string `json:"name"`
	Offset    uint64 `json:"offset"`
	LagEvents uint64 `json:"lag_events"`
}

// Rate is what passes through the hub.
type Rate struct {
	EventsPerSecond float64 `json:"events_per_second"`
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

// Findings counts the detections that can be searched.
type Findings struct {
	Total      uint64            `json:"total"`
	BySeverity map[string]uint64 `json:"by_severity"`
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
	EventsPerSecond float64 `json:"events_per_second"`
}

// TypeCount is how many events of a type can be searched.
type TypeCount struct {
	Type  string `json:"type"`
	Count uint64 `json:"count"`
}

func (s *Server) registerOverview(api huma.API) {
	op := operation(http.MethodGet, "/api/overview", "overview", "Is everything healthy", "overview",
		access{role: pb.Role_ROLE_VIEWER, stale: true})
	get(s, api, op, func(ctx context.Context, _ *struct{}) (*Overview, error) { return s.overview.get(ctx) })
}
