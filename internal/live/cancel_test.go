package live

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// filledForCancel is a ring of n events of one process.
func filledForCancel(t *testing.T, n int) *Ring {
	t.Helper()
	ring := NewRing(RingOptions{})
	now := time.Now()
	ring.Add(Batch{Count: n, Received: now, Events: iter.Seq2[uint64, []byte](func(yield func(uint64, []byte) bool) {
		for i := range n {
			encoded, err := event.Encode(&pb.Event{
				Id: fmt.Appendf(nil, "%016d", i), Time: timestamppb.New(now), Type: event.TypeProcessSample, Host: &pb.Host{Name: "h1"},
				Body: &pb.Event_Process{Process: &pb.ProcessActivity{Process: &pb.Process{Pid: 7, Uid: "one", Name: "nginx"}}},
			})
			if err != nil {
				t.Error(err)
			}
			if !yield(uint64(i), encoded) {
				return
			}
		}
	})})
	return ring
}

// TestSearchStopsWhenItsCallerHasGone: a search looks at no further event once
// nobody waits for its answer. One event may take a regular expression long.
func TestSearchStopsWhenItsCallerHasGone(t *testing.T) {
	const total, until = 5_000, 300
	ring := filledForCancel(t, total)
	for name, tc := range map[string]struct {
		query string
		slack int // each of up to four goroutines may be at one event
	}{
		"regular expression": {`process.name:~"^n.*x$"`, 4},
		"index alone":        {``, checkEvery},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := newPlan(&pb.Filter{Query: tc.query}, noSince, noUntil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			looked := make(chan struct{}, total)
			// A facet is asked about each match.
			one := &facet{name: "host", counts: map[string]uint64{}, index: func(e *entry) uint16 {
				looked <- struct{}{}
				if len(looked) == until {
					cancel()
				}
				return e.host
			}}
			s := &search{matcher: matcher{plan: p}, limit: 10, facets: []*facet{one}}
			views, _ := ring.view()
			err = s.run(ctx, views)
			if status.Code(err) != codes.Canceled {
				t.Errorf("error %v", err)
			}
			if n := len(looked); n < until || n > until+tc.slack {
				t.Errorf("looked at %d events, cancelled after %d", n, until)
			}
		})
	}
}

func TestRelatedStopsWhenItsCallerHasGone(t *testing.T) {
	ring := filledForCancel(t, 2_000)
	views, _ := ring.view()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	looked := 0
	found := collect(ctx, views, len(views)-1, len(views[len(views)-1].entries), -1, 1_000, func(*blockView, *entry) bool {
		if looked++; looked == 100 {
			cancel()
		}
		return false
	})
	if len(found) != 0 || looked > 100+checkEvery {
		t.Errorf("looked at %d events, cancelled after 100", looked)
	}
	if _, err := ring.Event(ctx, &pb.EventRequest{Offset: 5, Neighbours: 10}); status.Code(err) != codes.Canceled {
		t.Errorf("error %v", err)
	}
}

func TestSeriesStopWhenTheirCallerHasGone(t *testing.T) {
	recorder := NewRecorder(RecorderOptions{})
	recorder.Sample(func(emit func(name, unit string, labels map[string]string, value float64)) {
		for i := range 200 {
			emit("x", "1", map[string]string{"n": fmt.Sprint(i)}, 1)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := recorder.Series(ctx, &pb.SeriesRequest{Names: []string{"x"}}); status.Code(err) != codes.Canceled {
		t.Errorf("error %v", err)
	}
}
