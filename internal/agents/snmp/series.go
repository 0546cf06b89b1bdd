package snmp

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// labels are names and values as a metric has them, in order of names.
type labels []*dto.LabelPair

// newLabels makes labels of names and values in turn.
func newLabels(pairs ...string) labels {
	return labels(nil).with(pairs...)
}

// with is l and more labels, in order. What they share is kept once: thousands of
// interfaces have the same agent and host, and an interface has a dozen series.
func (l labels) with(pairs ...string) labels {
	out := slices.Grow(slices.Clone(l), len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, &dto.LabelPair{Name: &pairs[i], Value: &pairs[i+1]})
	}
	slices.SortFunc(out, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out
}

// series is one metric whose labels are shared with others; those that client_golang makes
// have their own each, which for the interfaces of a thousand devices is tens of megabytes
// at each scrape.
type series struct {
	desc    *prometheus.Desc
	labels  labels
	value   float64
	counter bool
}

var _ prometheus.Metric = (*series)(nil)

// Desc implements prometheus.Metric.
func (s *series) Desc() *prometheus.Desc { return s.desc }

// Write implements prometheus.Metric.
func (s *series) Write(m *dto.Metric) error {
	m.Label = s.labels
	if s.counter {
		m.Counter = &dto.Counter{Value: &s.value}
	} else {
		m.Gauge = &dto.Gauge{Value: &s.value}
	}
	return nil
}

// sink takes metrics.
type sink struct{ ch chan<- prometheus.Metric }

// own is a metric of the agent itself; labels are values, as its Desc names them.
func (w sink) own(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels []string) {
	w.ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
}

func (w sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	w.own(d, prometheus.GaugeValue, v, labels)
}

func (w sink) counter(d *prometheus.Desc, v float64, labels ...string) {
	w.own(d, prometheus.CounterValue, v, labels)
}

// of is a gauge of a device, counted one that only grows.
func (w sink) of(d *prometheus.Desc, v float64, l labels) {
	w.ch <- &series{desc: d, labels: l, value: v}
}

func (w sink) counted(d *prometheus.Desc, v float64, l labels) {
	w.ch <- &series{desc: d, labels: l, value: v, counter: true}
}
