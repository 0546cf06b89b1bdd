package own_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/amoskys/amoskys/internal/metrics/own"
)

// TestRecord: counters and gauges of a registry with their labels, and what is told no more
// ends.
func TestRecord(t *testing.T) {
	db := promqltest.LoadedStorage(t, "")
	defer func() { _ = db.Close() }()
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "amoskys_store_x_total"}, []string{"host", "reason"})
	other := prometheus.NewGauge(prometheus.GaugeOpts{Name: "go_y"})
	registry.MustRegister(counter, other)
	counter.WithLabelValues("other", "full").Add(3)
	now, more := time.Unix(100, 0), true
	r := own.New(own.Options{Into: db, Host: "h", Now: func() time.Time { return now }, Sources: []own.Source{
		own.Gathered(registry, "amoskys_store_"),
		func(context.Context) []own.Sample {
			if !more {
				return nil
			}
			return []own.Sample{{Name: "z", Labels: []string{"a", "b", "c", ""}, Value: 1}, {Name: "z", Labels: []string{"a", "b"}, Value: 2}}
		},
	}})
	for range 2 { // the second is of the same moment
		if err := r.Record(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	now, more = now.Add(15*time.Second), false
	if err := r.Record(t.Context()); err != nil {
		t.Fatal(err)
	}
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	var got []string
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
	for set.Next() {
		text := set.At().Labels().String()
		for it := set.At().Iterator(nil); it.Next() != chunkenc.ValNone; {
			at, v := it.At()
			if value.IsStaleNaN(v) {
				text += fmt.Sprintf(" %d=ends", at)
				continue
			}
			text += fmt.Sprintf(" %d=%g", at, v)
		}
		got = append(got, text)
	}
	want := `{__name__="amoskys_store_x_total", agent="store", host="h", reason="full"} 100000=3 115000=3
{__name__="z", a="b", agent="store", host="h"} 100000=1 115000=ends`
	if strings.Join(got, "\n") != want {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

// TestHistograms: buckets, sum and count of what was observed, with exemplars that the
// database answers with.
func TestHistograms(t *testing.T) {
	db := promqltest.LoadedStorage(t, "")
	defer func() { _ = db.Close() }()
	registry := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "amoskys_store_x_seconds", Buckets: []float64{1, 2.5}})
	empty := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "amoskys_store_empty_seconds"})
	registry.MustRegister(h, empty)
	observe := func(v float64, id string) {
		x, ok := h.(prometheus.ExemplarObserver)
		if !ok {
			t.Fatal("no exemplars")
		}
		x.ObserveWithExemplar(v, prometheus.Labels{"question": id})
	}
	observe(0.5, "a")
	observe(9, "b")
	now := time.Now()
	r := own.New(own.Options{Into: db, Now: func() time.Time { return now }, Sources: []own.Source{own.Gathered(registry, "amoskys_store_"), func(context.Context) []own.Sample {
		old := own.Exemplar{Labels: []string{"a", "b"}, Time: now.Add(-2 * time.Hour)}
		return []own.Sample{{Name: "old_bucket", Value: 1, Exemplar: old}}
	}}})
	for range 2 { // the exemplars of the second time are there already
		if err := r.Record(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(15 * time.Second)
	}
	q, err := db.ExemplarQuerier(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, err := q.Select(0, math.MaxInt64, []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, series := range found {
		for _, x := range series.Exemplars {
			got = append(got, fmt.Sprint(series.SeriesLabels.Get("__name__"), " ", series.SeriesLabels.Get("le"), " ", x.Labels, " ", x.Value))
		}
	}
	want := []string{`amoskys_store_x_seconds_bucket +Inf {question="b"} 9`, `amoskys_store_x_seconds_bucket 1 {question="a"} 0.5`}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	all, err := db.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = all.Close() }()
	series := 0
	set := all.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", "amoskys_store_.+"))
	for set.Next() {
		series++
	}
	if series != 5 { // three buckets, sum and count
		t.Errorf("%d series", series)
	}
}
