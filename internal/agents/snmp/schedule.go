package snmp

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// schedule polls every device when it is due, at most polling.batch_size at once, until
// ctx ends. One goroutine hands devices to the workers and waits while none is free, so
// what is due waits in the list and nowhere else.
func (a *Agent) schedule(ctx context.Context) {
	work := make(chan *device)
	var workers sync.WaitGroup
	for range a.cfg.Polling.BatchSize {
		workers.Go(func() {
			for d := range work {
				a.poll(ctx, d)
				a.book.signal()
			}
		})
	}
	defer workers.Wait()
	defer close(work)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		ready, wait := a.ready()
		for _, d := range ready {
			select {
			case <-ctx.Done():
				return
			case work <- d:
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-a.book.wake:
		}
	}
}

// longestWait is how long the scheduler sleeps at most.
const longestWait = 10 * time.Second

// ready are the devices that are due now, those due for longest first, and how long it is
// until the next one is. A device that is handed out is due again only after its poll.
func (a *Agent) ready() (out []*device, wait time.Duration) {
	now := a.o.Now()
	wait = longestWait
	when := map[*device]time.Time{}
	for _, d := range a.book.all() {
		d.mu.Lock()
		if until := d.next.Sub(now); until > 0 {
			wait = min(wait, until)
		} else {
			when[d] = d.next
			out = append(out, d)
			d.next = now.Add(never)
		}
		d.mu.Unlock()
	}
	slices.SortFunc(out, func(x, y *device) int { return cmp.Or(when[x].Compare(when[y]), x.at.Compare(y.at)) })
	return out, wait
}

// never is when a device that is being polled is due.
const never = 1000 * time.Hour

// soon has a device polled before its time, as when it sent a trap, but not at once
// again.
func (a *Agent) soon(d *device, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failures > 0 && d.barred {
		return // its back-off stands: whoever can send a trap must not have a password sent
	}
	const pause = 5 * time.Second
	at := now.Add(time.Second)
	if earliest := d.readAt.Add(pause); earliest.After(at) {
		at = earliest
	}
	if at.Before(d.next) && d.next.Sub(now) < never/2 {
		d.next = at
		a.book.signal()
	}
}
