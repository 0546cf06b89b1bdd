package claim

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestClaimsHoldAWhile: what is claimed holds until all who claim it have freed it, and
// for the grace behind that.
func TestClaimsHoldAWhile(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	b := Book{now: func() time.Time { return now }}
	ports := message{kind: Port, first: 61000, count: 8}.numbers()
	holds := func(want bool, when string) {
		t.Helper()
		if got := b.Holds(Port, 61007); got != want {
			t.Errorf("%s: holds is %v", when, got)
		}
	}
	holds(false, "before")
	b.change(ports, 1)
	b.change(ports, 1)
	holds(true, "claimed twice")
	if b.Holds(Echo, 61000) || b.Holds(Port, 61008) || b.Holds(Port, 60999) {
		t.Error("what was not claimed holds")
	}
	b.change(ports, -1)
	now = now.Add(time.Hour)
	holds(true, "claimed once still")
	b.change(ports, -1)
	now = now.Add(grace - time.Second)
	holds(true, "within the grace")
	now = now.Add(2 * time.Second)
	holds(false, "after it")
	b.change(nil, 0)
	if len(b.all) != 0 || b.any.Load() {
		t.Errorf("%d numbers are kept without need", len(b.all))
	}
}

// FuzzMessage: a message is what it says, or none; its numbers are in range.
func FuzzMessage(f *testing.F) {
	for _, m := range []message{{kind: Port, first: 61000, count: 8}, {frees: true, kind: Echo, first: 65535, count: 1}} {
		b := m.bytes()
		f.Add(b[:])
	}
	f.Add([]byte{claims, byte(Port), 0xff, 0xff, 0, 2, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < size {
			return
		}
		m, ok := read([size]byte(b[:size]))
		if !ok {
			return
		}
		all := m.numbers()
		if len(all) != int(m.count) || all[len(all)-1] != numberOf(m.kind, m.first)+number(m.count)-1 {
			t.Errorf("%+v is of %d numbers to %d", m, len(all), all[len(all)-1])
		}
		if again, ok := read(m.bytes()); !ok || again != m {
			t.Errorf("%+v is read as %+v", m, again)
		}
	})
}
