package endpoint

import (
	"math"
	"runtime"
	"testing"
)

// TestHeapBound: the bound is never below what is in use, and leaves room for a third more.
func TestHeapBound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		inUse uint64
		want  int64
	}{{0, 32 << 20}, {6 << 20, 32 << 20}, {30 << 20, 56 << 20}, {math.MaxUint64, math.MaxInt64/2/3*4 + heapRoom}} {
		if got := heapBound(tt.inUse, 32<<20); got != tt.want {
			t.Errorf("%d in use: %d, want %d", tt.inUse, got, tt.want)
		}
	}
	if runtime.GC(); heapInUse() == 0 {
		t.Error("nothing is in use")
	}
	boundHeap(t.Context(), 0)()
}
