package agent

import (
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// Status is what /status tells, as JSON. It has what fleet.proto's AgentStatus
// wants of an agent; times are RFC 3339 and absent before the first.
type Status struct {
	ID              string     `json:"id"`
	Kind            string     `json:"kind"`
	Host            string     `json:"host"`
	Home            string     `json:"home,omitempty"` // the folder it runs in: a machine may have several
	Version         string     `json:"version"`
	State           string     `json:"state"`            // starting, running, degraded, stopping
	Detail          string     `json:"detail,omitempty"` // why it is degraded, and the notes
	Notes           []string   `json:"notes,omitempty"`  // what it says of what it does
	PID             int        `json:"pid"`
	Port            int        `json:"port"`
	Health          obs.Health `json:"health"`
	StartedTime     time.Time  `json:"started_time"`
	LastEventTime   *time.Time `json:"last_event_time,omitempty"`
	EventsTotal     uint64     `json:"events_total"`
	EventsPerSecond float64    `json:"events_per_second"` // mean of the last half minute
	EventsAcked     uint64     `json:"events_acked_total"`
	EventsDropped   uint64     `json:"events_dropped_total"`
	// DropsByReason are the parts of EventsDropped.
	DropsByReason map[string]uint64 `json:"events_dropped_by_reason"`
	EventsRefused uint64            `json:"events_refused_total"`
	SpoolBytes    int64             `json:"spool_bytes"`
	SpoolEvents   uint64            `json:"spool_events"`
	// PackedRatio is how many times smaller batches were made, since the start; absent
	// before the first.
	PackedRatio float64   `json:"packed_ratio,omitempty"`
	Hub         HubStatus `json:"hub"`
	CPUPercent  float64   `json:"cpu_percent"` // of one core
	RSSBytes    uint64    `json:"rss_bytes"`
}

// HubStatus is the agent's connection to the hub.
type HubStatus struct {
	Addr      string     `json:"addr"`
	Proxy     string     `json:"proxy,omitempty"` // on the way there, without credentials
	Connected bool       `json:"connected"`
	Codec     string     `json:"codec,omitempty"` // what batches are packed with on the way, "none" for nothing; while connected
	Since     *time.Time `json:"since,omitempty"` // of connected
	LastError string     `json:"last_error,omitempty"`
}

// rateWindow is the number of seconds that a rate is the mean of.
const rateWindow = 30

// meter counts events, and per second for the last half minute.
type meter struct {
	mu      sync.Mutex
	started time.Time
	last    time.Time
	total   uint64
	buckets [rateWindow + 1]uint64 // by second
	second  int64                  // of the newest bucket
}

func (m *meter) add(n int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(now)
	m.buckets[m.second%int64(len(m.buckets))] += uint64(n)
	m.total += uint64(n)
	m.last = now
}

// roll clears the buckets of the seconds that passed; all of them when the clock
// was set back. The caller holds mu.
func (m *meter) roll(now time.Time) {
	second := now.Unix()
	if second < m.second-rateWindow {
		clear(m.buckets[:])
		m.second = second
	}
	for i := 0; m.second < second && i < len(m.buckets); i++ {
		m.second++
		m.buckets[m.second%int64(len(m.buckets))] = 0
	}
	m.second = max(m.second, second)
}

// read returns the total, the time of the last event and events per second over
// the whole seconds of the window, or since the start if that is less.
func (m *meter) read(now time.Time) (total uint64, last time.Time, perSecond float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(now)
	var sum uint64
	for i, n := range m.buckets {
		if int64(i) != m.second%int64(len(m.buckets)) {
			sum += n
		}
	}
	span := min(max(now.Sub(m.started).Seconds(), 1), rateWindow)
	return m.total, m.last, float64(sum) / span
}

// dropTotal adds up counts by reason.
func dropTotal(byReason map[string]uint64) (total uint64) {
	for _, n := range byReason {
		total += n
	}
	return total
}

// optional is t, or nil for the zero time, for JSON.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
