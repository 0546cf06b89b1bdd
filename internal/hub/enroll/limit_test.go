package enroll

import (
	"fmt"
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	l := newLimits()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	count := func(addr string, tries int) (let int) {
		for range tries {
			if l.take(addr, now) {
				let++
			}
		}
		return let
	}
	if n := count("192.0.2.1", 2*perAddress); n != perAddress {
		t.Errorf("one address was let in %d times, want %d", n, perAddress)
	}
	// All addresses below one /64 speak for the same subscriber.
	if n := count("2001:db8::1", perAddress) + count("2001:db8::2", perAddress); n != perAddress {
		t.Errorf("one network was let in %d times, want %d", n, perAddress)
	}
	all := 2 * perAddress
	for i := range perMinute {
		all += count(fmt.Sprintf("198.51.100.%d", i), 2)
	}
	if all != perMinute {
		t.Errorf("%d were let in over all, want %d", all, perMinute)
	}
	if len(l.from) > perMinute {
		t.Errorf("%d addresses are remembered", len(l.from))
	}
	now = now.Add(limitInterval)
	if n := count("192.0.2.1", 1); n != 1 {
		t.Error("the next minute did not begin anew")
	}
	now = now.Add(-time.Hour)
	if n := count("192.0.2.1", 1); n != 1 {
		t.Error("a clock that was set back locks out")
	}
}
