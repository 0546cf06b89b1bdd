package proc

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics exports the last reading of the busiest processes, and counts of all.
// The number of series is bounded by metrics_top.
type metrics struct {
	cpu, memory, descriptors, threads, state *prometheus.Desc
	processes, started, ended, missed, took  *prometheus.Desc
	hidden                                   *prometheus.Desc

	mu     sync.Mutex // guards what follows
	top    []reading
	counts map[string]int
	starts uint64
	ends   uint64
	lost   uint64
	last   time.Duration
	blind  int
}

// reading is what is exported of one process.
type reading struct {
	pid, name, state string
	cpu              float64
	memory           uint64
	descriptors      *uint32
	threads          uint32
}

func newMetrics() *metrics {
	own := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &metrics{
		cpu:         own("process_cpu_percent", "CPU use since the last reading, in percent of one core.", "pid", "name"),
		memory:      own("process_memory_bytes", "Resident memory.", "pid", "name"),
		descriptors: own("process_file_descriptors", "Open file descriptors.", "pid", "name"),
		threads:     own("process_thread_count", "Threads.", "pid", "name"),
		state:       own("process_state", "1 for the state that the process is in.", "pid", "name", "state"),
		processes:   own("amoskys_proc_processes", "Processes of this host by state.", "state"),
		started:     own("amoskys_proc_started_total", "Processes that were seen to start."),
		ended:       own("amoskys_proc_ended_total", "Processes that were seen to end."),
		missed:      own("amoskys_proc_vanished_total", "Processes that ended before they could be read."),
		hidden:      own("amoskys_proc_hidden", "Processes whose program, folder and exit code may not be read."),
		took:        own("amoskys_proc_scan_seconds", "Duration of the last scan."),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.cpu, m.memory, m.descriptors, m.threads, m.state,
		m.processes, m.started, m.ended, m.missed, m.took, m.hidden,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, r := range m.top {
		gauge(m.cpu, r.cpu, r.pid, r.name)
		gauge(m.memory, float64(r.memory), r.pid, r.name)
		if r.descriptors != nil {
			gauge(m.descriptors, float64(*r.descriptors), r.pid, r.name)
		}
		gauge(m.threads, float64(r.threads), r.pid, r.name)
		gauge(m.state, 1, r.pid, r.name, r.state)
	}
	for state, n := range m.counts {
		gauge(m.processes, float64(n), state)
	}
	counter := func(d *prometheus.Desc, v uint64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	counter(m.started, m.starts)
	counter(m.ended, m.ends)
	counter(m.missed, m.lost)
	gauge(m.took, m.last.Seconds())
	gauge(m.hidden, float64(m.blind))
}

// update takes the processes with the most CPU, then memory, of those watched.
func (m *metrics) update(t *table, limit int) {
	counts := map[string]int{}
	all := make([]*process, 0, len(t.byPID))
	for _, p := range t.byPID {
		counts[stateName(p.stat.state)]++
		if p.watched {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *process) int {
		return cmp.Or(cmp.Compare(b.cpu, a.cpu), cmp.Compare(b.stat.rssPages, a.stat.rssPages), cmp.Compare(a.pid, b.pid))
	})
	all = all[:min(len(all), limit)]
	top := make([]reading, 0, len(all))
	for _, p := range all {
		top = append(top, reading{
			pid: strconv.Itoa(p.pid), name: p.stat.name, state: stateName(p.stat.state), cpu: p.cpu,
			memory: uint64(p.stat.rssPages) * t.page, descriptors: t.src.descriptors(p.pid, p.stat.thread), threads: p.stat.threads,
		})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.top, m.counts = top, counts
}

// note counts what a scan found.
func (m *metrics) note(c change, t *table, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.starts += uint64(len(c.started) + len(c.replaced))
	m.ends += uint64(len(c.ended))
	m.lost, m.last = t.lost, took
}

// hide sets how many processes may not be read in full.
func (m *metrics) hide(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blind = n
}
