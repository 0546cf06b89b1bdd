package bench

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/cli"
)

// PipelineResult is what RunPipeline measured. Its JSON keys are promised: they may grow.
type PipelineResult struct {
	Bench           string  `json:"bench"`
	Agents          int     `json:"agents"`
	Batch           int     `json:"batch"`
	Rate            int     `json:"rate"` // asked for
	CPUs            int     `json:"cpus"`
	Seconds         float64 `json:"seconds"`
	Events          uint64  `json:"events"` // acknowledged in that time
	EventsPerSecond float64 `json:"events_per_second"`
	Ack             Ack     `json:"ack_ms"`
	// Lag is how long the store has not had something that was acknowledged, in seconds;
	// looked at five times a second.
	Lag Lag `json:"lag_seconds"`
	// BehindSeconds is how long the store took for the rest, once nothing came any more.
	BehindSeconds float64    `json:"behind_seconds"`
	Live          LiveResult `json:"live"`
	// PSSBytes is the most that all processes held together, pages that they share counted
	// once; those who publish are one of them. PSSByRole is of the same moment.
	PSSBytes  int64            `json:"pss_bytes"`
	PSSByRole map[string]int64 `json:"pss_bytes_by_role"`
	// CPUSeconds are of each role, from when it was measured until the store had all; those
	// of publishers have who watches in them.
	CPUSeconds           map[string]float64 `json:"cpu_seconds"`
	CPUPerEventMicros    map[string]float64 `json:"cpu_us_per_event"`
	CPUPerEventAllMicros float64            `json:"cpu_us_per_event_all"`
	RetriedBatches       uint64             `json:"retried_batches"`
	// Acknowledged, Stored and Thinned, the readings that the store leaves out, are of the
	// whole run; Unequal names hosts that differ.
	Acknowledged uint64 `json:"acknowledged"`
	Stored       uint64 `json:"stored"`
	Thinned      uint64 `json:"thinned"`
	// StoreBytes are those of the engine's files at the end, before they are merged further.
	StoreBytes int64 `json:"store_bytes"`
	// MetricsBytes are those of the readings' database; the newest two hours of it lie in
	// a log of their own, larger than the block that becomes of them.
	MetricsBytes int64    `json:"metrics_bytes"`
	Unequal      []string `json:"unequal,omitempty"`
}

// Lag holds quantiles in seconds.
type Lag struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
	// MaxAt is how far into the measurement it was the longest.
	MaxAt float64 `json:"max_at"`
}

// LiveResult is what somebody who watches all events got: a page shows some, and says how
// many they stand for.
type LiveResult struct {
	Messages       uint64  `json:"messages"`
	Shown          uint64  `json:"shown"`
	Came           uint64  `json:"came"`
	ShownPerSecond float64 `json:"shown_per_second"`
	CamePerSecond  float64 `json:"came_per_second"`
}

// ErrUnequal says that not all that was acknowledged is stored, or more.
var ErrUnequal = errors.New("what is stored is not what was acknowledged")

// Equal returns ErrUnequal unless each acknowledged event is stored, once, but readings
// that are thinned.
func (r *PipelineResult) Equal() error {
	if len(r.Unequal) == 0 && r.Stored+r.Thinned == r.Acknowledged {
		return nil
	}
	return fmt.Errorf("%w: %d stored and %d thinned, %d acknowledged; %s", ErrUnequal, r.Stored, r.Thinned, r.Acknowledged, strings.Join(r.Unequal, "; "))
}

// noteCPU notes what was used for so many events.
func (r *PipelineResult) noteCPU(before, after map[string]float64, events uint64) {
	r.CPUSeconds, r.CPUPerEventMicros = map[string]float64{}, map[string]float64{}
	for role, used := range after {
		r.CPUSeconds[role] = used - before[role]
		r.CPUPerEventMicros[role] = r.CPUSeconds[role] * 1e6 / float64(max(events, 1))
		r.CPUPerEventAllMicros += r.CPUPerEventMicros[role]
	}
}

// Write prints the result for people.
func (r *PipelineResult) Write(w io.Writer) error {
	t := cli.NewTable("pipeline", "")
	t.Row("load", fmt.Sprintf("%s, batches of %s, %d events/s asked for", cli.Counted(r.Agents, "agent", "agents"), cli.Counted(r.Batch, "event", "events"), r.Rate))
	t.Row("acknowledged", fmt.Sprintf("%.0f events/s (%d in %.1f s), p50 %.2f ms, p99 %.2f ms", r.EventsPerSecond, r.Events, r.Seconds, r.Ack.P50, r.Ack.P99))
	if r.RetriedBatches > 0 {
		t.Row("asked to retry", cli.Counted(int(r.RetriedBatches), "batch", "batches"))
	}
	t.Row("store's lag", fmt.Sprintf("p50 %.1f s, p99 %.1f s, at most %.1f s (after %.0f s); %.1f s for the rest", r.Lag.P50, r.Lag.P99, r.Lag.Max, r.Lag.MaxAt, r.BehindSeconds))
	t.Row("a live page", fmt.Sprintf("%.0f events/s shown, which stand for %.0f", r.Live.ShownPerSecond, r.Live.CamePerSecond))
	t.Row("memory", cli.Bytes(r.PSSBytes)+" of all processes together (PSS, at most)")
	t.Row("cpu", fmt.Sprintf("%.1f us an event, of all on %d processors", r.CPUPerEventAllMicros, r.CPUs))
	stored := fmt.Sprintf("%d of %d acknowledged", r.Stored, r.Acknowledged)
	if r.Thinned > 0 {
		stored += fmt.Sprintf("; %d are readings that the metrics alone have", r.Thinned)
	}
	t.Row("stored", stored)
	t.Row("store's files", fmt.Sprintf("%s, %.0f bytes for each acknowledged event", cli.Bytes(r.StoreBytes), float64(r.StoreBytes)/float64(max(r.Acknowledged, 1))))
	t.Row("metrics' files", fmt.Sprintf("%s, %.0f bytes for each acknowledged event", cli.Bytes(r.MetricsBytes), float64(r.MetricsBytes)/float64(max(r.Acknowledged, 1))))
	if err := t.Write(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = cli.NewTable("role", "cpu us/event", "cpu seconds", "memory")
	for _, role := range slices.Sorted(maps.Keys(r.CPUSeconds)) {
		t.Row(role, fmt.Sprintf("%.1f", r.CPUPerEventMicros[role]), fmt.Sprintf("%.1f", r.CPUSeconds[role]), cli.Bytes(r.PSSByRole[role]))
	}
	return t.Write(w)
}
