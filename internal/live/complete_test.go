package live_test

import (
	"sync"
	"testing"

	"github.com/amoskys/amoskys/internal/live"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestSearchSaysHowFarItIsComplete: what was fed while a search ran is either all
// in it or behind the offset that it names, so that a stream joins from there.
func TestSearchSaysHowFarItIsComplete(t *testing.T) {
	ring := live.NewRing(live.RingOptions{})
	if got := search(t, ring, &pb.SearchEventsRequest{}).GetCompleteToOffset(); got != 0 {
		t.Errorf("an empty ring is complete to %d", got)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for from := 0; from < 2_000; from += 50 {
			var events [][]byte
			for i := from; i < from+50; i++ {
				events = append(events, encode(t, sample(i)))
			}
			ring.Add(batchOf(uint64(from), epoch, events...))
		}
	})
	for at := uint64(0); at < 2_000; {
		got := search(t, ring, &pb.SearchEventsRequest{})
		if at = got.GetCompleteToOffset(); got.GetTotal() != at {
			t.Fatalf("%d events, complete to offset %d", got.GetTotal(), at)
		}
	}
	wg.Wait()
}
