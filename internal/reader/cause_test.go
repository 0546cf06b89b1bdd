package reader

import (
	"testing"

	"github.com/amoskys/amoskys/internal/stream"
)

// TestCauseOf: what a hub says is told as it is, and a cause that nobody knows here, of
// a newer one, is no label of its own.
func TestCauseOf(t *testing.T) {
	for _, c := range stream.Causes() {
		if got := causeOf(string(c)); got != c {
			t.Errorf("%s is told as %s", c, got)
		}
	}
	if got := causeOf("stolen"); got != stream.CauseDamaged {
		t.Errorf("an unknown one is told as %s", got)
	}
}
