package snmp

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
)

// device is one address that answers SNMP, or that the configuration names.
type device struct {
	at     netip.AddrPort
	target string // as the configuration names it; empty for one that was found
	phase  time.Duration

	// work is held by the one goroutine that polls it.
	work sync.Mutex

	mu sync.Mutex // guards what follows
	kept
	failures  int
	silent    int        // of the failures since it answered anything
	slot      event.Slot // of the last reading that is kept as an event
	fault     string     // of the last poll; empty when it was well
	moved     bool       // its target has another address since it was read whole
	barred    bool       // the last poll failed since the device refused the credential
	next      time.Time  // when it is polled
	inventory time.Time  // when it was read whole
	placed    time.Time  // when its forwarding table was read
	bridges   bool       // it had one, or addresses
	asked     time.Time  // when other credentials were tried
	sensed    time.Time  // when sensors and the like were read
	readAt    time.Time  // of ports
	took      time.Duration
	ports     []port
	watts     watts           // that ports give
	reading   *pb.SnmpReading // the newest, without interfaces
	plan      *plan           // what is read at each poll beside interfaces; nil before the first inventory
	told      *pb.DeviceInventory
	toldAt    time.Time
	toldMACs  uint64 // digest of the addresses that told had
}

// kept is what outlasts a restart.
type kept struct {
	Addr       string       `json:"addr"`
	Credential string       `json:"credential,omitempty"`
	Manners    snmp.Manners `json:"manners,omitzero"`
	Learned    time.Time    `json:"learned,omitzero"` // the manners
	UID        string       `json:"uid,omitempty"`
	Name       string       `json:"name,omitempty"`
	Uptime     uint32       `json:"uptime,omitempty"` // sysUpTime, hundredths of a second
	UptimeAt   time.Time    `json:"uptime_at,omitzero"`
	FirstSeen  time.Time    `json:"first_seen,omitzero"`
	LastSeen   time.Time    `json:"last_seen,omitzero"`
	Exposed    time.Time    `json:"exposed,omitzero"`     // when its community was a finding last
	ExposedAs  string       `json:"exposed_as,omitempty"` // uid of that finding, which a device keeps that gets another uid
	AliasOf    string       `json:"alias_of,omitempty"`
	Gone       bool         `json:"gone,omitempty"` // which was told
}

// mannersLife is after how long what was learnt of a device is learnt anew: it may only
// have been slow that day.
const mannersLife = 24 * time.Hour

func newDevice(at netip.AddrPort, target string) *device {
	h := fnv.New64a()
	_, _ = h.Write([]byte(at.String())) // A hash takes anything.
	return &device{at: at, target: target, phase: time.Duration(h.Sum64() >> 1), kept: kept{Addr: at.String()}}
}

// due is when the device is polled next, after now. Each has its own phase of the
// interval, so that polls are spread over it; one that does not answer is asked more and
// more rarely.
//
//	failures in a row | next poll after
//	------------------+----------------------------
//	0                 | its phase of the interval
//	n                 | interval * 2^n, at most an hour, and its phase
func (d *device) due(now time.Time, interval time.Duration) time.Time {
	wait := time.Duration(0)
	if d.failures > 0 {
		wait = min(interval<<min(d.failures-1, 10), max(time.Hour, interval))
	}
	from := now.Add(wait)
	phase := d.phase % interval
	next := from.Truncate(interval).Add(phase)
	if !next.After(from) {
		next = next.Add(interval)
	}
	// now may have a monotonic clock, which goes on where the wall clock is set.
	return now.Add(next.Sub(now.Round(0)))
}

// facts tell the device from others. Addresses on another port than the usual one are
// others, as several agents on one host.
func (d *device) facts(r *pb.SnmpReading, macs []string) entity.DeviceFacts {
	f := entity.DeviceFacts{EngineID: r.GetEngineId(), Vendor: r.GetVendor(), MACs: macs, IP: d.at.Addr().Unmap().WithZone("").String()}
	if serial := r.GetSerialNumber(); isSerial(serial) {
		f.Serial = serial
	}
	if d.at.Port() != snmp.DefaultPort {
		f.Scope = "port-" + strings.TrimPrefix(d.at.String()[strings.LastIndex(d.at.String(), ":"):], ":")
	}
	return f
}

// isSerial says that a serial number is one: makers who have none write all kinds of things.
func isSerial(s string) bool {
	digits := strings.ToLower(strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}), ""))
	if len(digits) < 4 || strings.Trim(digits, digits[:1]) == "" {
		return false
	}
	return !slices.Contains([]string{
		"none", "unknown", "null", "notavailable", "notapplicable", "notspecified", "tobefilledbyoem", "tobefilledbyo.e.m",
		"defaultstring", "serialnumber", "systemserialnumber", "0123456789", "123456789", "1234567890", "123456", "1234", "empty", "private",
	}, digits)
}

// about is the device in events.
func (d *device) about() *pb.Device {
	a := &pb.Device{Uid: d.UID, Name: d.Name, Ip: []string{d.at.Addr().Unmap().WithZone("").String()}}
	if a.Uid == "" {
		a.Uid = entity.DeviceUID(d.facts(nil, nil))
	}
	a.Name = cmp.Or(a.Name, d.target)
	if t := d.told; t != nil {
		a.Type, a.Mac = t.GetDeviceClass(), t.GetMac()[:min(len(t.GetMac()), maxAboutMACs)]
	}
	return a
}

// maxAboutMACs bounds the addresses that each event carries.
const maxAboutMACs = 4

// macsOf are the addresses of a device's own interfaces, each once, the lowest first.
func macsOf(ports []port) []string {
	var out []string
	for i := range ports {
		if m := ports[i].macText(); m != "" {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
