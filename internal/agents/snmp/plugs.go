package snmp

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp/place"
)

// plugs gathers what switches say of where devices are, and tells who has moved.
type plugs struct {
	a        *Agent
	interval time.Duration

	mu        sync.Mutex // guards what follows; nobody who holds it locks a device
	places    *place.Map
	neighbors map[string][]place.Neighbor // of a device, by its uid, from its last inventory
	fresh     bool                        // something was learnt since the last settling
	refreshed time.Time
	pending   []place.Move // that found no room in the last round
}

const (
	// maxMovesAtOnce is how many moves are published together; more wait for the next beat.
	maxMovesAtOnce = 500
	// plugsBeat is how often moves are looked for, if something was learnt.
	plugsBeat = 2 * time.Second
)

func newPlugs(a *Agent) *plugs {
	return &plugs{
		a: a, interval: seconds(a.cfg.Places.IntervalSeconds), places: place.New(a.placesOptions()),
		neighbors: map[string][]place.Neighbor{}, refreshed: a.o.Now(),
	}
}

// due says whether a device is asked for its tables now. One that had none is asked with
// its inventory alone.
func (p *plugs) due(d *device, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.placed.IsZero() || now.Sub(d.placed) >= p.interval-p.interval/20 && d.bridges ||
		now.Sub(d.placed) >= seconds(p.a.cfg.Polling.InventorySeconds)
}

// learn takes what a poll read. d is locked.
func (p *plugs) learn(d *device, r *result, neighbors []*pb.DeviceLink, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.whole {
		p.neighbors[d.UID] = heard(neighbors)
	}
	if r.where == nil {
		return
	}
	d.placed, d.bridges = now, len(r.where.Forwards)+len(r.where.Addresses) > 0
	p.places.Resolve(now, r.where.Addresses)
	if len(r.where.Forwards) > 0 {
		p.places.Learn(now, p.device(d, r))
	}
	p.fresh = true
}

// device is a switch as place wants it. d is locked.
func (p *plugs) device(d *device, r *result) place.Switch {
	s := place.Switch{
		UID: d.UID, Name: d.word(), IP: d.at.Addr().Unmap().WithZone("").String(),
		Ports: make(map[uint32]string, len(r.ports)), Members: r.where.Members, Entries: r.where.Forwards, Neighbors: p.neighbors[d.UID],
	}
	if r.where.Bridge != (place.MAC{}) {
		s.MACs = append(s.MACs, r.where.Bridge)
	}
	for i := range r.ports {
		s.Ports[r.ports[i].index] = r.ports[i].label()
		if mac := r.ports[i].mac; mac != (place.MAC{}) {
			s.MACs = append(s.MACs, mac)
		}
	}
	return s
}

// heard are the neighbours that a device hears, as place wants them.
func heard(links []*pb.DeviceLink) []place.Neighbor {
	var out []place.Neighbor
	for _, l := range links {
		if l.GetSource() != place.SourceLLDP && l.GetSource() != place.SourceCDP || l.GetIfIndex() == 0 {
			continue
		}
		n := place.Neighbor{Source: l.GetSource(), Port: l.GetIfIndex(), Name: l.GetName()}
		if hw, err := net.ParseMAC(l.GetMac()); err == nil {
			n.MAC, _ = place.ParseMAC(hw)
		}
		// Who does not say what it can do may lead on; a phone bridges for one computer.
		leads := slices.ContainsFunc(l.GetCapabilities(), func(c string) bool {
			return slices.Contains([]string{"bridge", "router", "repeater", "wlan", "switch", "docsis"}, c)
		})
		phone := slices.Contains(l.GetCapabilities(), "telephone")
		n.Bridges = leads && !phone || len(l.GetCapabilities()) == 0
		out = append(out, n)
	}
	return out
}

func (p *plugs) rename(from, to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places.Rename(from, to)
	p.places.Drop(from)
	if list, ok := p.neighbors[from]; ok {
		delete(p.neighbors, from)
		p.neighbors[to] = list
	}
}

// run tells moves until ctx ends.
func (p *plugs) run(ctx context.Context) {
	tick := time.NewTicker(min(plugsBeat, max(p.interval/2, 50*time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.flush(context.WithoutCancel(ctx))
			return
		case <-tick.C:
		}
		events := p.step(p.a.o.Now())
		if len(events) == 0 {
			continue
		}
		if err := p.a.o.Publisher.Publish(ctx, events...); err != nil {
			return // ctx has ended
		}
	}
}

// flush tells the moves that wait for their turn: the Map has them as told.
func (p *plugs) flush(ctx context.Context) {
	for {
		p.mu.Lock()
		waits := len(p.pending) > 0
		p.mu.Unlock()
		if !waits {
			return
		}
		events, _ := p.advance(p.a.o.Now(), false)
		if err := p.a.o.Publisher.Publish(ctx, events...); err != nil {
			return // the spool is closed
		}
	}
}

// step settles what was learnt and returns the events of it, and once a day those of
// every place.
func (p *plugs) step(now time.Time) []*pb.Event {
	events, settled := p.advance(now, p.a.settled(now))
	p.a.metrics.moved(settled) // which asks for stats with its own lock held
	return events
}

// advance is step, and returns the moves that were settled now beside.
func (p *plugs) advance(now time.Time, ready bool) (events []*pb.Event, settled []place.Move) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fresh && ready && len(p.pending) == 0 {
		p.fresh = false
		p.pending = p.places.Settle(now)
		if now.Sub(p.refreshed) >= refreshEvery {
			p.refreshed = now
			p.refresh()
		}
		settled = p.pending
	}
	n := min(len(p.pending), maxMovesAtOnce)
	events = make([]*pb.Event, 0, n)
	for _, mv := range p.pending[:n] {
		events = append(events, moveEvent(mv, now))
	}
	if p.pending = p.pending[n:]; len(p.pending) == 0 {
		p.pending = nil
	}
	return events, settled
}

// drop forgets what a device told of places: it has not answered for long, and what was
// plugged in there may be elsewhere by now.
func (p *plugs) drop(uid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places.Drop(uid)
	delete(p.neighbors, uid)
	p.fresh = true
}

// refresh has every place told again. p is locked.
func (p *plugs) refresh() {
	told := map[place.MAC]bool{}
	for _, mv := range p.pending {
		told[mv.MAC] = true
	}
	for mac := range p.places.Each {
		if at, _, ok := p.places.Where(mac); ok && !told[mac] {
			p.pending = append(p.pending, place.Move{MAC: mac, IPs: p.places.IPs(mac), New: at})
		}
	}
}

// settled says that every device that answers was read since the start, so that no switch
// lacks and devices are not put at uplinks.
func (a *Agent) settled(now time.Time) bool {
	for _, d := range a.book.all() {
		d.mu.Lock()
		waits := d.AliasOf == "" && d.placed.IsZero() && d.failures == 0 && (d.LastSeen.IsZero() || now.Sub(d.LastSeen) < time.Hour)
		d.mu.Unlock()
		if waits {
			return false
		}
	}
	return true
}

// encode is what outlasts a restart; nil while moves wait to be told, which it would have
// as told: what was written before has them told again.
func (p *plugs) encode() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) > 0 {
		return nil
	}
	return p.places.Encode()
}

func (p *plugs) restore(b []byte) error {
	m, err := place.Decode(b, p.a.placesOptions())
	if err != nil {
		return fmt.Errorf("read %s: %w", placesFile, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places = m
	p.a.o.Logger.Debug("places are known", obs.KeyCount, m.Stats().MACs)
	return nil
}

func (p *plugs) stats() place.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.places.Stats()
}

// moveEvent is a change of a place; one without a kind tells again what was told.
func moveEvent(mv place.Move, now time.Time) *pb.Event {
	mac := mv.MAC.String()
	inv := &pb.DeviceInventory{Mac: []string{mac}, LastSeenTime: timestamppb.New(now), Sources: []string{"snmp"}, Changed: []string{"plugged"}}
	for _, ip := range mv.IPs {
		inv.Ip = append(inv.Ip, ip.String())
	}
	inv.Uid = entity.DeviceUID(entity.DeviceFacts{MACs: inv.GetMac()})
	inv.MacRandomized = mv.MAC[0]&2 != 0
	inv.Plugged = []*pb.SwitchPort{switchPort(mv.New, mac)}
	who := mac
	if len(inv.GetIp()) > 0 {
		who = inv.GetIp()[0] + " (" + mac + ")"
	}
	at := mv.New.Port + " of " + mv.New.SwitchName
	typ, severity, message := event.TypeDeviceMoved, pb.Severity_SEVERITY_INFORMATIONAL, who+" is plugged in at "+at
	switch mv.Kind {
	case place.Moved:
		message = fmt.Sprintf("%s is plugged in at %s, before at %s of %s", who, at, mv.Old.Port, mv.Old.SwitchName)
	case place.Flapping:
		severity = pb.Severity_SEVERITY_LOW
		inv.Changed = []string{"plugged", "flapping"}
		message = fmt.Sprintf("%s goes to and fro between %s and %s of %s: a loop, or the same address twice", who, at, mv.Old.Port, mv.Old.SwitchName)
	case place.Appeared:
	default:
		typ, inv.Changed = event.TypeDeviceChanged, []string{"refresh"}
	}
	if mv.Old.SwitchUID != "" {
		inv.Plugged = append(inv.Plugged, switchPort(mv.Old, mac))
	}
	return &pb.Event{
		Type: typ, Severity: severity, Message: message, About: &pb.Device{Uid: inv.GetUid(), Ip: inv.GetIp(), Mac: inv.GetMac()},
		Body: &pb.Event_Device{Device: inv},
	}
}

func switchPort(at place.Place, mac string) *pb.SwitchPort {
	s := &pb.SwitchPort{
		DeviceUid: at.SwitchUID, DeviceName: at.SwitchName, DeviceIp: at.SwitchIP, IfIndex: at.IfIndex, Port: at.Port,
		Vlan: uint32(at.VLAN), Mac: mac, Source: at.Source, SinceTime: timestamppb.New(at.Since),
	}
	if !at.Until.IsZero() {
		s.UntilTime = timestamppb.New(at.Until)
	}
	return s
}
