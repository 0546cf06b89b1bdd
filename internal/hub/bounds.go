package hub

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/hub/begun"
)

// bound is one bound on what clients may ask for, and how near it is.
type bound struct {
	name  string // the label; docs/operations.md explains each
	limit float64
	used  func(begun.Used) float64
}

// bounds is the one table of the hub's bounds. "Of an identity" and "of a
// connection" show those that use most.
func (h *Hub) bounds() []bound {
	c := &h.options.Config.Server
	l, r := begunLimits(c.messageLimit()), &h.bus.rooms
	return []bound{
		{"connections", float64(c.MaxConnections), func(begun.Used) float64 { return float64(h.Connections()) }},
		{"begun_bytes_of_connection", float64(l.Connection), func(u begun.Used) float64 { return float64(u.Connection) }},
		{"begun_bytes_of_identity", float64(l.Identity), func(u begun.Used) float64 { return float64(u.Identity) }},
		{"begun_bytes", float64(l.Hub), func(u begun.Used) float64 { return float64(u.Hub) }},
		{"unread_bytes_of_connection", float64(l.ConnectionUnread), func(u begun.Used) float64 { return float64(u.ConnectionUnread) }},
		{"unread_bytes_of_identity", float64(l.IdentityUnread), func(u begun.Used) float64 { return float64(u.IdentityUnread) }},
		{"unread_bytes", float64(l.HubUnread), func(u begun.Used) float64 { return float64(u.HubUnread) }},
		{"arrived_bytes_of_identity", float64(r.arrived.limit), func(begun.Used) float64 { return float64(r.arrived.most()) }},
		{"unpacked_bytes_of_identity", float64(r.unpacked.own.limit), func(begun.Used) float64 { return float64(r.unpacked.own.most()) }},
		{"unpacked_bytes", float64(r.unpacked.all.Limit()), func(begun.Used) float64 { return float64(r.unpacked.used()) }},
		{"queue_bytes", float64(r.queue.all.Limit()), func(begun.Used) float64 { return float64(r.queue.used()) }},
		{"delivery_bytes", largeBytesOfAll, func(begun.Used) float64 { all, _ := h.bus.large.used(); return float64(all) }},
		{"delivery_bytes_of_identity", largeBytesOfIdentity, func(begun.Used) float64 { _, most := h.bus.large.used(); return float64(most) }},
		{"answer_bytes_of_identity", float64(h.answers.bytes.limit), func(begun.Used) float64 { return float64(h.answers.bytes.most()) }},
		{"answers_of_identity", float64(h.answers.calls.limit), func(begun.Used) float64 { return float64(h.answers.calls.most()) }},
	}
}

// boundCollector shows the table to Prometheus.
type boundCollector struct {
	hub         *Hub
	limit, used *prometheus.Desc
}

var _ prometheus.Collector = boundCollector{}

func newBoundCollector(h *Hub) boundCollector {
	return boundCollector{
		hub: h,
		limit: prometheus.NewDesc("amoskys_hub_bound_limit",
			"The most of something that clients may have, by bound; see docs/operations.md.", []string{"bound"}, nil),
		used: prometheus.NewDesc("amoskys_hub_bound_used", "How much of each bound is in use now.", []string{"bound"}, nil),
	}
}

// Describe sends the two descriptions.
func (c boundCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.limit
	out <- c.used
}

// Collect reads every bound.
func (c boundCollector) Collect(out chan<- prometheus.Metric) {
	u := c.hub.begun.Used()
	for _, b := range c.hub.bounds() {
		out <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, b.limit, b.name)
		out <- prometheus.MustNewConstMetric(c.used, prometheus.GaugeValue, b.used(u), b.name)
	}
}
