package store

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestSlowQuestions: one that took long is in the log under the name of its exemplar.
func TestSlowQuestions(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	now := time.Unix(1_700_000_000, 0)
	registry := prometheus.NewPedanticRegistry()
	x, err := newTiming(registry, slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method string, request any, took time.Duration) {
		end := x.begin(t.Context(), method)
		now = now.Add(took)
		end(request)
	}
	ask(pb.Query_SearchEvents_FullMethodName, &pb.SearchEventsRequest{Filter: &pb.Filter{Query: "fast"}}, time.Millisecond)
	ask(pb.Query_SearchEvents_FullMethodName, &pb.SearchEventsRequest{Filter: &pb.Filter{Query: "slow" + strings.Repeat("é", 900)}}, 2*time.Second)
	ask(pb.Query_Rows_FullMethodName, &pb.RowsRequest{Query: "* | rows"}, 3*time.Second)
	ask(pb.Metrics_Prometheus_FullMethodName, &pb.PrometheusRequest{Path: "query", Query: "query=up"}, 4*time.Second)
	ask("/none/At", nil, time.Hour)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(err, len(families))
	}
	named := 0
	for _, m := range families[0].GetMetric() {
		for _, b := range m.GetHistogram().GetBucket() {
			if l := b.GetExemplar().GetLabel(); len(l) == 1 {
				named++
				if slow := b.GetExemplar().GetValue() >= 1; slow != strings.Contains(log.String(), "question="+l[0].GetValue()) {
					t.Errorf("%s: %s", l[0].GetValue(), log.String())
				}
			}
		}
	}
	if got := log.String(); named != 4 || strings.Count(got, "\n") != 3 || strings.Contains(got, "fast") || !strings.Contains(got, `asked="query query=up"`) || len(got) > 1500 {
		t.Errorf("%d exemplars: %s", named, got)
	}
}
