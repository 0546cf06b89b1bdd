package devices

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Sources of facts, as DeviceInventory.sources names them.
const (
	sourceSNMP  = "snmp"
	sourceAgent = "agent"
)

// foldReading takes what a device said of itself by SNMP: facts about it, its newest
// reading, and its neighbours, which are devices too.
func (in *Inventory) foldReading(e *sighted) {
	r := e.ev.GetSnmp()
	if r == nil {
		in.metrics.drop(dropEmpty, 1)
		return
	}
	neighbours := r.GetNeighbors()
	if r.GetError() != "" { // nothing was read: what is known stays
		for _, d := range in.find(e.ev) {
			m := in.beside(d.GetUid())
			if m.reading != nil {
				m.reading.Error = r.GetError()
			}
		}
		return
	}
	d := &pb.DeviceInventory{
		Uid: e.ev.GetAbout().GetUid(), Ip: e.ev.GetAbout().GetIp(), Mac: e.ev.GetAbout().GetMac(), DeviceClass: e.ev.GetAbout().GetType(),
		Hostname: r.GetSysName(), Vendor: r.GetVendor(), OsName: r.GetOsName(), OsVersion: r.GetOsVersion(), Model: r.GetHardware(),
		SerialNumber: r.GetSerialNumber(), EngineId: r.GetEngineId(), Sources: []string{sourceSNMP}, Links: neighbours,
	}
	if at, err := netip.ParseAddrPort(r.GetTarget()); err == nil && len(d.GetIp()) == 0 {
		d.Ip = []string{at.Addr().String()}
	} else if ip, err := netip.ParseAddr(r.GetTarget()); err == nil && len(d.GetIp()) == 0 {
		d.Ip = []string{ip.String()}
	}
	in.apply(in.state.book.Observe(e.at, e.observer(), d), e)
	for _, known := range in.find(e.ev) {
		in.keepReading(in.beside(known.GetUid()), r, e.at)
	}
	for _, l := range neighbours[:min(len(neighbours), maxNeighbours)] {
		in.foldNeighbour(e, l)
	}
}

// maxNeighbours is how many neighbours of one device are taken for devices.
const maxNeighbours = 512

// foldNeighbour takes what LLDP or CDP says of the device at the other end of a link.
func (in *Inventory) foldNeighbour(e *sighted, l *pb.DeviceLink) {
	if l.GetSource() != "lldp" && l.GetSource() != "cdp" || l.GetMac() == "" && l.GetIp() == "" {
		return
	}
	d := &pb.DeviceInventory{Uid: l.GetDeviceUid(), Hostname: l.GetName(), DeviceClass: classOf(l.GetCapabilities()), Sources: []string{l.GetSource()}}
	if l.GetMac() != "" {
		d.Mac = []string{l.GetMac()}
	}
	if l.GetIp() != "" {
		d.Ip = []string{l.GetIp()}
	}
	in.apply(in.state.book.Observe(e.at, e.observer()+"/"+l.GetSource(), d), e)
}

// classOf is the class of a device by its LLDP system capabilities (IEEE 802.1AB, section
// 8.5.8): a router that also bridges is a router. Empty where they say nothing.
func classOf(capabilities []string) string {
	for _, c := range []struct{ capability, class string }{
		{"wlan", "access point"}, {"telephone", "phone"}, {"router", "router"}, {"bridge", "switch"},
	} {
		if slices.Contains(capabilities, c.capability) {
			return c.class
		}
	}
	return ""
}

// hostFacts are what was last told of a host with agents.
type hostFacts struct {
	told string    // its facts, to see whether they are others now
	seen time.Time // when they were last told
	at   time.Time // when they were last taken into the Book
	uid  string    // of its device
	own  bool      // the device is known by its agents alone
}

const (
	// hostAgain is how often a host whose facts are the same is told to the Book.
	hostAgain = 10 * time.Minute
	// hostSilent is after what silence a host is forgotten here.
	hostSilent = 30 * 24 * time.Hour
	// maxHosts bounds how many there are.
	maxHosts = 100_000
)

// foldHost takes what an agent says of its own host: that is a device as well. It is one
// that observers know, where that has one of its addresses and no other host has; else
// it is one by itself, until observers see it.
func (in *Inventory) foldHost(e *sighted) {
	h := e.ev.GetHost()
	name := hostname.Normal(h.GetName())
	if name == "" || e.ev.GetObserver() != nil || len(h.GetIp()) == 0 {
		return
	}
	s := &in.state
	facts := s.hosts[name]
	if facts == nil {
		if len(s.hosts) >= maxHosts {
			in.metrics.drop(dropHost, 1)
			return
		}
		facts = &hostFacts{}
		s.hosts[name] = facts
	}
	told := strings.Join(append([]string{h.GetOsType(), h.GetOsVersion()}, h.GetIp()...), " ")
	facts.seen = later(facts.seen, e.at)
	if told == facts.told && e.at.Sub(facts.at) < hostAgain {
		return
	}
	facts.told, facts.at = told, e.at
	in.placeHost(e, name, facts, h)
}

// placeHost finds or makes the device of a host.
func (in *Inventory) placeHost(e *sighted, name string, facts *hostFacts, h *pb.Host) {
	s := &in.state
	d := &pb.DeviceInventory{
		Hostname: name, OsName: systemOf(h), OsVersion: h.GetOsVersion(), Sources: []string{sourceAgent},
		Aliases: []string{"host:" + name},
	}
	observer := name + "/" + sourceAgent
	if uid := in.deviceOf(name, facts, h.GetIp()); uid != "" {
		d.Uid, facts.own = uid, false // the alias joins what its agents alone knew
	} else {
		d.Ip, facts.own = h.GetIp(), true
	}
	changes := s.book.Observe(e.at, observer, d)
	in.apply(changes, e)
	switch {
	case d.GetUid() != "":
		facts.uid = d.GetUid()
	case len(changes) > 0:
		facts.uid = changes[0].Device.GetUid()
	}
	if found := s.book.Find(facts.uid); facts.uid != "" && len(found) > 0 {
		facts.uid = found[0].GetUid()
		m := in.beside(facts.uid)
		m.host, m.text = name, ""
	}
}

// systemOf is the operating system of a host as inventories call it.
func systemOf(h *pb.Host) string {
	switch h.GetOsType() {
	case "linux":
		return "Linux"
	case "darwin":
		return "macOS"
	case "windows":
		return "Windows"
	}
	return h.GetOsType()
}

// deviceOf is the uid of the device that observers know at the addresses of a host;
// empty where there is none, or where several could be it.
func (in *Inventory) deviceOf(name string, facts *hostFacts, ips []string) string {
	uid := ""
	for _, ip := range ips[:min(len(ips), maxLookups)] {
		for _, d := range in.state.book.Find(ip) {
			other := in.state.more[d.GetUid()]
			switch {
			case facts.own && d.GetUid() == facts.uid: // that is what is looked for
			case other != nil && other.host != "" && other.host != name: // as of a bridge for containers
			case slices.Equal(d.GetSources(), []string{sourceAgent}):
			case uid == "" || uid == d.GetUid():
				uid = d.GetUid()
			default:
				return ""
			}
		}
	}
	return uid
}
