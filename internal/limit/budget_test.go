package limit_test

import (
	"errors"
	"testing"

	"github.com/amoskys/amoskys/internal/limit"
)

// TestBudget: one key may hold a part of it, all together no more than there is, and
// what was refused counts for nothing.
func TestBudget(t *testing.T) {
	b := limit.NewBudget(10, 6)
	for _, step := range []struct {
		key  string
		n    int64
		want error
	}{
		{"a", 3, nil}, {"a", 3, nil}, {"a", 1, limit.ErrShare}, {"b", 4, nil}, {"b", 1, limit.ErrFull}, {"c", 7, limit.ErrShare},
	} {
		if err := b.Take(step.key, step.n); !errors.Is(err, step.want) {
			t.Errorf("%s with %d: %v, want %v", step.key, step.n, err, step.want)
		}
	}
	b.Release("a", 3)
	if err := b.Take("b", 2); err != nil || b.Taken() != 9 {
		t.Errorf("once there is room: %v, %d are taken", err, b.Taken())
	}
	b.Release("a", 3)
	b.Release("b", 6)
	if err := b.Take("a", 6); err != nil || b.Taken() != 6 {
		t.Errorf("once all is given back: %v, %d are taken", err, b.Taken())
	}
}
