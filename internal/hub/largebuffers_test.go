package hub

import "testing"

// TestLargeRoom: what is out at a time is bounded, of all and of one, and what is larger
// than that passes alone.
func TestLargeRoom(t *testing.T) {
	type step struct {
		who  string
		mb   int64 // negative: it leaves
		fits bool
	}
	for name, steps := range map[string][]step{
		"of one":          {{"a", 4, true}, {"a", 2, true}, {"a", 1, false}, {"b", 1, true}, {"a", -2, true}, {"a", 1, true}},
		"of all":          {{"a", 6, true}, {"b", 6, true}, {"c", 4, true}, {"d", 1, false}, {"b", -6, true}, {"d", 1, true}},
		"larger than one": {{"a", 8, true}, {"a", 1, false}, {"b", 8, true}, {"c", 1, false}, {"a", -8, true}, {"a", 8, true}},
		"one has some":    {{"a", 1, true}, {"a", 8, false}, {"a", -1, true}, {"a", 8, true}},
		"larger than all": {{"a", 32, true}, {"b", 1, false}, {"a", -32, true}, {"b", 1, true}, {"a", 32, false}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLargeBuffers()
			for i, s := range steps {
				if s.mb < 0 {
					l.leave(s.who, -s.mb<<20)
				} else if got := l.enter(s.who, s.mb<<20); got != s.fits {
					t.Fatalf("step %d: %s with %d MB: %t", i, s.who, s.mb, got)
				}
			}
		})
	}
}
