package proc

import (
	"testing"

	"github.com/amoskys/amoskys/internal/agent/agenttest"
	"github.com/amoskys/amoskys/internal/event"
)

// TestReadingsAreMarked: the first of each program in a process is kept, those behind it
// in a slot are for the metrics alone, and starts and ends carry no mark.
func TestReadingsAreMarked(t *testing.T) {
	cfg := DefaultConfig().Monitoring
	cfg.UnchangedEvery, cfg.EventIntervalSeconds = 1, 86400*365*100
	f, a, r := newFake(t, cfg)
	f.add(1, 0, "init", 1)
	p := f.add(20, 1, "bash", 500)
	for range 3 {
		step(t, a, r, true)
	}
	p.stat.name, p.stat.image.stack = "ls", 900
	step(t, a, r, true)
	kept := map[uint32]int{}
	for _, ev := range r.Events() {
		switch {
		case ev.GetType() != event.TypeProcessSample && ev.GetMetricsOnly():
			t.Errorf("%s is marked", ev.GetType())
		case ev.GetType() == event.TypeProcessSample && !ev.GetMetricsOnly():
			kept[ev.GetProcess().GetProcess().GetPid()]++
		}
	}
	if kept[1] != 1 || kept[20] != 2 {
		t.Errorf("readings kept by process: %v", kept)
	}
	readings := len(agenttest.OfType(r.Events(), event.TypeProcessSample))
	a.cfg.EventIntervalSeconds = 0
	step(t, a, r, true)
	for _, ev := range agenttest.OfType(r.Events(), event.TypeProcessSample)[readings:] {
		if ev.GetMetricsOnly() {
			t.Error("a reading is marked though all are kept")
		}
	}
}
