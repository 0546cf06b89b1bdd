package bench

import (
	"fmt"
	"io"
	"math"
	"runtime"

	"github.com/amoskys/amoskys/internal/bench/corpus"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/codec"
)

// HubResult is what `amoskys bench hub --json` prints. Keys are stable; cpu and
// memory are the hub's and 0 when the hub is not ours.
type HubResult struct {
	Bench           string  `json:"bench"`
	Seconds         float64 `json:"seconds"`
	Events          uint64  `json:"events"`
	EventsPerSecond float64 `json:"events_per_second"`
	Ack             Ack     `json:"ack_ms"`
	CPUSeconds      float64 `json:"cpu_seconds"`
	RSSBytes        int64   `json:"rss_bytes"`

	Mode             string  `json:"mode"` // "batches" or "single events"
	Agents           int     `json:"agents"`
	Batch            int     `json:"batch"`
	Size             int     `json:"size"`
	InFlight         int     `json:"inflight"`
	RetriedBatches   uint64  `json:"retried_batches"`
	Syncs            uint64  `json:"fdatasyncs"`
	SyncMean         float64 `json:"fdatasync_mean_ms"`
	LogBytes         uint64  `json:"log_bytes"`
	ClientCPUSeconds float64 `json:"client_cpu_seconds"`
	CPUs             int     `json:"cpus"`
	FileSystem       string  `json:"file_system,omitempty"`
	Target           string  `json:"target,omitempty"`

	// Load is "recorded" or "synthetic" events; EventBytes is what one has on average
	// before it is packed, and Codec how batches of them are packed.
	Load       string  `json:"load"`
	EventBytes float64 `json:"event_bytes"`
	Codec      string  `json:"codec"`
	// CompressionCounted says that batches were packed while it was measured, on the
	// same processors, and not before.
	CompressionCounted bool    `json:"compression_counted"`
	MadeBefore         bool    `json:"made_before"`
	LogBytesPerEvent   float64 `json:"log_bytes_per_event"`
	CPUPerEvent        float64 `json:"cpu_us_per_event"`
	ClientCPUPerEvent  float64 `json:"client_cpu_us_per_event"`
}

// Ack holds quantiles of the time from sending to acknowledgement.
type Ack struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

func (m *measurement) result() (*HubResult, error) {
	a, b := &m.before, &m.after
	var all histogram
	for _, c := range m.clients {
		all.merge(&c.latency)
	}
	seconds := b.at.Sub(a.at).Seconds()
	r := &HubResult{
		Bench: "hub", Seconds: seconds, Events: b.events - a.events,
		EventsPerSecond: float64(b.events-a.events) / seconds,
		Ack:             Ack{P50: all.quantile(0.5), P99: all.quantile(0.99), P999: all.quantile(0.999)},
		Mode:            "batches", Agents: m.o.Agents, Batch: m.o.Batch, Size: m.o.Size, InFlight: m.o.InFlight,
		RetriedBatches: b.retry - a.retry, ClientCPUSeconds: b.own - a.own, CPUs: runtime.NumCPU(),
	}
	r.describe(m.o, m.clients[0])
	r.ClientCPUPerEvent = perEvent(r.ClientCPUSeconds*1e6, r.Events)
	if m.o.Unary {
		r.Mode, r.Batch, r.InFlight = "single events", 1, 1
	}
	if m.child == nil {
		r.Target = m.o.Target
		return r, nil
	}
	r.CPUSeconds = b.hub.cpuSeconds - a.hub.cpuSeconds
	r.RSSBytes = int64(b.hub.rssBytes)
	r.Syncs = uint64(b.hub.syncs - a.hub.syncs)
	if r.Syncs > 0 {
		r.SyncMean = (b.hub.syncTime - a.hub.syncTime) / float64(r.Syncs) * 1000
	}
	r.LogBytes = uint64(b.hub.walBytes - a.hub.walBytes)
	r.FileSystem = m.child.fs
	r.LogBytesPerEvent, r.CPUPerEvent = perEvent(float64(r.LogBytes), r.Events), perEvent(r.CPUSeconds*1e6, r.Events)
	return r, nil
}

// describe says what the events are and how they are packed.
func (r *HubResult) describe(o *HubOptions, c *client) {
	r.Codec, r.MadeBefore = o.Codec.String(), o.Packed
	r.CompressionCounted = o.Codec != codec.None && !o.Packed
	r.Load, r.EventBytes = "synthetic", float64(o.Size)
	if s, ok := c.load.(*corpus.Sender); ok {
		r.Load, r.EventBytes = "recorded", s.MeanBytes()
		r.Size = int(math.Round(r.EventBytes))
	}
}

func perEvent(v float64, events uint64) float64 {
	if events == 0 {
		return 0
	}
	return v / float64(events)
}

// events says in words what was sent.
func (r *HubResult) events() string {
	text := fmt.Sprintf("%s, %d B", r.Load, r.Size)
	switch {
	case r.CompressionCounted:
		text += ", packed with " + r.Codec + " while measured"
	case r.Codec != codec.None.String():
		text += ", packed with " + r.Codec + " before"
	case r.MadeBefore:
		text += ", not packed, made before"
	default:
		text += ", not packed"
	}
	return text
}

// Write prints the result for people.
func (r *HubResult) Write(w io.Writer) error {
	what := fmt.Sprintf("%s, batches of %s, %d in flight each",
		cli.Counted(r.Agents, "agent", "agents"), cli.Counted(r.Batch, "event", "events"), r.InFlight)
	if r.Mode != "batches" {
		what = cli.Counted(r.Agents, "agent", "agents") + ", single events, one at a time each"
	}
	t := cli.NewTable("hub", "")
	t.Row("load", what)
	t.Row("events", r.events())
	t.Row("acknowledged", fmt.Sprintf("%.0f events/s (%s in %.1f s)", r.EventsPerSecond, cli.Counted(r.Events, "event", "events"), r.Seconds))
	t.Row("ack latency", fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms", r.Ack.P50, r.Ack.P99, r.Ack.P999))
	if r.RetriedBatches > 0 {
		t.Row("asked to retry", cli.Counted(r.RetriedBatches, "batch", "batches"))
	}
	if r.Target == "" {
		t.Row("log", fmt.Sprintf("%s, %.0f B an event, %d fdatasyncs of %.2f ms, on %s",
			cli.Bytes(int64(r.LogBytes)), r.LogBytesPerEvent, r.Syncs, r.SyncMean, r.FileSystem))
		t.Row("hub", fmt.Sprintf("%.2f CPU seconds, %.2f µs an event, %s resident", r.CPUSeconds, r.CPUPerEvent, cli.Bytes(r.RSSBytes)))
	} else {
		t.Row("target", r.Target)
	}
	t.Row("clients", fmt.Sprintf("%.2f CPU seconds of %d processors", r.ClientCPUSeconds, r.CPUs))
	return t.Write(w)
}
