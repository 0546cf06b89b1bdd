package event

import (
	"cmp"
	"strings"

	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Attribute completes an event that was read from the log with what the record
// says of it: who published it. It also brings the names of hosts and agent into
// the form in which they are shown and compared, for the log keeps events as they
// came. Whoever reads events from the log calls it before anything looks at them.
func Attribute(ev *pb.Event, publisher string) {
	ev.Publisher = publisher
	if h := ev.GetHost(); h != nil {
		h.Name = hostname.Normal(h.GetName())
	}
	if o := ev.GetObserver(); o != nil {
		o.Name = hostname.Normal(o.GetName())
	}
	if a := ev.GetAgent(); a != nil {
		a.Id = hostname.Normal(a.GetId())
	}
}

// Subject says in a few words what an event is about: its host, or "about X, seen
// by Y" where another host or a device was observed. Such an event is no sign of
// life of the host that it names.
func Subject(ev *pb.Event) string {
	host := ev.GetHost().GetName()
	if ev.GetObserver() == nil {
		return host
	}
	return "about " + cmp.Or(AboutName(ev.GetAbout()), host, "nobody") + ", seen by " + ev.GetObserver().GetName()
}

// AboutName is what people know a device by: its name, address or id.
func AboutName(d *pb.Device) string {
	if d == nil {
		return ""
	}
	return cmp.Or(d.GetName(), strings.Join(d.GetIp(), " "), strings.Join(d.GetMac(), " "), d.GetUid(), "a device")
}

// IsFromItself reports whether the publisher of an event that was read from the log
// is whom the event itself names, so that nobody needs to be told.
func IsFromItself(ev *pb.Event) bool {
	named := cmp.Or(ev.GetObserver().GetName(), ev.GetHost().GetName())
	_, path, _ := strings.Cut(strings.TrimPrefix(ev.GetPublisher(), "spiffe://"), "/")
	_, holder, _ := strings.Cut(path, "/")
	host, agent, bound := strings.Cut(holder, "/")
	return hostname.Same(host, named) && (!bound || hostname.Same(agent, ev.GetAgent().GetId()))
}
