package endpoint

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// heapBeat is how often the bound follows what is in use.
	heapBeat = 5 * time.Second
	// heapRoom is what the bound leaves beside what is in use and a third of it, in bytes: for
	// stacks, for what the runtime needs itself (4 to 6 MiB), and for gaps between what is in
	// use. With half of it a thousand devices cost two and a half times the processor time.
	heapRoom = 16 << 20
)

// boundHeap holds the memory that Go takes near to what is in use until stop is called, as a
// soft bound (GOMEMLIMIT) that is least at first and follows what the last collection left.
// Where GOMEMLIMIT says something else, or least is 0, it does nothing.
//
// A bound of one size would not do: below what is in use it has Go collect all the time, and
// how much that is depends on what an agent watches.
func boundHeap(ctx context.Context, least int64) (stop func()) {
	if _, set := os.LookupEnv("GOMEMLIMIT"); set || least <= 0 {
		return func() {}
	}
	before := debug.SetMemoryLimit(least)
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	following.Go(func() {
		tick := time.NewTicker(heapBeat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				debug.SetMemoryLimit(heapBound(heapInUse(), least))
			}
		}
	})
	return func() {
		cancel()
		following.Wait()
		debug.SetMemoryLimit(before)
	}
}

// heapBound is the bound for what is in use, both in bytes.
func heapBound(inUse uint64, least int64) int64 {
	return max(least, int64(min(inUse, math.MaxInt64/2))/3*4+heapRoom)
}

// heapInUse is what the last collection left, in bytes.
func heapInUse() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
