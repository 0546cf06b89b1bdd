package fleet

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/event"
)

// nodeMetrics counts hosts by what has become of their nodes.
type nodeMetrics struct {
	service *Service
	desc    *prometheus.Desc
}

// Metrics exports amoskys_nodes, for alerts on hosts that have gone.
func (s *Service) Metrics() prometheus.Collector {
	return &nodeMetrics{s, prometheus.NewDesc("amoskys_nodes",
		"Hosts by the state of their node: connected, reconnecting (gone for some seconds), away, or silent (gone for fleet.silent_host_minutes).",
		[]string{"state"}, nil)}
}

// Describe implements prometheus.Collector.
func (m *nodeMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.desc }

// Collect implements prometheus.Collector.
func (m *nodeMetrics) Collect(ch chan<- prometheus.Metric) {
	counts := map[string]int{"connected": 0, "reconnecting": 0, "away": 0, "silent": 0}
	m.service.mu.Lock()
	now := m.service.o.Now()
	for _, h := range m.service.hosts.byName {
		health, _ := m.service.healthOfHost(h, now)
		counts[event.NodeState(health)]++
	}
	m.service.mu.Unlock()
	for state, n := range counts {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(n), state)
	}
}
