package language

import (
	"slices"
	"testing"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/event"
)

// TestQueriesOfThings: the query for a thing that an event names finds that event.
func TestQueriesOfThings(t *testing.T) {
	w := newWorld(t, story())
	asked := 0
	for i, encoded := range w.events {
		var attrs event.Attrs
		if err := attrs.ReadStored(encoded, publisher); err != nil {
			t.Fatal(err)
		}
		for _, r := range entity.Of(&attrs) {
			asked++
			if query := r.Key.Query(); !slices.Contains(w.both(t, query), i) {
				t.Errorf("%s is not found by %s", r.Key, query)
			}
		}
	}
	if asked < 30 {
		t.Errorf("the story names %d things", asked)
	}
}
