package hub

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/stream"
)

// metrics are the counters that code increments; gauges are read when scraped.
type metrics struct {
	meter                               *meter
	latency                             *obs.Traced
	events                              prometheus.Counter
	bytes                               prometheus.Counter
	batches                             *prometheus.CounterVec // by outcome, which are:
	batch, duplicates, nothing, retries prometheus.Counter
	packed                              *prometheus.CounterVec // batches, by codec

	errors  *prometheus.CounterVec // by reason
	refused *prometheus.CounterVec // events, by reason
	skewed  prometheus.Counter
	sent    prometheus.Counter
	reasons map[string]prometheus.Counter
}

// errorReasons are the values of the label reason of eventbus_errors_total
// besides the listener's; they exist from the start, so that a rate over them works.
func errorReasons() []string {
	words := slices.Concat(slices.Collect(maps.Values(begunReasons())), scarceReasons(), rejectionReasons())
	return append([]string{
		"unauthenticated", "unknown_method", "panic", "agent_mismatch",
		"malformed_request", "unknown_codec", "message_too_large", "request_timeout", "too_many_events", "stale_sequence", "refused_event",
		"log_busy", "unpack_busy", "log_full", "log_readonly", "log_failed", "too_many_cursors", "bad_subscription",
		"too_many_answers",
	}, words...)
}

func rejectionReasons() []string {
	all := identity.Reasons()
	words := make([]string, len(all))
	for i, r := range all {
		words[i] = string(r)
	}
	return words
}

func newMetrics(r prometheus.Registerer, m *meter) (*metrics, error) {
	x := &metrics{
		meter: m,
		latency: obs.NewTraced(prometheus.HistogramOpts{
			Name:    "eventbus_latency_ms",
			Help:    "Milliseconds from the receipt of a batch or event to its acknowledgement.",
			Buckets: []float64{0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10000},
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eventbus_events_total", Help: "Events stored and acknowledged.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eventbus_bytes_total", Help: "Encoded bytes of the events stored, before they were packed.",
		}),
		batches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventbus_batches_total", Help: "Batches and single events answered, by outcome.",
		}, []string{"outcome"}),
		packed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amoskys_hub_packed_batches_total", Help: "Batches stored that came packed, by codec.",
		}, []string{"codec"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventbus_errors_total", Help: "What was refused or went wrong, by reason.",
		}, []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eventbus_refused_events_total", Help: "Events that were not stored, by reason.",
		}, []string{"reason"}),
		skewed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eventbus_skewed_events_total",
			Help: "Events stored whose time is more than a day from the hub's clock.",
		}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eventbus_delivered_events_total", Help: "Events sent to subscribers.",
		}),
		reasons: map[string]prometheus.Counter{},
	}
	for _, reason := range errorReasons() {
		x.reasons[reason] = x.errors.WithLabelValues(reason)
	}
	x.batch, x.duplicates = x.batches.WithLabelValues("stored"), x.batches.WithLabelValues("duplicate")
	x.nothing, x.retries = x.batches.WithLabelValues("refused"), x.batches.WithLabelValues("retry")
	for _, c := range codec.Known() {
		x.packed.WithLabelValues(c.String())
	}
	return x, register(r, x.latency, x.events, x.bytes, x.batches, x.packed, x.errors, x.refused, x.skewed, x.sent)
}

// fail counts an error; unknown reasons become "other", so that labels stay bounded.
func (x *metrics) fail(reason string) {
	x.meter.errors.Add(1)
	c, ok := x.reasons[reason]
	if !ok {
		c = x.errors.WithLabelValues("other")
	}
	c.Inc()
}

// stored counts what one batch added to the log.
func (x *metrics) stored(events, bytes, skewed int) {
	x.meter.events.Add(uint64(events))
	x.batch.Inc()
	x.events.Add(float64(events))
	x.bytes.Add(float64(bytes))
	if skewed > 0 {
		x.skewed.Add(float64(skewed))
	}
}

// answered records the time from receipt to acknowledgement of what labels name.
func (x *metrics) answered(received, now time.Time, labels func() prometheus.Labels) {
	d := now.Sub(received)
	x.latency.ObserveAs(d.Seconds()*1000, now, labels)
	x.meter.latency.observe(now, d)
}

// gauges registers what is read at scrape time.
func (h *Hub) gauges(r prometheus.Registerer) error {
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
	}
	return register(r,
		gauge("eventbus_queue_depth", "Events received and not yet acknowledged.",
			func() float64 { return float64(max(0, h.meter.inQueue.Load())) }),
		gauge("eventbus_connections", "Connections with a valid certificate.",
			func() float64 { return float64(h.Connections()) }),
		gauge("eventbus_throughput_eps", "Events stored a second, mean of the last half minute.", h.eventsPerSecond),
		gauge("eventbus_subscriptions", "Subscriptions that are open.",
			func() float64 { return float64(h.subscriptions.len()) }),
		gauge("eventbus_producers", "Producers whose sequences are remembered.",
			func() float64 { return float64(h.storage.ledger.Producers()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "eventbus_producers_forgotten_total", Help: "Producers beyond their certificate's share that were forgotten while the log may hold their batches.",
		}, func() float64 { return float64(h.storage.ledger.Forgotten().Count) }),
		newBoundCollector(h),
		newExpiry(h.options.Files),
	)
}

// logMetrics measures the log.
type logMetrics struct {
	sync    prometheus.Histogram
	write   prometheus.Histogram
	records prometheus.Counter
	events  prometheus.Counter
	bytes   prometheus.Counter
	failed  prometheus.Counter
}

func newLogMetrics(r prometheus.Registerer) (*logMetrics, error) {
	buckets := prometheus.ExponentialBuckets(0.0001, 2, 16) // 0.1 ms to 3 s
	m := &logMetrics{
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "amoskys_wal_sync_seconds", Help: "Time of one fdatasync.", Buckets: buckets,
		}),
		write: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "amoskys_wal_write_seconds", Help: "Time to hand one group to the system.", Buckets: buckets,
		}),
		records: prometheus.NewCounter(prometheus.CounterOpts{Name: "amoskys_wal_records_total", Help: "Records made durable."}),
		events:  prometheus.NewCounter(prometheus.CounterOpts{Name: "amoskys_wal_events_total", Help: "Events made durable."}),
		bytes:   prometheus.NewCounter(prometheus.CounterOpts{Name: "amoskys_wal_written_bytes_total", Help: "Bytes made durable."}),
		failed:  prometheus.NewCounter(prometheus.CounterOpts{Name: "amoskys_wal_failed_groups_total", Help: "Groups that could not be made durable."}),
	}
	return m, register(r, m.sync, m.write, m.records, m.events, m.bytes, m.failed)
}

// observe takes one group commit; the log calls it.
func (m *logMetrics) observe(s stream.SyncInfo) {
	if s.Err != nil {
		m.failed.Inc()
		return
	}
	m.sync.Observe(s.Sync.Seconds())
	m.write.Observe(s.Write.Seconds())
	m.records.Add(float64(s.Records))
	m.events.Add(float64(s.Events))
	m.bytes.Add(float64(s.Bytes))
}

// register registers all, and reports what cannot be.
func register(r prometheus.Registerer, all ...prometheus.Collector) error {
	var err error
	for _, c := range all {
		err = errors.Join(err, r.Register(c))
	}
	return err
}
