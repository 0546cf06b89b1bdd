package scanner

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/inventory"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Families that the hub is told too.
const (
	familyCount = "device_count"
	familyUp    = "device_up"
	familyPorts = "device_open_ports"
	familyLast  = "device_last_seen_timestamp_seconds"
)

// metrics count devices. A bounded number of them, those seen last, have metrics of their
// own.
type metrics struct {
	a                              *Agent
	count, up, ports, last         *prometheus.Desc
	frames, malformed, lost        *prometheus.Desc
	findings, held, books, without *prometheus.Desc
	dropped, delayed               prometheus.Counter
	scans                          *prometheus.CounterVec
	took                           prometheus.Gauge
}

func newMetrics(a *Agent) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &metrics{
		a:         a,
		count:     desc(familyCount, "Devices that are not gone, by class.", "class"),
		up:        desc(familyUp, "1 for a device that was seen within three intervals, at least 15 minutes; else 0.", "ip", "mac"),
		ports:     desc(familyPorts, "Open ports of a device.", "ip", "mac"),
		last:      desc(familyLast, "Unix time at which a device was seen last.", "ip", "mac"),
		frames:    desc("amoskys_scanner_frames_total", "Frames heard, by protocol.", "protocol"),
		malformed: desc("amoskys_scanner_malformed_total", "Frames heard that could not be read, by protocol.", "protocol"),
		lost:      desc("amoskys_scanner_kernel_drops_total", "Frames that the kernel dropped, because the ring had no room."),
		findings:  desc("amoskys_scanner_findings_total", "Findings told, by kind.", "kind"),
		held:      desc("amoskys_scanner_findings_suppressed_total", "Findings not told, for max_per_minute."),
		books:     desc("amoskys_scanner_inventory_total", "What happened in the inventory: observations that named nobody, devices refused or evicted for want of room, merged or split, attributes cut, times that went back.", "what"),
		without:   desc("amoskys_scanner_devices_without_metrics", "Devices that have no metrics of their own, for max_metrics."),
		dropped:   counter("amoskys_scanner_dropped_total", "Observations and findings that were dropped, because they came faster than they could be kept."),
		delayed:   counter("amoskys_scanner_delayed_total", "Events about devices that were told later, for max_per_minute."),
		scans:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "amoskys_scanner_scans_total", Help: "Scans that ended, by result."}, []string{"result"}),
		took:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "amoskys_scanner_scan_seconds", Help: "How long the last whole scan took."}),
	}
}

// scanned counts a scan.
func (m *metrics) scanned(err error, took time.Duration) {
	switch {
	case err == nil:
		m.scans.WithLabelValues("done").Inc()
		m.took.Set(took.Seconds())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		m.scans.WithLabelValues("cut").Inc()
	default:
		m.scans.WithLabelValues("failed").Inc()
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.count, m.up, m.ports, m.last, m.frames, m.malformed, m.lost, m.findings, m.held, m.books, m.without} {
		ch <- d
	}
	m.dropped.Describe(ch)
	m.delayed.Describe(ch)
	m.scans.Describe(ch)
	m.took.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.dropped.Collect(ch)
	m.delayed.Collect(ch)
	m.scans.Collect(ch)
	m.took.Collect(ch)
	m.collectDevices(ch)
	var lost, held uint64
	frames, malformed, found := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	for _, e := range m.a.ears {
		s, dropped := e.counts()
		lost, held = lost+dropped, held+s.Suppressed
		for _, p := range [][2]map[string]uint64{{s.Frames, frames}, {s.Malformed, malformed}, {s.Findings, found}} {
			for k, n := range p[0] {
				p[1][k] += n
			}
		}
	}
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	count(m.lost, lost)
	count(m.held, held)
	for _, p := range []struct {
		d *prometheus.Desc
		n map[string]uint64
	}{{m.frames, frames}, {m.malformed, malformed}, {m.findings, found}} {
		for k, n := range p.n {
			count(p.d, n, k)
		}
	}
}

// shown is what metrics tell of a device.
type shown struct {
	ip, mac string
	ports   int
	last    int64
}

func (m *metrics) collectDevices(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	devices, classes, s := m.devices()
	for class, n := range classes {
		gauge(m.count, float64(n), class)
	}
	if len(classes) == 0 {
		gauge(m.count, 0, "unknown")
	}
	slices.SortFunc(devices, func(x, y shown) int { return cmp.Compare(y.last, x.last) })
	limit := min(len(devices), m.a.cfg.Inventory.MaxMetrics)
	gauge(m.without, float64(len(devices)-limit))
	now, recent := m.a.now().Unix(), int64(max(15*time.Minute, 3*m.a.o.Interval).Seconds())
	said := map[[2]string]bool{}
	for _, d := range devices[:limit] {
		if said[[2]string{d.ip, d.mac}] {
			continue
		}
		said[[2]string{d.ip, d.mac}] = true
		up := 0.0
		if now-d.last <= recent {
			up = 1
		}
		gauge(m.up, up, d.ip, d.mac)
		gauge(m.ports, float64(d.ports), d.ip, d.mac)
		gauge(m.last, float64(d.last), d.ip, d.mac)
	}
	for what, n := range map[string]uint64{
		"unidentified": s.Unidentified, "refused": s.Refused, "evicted": s.Evicted, "cut": s.Cut, "merged": s.Merged, "split": s.Split, "clock_back": s.ClockBack,
	} {
		ch <- prometheus.MustNewConstMetric(m.books, prometheus.CounterValue, float64(n), what)
	}
}

// devices takes what is shown from the inventory.
func (m *metrics) devices() ([]shown, map[string]int, inventory.Stats) {
	a := m.a
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []shown
	classes := map[string]int{}
	for d := range a.book.Devices() {
		if !a.book.Gone(d.GetUid()) {
			classes[classLabel(d)]++
		}
		out = append(out, shown{ip: first(d.GetIp()), mac: first(d.GetMac()), ports: len(d.GetPorts()), last: d.GetLastSeenTime().GetSeconds()})
	}
	return out, classes, a.book.Stats()
}

// classLabel is a class as a label, of which there are few.
func classLabel(d *pb.DeviceInventory) string {
	return cmp.Or(d.GetDeviceClass(), "unknown")
}

func first(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}
