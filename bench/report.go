package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// report is all runs, their medians, and how they compare.
type report struct {
	Started time.Time            `json:"started"`
	Rounds  int                  `json:"rounds"`
	Seconds float64              `json:"seconds"`
	Runs    map[string][]*result `json:"runs"`
	Medians []median             `json:"medians"`
	Ratios  []ratio              `json:"ratios"`
}

// median is the middle of each figure of one contender; they may be of several runs.
type median struct {
	Name  string `json:"name"`
	About string `json:"about"`
	result
}

// ratio compares two in each round and takes the middle of that, so that both had the
// same machine.
type ratio struct {
	What    string  `json:"what"`
	Of      string  `json:"of"`
	To      string  `json:"to"`
	Value   float64 `json:"value"`
	Least   float64 `json:"least"`
	Most    float64 `json:"most"`
	Bar     float64 `json:"bar"`
	AtLeast bool    `json:"at_least"` // or else at most
	Held    bool    `json:"held"`
}

// Figures of a result that are compared.
func speed(r *result) float64 { return r.EventsPerSecond }
func cpu(r *result) float64   { return r.ServerCPU }
func p99(r *result) float64   { return r.P99 }

// bar is what our hub promises.
type bar struct {
	what    string
	of, to  string
	figure  func(*result) float64
	bar     float64
	atLeast bool
}

func bars() []bar {
	return []bar{
		{"events a second, packed before, to the other build", "hub-packed", "against-before", speed, 2.8, true},
		{"events a second, packed before, to JetStream", "hub-packed", "jetstream", speed, 3, true},
		{"events a second, packed on the same processors, to JetStream", "hub", "jetstream", speed, 2, true},
		{"hub CPU an event, packed, to the other build", "hub-packed", "against-before", cpu, 0.45, false},
		{"hub CPU an event, not packed, to the other build", "hub-raw", "against", cpu, 0.7, false},
		{"p99, packed before, to the other build", "hub-packed", "against-before", p99, 0.4, false},
		{"events a second, to the Collector", "hub", "collector", speed, 10, true},
		{"hub CPU an event, to the Collector", "hub", "collector", cpu, 0.125, false},
	}
}

// summarise fills in medians and ratios.
func (r *report) summarise(chosen []contender) {
	for _, c := range chosen {
		runs := r.Runs[c.name]
		m := median{Name: c.name, About: c.about}
		m.EventsPerSecond = middle(runs, speed)
		m.ServerCPU = middle(runs, cpu)
		m.P50 = middle(runs, func(r *result) float64 { return r.P50 })
		m.P99 = middle(runs, p99)
		m.ServerRSS = int64(middle(runs, func(r *result) float64 { return float64(r.ServerRSS) }))
		m.LogPerEvent = middle(runs, func(r *result) float64 { return r.LogPerEvent })
		m.EventBytes = middle(runs, func(r *result) float64 { return r.EventBytes })
		for _, run := range runs {
			m.Failed += run.Failed
		}
		r.Medians = append(r.Medians, m)
	}
	for _, b := range bars() {
		of, to := r.Runs[b.of], r.Runs[b.to]
		n := min(len(of), len(to))
		if n == 0 {
			continue
		}
		each := make([]float64, 0, n)
		for i := range n {
			each = append(each, b.figure(of[i])/b.figure(to[i]))
		}
		slices.Sort(each)
		v := each[n/2]
		held := v >= b.bar
		if !b.atLeast {
			held = v <= b.bar
		}
		r.Ratios = append(r.Ratios, ratio{b.what, b.of, b.to, v, each[0], each[n-1], b.bar, b.atLeast, held})
	}
}

func middle(runs []*result, figure func(*result) float64) float64 {
	all := make([]float64, 0, len(runs))
	for _, r := range runs {
		all = append(all, figure(r))
	}
	slices.Sort(all)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)/2]
}

// write prints the report for people.
func (r *report) write(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "who\tevents/s\tserver µs/event\tp50 ms\tp99 ms\tserver MiB\tlog B/event\tfailed\t")
	for _, m := range r.Medians {
		fmt.Fprintf(t, "%s\t%.0f\t%.2f\t%.1f\t%.1f\t%.0f\t%.1f\t%d\t%s\n",
			m.Name, m.EventsPerSecond, m.ServerCPU, m.P50, m.P99, float64(m.ServerRSS)/(1<<20), m.LogPerEvent, m.Failed, m.About)
	}
	if len(r.Ratios) == 0 {
		return t.Flush()
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "ratio in each round\tmiddle\tleast\tmost\tbar\t\t")
	for _, x := range r.Ratios {
		word, verdict := "at most", "held"
		if x.AtLeast {
			word = "at least"
		}
		if !x.Held {
			verdict = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%s %g\t%s\t\n", x.What, x.Value, x.Least, x.Most, word, x.Bar, verdict)
	}
	return t.Flush()
}
