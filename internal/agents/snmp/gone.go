package snmp

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
)

// Devices go and come back:
//
//	what happened                                | is told as
//	---------------------------------------------+-----------------------------------
//	the first poll without an answer             | snmp.reading with why
//	as many as failuresAway in a row             | device.gone, also once over restarts
//	it answers that the credential is wrong      | device.changed, "returned", if it was gone:
//	                                             | it is there
//	the credential rests, and nothing is sent    | none: it says nothing
//	another address of it answers                | none: that one is polled from now on
//	it answers again                             | device.changed, "returned"

// attributeReturned is what changed of a device that was gone, as inventory has it.
const attributeReturned = "returned"

// leave makes a device gone, and the event of that.
func (d *device) leave(err error, now time.Time) *pb.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Gone = true
	return &pb.Event{
		Type: event.TypeDeviceGone, Severity: pb.Severity_SEVERITY_LOW, About: d.about(),
		Message: fmt.Sprintf("%s has not answered SNMP for %s: %s", d.word(), span(max(0, now.Sub(d.LastSeen))), cause(err)),
		Body:    &pb.Event_Device{Device: d.lastTold()},
	}
}

// noteSilence notes what a failed poll says of whether a device is there, and returns the
// event of one that was gone and is not. d is locked.
func (d *device) noteSilence(err error, now time.Time) []*pb.Event {
	refused := snmp.Refused(err)
	d.fault, d.barred = err.Error(), refused || errors.Is(err, errResting)
	switch {
	case !d.barred:
		d.silent++
	case refused && !d.LastSeen.IsZero():
		d.silent, d.LastSeen = 0, now
		return d.comeBack(nil, "is there again, and refuses the credential", now)
	}
	return nil
}

// comeBack tells that a device that was gone is back, and how: in the event that tells of it
// anyway, or in one of its own. d is locked.
func (d *device) comeBack(events []*pb.Event, how string, now time.Time) []*pb.Event {
	if !d.Gone {
		return events
	}
	d.Gone = false
	message := d.word() + " " + how
	for _, ev := range events {
		if inv := ev.GetDevice(); ev.GetType() == event.TypeDeviceChanged && inv != nil {
			inv.Changed = append([]string{attributeReturned}, slices.DeleteFunc(inv.GetChanged(), func(name string) bool { return name == "refresh" })...)
			ev.Message = message
			return events
		}
	}
	inv := d.lastTold()
	inv.Changed, inv.LastSeenTime = []string{attributeReturned}, timestamppb.New(now)
	return append(events, &pb.Event{
		Type: event.TypeDeviceChanged, About: d.about(), Message: message, Body: &pb.Event_Device{Device: inv},
	})
}

// lastTold is what was told of a device last, or what is known after a restart. d is locked.
func (d *device) lastTold() *pb.DeviceInventory {
	if d.told != nil {
		inv := proto.CloneOf(d.told)
		inv.Changed, inv.LastSeenTime = nil, timestamppb.New(d.LastSeen)
		return inv
	}
	about := d.about()
	return &pb.DeviceInventory{
		Uid: about.GetUid(), Ip: about.GetIp(), Hostname: d.Name, Sources: []string{"snmp"},
		FirstSeenTime: timestamppb.New(d.FirstSeen), LastSeenTime: timestamppb.New(d.LastSeen),
	}
}

// answers says whether another address of a device answers.
func (b *book) answers(uid string, but *device) bool {
	return uid != "" && slices.ContainsFunc(b.all(), func(d *device) bool {
		if d == but {
			return false
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.UID == uid && d.failures == 0 && d.reading != nil
	})
}
