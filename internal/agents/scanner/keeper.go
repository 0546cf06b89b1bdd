package scanner

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/inventory"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const (
	// saveEvery is how often the inventory is written to disk.
	saveEvery = 5 * time.Minute
	// refreshEvery is how often every device is told again, so that who reads only recent
	// events knows it.
	refreshEvery = 24 * time.Hour
	// seenEvery is how often those are told again that were seen meanwhile, so that others
	// know when they were seen last.
	seenEvery = time.Hour
	// maxBatch is how many events are published together.
	maxBatch = 256
	// conditionDisk is the name of the condition that the inventory cannot be written.
	conditionDisk = "inventory"
)

// keeper folds observations, and publishes.
type keeper struct {
	a       *Agent
	experts *experts
	minute  int64
	told    int               // in this minute
	waiting map[string]string // uids of devices to be told when there is room, and the type of that event
	refresh time.Time
	seen    time.Time // when those that had been seen were told last
	saved   time.Time
}

func newKeeper(a *Agent, e *experts) *keeper {
	now := a.now()
	return &keeper{a: a, experts: e, waiting: map[string]string{}, refresh: now.Add(refreshEvery), seen: now, saved: now}
}

// keep runs until ctx ends, and writes the inventory then.
func (a *Agent) keep(ctx context.Context, e *experts) {
	k := newKeeper(a, e)
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { _ = a.believed.Run(ctx) }) // which has no error
	publishing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, cancel) })()
	k.refreshAll(publishing)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			k.drain(publishing)
			k.tellRest(publishing)
			a.save()
			return
		case s := <-a.heard:
			k.fold(publishing, s)
		case ev := <-a.findings:
			k.publish(publishing, ev)
		case <-tick.C:
			k.tick(publishing)
		}
	}
}

// drain takes what waits already.
func (k *keeper) drain(ctx context.Context) {
	for {
		select {
		case s := <-k.a.heard:
			k.fold(ctx, s)
		case ev := <-k.a.findings:
			k.publish(ctx, ev)
		default:
			return
		}
	}
}

func (k *keeper) fold(ctx context.Context, s seen) {
	a := k.a
	a.mu.Lock()
	var changes []inventory.Change
	if s.looked != nil {
		changes = a.book.ObserveScan(s.at, a.observer, s.device, s.looked)
	} else {
		changes = a.book.Observe(s.at, a.observer, s.device)
	}
	if s.looked == nil && len(changes) == 1 && k.inMinute() < a.cfg.Inventory.MaxPerMinute {
		if d := k.experts.heard(changes[0]); d != nil {
			changes = latest(changes, a.book.Observe(s.at, a.observer, d))
		}
	}
	a.mu.Unlock()
	k.tell(ctx, changes)
	if s.done != nil {
		s.done <- changes
	}
}

// latest makes one change of one and what followed from it at once.
func latest(changes, more []inventory.Change) []inventory.Change {
	for _, m := range more {
		c := &changes[0]
		if m.Device.GetUid() != c.Device.GetUid() {
			changes = append(changes, m)
			continue
		}
		c.Attributes = append(c.Attributes, m.Attributes...)
		slices.Sort(c.Attributes)
		c.Attributes = slices.Compact(c.Attributes)
		c.Device = m.Device
		if c.Type == event.TypeDeviceDiscovered {
			c.Attributes, c.Message = nil, inventory.Describe(m.Device)+" is new"
		}
		c.Device.Changed = c.Attributes
	}
	return changes
}

func (k *keeper) publish(ctx context.Context, events ...*pb.Event) {
	for group := range slices.Chunk(events, maxBatch) {
		if err := k.a.o.Publisher.Publish(ctx, group...); err != nil {
			return // the agent ends
		}
	}
}

// tick is called once a second.
func (k *keeper) tick(ctx context.Context) {
	a, now := k.a, k.a.now()
	if now.Unix()%10 == 0 && a.believed.Doubt() == "" {
		a.mu.Lock()
		changes := a.book.Expire(now)
		a.mu.Unlock()
		k.tell(ctx, changes)
	}
	k.tellWaiting(ctx)
	if now.Sub(k.saved) >= saveEvery || now.Before(k.saved) {
		k.saved = now
		a.save()
	}
	if !now.Before(k.refresh) || k.refresh.Sub(now) > refreshEvery {
		k.refresh, k.seen = now.Add(refreshEvery), now
		k.refreshAll(ctx)
	}
	if now.Sub(k.seen) >= seenEvery || now.Before(k.seen) {
		since := k.seen
		k.seen = now
		k.refreshSeen(ctx, since)
	}
}
