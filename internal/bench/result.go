package bench

import (
	"fmt"
	"io"
	"runtime"

	"github.com/amoskys/amoskys/internal/cli"
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
	return r, nil
}

// Write prints the result for people.
func (r *HubResult) Write(w io.Writer) error {
	what := fmt.Sprintf("%s, batches of %s of %d B, %d in flight each",
		cli.Counted(r.Agents, "agent", "agents"), cli.Counted(r.Batch, "event", "events"), r.Size, r.InFlight)
	if r.Mode != "batches" {
		what = fmt.Sprintf("%s, single events of %d B, one at a time each", cli.Counted(r.Agents, "agent", "agents"), r.Size)
	}
	t := cli.NewTable("hub", "")
	t.Row("load", what)
	t.Row("acknowledged", fmt.Sprintf("%.0f events/s (%s in %.1f s)", r.EventsPerSecond, cli.Counted(r.Events, "event", "events"), r.Seconds))
	t.Row("ack latency", fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms", r.Ack.P50, r.Ack.P99, r.Ack.P999))
	if r.RetriedBatches > 0 {
		t.Row("asked to retry", cli.Counted(r.RetriedBatches, "batch", "batches"))
	}
	if r.Target == "" {
		t.Row("log", fmt.Sprintf("%s, %d fdatasyncs of %.2f ms, on %s", cli.Bytes(int64(r.LogBytes)), r.Syncs, r.SyncMean, r.FileSystem))
		t.Row("hub", fmt.Sprintf("%.2f CPU seconds, %s resident", r.CPUSeconds, cli.Bytes(r.RSSBytes)))
	} else {
		t.Row("target", r.Target)
	}
	t.Row("clients", fmt.Sprintf("%.2f CPU seconds of %d processors", r.ClientCPUSeconds, r.CPUs))
	return t.Write(w)
}
