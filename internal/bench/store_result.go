package bench

import (
	"fmt"
	"io"
	"strconv"

	"github.com/prometheus/procfs"

	"github.com/amoskys/amoskys/internal/cli"
)

// StoreResult is what `amoskys bench store --json` prints. Keys are stable.
type StoreResult struct {
	Bench       string  `json:"bench"`
	Events      int     `json:"events"`
	Hosts       int     `json:"hosts"`
	SpanSeconds float64 `json:"span_seconds"`
	Rounds      int     `json:"rounds"` // of which the median is shown
	// Ratio is how fast events are stored, to the engine fed ready rows.
	Ratio     float64         `json:"ratio"`
	Cases     []StoreCase     `json:"cases"`
	Questions []StoreQuestion `json:"questions"`
}

// StoreCase is one way to feed the engine.
type StoreCase struct {
	Name              string  `json:"name"` // ready, events
	EventsPerSecond   float64 `json:"events_per_second"`
	CPUPerEventMicros float64 `json:"cpu_us_per_event"` // of both processes
	DiskBytesPerEvent float64 `json:"disk_bytes_per_event"`
	FieldsPerEvent    float64 `json:"fields_per_event"`
	RowBytes          float64 `json:"row_bytes"` // names and values of a row
	RSSBytes          int64   `json:"rss_bytes"` // most that the engine held
}

// StoreQuestion is how long the engine takes for one question, and the store for the same.
type StoreQuestion struct {
	Name        string  `json:"name"`
	Query       string  `json:"query"`
	P50Ms       float64 `json:"p50_ms"` // of the store, over gRPC
	P95Ms       float64 `json:"p95_ms"`
	EngineP50Ms float64 `json:"engine_p50_ms"`
	EngineP95Ms float64 `json:"engine_p95_ms"`
	Rows        int     `json:"rows"`
	Failed      string  `json:"failed,omitempty"`
}

// Write prints the result for people.
func (r *StoreResult) Write(w io.Writer) error {
	words := map[string]string{storeReady: "the engine, ready rows", storeEvents: "the store, events"}
	fmt.Fprintf(w, "%s of %s; median of %s\n", cli.Counted(r.Events, "event", "events"),
		cli.Counted(r.Hosts, "host", "hosts"), cli.Counted(r.Rounds, "round", "rounds"))
	t := cli.NewTable("what", "events/s", "cpu us/event", "disk B/event", "fields", "row B", "engine resident")
	for _, c := range r.Cases {
		t.Row(words[c.Name], fmt.Sprintf("%.0f", c.EventsPerSecond), fmt.Sprintf("%.1f", c.CPUPerEventMicros),
			fmt.Sprintf("%.1f", c.DiskBytesPerEvent), fmt.Sprintf("%.1f", c.FieldsPerEvent), fmt.Sprintf("%.0f", c.RowBytes), cli.Bytes(c.RSSBytes))
	}
	if err := t.Write(w); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nthe store's pace is %.2f of the engine's\n", r.Ratio)
	if len(r.Questions) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t = cli.NewTable("question", "p50 ms", "p95 ms", "engine p50", "engine p95", "rows")
	for _, q := range r.Questions {
		if q.Failed != "" {
			t.Row(q.Name, "-", "-", "-", "-", q.Failed)
			continue
		}
		t.Row(q.Name, fmt.Sprintf("%.1f", q.P50Ms), fmt.Sprintf("%.1f", q.P95Ms), fmt.Sprintf("%.1f", q.EngineP50Ms),
			fmt.Sprintf("%.1f", q.EngineP95Ms), strconv.Itoa(q.Rows))
	}
	return t.Write(w)
}

// childCPU is how many seconds of CPU a process has used; 0 where that cannot be known.
func childCPU(pid int) float64 {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0
	}
	stat, err := p.Stat()
	if err != nil {
		return 0
	}
	return stat.CPUTime()
}

// peakRSS is the most memory that a process has held, in bytes.
func peakRSS(pid int) int64 {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0
	}
	status, err := p.NewStatus()
	if err != nil {
		return 0
	}
	return int64(status.VmHWM)
}
