package answers

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestHeld: one caller may have a part of what answers may hold, and all together no more
// than that.
func TestHeld(t *testing.T) {
	h := newHeld(Limits{Held: 10 << 20, HeldOfCaller: 6 << 20})
	a, again, b := &account{held: h, who: "a"}, &account{held: h, who: "a"}, &account{held: h, who: "b"}
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
	if h.all != 0 || len(h.of) != 0 {
		t.Errorf("left: %d, %v", h.all, h.of)
	}
}
