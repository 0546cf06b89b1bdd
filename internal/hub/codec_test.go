package hub

import (
	"slices"
	"testing"

	"google.golang.org/grpc/mem"
)

// TestMessageKeepsLittle: what came in many small frames costs no memory once it was let
// go of, and what comes as usual allocates nothing the next time.
func TestMessageKeepsLittle(t *testing.T) {
	var m message
	for _, tt := range []struct{ buffers, keeps int }{{20, 20}, {10_000, 0}, {1, 1}} {
		m.take(slices.Repeat(mem.BufferSlice{mem.SliceBuffer("x")}, tt.buffers))
		if len(m.pieces) != tt.buffers {
			t.Fatalf("%d pieces of %d buffers", len(m.pieces), tt.buffers)
		}
		m.free()
		if cap(m.data) < tt.keeps || cap(m.pieces) < tt.keeps || cap(m.data) > keepBuffers || cap(m.pieces) > keepBuffers || len(m.data)+len(m.pieces) > 0 {
			t.Errorf("after %d buffers there is room for %d and %d", tt.buffers, cap(m.data), cap(m.pieces))
		}
		m.free()
	}
}
