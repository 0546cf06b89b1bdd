package latest

import "github.com/prometheus/client_golang/prometheus"

// samplesOfProcess is how many series one process has.
const samplesOfProcess = 5

// descriptions are those of the exporter's own metrics.
type descriptions struct{ series, dropped, agents, samples, malformed *prometheus.Desc }

func describe() descriptions {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("amoskys_exporter_"+name, help, labels, nil)
	}
	return descriptions{
		series:    desc("series", "Series of agents that this page shows."),
		dropped:   desc("series_dropped", "Series of agents that are known and not shown, by reason: process, of those that use less than others; room, for the bound on all and on those of one agent; name, as the hub or another metric has it.", "reason"),
		agents:    desc("agents", "Agents that told a reading in the last minutes."),
		samples:   desc("samples_dropped_total", "Samples of agents that were left out: too many, with names or labels that cannot be, or of what is not followed for want of room."),
		malformed: desc("malformed_blocks_total", "Blocks of the log that could not be unpacked for this page."),
	}
}

var _ prometheus.Collector = (*Values)(nil)

// Describe implements prometheus.Collector.
func (v *Values) Describe(ch chan<- *prometheus.Desc) {
	d := describe()
	for _, one := range []*prometheus.Desc{d.series, d.dropped, d.agents, d.samples, d.malformed} {
		ch <- one
	}
}

// Collect implements prometheus.Collector.
func (v *Values) Collect(ch chan<- prometheus.Metric) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sweep()
	d := describe()
	gauge := func(of *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(of, prometheus.GaugeValue, float64(n), labels...)
	}
	counter := func(of *prometheus.Desc, n uint64) {
		ch <- prometheus.MustNewConstMetric(of, prometheus.CounterValue, float64(n))
	}
	gauge(d.series, v.shown-v.hidden)
	gauge(d.agents, len(v.agents))
	gauge(d.dropped, samplesOfProcess*v.top.Out(), "process")
	gauge(d.dropped, v.left[forRoom], "room")
	gauge(d.dropped, v.left[forName]+v.hidden, "name")
	counter(d.samples, v.samples)
	counter(d.malformed, v.malformed)
}
