package export

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a sample is not with a receiver.
const (
	dropRefused = "refused" // it answered that it never takes it
	dropLate    = "late"    // likewise, and it came after a newer one of its series
	// It was sent when the program ended, and again when that began again: who refuses it
	// then has it, unless it would have refused it before.
	dropAgain   = "sent_before"
	dropPartly  = "partly"  // it took the request and left samples out
	dropUnknown = "unknown" // the log did not say of which series it is
)

// selfMetrics are those of all exports.
type selfMetrics struct {
	sent, retries, gaps *prometheus.CounterVec
	dropped, repeated   *prometheus.CounterVec
	newest              *prometheus.GaugeVec
	seconds             *prometheus.HistogramVec
}

// targetMetrics are those of one receiver.
type targetMetrics struct {
	sent, retries, gaps prometheus.Counter
	repeated            prometheus.Counter
	dropped             *prometheus.CounterVec
	newest              prometheus.Gauge
	seconds             prometheus.Observer
}

func newSelfMetrics() *selfMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "amoskys_export_" + name, Help: help}, append([]string{"receiver"}, labels...))
	}
	return &selfMetrics{
		sent:     counter("sent_samples_total", "Samples that a receiver of metrics took."),
		retries:  counter("retries_total", "Requests that a receiver of metrics did not take and that were sent again."),
		gaps:     counter("gaps_total", "Times that the database's log had no more what a receiver of metrics had not got yet."),
		repeated: counter("repeated_samples_total", "Samples that the log of the database has twice, as it was killed, and that are sent to a receiver once."),
		dropped:  counter("dropped_samples_total", "Samples that a receiver of metrics has not got, by reason.", "reason"),
		newest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "amoskys_export_newest_timestamp_seconds", Help: "Time of the newest sample that a receiver of metrics took last.",
		}, []string{"receiver"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "amoskys_export_request_seconds", Help: "Time that a receiver of metrics took to answer.", Buckets: []float64{0.01, 0.05, 0.1, 0.5, 1, 5, 30},
		}, []string{"receiver"}),
	}
}

func (m *selfMetrics) of(receiver string) *targetMetrics {
	t := &targetMetrics{
		sent: m.sent.WithLabelValues(receiver), retries: m.retries.WithLabelValues(receiver), gaps: m.gaps.WithLabelValues(receiver),
		repeated: m.repeated.WithLabelValues(receiver),
		dropped:  m.dropped.MustCurryWith(prometheus.Labels{"receiver": receiver}), newest: m.newest.WithLabelValues(receiver),
		seconds: m.seconds.WithLabelValues(receiver),
	}
	for _, reason := range []string{dropRefused, dropLate, dropAgain, dropPartly, dropUnknown} {
		t.dropped.WithLabelValues(reason)
	}
	return t
}

func (m *selfMetrics) register(r prometheus.Registerer, e *Exporter) error {
	var err error
	for _, c := range []prometheus.Collector{
		m.sent, m.retries, m.gaps, m.dropped, m.repeated, m.newest, m.seconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "amoskys_export_failing_receivers", Help: "Receivers of metrics that have taken nothing for five minutes.",
		}, func() (n float64) {
			for _, s := range e.senders {
				if s.trouble() != "" {
					n++
				}
			}
			return n
		}),
	} {
		err = errors.Join(err, r.Register(c))
	}
	return err
}
