package scanner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/inventory"
	"github.com/amoskys/amoskys/internal/obs"
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
	told    int             // in this minute
	waiting map[string]bool // uids of devices to be told when there is room, and whether they are new
	refresh time.Time
	seen    time.Time // when those that had been seen were told last
	saved   time.Time
}

// keep runs until ctx ends, and writes the inventory then.
func (a *Agent) keep(ctx context.Context, e *experts) {
	k := &keeper{a: a, experts: e, waiting: map[string]bool{}, refresh: a.now().Add(refreshEvery), seen: a.now(), saved: a.now()}
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
	if s.looked == nil && len(changes) == 1 && k.told < a.cfg.Inventory.MaxPerMinute {
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

// tell publishes changes, up to the number that a minute may have; the devices of more are
// told later, in the state that they have then.
func (k *keeper) tell(ctx context.Context, changes []inventory.Change) {
	var events []*pb.Event
	for _, c := range changes {
		events = append(events, k.a.exposures(k.a.now(), c)...)
		if !k.room() {
			k.a.metrics.delayed.Inc()
			if len(k.waiting) < k.a.cfg.Inventory.MaxDevices {
				k.waiting[c.Device.GetUid()] = k.waiting[c.Device.GetUid()] || c.Type == event.TypeDeviceDiscovered
			}
			continue
		}
		events = append(events, k.a.event(c))
	}
	k.publish(ctx, events...)
}

// room takes one of the events that a minute may have.
func (k *keeper) room() bool {
	if minute := k.a.now().Unix() / 60; minute != k.minute {
		k.minute, k.told = minute, 0
	}
	k.told++
	return k.told <= k.a.cfg.Inventory.MaxPerMinute
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
	if now.Unix()%10 == 0 {
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

// tellWaiting tells devices for which there was no room.
func (k *keeper) tellWaiting(ctx context.Context) {
	if len(k.waiting) == 0 || k.told >= k.a.cfg.Inventory.MaxPerMinute && k.a.now().Unix()/60 == k.minute {
		return
	}
	var changes []inventory.Change
	k.a.mu.Lock()
	for uid, fresh := range k.waiting {
		delete(k.waiting, uid)
		for _, d := range k.a.book.Find(uid) {
			c := inventory.Change{Type: event.TypeDeviceChanged, Device: proto.CloneOf(d), Attributes: []string{"refresh"}, Message: inventory.Describe(d) + " has changed"}
			if fresh {
				c.Type, c.Attributes, c.Message = event.TypeDeviceDiscovered, nil, inventory.Describe(d)+" is new"
			}
			c.Device.Changed = c.Attributes
			changes = append(changes, c)
		}
		if len(changes) >= maxBatch {
			break
		}
	}
	k.a.mu.Unlock()
	k.tell(ctx, changes)
}

// refreshAll tells every device again, and what is exposed by it.
func (k *keeper) refreshAll(ctx context.Context) {
	a := k.a
	var events []*pb.Event
	a.mu.Lock()
	for d := range a.book.Devices() {
		if !a.book.Gone(d.GetUid()) {
			c := refreshOf(d)
			events = append(append(events, a.exposures(a.now(), c)...), a.event(c))
		}
	}
	a.mu.Unlock()
	k.publish(ctx, events...)
}

// refreshSeen tells the devices again that were seen since a time.
func (k *keeper) refreshSeen(ctx context.Context, since time.Time) {
	a := k.a
	var events []*pb.Event
	a.mu.Lock()
	for d := range a.book.Devices() {
		if d.GetLastSeenTime().AsTime().After(since) && !a.book.Gone(d.GetUid()) {
			events = append(events, a.event(refreshOf(d)))
		}
	}
	a.mu.Unlock()
	k.publish(ctx, events...)
}

// refreshOf tells a device as it is known.
func refreshOf(d *pb.DeviceInventory) inventory.Change {
	c := inventory.Change{
		Type: event.TypeDeviceChanged, Device: proto.CloneOf(d), Attributes: []string{"refresh"},
		Message: inventory.Describe(d) + ", as it is known",
	}
	c.Device.Changed = c.Attributes
	return c
}

// event makes the event of a change.
func (a *Agent) event(c inventory.Change) *pb.Event {
	d := c.Device
	return &pb.Event{
		Type: c.Type, Time: timestamppb.New(a.now()), Message: c.Message,
		About: &pb.Device{Uid: d.GetUid(), Name: d.GetHostname(), Ip: d.GetIp(), Mac: d.GetMac(), Type: d.GetDeviceClass()},
		Body:  &pb.Event_Device{Device: d},
	}
}

// bookFile is where the inventory is kept.
func (a *Agent) bookFile() string { return filepath.Join(a.o.DataDir, "devices.book") }

// openBook reads the inventory. One that is damaged is put aside, and a new one begun.
func (a *Agent) openBook() (*inventory.Book, error) {
	f, err := os.Open(a.bookFile())
	if errors.Is(err, fs.ErrNotExist) {
		return inventory.New(a.bookOptions()), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	book, err := inventory.Decode(f, a.bookOptions())
	_ = f.Close() // it was only read
	if errors.Is(err, inventory.ErrDamaged) {
		a.o.Logger.Warn("the inventory is begun anew, and the damaged one lies beside it as devices.book.damaged", obs.KeyError, err)
		if err := os.Rename(a.bookFile(), a.bookFile()+".damaged"); err != nil {
			return nil, fmt.Errorf("put the damaged inventory aside: %w", err)
		}
		return inventory.New(a.bookOptions()), nil
	}
	return book, err
}

// save writes the inventory, whole or not at all.
func (a *Agent) save() {
	err := a.write(a.bookFile(), func(f *os.File) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.book.Encode(f)
	})
	if err == nil {
		err = a.saveServers()
	}
	a.o.Condition(conditionDisk, err)
}

func (a *Agent) write(file string, content func(*os.File) error) error {
	f, err := os.OpenFile(file+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	if err = errors.Join(content(f), f.Sync(), f.Close()); err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		_ = os.Remove(file + ".new") // the next time truncates it
		return fmt.Errorf("write inventory: %w", err)
	}
	return nil
}
