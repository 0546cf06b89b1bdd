package enroll

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	l := newLimits()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	count := func(addr string, tries int) (let int) {
		for range tries {
			if l.stranger(addr, now) {
				let++
			}
		}
		return let
	}
	if n := count("192.0.2.1", 2*perNetwork); n != perNetwork {
		t.Errorf("one address was let in %d times, want %d", n, perNetwork)
	}
	// All addresses below one /64 speak for the same subscriber.
	if n := count("2001:db8::1", perNetwork) + count("2001:db8::2", perNetwork); n != perNetwork {
		t.Errorf("one network was let in %d times, want %d", n, perNetwork)
	}
	all := 2 * perNetwork
	for i := range perMinute {
		all += count(fmt.Sprintf("198.51.100.%d", i), 2)
	}
	if all != perMinute {
		t.Errorf("%d were let in over all, want %d", all, perMinute)
	}
	for i := range perToken {
		if !l.bearer("token 1", now) {
			t.Fatalf("a token that works was refused for strangers, at its request %d", i)
		}
	}
	if l.bearer("token 1", now) || !l.bearer("token 2", now) {
		t.Error("one token's requests are not its own")
	}
	now = now.Add(time.Minute)
	if n := count("192.0.2.1", 1); n != 1 {
		t.Error("the next minute did not begin anew")
	}
	now = now.Add(-time.Hour)
	if n := count("192.0.2.1", 1); n != 1 {
		t.Error("a clock that was set back locks out")
	}
}

// TestTurnsAreWaitedFor: a request waits for its turn and gets it, or is told so.
func TestTurnsAreWaitedFor(t *testing.T) {
	l := newLimits()
	ends := make([]func(), concurrently)
	for i := range ends {
		var ok bool
		if ends[i], ok = l.turn(t.Context()); !ok {
			t.Fatal("no turn while there is one")
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := l.turn(gone); ok {
		t.Error("one too many at a time")
	}
	ends[0]()
	if _, ok := l.turn(t.Context()); !ok {
		t.Error("a turn that was given back is not there")
	}
}
