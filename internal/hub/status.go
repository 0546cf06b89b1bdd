package hub

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/stream"
)

// States of the hub.
const (
	StateOK       = "ok"
	StateDegraded = "degraded" // works, and something needs attention
	StateFailed   = "failed"   // takes no events
)

// Status is what the hub says of itself, over /health and to the Query service.
type Status struct {
	Status          string             `json:"status"`
	Reasons         []string           `json:"reasons,omitempty"` // why the state is not ok, one sentence each
	Version         string             `json:"version"`
	StartedAt       time.Time          `json:"started_at"`
	UptimeSeconds   float64            `json:"uptime_seconds"`
	Log             LogStatus          `json:"log"`
	Subscribers     []SubscriberStatus `json:"subscribers"`
	Connections     int                `json:"connections"`
	EventsPerSecond float64            `json:"throughput_eps"` // mean of the last half minute
	EventsTotal     uint64             `json:"events_total"`
	ErrorsTotal     uint64             `json:"errors_total"`
	QueueDepth      int64              `json:"queue_depth"` // events received and not yet acknowledged
	Latency         Latency            `json:"latency_ms"`  // of the last minute, from receipt to acknowledgement
}

// LogStatus is the state of the log.
type LogStatus struct {
	State       string     `json:"state"`
	Reason      string     `json:"reason,omitempty"`
	FirstOffset uint64     `json:"first_offset"`
	NextOffset  uint64     `json:"next_offset"`
	Bytes       int64      `json:"bytes"`
	Segments    int        `json:"segments"`
	OldestTime  *time.Time `json:"oldest_time,omitempty"`
	FreeBytes   int64      `json:"free_bytes"` // -1 when unknown
	Quarantined int        `json:"quarantined"`
	Damaged     int        `json:"damaged"`            // bad places found at the start or met since
	Recovery    string     `json:"recovery,omitempty"` // what opening the log found, in a sentence
	Losses      []Loss     `json:"losses,omitempty"`   // what nobody has accepted yet
}

// Loss is a range of the log that is gone without retention having removed it.
type Loss struct {
	ID         uint64    `json:"id"`
	FromOffset uint64    `json:"from_offset"`
	ToOffset   uint64    `json:"to_offset"` // behind it, from_offset when not known
	NoticedAt  time.Time `json:"noticed_at"`
	Reason     string    `json:"reason"`
}

// Latency holds quantiles in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// Status returns the present state. It may be called at any time after New.
func (h *Hub) Status() Status {
	now := h.now()
	stat := h.storage.Log.Stat()
	q := h.meter.latency.quantiles(now, 0.5, 0.99, 0.999)
	s := Status{
		Status: StateOK, Version: h.options.Version, StartedAt: h.started.UTC(), UptimeSeconds: now.Sub(h.started).Seconds(),
		Log: LogStatus{
			State: string(stat.State), Reason: stat.Reason,
			FirstOffset: stat.FirstOffset, NextOffset: stat.NextOffset,
			Bytes: stat.Bytes, Segments: stat.Segments, FreeBytes: stat.FreeBytes,
			Quarantined: len(stat.Quarantined), Damaged: len(stat.Recovery.Damage) + len(stat.Met),
			Recovery: describeRecovery(stat.Recovery), Losses: lossesOf(stat.Losses),
		},
		Subscribers:     h.subscriptions.list(h.storage.Log.ListCursors(), stat.NextOffset, h.ownReaders()),
		Connections:     h.Connections(),
		EventsPerSecond: h.eventsPerSecond(), EventsTotal: h.meter.events.Load(),
		ErrorsTotal: h.meter.errors.Load(), QueueDepth: max(0, h.meter.inQueue.Load()),
		Latency: Latency{P50: q[0], P99: q[1], P999: q[2]},
	}
	if !stat.OldestTime.IsZero() {
		oldest := stat.OldestTime.UTC()
		s.Log.OldestTime = &oldest
	}
	s.judge(&stat, h.isStopping(), h.extraReasons())
	return s
}

func lossesOf(losses []stream.Loss) []Loss {
	out := make([]Loss, 0, len(losses))
	for _, l := range losses {
		one := Loss{ID: l.ID, FromOffset: l.From, ToOffset: l.To, NoticedAt: l.Noticed.UTC(), Reason: l.Reason}
		if l.Unknown {
			one.ToOffset = l.From
		}
		out = append(out, one)
	}
	return out
}

// eventsPerSecond is by the definition of docs/operations.md, where the live view
// counts; else of the last interval of the metrics.
func (h *Hub) eventsPerSecond() float64 {
	if h.options.Rate != nil {
		return h.options.Rate()
	}
	return h.meter.eventsPerSecond()
}

func (h *Hub) ownReaders() []SubscriberStatus {
	if h.options.Readers == nil {
		return nil
	}
	return h.options.Readers()
}

func (h *Hub) extraReasons() []string {
	reasons := append(h.scarce.reasons(), h.storage.reasons(h.now())...)
	if h.options.Reasons != nil {
		reasons = append(reasons, h.options.Reasons()...)
	}
	return reasons
}

// judge sets the state and its reasons.
func (s *Status) judge(stat *stream.Stat, stopping bool, more []string) {
	if n := len(stat.Quarantined); n > 0 {
		s.Status = StateDegraded
		were, them := "files of the log were", "them when they are"
		if n == 1 {
			were, them = "file of the log was", "it when it is"
		}
		s.Reasons = append(s.Reasons, fmt.Sprintf(
			"%d damaged %s set aside in its quarantine folder: run amoskys wal verify, and remove %s no longer needed", n, were, them))
	}
	s.judgeLosses(stat.Losses)
	s.judgeDamage(slices.Concat(stat.Recovery.Damage, stat.Met))
	more = slices.Concat(stat.Notes, more)
	if len(more) > 0 {
		s.Status = StateDegraded
		s.Reasons = append(s.Reasons, more...)
	}
	switch stat.State {
	case stream.StateOK:
	case stream.StateShown: // as a person wanted it
		s.Status = StateDegraded
		s.Reasons = append(s.Reasons, stat.Reason)
	default:
		s.Status = StateFailed
		s.Reasons = append(s.Reasons, fmt.Sprintf("the log takes no events (%s): %s", stat.State, stat.Reason))
	}
	if stopping {
		s.Status = StateFailed
		s.Reasons = append(s.Reasons, "the hub is stopping")
	}
}

// judgeLosses names what is gone: it is said until somebody has taken note of it.
func (s *Status) judgeLosses(losses []stream.Loss) {
	if len(losses) == 0 {
		return
	}
	s.Status = StateDegraded
	named := losses[:min(len(losses), maxDamageReasons)]
	for _, l := range named {
		s.Reasons = append(s.Reasons, fmt.Sprintf(
			"the log lost %s (noticed %s); amoskys wal accept-loss %d takes note of it",
			clip(l.String()), l.Noticed.UTC().Format(time.RFC3339), l.ID))
	}
	if n := len(losses) - len(named); n > 0 {
		s.Reasons = append(s.Reasons, obs.Counted(n, "further loss", "further losses")+" of the log: amoskys wal verify lists all")
	}
}

// maxDamageReasons bounds how many bad places of the log are named; the others are
// counted.
const maxDamageReasons = 8

func (s *Status) judgeDamage(places []stream.Damage) {
	if len(places) == 0 {
		return
	}
	s.Status = StateDegraded
	named := places[:min(len(places), maxDamageReasons)]
	for _, d := range named {
		what := "segment " + d.Segment
		if d.Segment == "" {
			what = "the log"
		}
		s.Reasons = append(s.Reasons, fmt.Sprintf("%s is damaged from offset %d on: %s", what, d.FirstBad, clip(d.Reason)))
	}
	if n := len(places) - len(named); n > 0 {
		s.Reasons = append(s.Reasons, obs.Counted(n, "further place of the log is", "further places of the log are")+" damaged")
	}
}

func describeRecovery(r stream.Recovery) string {
	if r.Segment == "" {
		return ""
	}
	text := fmt.Sprintf("read %s with %s of segment %s in %s",
		obs.Counted(r.Records, "record", "records"), obs.Counted(r.Events, "event", "events"), r.Segment, r.Duration.Round(time.Millisecond))
	if r.TornBytes > 0 {
		text += ", cut " + obs.Counted(r.TornBytes, "torn byte", "torn bytes") + " off"
	}
	if len(r.Damage) > 0 {
		text += ", found " + obs.Counted(len(r.Damage), "damaged place", "damaged places")
	}
	return text
}

// httpHandler serves GET /health to whoever has a valid certificate.
func (h *Hub) httpHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		s := h.Status()
		code := http.StatusOK
		if s.Status == StateFailed {
			code = http.StatusServiceUnavailable
		}
		obs.WriteJSON(w, code, s)
	})
	return mux
}
