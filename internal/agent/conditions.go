package agent

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/agent/uplink"
	"github.com/amoskys/amoskys/internal/obs"
)

// spoolFault is the standing condition of the spool, nil when it is well.
func spoolFault(sp spool.Stats, losing bool) error {
	switch {
	case sp.LastError != nil:
		return sp.LastError
	case losing && sp.LowDisk:
		return fmt.Errorf("events are lost, %d since the start: the disk has less free than spool.min_free_mb", sp.Dropped())
	case losing:
		return fmt.Errorf("events are lost, %d since the start", sp.Dropped())
	default:
		return nil
	}
}

// damageFault says what damage to the spool's files has cost.
func damageFault(sp spool.Stats) error {
	cost := obs.Counted(sp.DamagedEvents, "event is", "events are") + " lost"
	switch {
	case sp.DamagedEvents == 0 && sp.AtLeast:
		cost = "events may be lost"
	case sp.DamagedEvents == 0:
		cost = "no event is lost"
	case sp.AtLeast:
		cost = "at least " + cost
	}
	where := ""
	if sp.DamagedBytes > 0 {
		where = fmt.Sprintf(" in %d bytes", sp.DamagedBytes)
	}
	return fmt.Errorf("the spool was damaged%s, %s: look at the disk", where, cost)
}

// hubFault is the standing condition of the connection, nil when it is well or
// has been away, or has put off events, only shortly.
func hubFault(up uplink.State, now time.Time) error {
	if up.Connected && !up.WaitSince.IsZero() && now.Sub(up.WaitSince) >= hubGrace {
		return errors.New(up.Addr + " takes no events: " + up.WaitReason)
	}
	if up.Connected || up.Since.IsZero() || now.Sub(up.Since) < hubGrace {
		return nil
	}
	reason := up.LastError
	if reason == "" {
		reason = "no answer"
	}
	return errors.New("not connected to " + up.Addr + ": " + reason)
}

// ackTimes keeps a running mean of the hub's answer time.
type ackTimes struct {
	mu      sync.Mutex
	average time.Duration
	count   uint64
	sum     time.Duration
	buckets [len(ackBounds)]uint64 // cumulative counts are made when read
}

// ackBounds are the upper bounds of the histogram of answer times, in seconds.
var ackBounds = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10} //nolint:gochecknoglobals // constant

func (a *ackTimes) add(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count == 0 {
		a.average = d
	} else {
		a.average += (d - a.average) / 8
	}
	a.count++
	a.sum += d
	for i, bound := range ackBounds {
		if d.Seconds() <= bound {
			a.buckets[i]++
			break
		}
	}
}

// mean implements Options.AckTime.
func (a *ackTimes) mean() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.average
}

// histogram returns the count, the sum in seconds and the cumulative buckets.
func (a *ackTimes) histogram() (count uint64, sum float64, buckets map[float64]uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	buckets = make(map[float64]uint64, len(ackBounds))
	var n uint64
	for i, bound := range ackBounds {
		n += a.buckets[i]
		buckets[bound] = n
	}
	return a.count, a.sum.Seconds(), buckets
}
