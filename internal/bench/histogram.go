package bench

import (
	"math/bits"
	"time"
)

// subBuckets is how finely a doubling is divided: values are exact to 1/64.
const subBuckets = 64

// histogram counts durations in microseconds from 0 to hours, with an error of
// less than two percent. The zero value is empty. It is for one goroutine.
type histogram struct {
	counts [40 * subBuckets]uint32
	total  uint64
}

func (h *histogram) add(d time.Duration) {
	us := uint64(max(d.Microseconds(), 0))
	h.counts[min(slot(us), len(h.counts)-1)]++
	h.total++
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// quantile returns a quantile in milliseconds, 0 when there are no values.
func (h *histogram) quantile(q float64) float64 {
	rank := max(uint64(q*float64(h.total)+0.5), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += uint64(n); seen >= rank {
			return float64(lower(i+1)) / 1000
		}
	}
	return 0
}

// slot puts small values in buckets of their own and gives each doubling above
// them subBuckets buckets.
func slot(us uint64) int {
	if us < subBuckets {
		return int(us)
	}
	shift := bits.Len64(us) - 7 // 64 ≤ us>>shift < 128
	return shift*subBuckets + int(us>>shift)
}

// lower is the smallest value of a bucket.
func lower(i int) uint64 {
	if i < subBuckets {
		return uint64(i)
	}
	shift := i/subBuckets - 1
	return uint64(i-shift*subBuckets) << shift
}
