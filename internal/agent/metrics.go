package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/identity"
)

// collector exports what the runtime counts; it reads snapshots when scraped.
type collector struct {
	r                                              *runner
	published, acked, dropped, refused             *prometheus.Desc
	batches, duplicates, retries, connects         *prometheus.Desc
	spoolBytes, spoolEvents, connected, ackSeconds *prometheus.Desc
	sealedBytes, packedBytes, unpacked, short      *prometheus.Desc
	degraded, certificate                          *prometheus.Desc
}

func newCollector(r *runner) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("amoskys_agent_"+name, help, labels, prometheus.Labels{"agent_id": r.common.ID})
	}
	return &collector{
		r:           r,
		published:   desc("events_total", "Events that the agent published."),
		acked:       desc("events_acked_total", "Events that the hub made durable."),
		dropped:     desc("events_dropped_total", "Events lost on this machine.", "reason"),
		refused:     desc("events_refused_total", "Events that the hub refused.", "reason"),
		batches:     desc("batches_total", "Batches that the hub acknowledged."),
		duplicates:  desc("batches_duplicate_total", "Acknowledged batches that the hub had already."),
		retries:     desc("batches_retried_total", "Batches that the hub asked to send again."),
		connects:    desc("hub_connects_total", "Connections to the hub that were established."),
		spoolBytes:  desc("spool_bytes", "Size of the spool on disk."),
		spoolEvents: desc("spool_events", "Events that wait in the spool."),
		sealedBytes: desc("sealed_bytes_total", "Size of the events in batches, before they were packed."),
		packedBytes: desc("packed_bytes_total", "Size of the batches as they were spooled."),
		unpacked:    desc("batches_unpacked_total", "Batches sent unpacked, because the hub had not said that it takes them packed."),
		short:       desc("batches_short_total", "Answers of the hub that did not account for every event of their batch."),
		connected:   desc("hub_connected", "1 while the hub is connected."),
		ackSeconds:  desc("ack_seconds", "Time from sending a batch to the hub's answer."),
		certificate: prometheus.NewDesc(identity.ExpiryMetric, identity.ExpiryHelp, []string{"certificate"}, prometheus.Labels{"agent_id": r.common.ID}),
		degraded:    desc("degraded", "1 while something needs attention; /status says what."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	sp, up := c.r.spool.Stats(), c.r.uplink.State()
	total, _, _ := c.r.meter.read(c.r.now())
	state, _ := c.r.state.read()
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	counter(c.published, total)
	counter(c.acked, sp.Acked)
	for reason, n := range c.r.dropsByReason() {
		counter(c.dropped, n, reason)
	}
	for reason, n := range up.Refused {
		counter(c.refused, n, reason)
	}
	counter(c.batches, up.Batches)
	counter(c.duplicates, up.Duplicates)
	counter(c.retries, up.Retries)
	counter(c.connects, up.Connects)
	counter(c.sealedBytes, sp.SealedBytes)
	counter(c.packedBytes, sp.PackedBytes)
	counter(c.unpacked, up.Unpacked)
	counter(c.short, up.Short)
	gauge(c.spoolBytes, float64(sp.Bytes))
	gauge(c.spoolEvents, float64(sp.Events))
	gauge(c.connected, truth(up.Connected))
	gauge(c.degraded, truth(state == "degraded"))
	if end, err := identity.EndOf(c.r.files.Cert); err == nil {
		ch <- prometheus.MustNewConstMetric(c.certificate, prometheus.GaugeValue, float64(end.Unix()), "agent")
	}
	count, sum, buckets := c.r.ackTimes.histogram()
	ch <- prometheus.MustNewConstHistogram(c.ackSeconds, count, sum, buckets)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
