package app

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/amoskys/amoskys/internal/hub/query"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// hubMetrics is a hub that tells its metrics alone.
type hubMetrics struct {
	pb.QueryClient

	service *query.Service
}

// Metrics implements pb.QueryClient.
func (h hubMetrics) Metrics(ctx context.Context, r *pb.MetricsRequest, _ ...grpc.CallOption) (*pb.MetricsResponse, error) {
	sent, _ := metadata.FromOutgoingContext(ctx)
	return h.service.Metrics(metadata.NewIncomingContext(ctx, sent), r)
}

// TestLatencyOfHub: buckets, sum and count come as they are, each bucket with its exemplar.
func TestLatencyOfHub(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	h := obs.NewTraced(prometheus.HistogramOpts{Name: hubLatency, Help: "Latency.", Buckets: []float64{1, 5}})
	registry.MustRegister(h)
	began := time.Now()
	h.ObserveAs(3, began, func() prometheus.Labels { return prometheus.Labels{"offset": "7", "batch": "ab-1"} })
	h.ObserveAs(30, began, func() prometheus.Labels { return prometheus.Labels{"event": "e"} })
	all := latencyOfHub(hubMetrics{service: query.New(query.Options{Gatherer: registry})})(t.Context())
	if len(all) != 5 {
		t.Fatalf("%+v", all)
	}
	for i, want := range []int{0, 4, 2} { // of three buckets, how many words their exemplars have
		if x := all[i].Exemplar; len(x.Labels) != want || want > 0 && x.Time.Before(began.Add(-time.Second)) {
			t.Errorf("%+v", all[i])
		}
	}
	if all[1].Value != 1 || all[1].Exemplar.Value != 3 || all[1].Exemplar.Labels[3] != "7" || all[2].Labels[1] != "+Inf" {
		t.Errorf("%+v", all)
	}
}
