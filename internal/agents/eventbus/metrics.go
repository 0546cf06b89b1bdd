package eventbus

import (
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// latencyBounds are the upper bounds of eventbus_latency_ms, in milliseconds.
func latencyBounds() []float64 { return []float64{0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000} }

// metrics exports the last look. What an unreachable hub does not tell is absent.
type metrics struct {
	queue, latency, connections, errors, throughput *prometheus.Desc
	reachable, failures, ack, logBytes              *prometheus.Desc

	mu      sync.Mutex // guards what follows
	last    measurement
	looked  bool
	failed  uint64
	count   uint64
	sum     float64
	buckets map[float64]uint64 // cumulative
}

func newMetrics() *metrics {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	m := &metrics{
		queue:       desc("eventbus_queue_depth", "Events that the hub has received and not yet acknowledged."),
		latency:     desc("eventbus_latency_ms", "Answer time of the hub over gRPC, probed from outside, in milliseconds."),
		connections: desc("eventbus_connections", "Connections that the hub holds."),
		errors:      desc("eventbus_errors_total", "Errors that the hub has counted since it started."),
		throughput:  desc("eventbus_throughput_eps", "Events per second that the hub takes in."),
		reachable:   desc("amoskys_eventbus_reachable", "1 while the hub answers over HTTPS and gRPC."),
		failures:    desc("amoskys_eventbus_probe_failures_total", "Looks at the hub that found it unreachable or not serving."),
		ack:         desc("amoskys_eventbus_ack_ms", "Mean time from sending a batch of this agent to the hub's answer, in milliseconds."),
		logBytes:    desc("amoskys_eventbus_log_bytes", "Size of the hub's log."),
		buckets:     map[float64]uint64{},
	}
	for _, bound := range latencyBounds() {
		m.buckets[bound] = 0
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.queue, m.latency, m.connections, m.errors, m.throughput, m.reachable, m.failures, m.ack, m.logBytes,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.looked {
		return
	}
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	up := 0.0
	if m.last.reachable() {
		up = 1
	}
	gauge(m.reachable, up)
	ch <- prometheus.MustNewConstMetric(m.failures, prometheus.CounterValue, float64(m.failed))
	ch <- prometheus.MustNewConstHistogram(m.latency, m.count, m.sum, maps.Clone(m.buckets))
	if m.last.ack > 0 {
		gauge(m.ack, m.last.ack.Seconds()*1e3)
	}
	if !m.last.answer {
		return
	}
	r := m.last.report
	gauge(m.queue, r.QueueDepth)
	gauge(m.connections, float64(r.Connections))
	gauge(m.throughput, r.ThroughputEPS)
	gauge(m.logBytes, float64(r.Log.Bytes))
	ch <- prometheus.MustNewConstMetric(m.errors, prometheus.CounterValue, float64(r.ErrorsTotal))
}

func (m *metrics) update(last measurement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last, m.looked = last, true
	if last.err != nil {
		m.failed++
	}
	if !last.served {
		return
	}
	ms := last.took.Seconds() * 1e3
	m.count++
	m.sum += ms
	for _, bound := range latencyBounds() {
		if ms <= bound {
			m.buckets[bound]++
		}
	}
}
