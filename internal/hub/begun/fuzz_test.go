package begun

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// FuzzFollower: whatever comes, in whatever pieces, is followed alike or refused,
// and at the end everything is given back.
func FuzzFollower(f *testing.F) {
	f.Add(halves(2), []byte{}, uint8(3))
	f.Add(client().open(1, 3).message(1, 100, 50).message(3, 1, 1).data(1, make([]byte, 60)).taken(), []byte{0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 1, 0}, uint8(1))
	padded := client().open(1)
	_ = padded.WriteDataPadded(1, false, []byte{0, 0, 0, 0, 9, 1}, make([]byte, 3))
	_ = padded.WriteRSTStream(1, http2.ErrCodeCancel)
	f.Add(padded.taken(), []byte{}, uint8(2))
	f.Fuzz(func(t *testing.T, in, out []byte, size uint8) {
		limits := testLimits()
		limits.Patience, limits.TinyReads, limits.HeaderRate = time.Nanosecond, 1<<30, 1<<40
		var states [2]state
		var errs [2]error
		for i, size := range []int{max(len(in), 1), int(size) + 1} {
			b := NewBudget(limits, time.Now)
			c := follow(t, b, "a")
			errs[i] = feed(c, in, size)
			c.Sent(out)
			states[i] = c.state()
			if s := states[i]; s.Begun < 0 || s.Room < 0 || s.Unread < 0 {
				t.Fatalf("%+v", s)
			}
			c.Close()
			if b.Used() != (Used{}) {
				t.Fatalf("not all was given back: %+v", b.Used())
			}
		}
		// Within one piece a message may come and go, so that the bound on a
		// connection's messages is met in pieces alone.
		if !errors.Is(errs[0], ErrBegun) && !errors.Is(errs[1], ErrBegun) &&
			((errs[0] == nil) != (errs[1] == nil) || errs[0] == nil && states[0] != states[1]) {
			t.Fatalf("%v and %v, %+v and %+v", errs[0], errs[1], states[0], states[1])
		}
	})
}

// BenchmarkReceived is a batch of 40 KB in frames of 16 KiB, as agents send them,
// read in pieces of 16 KiB as gRPC reads.
func BenchmarkReceived(b *testing.B) {
	budget := NewBudget(testLimits(), time.Now)
	c := follow(b, budget, "a")
	if err := c.Received(client().open(1).taken()); err != nil {
		b.Fatal(err)
	}
	sent := server().message(1, 40_000, 40_000).taken()
	w := server()
	_ = w.WriteWindowUpdate(1, 40_005)
	update := w.taken()
	b.SetBytes(int64(len(sent)))
	b.ReportAllocs()
	for b.Loop() {
		for rest := sent; len(rest) > 0; {
			n := min(16<<10, len(rest))
			if err := c.Received(rest[:n]); err != nil {
				b.Fatal(err)
			}
			rest = rest[n:]
		}
		c.Sent(update)
	}
}
