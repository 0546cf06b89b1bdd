package flow

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/findings"
	"github.com/amoskys/amoskys/internal/flow/lane"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/ring"
	"github.com/amoskys/amoskys/internal/flow/track"
)

// Families that the hub is told too.
const (
	familyCreated    = "flow_created"
	familyEnded      = "flow_ended"
	familyDuration   = "flow_duration_seconds"
	familyBytesIn    = "flow_bytes_in"
	familyBytesOut   = "flow_bytes_out"
	familyPacketsIn  = "flow_packets_in"
	familyPacketsOut = "flow_packets_out"
	familyDropped    = "flow_packets_dropped"
)

// metrics are of all flows together, never of one.
type metrics struct {
	traffic                          [4]*prometheus.CounterVec // as in traffic
	duration                         prometheus.Histogram
	suppressed, dropped, probes      prometheus.Counter
	frames, bytes, drops, frozen     *prometheus.Desc
	faults, active, opened, ended    *prometheus.Desc
	givenUp, waiting, findings, held *prometheus.Desc
	wire                             wireMetrics
	keptPackets, keptBytes           *prometheus.Desc
	unkept, keptFaults, keptSince    *prometheus.Desc
	merged, segments, overlaps       *prometheus.Desc
	inUse, setBack, forgotten        *prometheus.Desc
	created, over, lost              *prometheus.Desc // with names that the hub is told

	taps   []*tap
	queued func() int
	found  func() findings.Stats // nil looks for none
	// nil collects, or exports, nothing
	collector *collector
	outlet    *outlet
	kept      func() ring.Stats // nil keeps no packets

	mu    sync.Mutex // guards what follows
	lanes []lane.Counts
}

// traffic is what a flow had: "in" is what the initiator received.
type traffic struct{ bytesIn, bytesOut, packetsIn, packetsOut uint64 }

func newMetrics(o agent.Options, lanes int) *metrics {
	who := prometheus.Labels{"agent": o.ID, "host": o.Host}
	m := &metrics{lanes: make([]lane.Counts, lanes)}
	for i, c := range [4][2]string{
		{familyBytesIn, "Bytes of IP packets that the initiators of flows received."},
		{familyBytesOut, "Bytes of IP packets that the initiators of flows sent."},
		{familyPacketsIn, "Packets that the initiators of flows received."},
		{familyPacketsOut, "Packets that the initiators of flows sent."},
	} {
		m.traffic[i] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: c[0], Help: c[1], ConstLabels: who}, []string{"interface", "category"})
	}
	m.duration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: familyDuration, Help: "Time from the first to the last packet of flows that ended.", ConstLabels: who,
		Buckets: []float64{0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 7200},
	})
	m.created = prometheus.NewDesc(familyCreated, "Flows that began.", nil, who)
	m.over = prometheus.NewDesc(familyEnded, "Flows that ended, by reason.", []string{"reason"}, who)
	m.lost = prometheus.NewDesc(familyDropped, "Packets that the kernel dropped before the agent saw them.", nil, who)
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m.suppressed = counter("amoskys_flow_suppressed_total", "Flows that were not told, for min_bytes_threshold.")
	m.probes = counter("amoskys_flow_own_probes_total", "Flows that were not told, since scans of this host made them.")
	m.dropped = counter("amoskys_flow_events_dropped_total", "Events that were dropped, because publishing was slower than they came.")
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	m.frames = desc("amoskys_flow_frames_total", "Frames captured.")
	m.bytes = desc("amoskys_flow_frame_bytes_total", "Bytes of frames captured, as they were on the wire.")
	m.drops = desc("amoskys_flow_kernel_drops_total", "Frames that the kernel dropped, because the ring had no room.")
	m.frozen = desc("amoskys_flow_ring_full_total", "How often a ring was full.")
	m.merged = desc("amoskys_flow_merged_frames_total", "Frames that stood for several segments, as the interface or the kernel merges them; each segment is counted.")
	m.segments = desc("amoskys_flow_segments_known", "1 if the kernel tells how many segments a frame stands for; 0 if merged frames count as one packet, or nothing was captured yet.")
	m.overlaps = desc("amoskys_flow_fragment_overlaps_total", "Fragments that said again, and otherwise, what an earlier one had said.")
	m.faults = desc("amoskys_flow_decode_errors_total", "Frames that could not be read to their end.", "kind")
	m.active = desc("amoskys_flow_active", "Flows now.")
	m.opened = desc("amoskys_flow_opened_total", "Flows that began.")
	m.ended = desc("amoskys_flow_ended_total", "Flows that ended, by reason; evicted ones had to make room.", "reason")
	m.inUse = desc("amoskys_flow_evicted_established_total", "Connections in use that had to make room.")
	m.setBack = desc("amoskys_flow_clock_set_back_total", "How often the time of packets went back for good.")
	m.givenUp = desc("amoskys_flow_uninspected_total", "Flows whose content was not looked at to the end, for want of room.")
	m.findings = desc("amoskys_flow_findings_total", "Findings told, updates among them.", "kind")
	m.held = desc("amoskys_flow_findings_suppressed_total", "Findings and updates that were not told at once, for max_per_minute.")
	m.forgotten = desc("amoskys_flow_findings_forgotten_total", "Sources and pairs that detectors had to forget to make room for others.")
	m.wire = newWireMetrics(desc)
	m.keptPackets = desc("amoskys_flow_kept_packets_total", "Packets written to the ring on disk.")
	m.keptBytes = desc("amoskys_flow_kept_bytes", "Size of the ring on disk now.")
	m.unkept = desc("amoskys_flow_unkept_packets_total", "Packets that the ring on disk lacks: the queue to it was full, the disk had little room, or writing failed.", "reason")
	m.keptFaults = desc("amoskys_flow_kept_errors_total", "Writes to the ring on disk, and removals from it, that failed.")
	m.keptSince = desc("amoskys_flow_kept_oldest_seconds", "Unix time of the oldest packet of the ring on disk; 0 without any.")
	m.waiting = desc("amoskys_flow_queue_events", "Events that wait to be published.")
	return m
}

// add counts the traffic of a flow.
func (m *metrics) add(on, category string, t traffic) {
	for i, n := range [4]uint64{t.bytesIn, t.bytesOut, t.packetsIn, t.packetsOut} {
		m.traffic[i].WithLabelValues(on, category).Add(float64(n))
	}
}

// note keeps the counts of a lane.
func (m *metrics) note(number int, c lane.Counts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lanes[number] = c
}

// own are the collectors that count by themselves.
func (m *metrics) own() []prometheus.Collector {
	all := make([]prometheus.Collector, 0, 4+len(m.traffic))
	all = append(all, m.duration, m.suppressed, m.probes, m.dropped)
	for _, c := range m.traffic {
		all = append(all, c)
	}
	return all
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.own() {
		c.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{m.created, m.over, m.lost, m.merged, m.segments, m.overlaps, m.inUse, m.setBack, m.forgotten, m.frames, m.bytes, m.drops, m.frozen, m.faults, m.active, m.opened, m.ended, m.givenUp, m.findings, m.held, m.waiting, m.keptPackets, m.keptBytes, m.unkept, m.keptFaults, m.keptSince} {
		ch <- d
	}
	m.wire.describe(ch)
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.own() {
		c.Collect(ch)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	c := m.captured()
	counter(m.frames, c.Frames)
	counter(m.bytes, c.Bytes)
	counter(m.drops, c.Dropped)
	counter(m.frozen, c.Frozen)
	counter(m.merged, c.Offloaded)
	gauge(m.segments, oneIf(c.SegmentsKnown))

	all := m.sum()
	for i, n := range all.Faults {
		counter(m.faults, n, packet.Fault(i).Kind())
	}
	gauge(m.active, all.Table.Active)
	grown := func(d *prometheus.Desc, v uint64, labels ...string) { // without _total it is no counter
		ch <- prometheus.MustNewConstMetric(d, prometheus.UntypedValue, float64(v), labels...)
	}
	counter(m.opened, all.Table.Opened)
	grown(m.created, all.Table.Opened)
	grown(m.lost, c.Dropped)
	for reason := track.Finished; reason <= track.Shutdown; reason++ {
		counter(m.ended, all.Table.Ended[reason], reason.String())
		grown(m.over, all.Table.Ended[reason], reason.String())
	}
	counter(m.overlaps, all.Fragments.Overlaps)
	counter(m.inUse, all.Table.EvictedEstablished)
	counter(m.setBack, all.Table.ClockSetBack)
	counter(m.givenUp, all.Table.GivenUp+all.Engine.Refused+all.Engine.Starved)
	gauge(m.waiting, m.queued())
	if m.kept != nil {
		k := m.kept()
		counter(m.keptPackets, k.Packets)
		counter(m.unkept, k.DroppedQueue, "queue")
		counter(m.unkept, k.DroppedDisk, "disk")
		counter(m.unkept, k.DroppedError, "error")
		counter(m.keptFaults, k.Errors)
		gauge(m.keptBytes, int(k.Bytes))
		gauge(m.keptSince, int(k.Oldest/1e9))
	}
	if m.found != nil {
		found := m.found()
		for kind, n := range found.Told {
			counter(m.findings, n, findings.Kind(kind).String())
		}
		counter(m.held, found.Suppressed)
		counter(m.forgotten, found.Forgotten)
	}
	m.wire.collect(m.collector, counter, gauge)
	m.wire.export(m.outlet, counter)
}

// sum adds the counts of the lanes.
func (m *metrics) sum() lane.Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	var s lane.Counts
	for i := range m.lanes {
		c := &m.lanes[i]
		for k, n := range c.Faults {
			s.Faults[k] += n
		}
		for k, n := range c.Table.Ended {
			s.Table.Ended[k] += n
		}
		s.Fragments.Overlaps += c.Fragments.Overlaps
		s.Table.EvictedEstablished += c.Table.EvictedEstablished
		s.Table.ClockSetBack += c.Table.ClockSetBack
		s.Table.Active += c.Table.Active
		s.Table.Opened += c.Table.Opened
		s.Table.GivenUp += c.Table.GivenUp
		s.Engine.Refused += c.Engine.Refused
		s.Engine.Starved += c.Engine.Starved
	}
	return s
}

func oneIf(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// captured adds the counts of the taps.
func (m *metrics) captured() capture.Stats {
	var s capture.Stats
	for _, t := range m.taps {
		s = sum(s, t.Stats())
	}
	return s
}
