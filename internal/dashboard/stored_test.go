package dashboard

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestAlignSeries: what store and hub tell stands at its time, whoever begins earlier.
func TestAlignSeries(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	none := math.NaN()
	for name, tt := range map[string]struct {
		own    []float64
		before time.Duration // of the stored series' start against the hub's
		step   time.Duration
		want   []float64
	}{
		"the same":         {[]float64{9, 9, 9}, 0, time.Second, []float64{1, 2, 3}},
		"the store later":  {[]float64{9, 9, 9, 9}, time.Second, time.Second, []float64{none, 1, 2, 3}},
		"the store before": {[]float64{9, 9, 9}, -time.Second, time.Second, []float64{2, 3, none}},
		"shorter":          {[]float64{9}, 0, time.Second, []float64{1}},
		"nothing of hub":   {nil, 5 * time.Second, time.Second, []float64{1, 2, 3}},
		"another step":     {[]float64{9, 9}, 0, time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			to := &pb.SeriesResponse{Start: timestamppb.New(at), Step: durationpb.New(time.Second)}
			if tt.own != nil {
				to.Series = []*pb.TimeSeries{{Name: "latency_ms", Values: tt.own}}
			}
			series := []*pb.TimeSeries{{Name: "events_per_second", Values: []float64{1, 2, 3}}}
			alignSeries(to, series, timestamppb.New(at.Add(tt.before)), durationpb.New(tt.step))
			var got []float64
			if n := len(to.GetSeries()); n > 0 && to.GetSeries()[n-1].GetName() == "events_per_second" {
				got = to.GetSeries()[n-1].GetValues()
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if tt.own == nil && !to.GetStart().AsTime().Equal(at.Add(tt.before)) {
				t.Errorf("begins at %s", to.GetStart().AsTime())
			}
		})
	}
}
