package ingest

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// Why events are not in the store.
const (
	dropMalformed = "malformed" // no events; the hub admits none
	dropGap       = "gap"       // the log no longer had them
	dropEngine    = "engine"    // the engine threw their rows away
	dropRefused   = "refused"   // the engine did not take their rows
)

// metrics are those of ingest.
type metrics struct {
	events, bytes, batches, removedDays, thinned prometheus.Counter
	dropped, cuts                                *prometheus.CounterVec
	insert, barrier                              prometheus.Histogram
}

func newMetrics(in *Ingest, r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "amoskys_store_" + name, Help: help})
	}
	seconds := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "amoskys_store_" + name, Help: help, Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		})
	}
	m := &metrics{
		events:      counter("events_total", "Events given to the store's engine; those that are given again after a crash count again."),
		bytes:       counter("ingest_bytes_total", "Bytes of rows given to the store's engine."),
		thinned:     counter("thinned_events_total", "Readings that the store left out, as their numbers are in the metrics alone."),
		batches:     counter("batches_total", "Batches of rows given to the store's engine."),
		removedDays: counter("removed_days_total", "Days that the store removed by its retention."),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amoskys_store_dropped_events_total", Help: "Events that are not in the store, by reason.",
		}, []string{"reason"}),
		cuts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "amoskys_store_cut_events_total", Help: "Events whose values were cut to fit, by whether the event is there whole all the same.",
		}, []string{"whole"}),
		insert:  seconds("insert_seconds", "Time until the store's engine had taken a batch."),
		barrier: seconds("barrier_seconds", "Time until all that the store's engine had was durable."),
	}
	for _, reason := range []string{dropMalformed, dropGap, dropEngine, dropRefused} {
		m.dropped.WithLabelValues(reason)
	}
	for _, whole := range []string{"true", "false"} {
		m.cuts.WithLabelValues(whole)
	}
	if r == nil {
		return m, nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "amoskys_store_" + name, Help: help}, value)
	}
	var err error
	for _, c := range []prometheus.Collector{
		m.events, m.bytes, m.batches, m.removedDays, m.thinned, m.dropped, m.cuts, m.insert, m.barrier,
		gauge("lag_events", "Events of the log that the store's engine does not have yet.", func() float64 { return float64(in.Lag()) }),
		gauge("next_offset", "Offset before which all that the log had was given to the store's engine.", func() float64 { return float64(in.Inserted()) }),
		gauge("stored_events", "Events that are durably stored.", in.stored),
		gauge("rebuilding_days", "Days that are to be read from the log again.", in.toRebuild),
		gauge("read_only", "Whether the store takes no events because its disk is nearly full.", in.isReadOnly),
	} {
		err = errors.Join(err, r.Register(c))
	}
	return m, err
}

func (m *metrics) drop(reason string, n uint64) { m.dropped.WithLabelValues(reason).Add(float64(n)) }

func (m *metrics) cut(whole bool) {
	label := "false"
	if whole {
		label = "true"
	}
	m.cuts.WithLabelValues(label).Inc()
}

func (m *metrics) inserted(r *vlogs.Rows, took time.Duration) {
	m.events.Add(float64(r.Len()))
	m.bytes.Add(float64(r.Bytes()))
	m.batches.Inc()
	m.insert.Observe(took.Seconds())
}

func (in *Ingest) stored() float64 {
	in.view.Lock()
	defer in.view.Unlock()
	n := uint64(0)
	for _, d := range in.view.stored().Days {
		n += d
	}
	return float64(n)
}

func (in *Ingest) toRebuild() float64 {
	in.view.Lock()
	defer in.view.Unlock()
	return float64(len(in.view.place.Rebuilds))
}

func (in *Ingest) isReadOnly() float64 {
	if in.full() {
		return 1
	}
	return 0
}
