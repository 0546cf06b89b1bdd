package scanner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/inventory"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// tell publishes changes, up to the number that a minute may have; the devices of more are
// told later, in the state that they have then.
func (k *keeper) tell(ctx context.Context, changes []inventory.Change) {
	var events []*pb.Event
	for _, c := range changes {
		events = append(events, k.a.exposures(k.a.believed.Now(), c)...)
		uid := c.Device.GetUid()
		if !k.room(len(k.waiting) > 0) {
			k.a.metrics.delayed.Inc()
			if _, is := k.waiting[uid]; is || len(k.waiting) < k.a.cfg.Inventory.MaxDevices {
				k.waiting[uid] = typeOf(k.waiting[uid], c)
			}
			continue
		}
		if waits, is := k.waiting[uid]; is {
			delete(k.waiting, uid) // this tells all that is known
			if typeOf(waits, c) != c.Type {
				c = later(c.Device, typeOf(waits, c))
			}
		}
		events = append(events, k.a.event(c))
	}
	k.publish(ctx, events...)
}

// typeOf is the type of the one event that is told of a device after several changes,
// where what waits (empty for none) is followed by c.
func typeOf(waits string, c inventory.Change) string {
	switch {
	case c.Type != event.TypeDeviceChanged || waits == "":
		return c.Type
	case waits == event.TypeDeviceGone && slices.Contains(c.Attributes, "returned"):
		return event.TypeDeviceChanged
	}
	return waits
}

// later is a change that is told in the state that the device has meanwhile, which it
// copies.
func later(d *pb.DeviceInventory, kind string) inventory.Change {
	c := inventory.Change{Type: kind, Device: proto.CloneOf(d)}
	switch kind {
	case event.TypeDeviceDiscovered:
		c.Message = inventory.Describe(d) + " is new"
	case event.TypeDeviceGone:
		c.Message = inventory.Describe(d) + " was not seen for long"
	default:
		c.Attributes, c.Message = []string{"refresh"}, inventory.Describe(d)+" has changed"
	}
	c.Device.Changed = c.Attributes
	return c
}

// room takes one of the events that a minute may have, and leaves half of them where
// others wait.
func (k *keeper) room(half bool) bool {
	limit := k.a.cfg.Inventory.MaxPerMinute
	if half {
		limit /= 2
	}
	if k.inMinute() >= limit {
		return false
	}
	k.told++
	return true
}

// inMinute is how many were told in this minute.
func (k *keeper) inMinute() int {
	if minute := k.a.now().Unix() / 60; minute != k.minute {
		k.minute, k.told = minute, 0
	}
	return k.told
}

// tellWaiting tells devices for which there was no room.
func (k *keeper) tellWaiting(ctx context.Context) {
	n := min(maxBatch, k.a.cfg.Inventory.MaxPerMinute-k.inMinute())
	k.told += k.tellSome(ctx, n)
}

// tellRest tells all that waits, at the end.
func (k *keeper) tellRest(ctx context.Context) {
	for len(k.waiting) > 0 && ctx.Err() == nil {
		k.tellSome(ctx, maxBatch)
	}
}

// tellSome tells up to n of the devices that wait, and returns how many.
func (k *keeper) tellSome(ctx context.Context, n int) int {
	if n <= 0 || len(k.waiting) == 0 {
		return 0
	}
	var events []*pb.Event
	k.a.mu.Lock()
	for uid, kind := range k.waiting {
		if len(events) >= n {
			break
		}
		delete(k.waiting, uid)
		for _, d := range k.a.book.Find(uid) {
			events = append(events, k.a.event(later(d, kind)))
		}
	}
	k.a.mu.Unlock()
	k.publish(ctx, events...)
	return len(events)
}

// refreshAll tells every device again, and what is exposed by it.
func (k *keeper) refreshAll(ctx context.Context) {
	a := k.a
	var events []*pb.Event
	a.mu.Lock()
	for d := range a.book.Devices() {
		if !a.book.Gone(d.GetUid()) {
			c := refreshOf(d)
			events = append(append(events, a.exposures(a.believed.Now(), c)...), a.event(c))
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
	d := shortened(c.Device)
	return &pb.Event{
		Type: c.Type, Time: timestamppb.New(a.now()), Message: c.Message,
		About: &pb.Device{Uid: d.GetUid(), Name: d.GetHostname(), Ip: d.GetIp(), Mac: d.GetMac(), Type: d.GetDeviceClass()},
		Body:  &pb.Event_Device{Device: d},
	}
}

// maxTold is how large a device may be in an event, in bytes: half of what a hub takes.
const maxTold = 512 << 10

// shortened gives a device that fits in an event: d, or a copy without the texts of its
// ports, or without some of its ports too.
func shortened(d *pb.DeviceInventory) *pb.DeviceInventory {
	if proto.Size(d) <= maxTold {
		return d
	}
	d = proto.CloneOf(d)
	for _, p := range d.GetPorts() {
		p.Banner, p.Title, p.Server, p.Remarks, p.CertificateSubject, p.CertificateIssuer = "", "", "", nil, "", ""
	}
	all := len(d.GetPorts())
	for len(d.GetPorts()) > 0 && proto.Size(d) > maxTold-maxSentence {
		d.Ports = d.GetPorts()[:len(d.GetPorts())*3/4]
	}
	why := "what its ports say of themselves is too long to be told"
	if left := len(d.GetPorts()); left < all {
		why = fmt.Sprintf("%s, and so are %d of its %d ports", why, all-left, all)
	}
	d.Evidence = append(d.GetEvidence(), why)
	return d
}

// maxSentence is more than a sentence of shortened takes, in bytes.
const maxSentence = 256
