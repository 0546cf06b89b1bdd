package reader

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/stream"
)

// metrics are those of one reader, told apart by the label reader.
type metrics struct {
	events, restarts, commits, commitErrors prometheus.Counter
	gaps                                    *prometheus.CounterVec // offsets, by cause
}

func newMetrics(r prometheus.Registerer, name string, lag func() float64) (*metrics, error) {
	labels := prometheus.Labels{"reader": name}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "amoskys_reader_" + name, Help: help, ConstLabels: labels})
	}
	m := &metrics{
		events:       counter("events_total", "Events that a reader of the log gave to its consumer."),
		restarts:     counter("restarts_total", "Times that a reader's source or consumer failed and was tried again."),
		commits:      counter("commits_total", "Commits of a reader's cursor."),
		commitErrors: counter("commit_errors_total", "Commits of a reader's cursor that failed."),
		gaps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amoskys_reader_gap_offsets_total", Help: "Offsets that a reader passed, by cause.", ConstLabels: labels,
		}, []string{"cause"}),
	}
	for _, cause := range stream.Causes() {
		m.gaps.WithLabelValues(string(cause))
	}
	if r == nil {
		return m, nil
	}
	behind := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "amoskys_reader_lag_events", Help: "Events between a reader and the end of the log.", ConstLabels: labels,
	}, lag)
	var err error
	for _, c := range []prometheus.Collector{m.events, m.restarts, m.commits, m.commitErrors, m.gaps, behind} {
		err = errors.Join(err, r.Register(c))
	}
	return m, err
}

func (m *metrics) gap(g *stream.Gap) {
	m.gaps.WithLabelValues(string(g.Cause)).Add(float64(g.To - g.From))
}
