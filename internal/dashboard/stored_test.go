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
