package answers

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/limit"
)

// TestHeld: one caller may have a part of what answers may hold, and all together no more
// than that.
func TestHeld(t *testing.T) {
	memory := limit.NewBudget(10<<20, 6<<20)
	a, again, b := &account{memory: memory, who: "a"}, &account{memory: memory, who: "a"}, &account{memory: memory, who: "b"}
	for _, one := range []*account{a, again} {
		if err := one.add(3 << 20); err != nil {
			t.Fatal(err)
		}
	}
	err := again.add(1)
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "you are still reading take more than 6 MiB") || !again.wasRefused() || again.wasRefused() {
		t.Errorf("beyond the caller's part: %v", err)
	}
	if err := b.add(4 << 20); err != nil {
		t.Errorf("another: %v", err)
	}
	if err := b.add(1); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "more than 10 MiB together") {
		t.Errorf("beyond all: %v", err)
	}
	a.release()
	if err := b.add(1); err != nil || b.wasRefused() {
		t.Errorf("once there is room: %v", err)
	}
	for _, one := range []*account{a, again, b} {
		one.release()
	}
	if n := memory.Taken(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}
