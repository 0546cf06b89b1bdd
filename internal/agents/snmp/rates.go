package snmp

import "time"

// sample is what one poll read of the counters of an interface. It is small, since one is
// kept of every interface of every device.
type sample struct {
	in, out             uint64 // octets
	errorsIn, errorsOut uint32 // which have 32 bits always
	discontinuity       uint32 // ifCounterDiscontinuityTime, hundredths of a second (RFC 2863)
	wide                bool   // in and out have 64 bits (ifHCInOctets)
	got                 uint8  // which of them were read: gotIn and the like
}

// What was read of a sample. A column that fails once must not look like zero.
const (
	gotIn uint8 = 1 << iota
	gotOut
	gotErrorsIn
	gotErrorsOut
	gotOctets = gotIn | gotOut
)

// has says whether all of some counters were read.
func (s *sample) has(what uint8) bool { return s.got&what == what }

// rates are per second; ok says that there are any.
type rates struct {
	in, out, errors float32
	ok              bool
}

// ticksWrap is after how long sysUpTime begins anew, in hundredths of a second.
const ticksWrap = 1 << 32

// rebooted says whether a device has begun anew between two readings of its sysUpTime, in
// hundredths of a second, that were elapsed apart. It wraps after 497 days, which is none.
//
//	now against then            | and                       | is
//	----------------------------+---------------------------+--------
//	not less                    |                           | no reboot
//	less                        | then + elapsed passes 2^32| wrap
//	less                        |                           | reboot
func rebooted(then, now uint32, elapsed time.Duration) bool {
	if now >= then {
		return false
	}
	elapsed = max(0, elapsed) // over a restart it is by clocks that may have been set
	// A device's clock is some per cent off, and its answer late.
	slack := elapsed/20 + 5*time.Second
	expected := uint64(then) + uint64((elapsed+slack)/(10*time.Millisecond))
	return expected < ticksWrap
}

// since computes the rates between two samples that were elapsed apart. There are none
// after a reset, which is told by fresh (the device has rebooted), by the interface's own
// time of discontinuity, and by a counter that went back and cannot have wrapped. speed
// is in bits per second, 0 where it is not known.
func (s sample) since(before sample, elapsed time.Duration, speed uint64, fresh bool) rates {
	if fresh || elapsed <= 0 || !s.has(gotOctets) || !before.has(gotOctets) || s.wide != before.wide || s.discontinuity != before.discontinuity {
		return rates{}
	}
	// What a line can carry, with room for clocks that differ.
	most := float64(speed) / 8 * (elapsed.Seconds()*1.25 + 2)
	in, okIn := delta(before.in, s.in, s.wide, most)
	out, okOut := delta(before.out, s.out, s.wide, most)
	if !okIn || !okOut {
		return rates{}
	}
	sec := elapsed.Seconds()
	faults := uint64(0)
	if s.has(gotErrorsIn) && before.has(gotErrorsIn) {
		faults += grown(before.errorsIn, s.errorsIn, sec)
	}
	if s.has(gotErrorsOut) && before.has(gotErrorsOut) {
		faults += grown(before.errorsOut, s.errorsOut, sec)
	}
	return rates{in: float32(float64(in) / sec), out: float32(float64(out) / sec), errors: float32(float64(faults) / sec), ok: true}
}

// mostErrors is how many packets with errors a second a counter that went back may have
// wrapped by; else somebody has set it to zero.
const mostErrors = 100_000

// grown is how far a counter of errors has gone; 0 where that cannot be told.
func grown(before, now uint32, sec float64) uint64 {
	d, ok := delta(uint64(before), uint64(now), false, mostErrors*sec)
	if !ok {
		return 0
	}
	return d
}

// delta is how far a counter has gone. One of 32 bits may have wrapped once: if that makes
// no more than most, or than half of its range where most is not known, it has. One of 64
// bits never wraps in practice, so it was reset.
func delta(before, now uint64, wide bool, most float64) (uint64, bool) {
	if now >= before {
		return now - before, true
	}
	if wide || before >= ticksWrap {
		return 0, false
	}
	d := now + ticksWrap - before
	if most == 0 {
		return d, d < ticksWrap/2
	}
	return d, float64(d) <= most
}
