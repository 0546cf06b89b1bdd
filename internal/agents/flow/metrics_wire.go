package flow

import "github.com/prometheus/client_golang/prometheus"

// wireMetrics are of flows that came from exporters and went to others. What was
// collected counts here alone, never in the counters of interfaces.
type wireMetrics struct {
	datagrams, records, malformed, lost, refused, limited, waiting *prometheus.Desc
	crowded                                                        *prometheus.Desc
	templates, unread, noFlow                                      *prometheus.Desc
	flows, estimates, bytes, packets                               *prometheus.Desc
	sent, dropped, faults                                          *prometheus.Desc
}

func newWireMetrics(desc func(name, help string, labels ...string) *prometheus.Desc) wireMetrics {
	return wireMetrics{
		datagrams: desc("amoskys_flow_collect_datagrams_total", "Datagrams and messages that exporters sent."),
		records:   desc("amoskys_flow_collect_records_total", "Records of flows in them."),
		malformed: desc("amoskys_flow_collect_malformed_total", "Datagrams, messages and sets that could not be read, by kind: malformed ones end early or lie about lengths, unsupported ones are of another protocol.", "kind"),
		lost:      desc("amoskys_flow_collect_lost_total", "What was sent and did not come, by gaps in the exporters' numbers: flows, packets or records, as the protocol counts."),
		refused:   desc("amoskys_flow_collect_refused_total", "Datagrams of exporters that are not allowed, and connections of such or too many at once, by kind.", "kind"),
		limited:   desc("amoskys_flow_collect_limited_total", "Datagrams above the rate that an exporter may send."),
		crowded:   desc("amoskys_flow_collect_dropped_total", "Datagrams that were dropped because more came than could be worked off: by the agent, of who sent most (crowded), or by the kernel before that (kernel).", "by"),
		waiting:   desc("amoskys_flow_collect_waiting", "What waits: records for their other direction, sets for their template.", "what"),
		templates: desc("amoskys_flow_collect_templates_total", "Templates, by what became of them.", "state"),
		unread:    desc("amoskys_flow_collect_unread_total", "Sets whose template did not come in time."),
		noFlow:    desc("amoskys_flow_collect_no_flow_total", "Records that do not name two addresses."),
		flows:     desc("amoskys_flow_collected_total", "Flows that an exporter told of.", "exporter"),
		estimates: desc("amoskys_flow_collected_estimates_total", "Those of them that were sampled, so that bytes and packets are estimates.", "exporter"),
		bytes:     desc("amoskys_flow_collected_bytes_total", "Bytes of IP packets in these flows.", "exporter"),
		packets:   desc("amoskys_flow_collected_packets_total", "Packets in these flows.", "exporter"),
		sent:      desc("amoskys_flow_export_sent_total", "Flows that were exported, by way.", "to"),
		dropped:   desc("amoskys_flow_export_dropped_total", "Flows that could not be exported, by way.", "to"),
		faults:    desc("amoskys_flow_export_faults_total", "Attempts to connect or write that failed, by way.", "to"),
	}
}

func (m *wireMetrics) describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.datagrams, m.records, m.malformed, m.lost, m.refused, m.limited, m.crowded, m.waiting, m.templates, m.unread, m.noFlow,
		m.flows, m.estimates, m.bytes, m.packets, m.sent, m.dropped, m.faults,
	} {
		ch <- d
	}
}

// collect gives what the collector counted, nothing where there is none.
func (m *wireMetrics) collect(
	c *collector, counter func(*prometheus.Desc, uint64, ...string), gauge func(*prometheus.Desc, int, ...string),
) {
	if c == nil {
		return
	}
	s := c.receiver.Stats()
	counter(m.datagrams, s.Datagrams)
	counter(m.records, s.Records)
	counter(m.malformed, s.Malformed, "malformed")
	counter(m.malformed, s.Unsupported, "unsupported")
	counter(m.lost, s.Lost)
	counter(m.refused, s.Refused, "datagram")
	counter(m.refused, s.RefusedConnections, "connection")
	counter(m.limited, s.Limited)
	counter(m.crowded, s.Crowded, "crowded")
	counter(m.crowded, s.Overflowed, "kernel")
	gauge(m.waiting, int(s.Held), "direction")
	gauge(m.waiting, int(s.Waiting), "template")
	counter(m.templates, s.Templates, "learned")
	counter(m.templates, s.TemplatesRefused, "refused")
	counter(m.templates, s.TemplatesEvicted, "evicted")
	counter(m.templates, s.TemplatesWithdrawn, "withdrawn")
	counter(m.unread, s.Unread)
	counter(m.noFlow, s.NoFlow)
	for name, e := range c.counts() {
		counter(m.flows, e.flows, name)
		counter(m.estimates, e.sampled, name)
		counter(m.bytes, e.bytes, name)
		counter(m.packets, e.packets, name)
	}
}

// export gives what the outlet counted, nothing where there is none.
func (m *wireMetrics) export(o *outlet, counter func(*prometheus.Desc, uint64, ...string)) {
	if o == nil {
		return
	}
	for way, s := range o.ways() {
		counter(m.sent, s.Sent, way)
		counter(m.dropped, s.Dropped, way)
		counter(m.faults, s.Faults, way)
	}
}
