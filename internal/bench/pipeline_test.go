package bench

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/bench/corpus"
)

func TestPipelineCheck(t *testing.T) {
	good := PipelineOptions{Agents: 8, Batch: 100, Rate: 20_000, Duration: time.Second, Patience: time.Second, Command: []string{"x"}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*PipelineOptions){
		"agents": func(o *PipelineOptions) { o.Agents = 0 }, "batch": func(o *PipelineOptions) { o.Batch = 100_000 },
		"rate": func(o *PipelineOptions) { o.Rate = 0 }, "duration": func(o *PipelineOptions) { o.Duration = 0 },
		"warmup": func(o *PipelineOptions) { o.Warmup = -1 }, "patience": func(o *PipelineOptions) { o.Patience = 0 },
		"command": func(o *PipelineOptions) { o.Command = nil },
	} {
		o := good
		spoil(&o)
		if o.Check() == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

// TestLagOf: what the store has not got is as old as the first look that saw it in the log.
func TestLagOf(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	tails := []tailAt{{100, at(0)}, {200, at(1)}, {300, at(2)}}
	for _, tt := range []struct {
		next uint64
		want float64
	}{{50, 5}, {100, 4}, {150, 4}, {200, 3}, {299, 3}, {300, 0}, {400, 0}} {
		if got := lagOf(tails, tt.next, at(5)); got != tt.want {
			t.Errorf("at %d: %v s, want %v", tt.next, got, tt.want)
		}
	}
}

// TestPipelineResult: each host is held against what the store has of it.
func TestPipelineResult(t *testing.T) {
	r := PipelineResult{Acknowledged: 300, Stored: 100, Thinned: 200}
	r.noteCPU(map[string]float64{"hub": 1, "store": 2}, map[string]float64{"hub": 1.5, "store": 3}, 1_000_000)
	if r.CPUPerEventMicros["hub"] != 0.5 || r.CPUPerEventAllMicros != 1.5 {
		t.Errorf("%+v", r)
	}
	if err := r.Equal(); err != nil {
		t.Error(err)
	}
	var b strings.Builder
	if err := r.Write(&b); err != nil || !strings.Contains(b.String(), "100 of 300 acknowledged; 200 are readings that the metrics alone have") {
		t.Errorf("%v: %s", err, b.String())
	}
	if one := (PipelineResult{Acknowledged: 300, Stored: 101, Thinned: 200}); !errors.Is(one.Equal(), ErrUnequal) {
		t.Error("one more than is to be stored is not told")
	}
	r.Unequal = []string{"bench-00001: 100 acknowledged, 99 stored"}
	if err := r.Equal(); !errors.Is(err, ErrUnequal) || !strings.Contains(err.Error(), "bench-00001") {
		t.Errorf("%v", err)
	}
}

// TestCountThinned: of the recording's events as many are for the metrics alone as
// corpus/README.md states.
func TestCountThinned(t *testing.T) {
	events, err := corpus.Load("bench-00001", "bench_00001")
	if err != nil {
		t.Fatal(err)
	}
	s, err := events.NewSender("bench-00001", "bench_00001", 7)
	if err != nil {
		t.Fatal(err)
	}
	if n := countThinned(s.Append(nil, s.Len(), time.Now())); n != 3757 {
		t.Errorf("%d are left out", n)
	}
	kept, err := corpus.LoadKept("bench-00001", "bench_00001")
	if err != nil {
		t.Fatal(err)
	}
	if s, err = kept.NewSender("bench-00001", "bench_00001", 7); err != nil {
		t.Fatal(err)
	}
	if n := countThinned(s.Append(nil, s.Len(), time.Now())); n != 0 || kept.Len() != events.Len() {
		t.Errorf("%d of %d are left out where all are kept", n, kept.Len())
	}
}
