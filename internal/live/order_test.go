package live_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/live"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestSearchPagesByTime: what a host sent late stands where it happened, on whatever
// page that is, each once.
func TestSearchPagesByTime(t *testing.T) {
	const n = 400
	ring := live.NewRing(live.RingOptions{})
	for i := range uint64(n) {
		at := epoch.Add(time.Duration(i) * time.Second)
		if i >= n/2 { // the second half was spooled while the first came
			at = epoch.Add(time.Duration(i-n/2)*time.Second + 500*time.Millisecond)
		}
		add(t, ring, i+1, at)
	}
	req := &pb.SearchEventsRequest{Limit: 7}
	seen := map[uint64]bool{}
	last := epoch.Add(time.Hour)
	for {
		page := search(t, ring, req).GetEvents()
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			ev, err := event.Decode(e.GetEvent())
			if err != nil {
				t.Fatal(err)
			}
			if at := event.Time(ev); at.After(last) || seen[e.GetOffset()] {
				t.Fatalf("offset %d at %v behind %v", e.GetOffset(), at, last)
			} else {
				last = at
			}
			seen[e.GetOffset()] = true
		}
		req.BeforeOffset = page[len(page)-1].GetOffset()
	}
	if len(seen) != n {
		t.Errorf("%d events on all pages, want %d", len(seen), n)
	}
}

// TestHistogramEndsWithWhatIsOver: a bucket that still fills is left out; one of a
// range that is over is there.
func TestHistogramEndsWithWhatIsOver(t *testing.T) {
	now := epoch.Add(95 * time.Second)
	ring := live.NewRing(live.RingOptions{Now: func() time.Time { return now }})
	for i := range uint64(95) {
		add(t, ring, i, epoch.Add(time.Duration(i)*time.Second))
	}
	for name, tt := range map[string]struct {
		until *timestamppb.Timestamp
		want  []uint64
	}{
		"now":  {nil, []uint64{10, 10, 10, 10, 10, 10, 10, 10, 10}},
		"over": {timestamppb.New(epoch.Add(55 * time.Second)), []uint64{10, 10, 10, 10, 10, 6}},
	} {
		got := search(t, ring, &pb.SearchEventsRequest{Since: timestamppb.New(epoch), Until: tt.until, HistogramBuckets: 10}).GetHistogram()
		if name == "over" {
			got = search(t, ring, &pb.SearchEventsRequest{Since: timestamppb.New(epoch), Until: tt.until, HistogramBuckets: 6}).GetHistogram()
		}
		if diff := cmp.Diff(tt.want, got.GetCounts()); diff != "" {
			t.Errorf("%s, step %v: %s", name, got.GetStep().AsDuration(), diff)
		}
	}
}
