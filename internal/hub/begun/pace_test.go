package begun

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// TestPace: who brings little at a time is read at a rate, with a second's worth at
// once, on all connections of the identity together.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(testLimits(), time.Now)
		one, two := follow(t, b, "a"), follow(t, b, "a")
		begin := time.Now()
		hello := client().open(1).taken()
		for _, c := range []*conn{one, two} {
			if err := c.Received(hello); err != nil {
				t.Fatal(err)
			}
		}
		ping := server()
		_ = ping.WritePing(true, [8]byte{})
		tiny := ping.taken()
		for i := range 3000 {
			if err := []*conn{one, two}[i%2].Received(tiny); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("3000 reads took %v", took)
		}
		begin = time.Now()
		if err := follow(t, b, "b").Received(hello); err != nil || time.Since(begin) > 0 {
			t.Errorf("another waits %v: %v", time.Since(begin), err)
		}
	})
}

// TestPaceOfHeaders: headers are read at a rate, on all connections of the identity
// together.
func TestPaceOfHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(testLimits(), time.Now)
		one, two := follow(t, b, "a"), follow(t, b, "a")
		begin := time.Now()
		for _, c := range []*conn{one, two} {
			if err := c.Received(client().open(1).taken()); err != nil {
				t.Fatal(err)
			}
		}
		long := server() // frames alone, without a preface
		for i := range 192 {
			_ = long.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 3), BlockFragment: make([]byte, 16<<10), EndHeaders: true, EndStream: true})
			if err := []*conn{one, two}[i%2].Received(long.taken()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took < 1900*time.Millisecond || took > 2100*time.Millisecond { // 3 MiB, 1 of them at once
			t.Errorf("3 MiB of headers took %v", took)
		}
		begin = time.Now()
		if err := follow(t, b, "b").Received(client().open(1).taken()); err != nil || time.Since(begin) > 0 {
			t.Errorf("another waits %v: %v", time.Since(begin), err)
		}
	})
}

// TestPaceWhenTheClockIsSetBack: nobody waits until the clock shows again what it did.
func TestPaceWhenTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back time.Duration
		b := NewBudget(testLimits(), func() time.Time { return time.Now().Round(0).Add(-back) })
		f := follow(t, b, "a")
		ping := server()
		_ = ping.WritePing(true, [8]byte{})
		tiny := ping.taken()
		if err := f.Received(client().open(1).taken()); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for _, back = range []time.Duration{0, time.Hour, 2 * time.Hour} {
			for range 10 {
				if err := f.Received(tiny); err != nil {
					t.Fatal(err)
				}
			}
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("30 reads took %v", took)
		}
	})
}
