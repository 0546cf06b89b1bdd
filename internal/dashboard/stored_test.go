package dashboard

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestJoinSeries: what store and hub tell stands at its time, whoever begins earlier.
func TestJoinSeries(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	none := math.NaN()
	for name, tt := range map[string]struct {
		own   []float64
		later time.Duration // the hub's start than the store's
		step  time.Duration // of the hub
		want  map[string][]float64
		start time.Duration // of the whole, after the store's
	}{
		"the same":       {[]float64{7, 8, 9}, 0, time.Second, map[string][]float64{"rate": {1, 2, 3}, "own": {7, 8, 9}}, 0},
		"the hub later":  {[]float64{8, 9}, time.Second, time.Second, map[string][]float64{"rate": {1, 2, 3}, "own": {none, 8, 9}}, 0},
		"the hub before": {[]float64{7, 8}, -time.Second, time.Second, map[string][]float64{"rate": {none, 1, 2, 3}, "own": {7, 8, none, none}}, -time.Second},
		"the hub longer": {[]float64{6, 7, 8, 9}, 0, time.Second, map[string][]float64{"rate": {1, 2, 3, none}, "own": {6, 7, 8, 9}}, 0},
		"nothing of hub": {nil, 0, time.Second, map[string][]float64{"rate": {1, 2, 3}}, 0},
		"another step":   {[]float64{9}, 0, time.Minute, map[string][]float64{"rate": {1, 2, 3}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			stored := &pb.SeriesResponse{Start: timestamppb.New(at), Step: durationpb.New(time.Second), Series: []*pb.TimeSeries{{Name: "rate", Values: []float64{1, 2, 3}}}}
			own := &pb.SeriesResponse{Start: timestamppb.New(at.Add(tt.later)), Step: durationpb.New(tt.step)}
			if tt.own != nil {
				own.Series = []*pb.TimeSeries{{Name: "own", Values: tt.own}}
			}
			joined := joinSeries(stored, own)
			got := map[string][]float64{}
			for _, one := range joined.GetSeries() {
				got[one.GetName()] = one.GetValues()
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !joined.GetStart().AsTime().Equal(at.Add(tt.start)) {
				t.Errorf("begins at %s", joined.GetStart().AsTime())
			}
		})
	}
}

// numbersOf answers each question about metrics with the same, and keeps the last.
type numbersOf struct {
	pb.MetricsClient

	body  string
	asked url.Values
}

func (n *numbersOf) Prometheus(_ context.Context, req *pb.PrometheusRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[pb.PrometheusResponse], error) {
	form, err := url.ParseQuery(req.GetQuery())
	n.asked = form
	return &oneAnswer{body: n.body}, err
}

type oneAnswer struct {
	grpc.ClientStream

	body string
}

func (a *oneAnswer) Recv() (*pb.PrometheusResponse, error) {
	if a.body == "" {
		return nil, io.EOF
	}
	part := &pb.PrometheusResponse{Chunk: []byte(a.body)}
	a.body = ""
	return part, nil
}

// TestKeptSeries: what the hub does not know any more comes from the store's metrics, and
// of a step the highest that anybody saw.
func TestKeptSeries(t *testing.T) {
	since := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	numbers := &numbersOf{body: fmt.Sprintf(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"quantile":"0.99"},"values":[[%d,"5"],[%d,"7"],[%d,"1.5"]]}]}}`,
		since.Unix()+60, since.Unix()+120, since.Unix()+240)}
	s := &Server{hub: &hub{store: &store{metrics: numbers}}}
	kept, err := s.keptSeries(t.Context(), "latency_ms_highest", "amoskys_store_hub_latency_ms", "ms", since, time.Minute, 4)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := numbers.asked.Get("query"), "max by (quantile) (max_over_time(amoskys_store_hub_latency_ms[60s]))"; got != want {
		t.Error(got)
	}
	scale := func(first time.Time, series ...*pb.TimeSeries) *pb.SeriesResponse {
		return &pb.SeriesResponse{Start: timestamppb.New(first), Step: durationpb.New(time.Minute), Series: series}
	}
	own := &pb.TimeSeries{Name: "latency_ms_highest", Labels: map[string]string{"quantile": "0.99"}, Values: []float64{9, math.NaN(), 1}}
	all := overlaid(scale(since.Add(time.Minute), own), scale(since, kept...))
	if diff := cmp.Diff([]float64{5, 9, math.NaN(), 1.5}, all.GetSeries()[0].GetValues(), cmpopts.EquateNaNs()); diff != "" || len(all.GetSeries()) != 1 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	mean := &pb.TimeSeries{Name: "queue_depth", Values: []float64{2}}
	all = overlaid(scale(since, mean), scale(since, &pb.TimeSeries{Name: "queue_depth", Values: []float64{3}}))
	if got := all.GetSeries()[0].GetValues()[0]; got != 2 {
		t.Errorf("of a mean the hub's stands, not %g", got)
	}
}
