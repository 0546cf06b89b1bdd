package proc

import "time"

// reference is the reading that CPU use is measured from.
type reference struct {
	ticks   uint64
	threads uint32
	at      time.Time
	late    float64 // how much earlier it may have been, in ticks
}

// minTicks is the shortest span over which CPU use is told, in ticks of the clock. The
// kernel counts user and system time in whole ticks each, so that a shorter span shows
// the clock rather than the process.
const minTicks = 20

// birth is the reference of a process that was never measured: its start.
func (t *table) birth(p *process, now time.Time) reference {
	age := t.up + now.Sub(t.when) - t.span(p.stat.start)
	return reference{threads: p.stat.threads, at: now.Add(-age)}
}

// span is a number of ticks as a duration.
func (t *table) span(ticks uint64) time.Duration {
	return time.Duration(float64(ticks) / t.hz * float64(time.Second))
}

// measure sets the CPU use of p from its reference to s, if that is long enough, and
// makes s the next reference. s was read before now, at most delay earlier.
//
// Ticks are rounded down, each of two counters at both ends, so up to two ticks may
// seem to have been used that were used before; and the reader may have been held up
// between the reading and the clock. One thread uses at most one core: what is above
// that within this inaccuracy is cut off. What is further above was used by threads
// that have come and gone, on as many cores as there are.
func (t *table) measure(p *process, s *stat, now time.Time, delay time.Duration) {
	ticks := now.Sub(p.base.at).Seconds() * t.hz
	if ticks < minTicks {
		return
	}
	used := float64(s.ticks() - min(p.base.ticks, s.ticks()))
	late := delay.Seconds() * t.hz
	if bound := ticks * float64(max(p.base.threads, s.threads, 1)); used > bound && used-bound <= 2+late+p.base.late {
		used = bound
	}
	if used > ticks {
		used = min(used, ticks*float64(t.src.cpus()))
	}
	p.cpu, p.known = 100*used/ticks, true
	p.base = reference{ticks: s.ticks(), threads: s.threads, at: now, late: late}
}
