package snmp

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// refreshEvery is how often a device that has not changed is told again, so that a reader
// can be made anew from recent events.
const refreshEvery = 24 * time.Hour

// settle takes what a poll read into the device and returns the events of it.
func (a *Agent) settle(d *device, r result, began, now time.Time) []*pb.Event {
	if len(r.engine) > 0 && r.reading.GetEngineId() == "" {
		r.reading.EngineId = hex.EncodeToString(r.engine)
	}
	if r.whole {
		if twin := a.identify(d, &r, now); twin != nil {
			return nil
		}
	}
	r.aliases = a.otherAddresses(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh := r.hasTime && !d.UptimeAt.IsZero() && rebooted(d.Uptime, r.uptime, began.Sub(d.UptimeAt))
	elapsed := r.portsAt.Sub(d.readAt)
	var events []*pb.Event
	if fresh {
		events = append(events, rebootEvent(d, &r))
	}
	changes := linkEvents(d, d.ports, r.ports, &r)
	rate(d.ports, r.ports, elapsed, fresh)
	d.failures, d.silent, d.fault, d.barred, d.LastSeen = 0, 0, "", false, now
	d.took = now.Sub(began)
	if r.hasTime {
		d.Uptime, d.UptimeAt = r.uptime, began
	}
	d.Name = cmp.Or(r.reading.GetSysName(), d.Name)
	if r.whole {
		d.inventory, d.plan = now, r.survey.plan
		events = append(events, a.inventory(d, &r, now)...)
	}
	events = d.comeBack(events, "answers SNMP again", now)
	if r.again {
		d.sensed, d.watts = now, r.watts
	}
	reading := readingEvent(d, &r)
	kept := event.Slots(a.cfg.Polling.EventIntervalSeconds*float64(time.Second)).Keep(&d.slot, d.UID, now)
	reading.MetricsOnly = !kept && !r.whole && !fresh && len(changes) == 0
	events = append(events, reading)
	events = append(events, changes...)
	if ev := a.exposed(d, now); ev != nil {
		events = append(events, ev)
	}
	if len(r.ports) > 0 || len(d.ports) == 0 {
		d.ports, d.readAt = fitted(r.ports), r.portsAt
	}
	neighbors := r.reading.GetNeighbors()
	r.reading.Neighbors, r.reading.Interfaces = nil, nil
	d.reading = remembered(r.reading)
	d.next = d.due(now.Add(pauseAfter(d.took, a.o.Interval)), a.o.Interval)
	if a.plugs != nil {
		a.plugs.learn(d, &r, neighbors, now)
	}
	return events
}

// fitted is a list in no more memory than it takes.
func fitted(ports []port) []port {
	if cap(ports) == len(ports) {
		return ports
	}
	return append(make([]port, 0, len(ports)), ports...)
}

// pauseAfter is how much longer a device is left alone whose poll took a good part of the
// interval: it holds one of the few workers no more than a quarter of the time, so that some
// slow or hostile devices do not keep all others from being polled.
func pauseAfter(took, interval time.Duration) time.Duration {
	if took <= interval/4 {
		return 0
	}
	return 3 * took
}

// remembered is the part of a reading that is needed for the next one, at a bounded size.
func remembered(r *pb.SnmpReading) *pb.SnmpReading {
	kept := basis(r)
	const most = 64
	kept.Sensors = kept.GetSensors()[:min(len(kept.GetSensors()), most)]
	kept.Storage = kept.GetStorage()[:min(len(kept.GetStorage()), most)]
	kept.BgpPeers = kept.GetBgpPeers()[:min(len(kept.GetBgpPeers()), most)]
	return kept
}

// rate computes the rates of the ports that were there before. Both are by index.
func rate(before, now []port, elapsed time.Duration, fresh bool) {
	for i := range now {
		p := &now[i]
		at, ok := slices.BinarySearchFunc(before, p.index, func(b port, n uint32) int { return cmp.Compare(b.index, n) })
		if ok {
			p.rates = p.sample.since(before[at].sample, elapsed, p.speed, fresh)
		}
	}
}

// identify names a device that was read whole. Another address of a device that is polled
// already is noted as such, and polled once a day from then on: it is returned.
func (a *Agent) identify(d *device, r *result, now time.Time) (twin *device) {
	uid := entity.DeviceUID(d.facts(r.reading, macsOf(r.ports)))
	d.mu.Lock()
	if d.moved && uid != d.UID && r.reading.GetSysName() != d.Name {
		d.becomeAnother()
	}
	d.moved = false
	old := d.UID
	d.mu.Unlock()
	if len(r.reading.GetIncomplete()) > 0 && weaker(uid, old) {
		uid = old // what made it was in a table that failed this time
	}
	twin = a.book.twin(d, uid, r.reading.GetSysName())
	d.mu.Lock()
	d.UID = uid
	if twin != nil {
		d.AliasOf, d.LastSeen, d.failures, d.silent, d.Gone = uid, now, 0, 0, false
		d.next = d.due(now, 24*time.Hour)
		d.mu.Unlock()
		return twin
	}
	d.AliasOf = ""
	d.mu.Unlock()
	if a.plugs != nil && old != "" && old != uid {
		a.plugs.rename(old, uid)
	}
	return nil
}

// becomeAnother forgets what was known of a device: its target's name is now of another one.
// How that is asked stays. d is locked.
func (d *device) becomeAnother() {
	d.kept = kept{Addr: d.Addr, Credential: d.Credential, Manners: d.Manners, Learned: d.Learned}
	d.told, d.toldAt, d.toldMACs = nil, time.Time{}, 0
}

// weaker says that a uid is of a weaker kind of fact than another, as entity.DeviceUID
// has them.
func weaker(uid, than string) bool {
	rank := func(uid string) int {
		return slices.IndexFunc([]string{"sn-", "engine-", "mac-", "ip-"}, func(kind string) bool { return strings.HasPrefix(uid, kind) })
	}
	return than != "" && rank(uid) > rank(than)
}

// inventory tells what SNMP knows of a device, if it is new, has changed, or was told long
// ago. d is locked.
func (a *Agent) inventory(d *device, r *result, now time.Time) []*pb.Event {
	inv := a.describeDevice(d, r, now)
	typ, changed := event.TypeDeviceChanged, []string{"refresh"}
	switch {
	case d.FirstSeen.IsZero():
		d.FirstSeen = now
		typ, changed = event.TypeDeviceDiscovered, nil
	case d.told == nil:
	default:
		changed = differs(d.told, inv, d.toldMACs == digest(inv.GetMac()))
		if len(changed) == 0 && now.Sub(d.toldAt) < refreshEvery {
			return nil
		}
		if len(changed) == 0 {
			changed = []string{"refresh"}
		}
	}
	inv.FirstSeenTime = timestamppb.New(d.FirstSeen)
	inv.Changed = changed
	d.told, d.toldAt, d.toldMACs = headOf(inv), now, digest(inv.GetMac())
	return []*pb.Event{{
		Type: typ, About: d.about(), Message: deviceMessage(typ, d, inv),
		Body: &pb.Event_Device{Device: inv},
	}}
}

// describeDevice writes what SNMP knows of a device.
func (a *Agent) describeDevice(d *device, r *result, now time.Time) *pb.DeviceInventory {
	rd := r.reading
	inv := &pb.DeviceInventory{
		Uid: d.UID, Ip: []string{d.at.Addr().Unmap().WithZone("").String()}, Mac: macsOf(r.ports), Hostname: d.Name,
		Vendor: r.survey.identity.Maker(), OsName: rd.GetOsName(), OsVersion: rd.GetOsVersion(), Model: rd.GetHardware(),
		SerialNumber: rd.GetSerialNumber(), EngineId: rd.GetEngineId(), Sources: []string{"snmp"},
		LastSeenTime: timestamppb.New(now), DeviceClass: r.survey.identity.Class, Confidence: 0.9,
		Links: rd.GetNeighbors(), Evidence: r.survey.identity.Evidence,
		Ports: []*pb.Port{{Port: uint32(d.at.Port()), Protocol: "udp", Service: "snmp"}},
	}
	if d.Name != "" {
		inv.Names = []string{d.Name}
	}
	for _, ip := range append(r.aliases, r.survey.ips...) {
		if !slices.Contains(inv.GetIp(), ip) {
			inv.Ip = append(inv.Ip, ip)
		}
	}
	inv.Mac = inv.GetMac()[:min(len(inv.GetMac()), maxInventoryMACs)]
	inv.Links = inv.GetLinks()[:min(len(inv.GetLinks()), maxInventoryLinks)]
	return inv
}

// otherAddresses are those of the same device that were found, in order.
func (a *Agent) otherAddresses(d *device) []string {
	d.mu.Lock()
	uid := d.UID
	d.mu.Unlock()
	if uid == "" {
		return nil
	}
	var out []string
	for _, alias := range a.book.aliases(uid) {
		if ip := alias.at.Addr().Unmap().WithZone("").String(); alias != d && alias.at.Addr() != d.at.Addr() && len(out) < maxAliases {
			out = append(out, ip)
		}
	}
	return out
}

// Bounds of one device's facts.
const (
	maxInventoryMACs  = 512
	maxInventoryLinks = 512
	maxAliases        = 64
)

// headOf is what is kept of facts that were told: of a switch's hundreds of addresses the
// few that its events carry.
func headOf(inv *pb.DeviceInventory) *pb.DeviceInventory {
	all, evidence := inv.GetMac(), inv.GetEvidence()
	inv.Mac, inv.Evidence = slices.Clone(all[:min(len(all), maxAboutMACs)]), nil
	head := proto.CloneOf(inv)
	inv.Mac, inv.Evidence = all, evidence
	return head
}

// digest tells lists apart.
func digest(list []string) uint64 {
	h := fnv.New64a()
	for _, s := range list {
		_, _ = h.Write(append([]byte(s), 0)) // A hash takes anything.
	}
	return h.Sum64()
}

// differs names the attributes in which two states of a device differ; whether their MAC
// addresses do is told it.
func differs(old, now *pb.DeviceInventory, sameMACs bool) []string {
	var out []string
	note := func(name string, same bool) {
		if !same {
			out = append(out, name)
		}
	}
	note("hostname", old.GetHostname() == now.GetHostname())
	note("vendor", old.GetVendor() == now.GetVendor())
	note("model", old.GetModel() == now.GetModel())
	note("os_name", old.GetOsName() == now.GetOsName())
	note("os_version", old.GetOsVersion() == now.GetOsVersion())
	note("serial_number", old.GetSerialNumber() == now.GetSerialNumber())
	note("engine_id", old.GetEngineId() == now.GetEngineId())
	note("device_class", old.GetDeviceClass() == now.GetDeviceClass())
	note("uid", old.GetUid() == now.GetUid())
	note("ip", slices.Equal(old.GetIp(), now.GetIp()))
	note("mac", sameMACs)
	note("links", slices.EqualFunc(old.GetLinks(), now.GetLinks(), func(x, y *pb.DeviceLink) bool { return proto.Equal(x, y) }))
	return out
}

func deviceMessage(typ string, d *device, inv *pb.DeviceInventory) string {
	what := d.word()
	if maker := inv.GetVendor(); inv.GetModel() != "" || maker != "" {
		if strings.HasPrefix(strings.ToLower(inv.GetModel()), strings.ToLower(maker)) {
			maker = ""
		}
		what += " (" + joined(maker, inv.GetModel()) + ")"
	}
	if typ == event.TypeDeviceDiscovered {
		return what + " answers SNMP"
	}
	return fmt.Sprintf("%s: %s", what, joinedBy(", ", inv.GetChanged()...))
}
