package query_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	rpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/hub/query"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// series answers the same always.
type series struct{}

func (series) Series(context.Context, *pb.SeriesRequest) (*pb.SeriesResponse, error) {
	return &pb.SeriesResponse{Series: []*pb.TimeSeries{{Name: "x"}}}, nil
}

func status() hub.Status {
	oldest := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	return hub.Status{
		Status: "degraded", Reasons: []string{"why"}, Version: "1", UptimeSeconds: 1.5,
		Log: hub.LogStatus{
			State: "ok", FirstOffset: 1, NextOffset: 10, Bytes: 100, Segments: 2, OldestTime: &oldest, FreeBytes: -1, Quarantined: 1, Recovery: "read",
		},
		Subscribers: []hub.SubscriberStatus{{
			Name: "store", Offset: 5, LagEvents: 5, Hold: true, State: "waiting", Reason: "no", SeenAt: &oldest,
		}},
		Connections: 4, EventsPerSecond: 2.5, EventsTotal: 10, ErrorsTotal: 1, QueueDepth: 3,
		Latency: hub.Latency{P50: 1, P99: 2, P999: 0},
	}
}

func TestStatusAndPassThrough(t *testing.T) {
	s := query.New(query.Options{Status: status, Series: series{}})
	got, err := s.Status(t.Context(), &pb.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := &pb.StatusResponse{
		State: "degraded", Reasons: []string{"why"}, Version: "1", Uptime: durationpb.New(1500 * time.Millisecond),
		Log: &pb.LogStatus{
			State: "ok", FirstOffset: 1, NextOffset: 10, Bytes: 100, Segments: 2, Quarantined: 1, Recovery: "read",
			OldestTime: timestamppb.New(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)),
		},
		Subscribers: []*pb.SubscriberStatus{{
			Name: "store", Offset: 5, LagEvents: 5, Hold: true, State: "waiting", Reason: "no",
			SeenTime: timestamppb.New(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)),
		}},
		Connections: 4, EventsPerSecond: 2.5, EventsTotal: 10, ErrorsTotal: 1, QueueDepth: 3,
		Latency: &pb.LatencyQuantiles{P50Ms: 1, P99Ms: 2},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if series, err := s.Series(t.Context(), &pb.SeriesRequest{}); err != nil || len(series.GetSeries()) != 1 {
		t.Errorf("series %v, %v", series, err)
	}
}

// TestEventsAreTheStoresToTell: who asks a hub for events hears where they are, also a
// dashboard of before there were stores.
func TestEventsAreTheStoresToTell(t *testing.T) {
	s := query.New(query.Options{})
	for name, ask := range map[string]func() error{
		"search": func() error { _, err := s.SearchEvents(t.Context(), nil); return err },
		"event":  func() error { _, err := s.Event(t.Context(), nil); return err },
		"rows":   func() error { return s.Rows(nil, nil) },
		"export": func() error { return s.Export(nil, nil) },
		"names":  func() error { _, err := s.FieldNames(t.Context(), nil); return err },
		"values": func() error { _, err := s.FieldValues(t.Context(), nil); return err },
	} {
		if err := ask(); rpcstatus.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "amoskys store") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "eventbus_errors_total", Help: "Errors."}, []string{"reason"})
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "eventbus_latency_ms", Help: "Latency.", Buckets: []float64{1, 2.5}})
	summary := prometheus.NewSummary(prometheus.SummaryOpts{Name: "eventbus_size", Objectives: map[float64]float64{0.5: 0.1}})
	other := prometheus.NewGauge(prometheus.GaugeOpts{Name: "go_other"})
	registry.MustRegister(counter, histogram, summary, other)
	counter.WithLabelValues("bad").Add(2)
	histogram.Observe(2)
	summary.Observe(4)
	s := query.New(query.Options{Gatherer: registry})
	got, err := s.Metrics(t.Context(), &pb.MetricsRequest{Prefix: "eventbus_"})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, m := range got.GetSamples() {
		lines = append(lines, fmt.Sprint(m.GetName(), m.GetLabels(), " ", m.GetValue(), " ", m.GetType(), " ", m.GetHelp()))
	}
	want := []string{
		"eventbus_errors_totalmap[reason:bad] 2 counter Errors.",
		"eventbus_latency_ms_bucketmap[le:1] 0 histogram Latency.",
		"eventbus_latency_ms_bucketmap[le:2.5] 1 histogram Latency.",
		"eventbus_latency_ms_bucketmap[le:+Inf] 1 histogram Latency.",
		"eventbus_latency_ms_countmap[] 1 histogram Latency.",
		"eventbus_latency_ms_summap[] 2 histogram Latency.",
		"eventbus_sizemap[quantile:0.5] 4 summary ",
		"eventbus_size_countmap[] 1 summary ",
		"eventbus_size_summap[] 4 summary ",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

// TestMetricsWithReadings: those of agents come only to who asks for them.
func TestMetricsWithReadings(t *testing.T) {
	s := query.New(query.Options{Gatherer: prometheus.NewRegistry(), Readings: func(prefix string) []*pb.MetricSample {
		return []*pb.MetricSample{{Name: prefix + "cpu_percent", Labels: map[string]string{"agent": "a"}, Value: 1}}
	}})
	for asked, want := range map[bool]int{false: 0, true: 1} {
		ctx := t.Context()
		if asked {
			ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("amoskys-readings", "latest"))
		}
		got, err := s.Metrics(ctx, &pb.MetricsRequest{Prefix: "process_"})
		if err != nil || len(got.GetSamples()) != want {
			t.Errorf("asked %v: %v, %v", asked, got, err)
		}
	}
}

// TestMetricsWithExemplars: they come behind their buckets, to who asks for them.
func TestMetricsWithExemplars(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := obs.NewTraced(prometheus.HistogramOpts{Name: "eventbus_latency_ms", Help: "Latency.", Buckets: []float64{1}})
	registry.MustRegister(h)
	h.ObserveAs(0.5, time.Now(), func() prometheus.Labels { return prometheus.Labels{"offset": "1"} })
	h.ObserveAs(7, time.Now(), func() prometheus.Labels { return prometheus.Labels{"offset": "2"} })
	s := query.New(query.Options{Gatherer: registry})
	for asked, want := range map[string]string{"": "_bucket1 _bucket+Inf _count _sum", "yes": "_bucket1 _bucket1=1 _bucket+Inf _bucket+Inf=2 _count _sum"} {
		ctx := t.Context()
		if asked != "" {
			ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("amoskys-exemplars", asked))
		}
		got, err := s.Metrics(ctx, &pb.MetricsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, m := range got.GetSamples() {
			word := strings.TrimPrefix(m.GetName(), "eventbus_latency_ms") + m.GetLabels()["le"]
			if m.GetType() == "exemplar" {
				if _, err := time.Parse(time.RFC3339Nano, m.GetLabels()["exemplar_time"]); err != nil || m.GetValue() == 1 {
					t.Errorf("%v: %v", m, err)
				}
				word += "=" + m.GetLabels()["exemplar.offset"]
			}
			words = append(words, word)
		}
		if diff := cmp.Diff(want, strings.Join(words, " ")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestGauges(t *testing.T) {
	var lines []string
	query.Gauges(status)(func(name, unit string, labels map[string]string, v float64) {
		lines = append(lines, fmt.Sprint(name, " ", unit, " ", labels["quantile"], " ", v))
		if labels["quantile"] == "0.999" && !math.IsNaN(v) {
			t.Error("a latency that was not measured is not a gap")
		}
	})
	want := "latency_ms ms 0.5 1|latency_ms ms 0.99 2|latency_ms ms 0.999 NaN|queue_depth {event}  3|connections {connection}  4"
	if diff := cmp.Diff(want, strings.Join(lines, "|")); diff != "" {
		t.Error(diff)
	}
}
