package agent_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// collectors are several as one.
type collectors []prometheus.Collector

func (c collectors) Describe(ch chan<- *prometheus.Desc) {
	for _, one := range c {
		one.Describe(ch)
	}
}

func (c collectors) Collect(ch chan<- prometheus.Metric) {
	for _, one := range c {
		one.Collect(ch)
	}
}

// published keeps events.
type published struct{ events []*pb.Event }

func (p *published) Publish(ctx context.Context, events ...*pb.Event) error {
	p.events = append(p.events, events...)
	return ctx.Err()
}

func TestTotals(t *testing.T) {
	who := prometheus.Labels{"agent": "a", "host": "h"}
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "flow_bytes_in", Help: "h", ConstLabels: who}, []string{"interface"})
	bytes.WithLabelValues("eth0").Add(3)
	took := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "flow_duration_seconds", Help: "h", ConstLabels: who, Buckets: []float64{0.5, 10}})
	took.Observe(0.25)
	took.Observe(100)
	other := prometheus.NewGauge(prometheus.GaugeOpts{Name: "other", Help: "h"})
	count := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "device_count", Help: "h"}, []string{"class"})
	totals, err := agent.NewTotals(collectors{bytes, took, other, count}, "flow_bytes_in", "flow_duration_seconds", "device_count")
	if err != nil {
		t.Fatal(err)
	}
	events, err := totals.Events()
	if err != nil || len(events) != 1 || events[0].GetType() != event.TypeMetricBatch {
		t.Fatalf("%v, %v", events, err)
	}
	var got strings.Builder
	for _, m := range events[0].GetMetrics().GetMetrics() {
		fmt.Fprintln(&got, m.GetName(), m.GetLabels(), m.GetType(), m.GetValue())
	}
	want := `flow_bytes_in map[interface:eth0] METRIC_TYPE_COUNTER 3
flow_duration_seconds_bucket map[le:0.5] METRIC_TYPE_COUNTER 1
flow_duration_seconds_bucket map[le:10.0] METRIC_TYPE_COUNTER 1
flow_duration_seconds_bucket map[le:+Inf] METRIC_TYPE_COUNTER 2
flow_duration_seconds_sum map[] METRIC_TYPE_COUNTER 100.25
flow_duration_seconds_count map[] METRIC_TYPE_COUNTER 2
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
	for i := range 4500 {
		count.WithLabelValues(fmt.Sprint(i)).Set(1)
	}
	if events, err = totals.Events(); err != nil || len(events) != 3 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

func TestTotalsAreToldEachInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "device_count", Help: "h"})
		totals, err := agent.NewTotals(gauge, "device_count")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 150*time.Second)
		defer stop()
		var p published
		if totals.Run(ctx, time.Minute, &p, slog.New(slog.DiscardHandler)); len(p.events) != 2 || p.events[0].GetMetricsOnly() || !p.events[1].GetMetricsOnly() {
			t.Errorf("%v", p.events)
		}
	})
}
