package obs

import (
	"sort"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Traced is a histogram whose buckets have exemplars: of what fell into each lately, one has
// a name by which it is found elsewhere. OpenMetrics shows them, the older text format does
// not (https://prometheus.io/docs/specs/om/open_metrics_spec/#exemplars).
type Traced struct {
	prometheus.Histogram

	bounds []float64
	due    []atomic.Int64 // from when on each bucket takes another, in ns since 1970
}

// exemplarEvery is between two exemplars of a bucket: what is observed thousands of times a
// second costs no more for them, and whoever scrapes sees the last alone.
const exemplarEvery = time.Second

// MaxExemplar is how many characters the names and values of an exemplar's labels have
// together at most. What is longer is no exemplar.
const MaxExemplar = prometheus.ExemplarMaxRunes

// NewTraced returns a histogram with the buckets of o, in rising order.
func NewTraced(o prometheus.HistogramOpts) *Traced {
	return &Traced{Histogram: prometheus.NewHistogram(o), bounds: o.Buckets, due: make([]atomic.Int64, len(o.Buckets)+1)}
}

// ObserveAs observes a value. Its labels are asked for if its bucket takes an exemplar now.
func (t *Traced) ObserveAs(value float64, now time.Time, labels func() prometheus.Labels) {
	due := &t.due[sort.SearchFloat64s(t.bounds, value)]
	at := due.Load()
	x, ok := t.Histogram.(prometheus.ExemplarObserver)
	if now.UnixNano() < at || !ok || !due.CompareAndSwap(at, now.Add(exemplarEvery).UnixNano()) {
		t.Observe(value)
		return
	}
	named := labels()
	length := 0
	for name, text := range named {
		length += len(name) + len(text) // bytes are no fewer than characters
	}
	if len(named) == 0 || length > MaxExemplar {
		t.Observe(value)
		return
	}
	x.ObserveWithExemplar(value, named)
}
