package limit

import "testing"

func TestEngineMemory(t *testing.T) {
	for all, want := range map[int64]int64{
		0: 2 << 30, 24 << 30: 2 << 30, 1 << 30: 512 << 20, 400 << 20: 256 << 20, 1: 256 << 20,
	} {
		if got := engineMemory(all); got != want {
			t.Errorf("of %d: %d, want %d", all, got, want)
		}
	}
}
