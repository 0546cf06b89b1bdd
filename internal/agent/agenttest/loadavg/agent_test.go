package loadavg

import (
	"testing"

	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/event"
)

func TestConformance(t *testing.T) {
	agenttest.Suite{
		Definition: Definition(),
		Config:     "agent: {interval_seconds: 0.1}\nmonitoring: {file: testdata/loadavg}\n",
		Types:      []string{event.TypeMetricBatch},
		Metrics:    []string{"amoskys_loadavg_load"},
		Decoders: []agenttest.Decoder{{
			Name: "/proc/loadavg", Seeds: []string{"0.42 1.00 2.00 3/456 789\n"},
			Decode: func(b []byte) { _, _ = parseLoad(b) },
		}},
	}.Run(t)
}
