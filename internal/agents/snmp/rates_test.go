package snmp

import (
	"testing"
	"time"
)

// gotAll is a sample of which all was read.
const gotAll = gotOctets | gotErrorsIn | gotErrorsOut

func TestRates(t *testing.T) {
	const top = 1<<32 - 1
	for _, tt := range []struct {
		name        string
		before, now sample
		speed       uint64
		fresh       bool
		want        rates
	}{
		{"steady", sample{in: 1000, out: 0, errorsIn: 10, wide: true, got: gotAll}, sample{in: 7000, out: 60, errorsIn: 40, errorsOut: 30, wide: true, got: gotAll}, 1e9, false, rates{100, 1, 1, true}},
		{"a 32-bit counter wraps", sample{in: top - 2999, got: gotAll}, sample{in: 3000, got: gotAll}, 1e7, false, rates{100, 0, 0, true}},
		{"it wraps at unknown speed", sample{in: top - 2999, got: gotAll}, sample{in: 3000, got: gotAll}, 0, false, rates{100, 0, 0, true}},
		{"it goes back, faster than the line", sample{in: 4_000_000, got: gotAll}, sample{in: 10, got: gotAll}, 1e7, false, rates{}},
		{"it goes back by half of its range", sample{in: 1 << 31, got: gotAll}, sample{in: 10, got: gotAll}, 0, false, rates{}},
		{"a 64-bit counter goes back", sample{in: top - 2999, wide: true, got: gotAll}, sample{in: 3000, wide: true, got: gotAll}, 1e7, false, rates{}},
		{"a 32-bit counter had 64 bits", sample{in: 5, wide: true, got: gotAll}, sample{in: 3000, got: gotAll}, 1e7, false, rates{}},
		{"the interface was reset", sample{in: 5, discontinuity: 100, got: gotAll}, sample{in: 6000, discontinuity: 200, got: gotAll}, 1e7, false, rates{}},
		{"the device was", sample{in: 5, got: gotAll}, sample{in: 6000, got: gotAll}, 1e7, true, rates{}},
		{"the first", sample{}, sample{in: 6000, got: gotAll}, 1e7, false, rates{}},
		{"errors were cleared", sample{in: 0, errorsIn: 4e9, got: gotAll}, sample{in: 6000, got: gotAll}, 1e7, false, rates{100, 0, 0, true}},
	} {
		if got := tt.now.since(tt.before, time.Minute, tt.speed, tt.fresh); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	if got := (sample{got: gotAll}).since(sample{got: gotAll}, 0, 0, false); got.ok {
		t.Error("rates within no time")
	}
}

func TestRebooted(t *testing.T) {
	for _, tt := range []struct {
		name      string
		then, now uint32
		elapsed   time.Duration
		want      bool
	}{
		{"on it goes", 1000, 7000, time.Minute, false},
		{"back it goes", 100_000, 500, time.Minute, true},
		{"it wraps", 1<<32 - 1000, 5000, time.Minute, false},
		{"back it goes, and so does the clock", 100_000, 500, -1000 * time.Hour, true},
		{"it wraps while a clock is slow", 1<<32 - 6200, 100, time.Minute, false},
		{"back it goes, near the wrap", 1<<32 - 600_000, 500, time.Minute, true},
		{"nobody asked for long, and it wraps", 4_000_000_000, 5000, 60 * 24 * time.Hour, false},
	} {
		if got := rebooted(tt.then, tt.now, tt.elapsed); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}
