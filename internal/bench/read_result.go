package bench

import (
	"fmt"
	"io"
	"strconv"

	"github.com/amoskys/amoskys/internal/cli"
)

// ReadResult is what `amoskys bench read --json` prints. Keys are stable.
type ReadResult struct {
	Bench  string `json:"bench"`
	Events uint64 `json:"events"` // in the log
	Batch  int    `json:"batch"`
	Codec  string `json:"codec"`
	Rounds int    `json:"rounds"` // of which the median is shown
	// Compared says that deliveries are those of another build's hub.
	Compared bool       `json:"compared"`
	Cases    []ReadCase `json:"cases"`
}

// ReadCase is one way to read. CPU is in seconds a million events.
type ReadCase struct {
	Name                string  `json:"name"` // deliveries, events, split, blocks, together
	Readers             int     `json:"readers"`
	EventsPerSecond     float64 `json:"events_per_second"` // of all readers
	HubCPUPerMillion    float64 `json:"hub_cpu_per_million"`
	ClientCPUPerMillion float64 `json:"client_cpu_per_million"`
	RSSBytes            int64   `json:"rss_bytes"` // of the hub
}

// rate is a case's events a second, 0 where there is none.
func (r *ReadResult) rate(name string) float64 {
	for _, c := range r.Cases {
		if c.Name == name {
			return c.EventsPerSecond
		}
	}
	return 0
}

// Write prints the result for people.
func (r *ReadResult) Write(w io.Writer) error {
	words := map[string]string{
		readDeliveries: "Deliveries by protobuf, as of old", readEvents: "Deliveries of events",
		readSplit: "blocks, split into events", readBlocks: "blocks, untouched", readTogether: "blocks, split, together",
	}
	fmt.Fprintf(w, "%s in records of %d, codec %s; median of %s\n",
		cli.Counted(r.Events, "event", "events"), r.Batch, r.Codec, cli.Counted(r.Rounds, "round", "rounds"))
	t := cli.NewTable("how", "readers", "events/s", "times", "hub cpu-s/M", "clients cpu-s/M", "hub resident")
	for _, c := range r.Cases {
		t.Row(words[c.Name], strconv.Itoa(c.Readers), fmt.Sprintf("%.0f", c.EventsPerSecond), fmt.Sprintf("%.1f", c.EventsPerSecond/r.rate(readDeliveries)),
			fmt.Sprintf("%.2f", c.HubCPUPerMillion), fmt.Sprintf("%.2f", c.ClientCPUPerMillion), cli.Bytes(c.RSSBytes))
	}
	return t.Write(w)
}
