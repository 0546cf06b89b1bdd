package metrics

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a sample that events have is not in the database.
const (
	dropBounds    = "bounds"    // an event had more, or with longer names, than one may
	dropTop       = "top"       // of a process that is not among those with series
	dropSeries    = "series"    // no room for one more series, of its agent or of all
	dropOld       = "old"       // more than a day behind the newest
	dropDuplicate = "duplicate" // another value for the same moment
	dropName      = "name"      // of a batch, with a name that no agent may give
	dropRefused   = "refused"   // the database did not say why
)

func drops() []string {
	return []string{dropBounds, dropTop, dropSeries, dropOld, dropDuplicate, dropName, dropRefused}
}

// selfMetrics are those of the database of readings itself.
type selfMetrics struct {
	events, samples, stale, moved, reopened, saveErrors, compactionErrors prometheus.Counter
	dropped                                                               *prometheus.CounterVec
}

func newSelfMetrics(db *DB, r prometheus.Registerer) (*selfMetrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "amoskys_metrics_" + name, Help: help})
	}
	m := &selfMetrics{
		events:           counter("events_total", "Events that had readings."),
		samples:          counter("samples_total", "Samples that were written into the database of metrics; some may have come twice."),
		stale:            counter("stale_markers_total", "Marks that a series has ended."),
		moved:            counter("moved_samples_total", "Readings whose time lay ahead of the hub's clock, and which got that of the hub."),
		reopened:         counter("reopened_total", "Times that the database of metrics was opened again after it failed."),
		compactionErrors: counter("compaction_errors_total", "Times that blocks of the database of metrics could not be made or joined."),
		saveErrors:       counter("place_errors_total", "Times that the place of the database of metrics in the log could not be written."),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amoskys_metrics_dropped_samples_total", Help: "Samples that events have and the database of metrics has not, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range drops() {
		m.dropped.WithLabelValues(reason)
	}
	if r == nil {
		return m, nil
	}
	gauge := func(name, help string, value func(*Held) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "amoskys_metrics_" + name, Help: help}, func() float64 {
			s := db.Held()
			return value(&s)
		})
	}
	var err error
	for _, c := range []prometheus.Collector{
		m.events, m.samples, m.stale, m.moved, m.reopened, m.saveErrors, m.compactionErrors, m.dropped,
		gauge("series", "Series in the head of the database of metrics.", func(s *Held) float64 { return float64(s.Series) }),
		gauge("series_limit", "Series that the head of the database of metrics may have (tsdb.max_series).", func(*Held) float64 { return float64(db.o.Series) }),
		gauge("bytes", "Bytes that the database of metrics takes on disk.", func(s *Held) float64 { return float64(s.Bytes) }),
		gauge("head_bytes", "Bytes that the head of the database of metrics takes on disk, its log included.", func(s *Held) float64 { return float64(s.HeadBytes) }),
		gauge("blocks", "Blocks of the database of metrics.", func(s *Held) float64 { return float64(s.Blocks) }),
		gauge("set_aside", "Parts of the database of metrics that were set aside, as they are damaged or of a newer version.", func(s *Held) float64 { return float64(s.SetAside) }),
	} {
		err = errors.Join(err, r.Register(c))
	}
	return m, err
}

func (m *selfMetrics) drop(reason string, n int) {
	if n > 0 {
		m.dropped.WithLabelValues(reason).Add(float64(n))
	}
}
