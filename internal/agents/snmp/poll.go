package snmp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/place"
)

// Objects that each poll begins with (RFC 3418).
const (
	oidSysUpTime   = "1.3.6.1.2.1.1.3.0"
	oidSysObjectID = "1.3.6.1.2.1.1.2.0"
	oidSysName     = "1.3.6.1.2.1.1.5.0"
)

// result is what one poll read.
type result struct {
	reading *pb.SnmpReading // without interfaces
	ports   []port
	portsAt time.Time // when their counters were asked for
	uptime  uint32
	hasTime bool // uptime was answered
	whole   bool // the device was read whole
	survey  survey
	engine  []byte
	where   *place.Tables // nil was not read
	leftOut int           // interfaces that were too many
	again   bool          // sensors and the like were read
	watts   watts
	aliases []string // other addresses of the device
}

// errNoCredentials says that nothing opens any device.
var errNoCredentials = errors.New("none of the credentials in the configuration can be used: see the condition credentials")

// poll reads a device once, tells what is new, and says when it is due again.
func (a *Agent) poll(ctx context.Context, d *device) {
	d.work.Lock()
	defer d.work.Unlock()
	began := a.o.Now()
	r, err := a.openFor(ctx, d, began)
	now := a.o.Now()
	if ctx.Err() != nil {
		return
	}
	a.metrics.polled(err, now.Sub(began))
	if err != nil {
		a.failed(ctx, d, now, err)
		return
	}
	events := a.settle(d, r, began, now)
	_ = a.o.Publisher.Publish(ctx, events...) // an error means that ctx has ended
}

// failuresAway is after how many failures in a row what a device told of places no longer
// counts.
const failuresAway = 3

// failed notes a poll that read nothing. The first of a row is told.
func (a *Agent) failed(ctx context.Context, d *device, now time.Time, err error) {
	d.mu.Lock()
	d.failures++
	first := d.failures == 1 && !d.LastSeen.IsZero()
	back := d.noteSilence(err, now)
	d.took = 0
	d.next = d.due(now, a.o.Interval)
	ev := failureEvent(d, err)
	uid := d.UID
	away := d.failures == failuresAway
	silent := d.silent >= failuresAway && !d.Gone && !d.LastSeen.IsZero() && d.AliasOf == ""
	d.mu.Unlock()
	if away && a.plugs != nil {
		a.plugs.drop(uid)
	}
	if silent && !a.book.answers(uid, d) {
		_ = a.o.Publisher.Publish(ctx, d.leave(err, now)) // an error means that ctx has ended
	}
	_ = a.o.Publisher.Publish(ctx, back...) // an error means that ctx has ended
	if first {
		_ = a.o.Publisher.Publish(ctx, ev)          // an error means that ctx has ended
		for _, alias := range a.book.aliases(uid) { // the device may answer at another address
			alias.mu.Lock()
			alias.AliasOf, alias.next = "", now
			alias.mu.Unlock()
		}
	}
}

// longestPoll is how long one poll may take where the interval is shorter: a device that
// gives a row now and then must not hold up others.
const longestPoll = 5 * time.Minute

// openFor is open within the time that a poll may take.
func (a *Agent) openFor(ctx context.Context, d *device, now time.Time) (result, error) {
	bounded, cancel := context.WithTimeout(ctx, max(longestPoll, 2*a.o.Interval))
	defer cancel()
	r, err := a.open(bounded, d, now)
	if err == nil && bounded.Err() != nil || err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return result{}, fmt.Errorf("read it within %s: %w", max(longestPoll, 2*a.o.Interval), snmp.ErrTimeout)
	}
	return r, err
}

// open finds a credential and reads the device with it.
//
//	the credential of before | it is sent                 | other credentials are tried
//	-------------------------+----------------------------+------------------------------
//	none                     |                            | now, in order
//	answers                  | at each poll               | never
//	is silent                | with the polls' back-off   | seldom: see tryOthers
//	is refused               | as trials lets it          | seldom, and as trials lets them
func (a *Agent) open(ctx context.Context, d *device, now time.Time) (result, error) {
	d.mu.Lock()
	name, failures, asked := d.Credential, d.failures, d.asked
	d.mu.Unlock()
	if len(a.credentials) == 0 {
		return result{}, errNoCredentials
	}
	c, known := a.credential(name)
	var err error
	if known {
		var r result
		if r, err = a.readAs(ctx, d, c, now); err == nil {
			return r, nil
		}
	}
	if known && !tryOthers(failures, asked, now) {
		return result{}, err
	}
	d.mu.Lock()
	d.asked = now
	d.mu.Unlock()
	found, tryErr := a.search.try(ctx, d.at, name, now)
	if tryErr != nil {
		return result{}, cmpError(err, tryErr)
	}
	d.mu.Lock()
	d.Credential = found.name
	d.mu.Unlock()
	return a.read(ctx, d, found, now)
}

// readAs reads a device with the credential that opened it before, unless that has to
// rest, and remembers whether it was refused.
func (a *Agent) readAs(ctx context.Context, d *device, c credential, now time.Time) (result, error) {
	if due := a.search.trials.due(d.at, c.name); due.After(now) {
		return result{}, fmt.Errorf("%w: %s is sent again after %s, or when somebody has the device polled", errResting, c.name, due.UTC().Format(time.RFC3339))
	}
	r, err := a.read(ctx, d, c, now)
	if ctx.Err() == nil {
		a.search.trials.note(d.at, c.name, err, now)
	}
	return r, err
}

// tryOthers says whether a device whose credential works no more is asked with the others:
// after the third failure in a row, and then once in six hours.
func tryOthers(failures int, asked, now time.Time) bool {
	return failures >= 2 && now.Sub(asked) >= 6*time.Hour
}

// cmpError is the error of the credential that worked once, else the other.
func cmpError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// maxPollBytes is how much of a device one poll reads, also that of all VLANs together,
// in bytes: four times what the largest switches have.
const maxPollBytes = 64 << 20

// maxTableRows is how many rows of one table are read, as many as places keep.
const maxTableRows = 65_536

// target is how a device is asked.
func (a *Agent) target(d *device, c credential, now time.Time) snmp.Target {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := now.Sub(d.Learned); old > mannersLife || old < 0 { // the clock was set back
		d.Manners, d.Learned = snmp.Manners{}, now
	}
	return snmp.Target{
		Addr: d.at, Credential: c.Credential, Timeout: seconds(a.cfg.Polling.TimeoutSeconds), Retries: a.cfg.Polling.Retries,
		MaxRepetitions: a.cfg.Polling.MaxRepetitions, Manners: d.Manners,
		Limits: snmp.Limits{Rows: maxTableRows, Time: time.Minute, Total: maxPollBytes},
	}
}

// read reads a device with a credential. What it learns of its manners is kept whatever
// comes of it.
func (a *Agent) read(ctx context.Context, d *device, c credential, now time.Time) (result, error) {
	target := a.target(d, c, now)
	client, err := snmp.Open(ctx, target)
	if err != nil {
		return result{}, fmt.Errorf("open: %w", err)
	}
	defer client.Close()
	defer func() {
		d.mu.Lock()
		d.Manners = client.Manners()
		d.mu.Unlock()
		a.metrics.asked(client.Counts())
	}()
	r, err := a.readWith(ctx, d, client, now)
	if err != nil {
		return result{}, err
	}
	r.engine = client.Engine()
	if a.plugs != nil && a.plugs.due(d, now) {
		r.where = place.Read(ctx, client, inVLAN(ctx, target))
		r.reading.Incomplete = append(r.reading.Incomplete, r.where.Faults...)
	}
	return r, nil
}

// readWith reads a device through an open client.
func (a *Agent) readWith(ctx context.Context, d *device, g snmp.Getter, now time.Time) (result, error) {
	began := time.Now()
	first, err := g.Get(ctx, oidSysUpTime, oidSysObjectID, oidSysName)
	if err != nil {
		return result{}, fmt.Errorf("read system: %w", err)
	}
	took := time.Since(began)
	var r result
	object, name := "", ""
	for _, v := range first {
		switch v.OID {
		case oidSysUpTime:
			if n, ok := v.Uint(); ok {
				r.uptime, r.hasTime = uint32(n), true
			}
		case oidSysObjectID:
			object = v.Text()
		case oidSysName:
			name = text(v, 255)
		}
	}
	before, p, inventory := d.was()
	r.whole = before == nil || now.Sub(inventory) >= seconds(a.cfg.Polling.InventorySeconds) ||
		r.hasTime && d.hasRebooted(r.uptime, now) || object != before.GetSysObjectId()
	if r.whole {
		if r.survey, err = a.surveyor.survey(ctx, g); err != nil {
			return result{}, err
		}
		r.reading = r.survey.reading
		r.reading.SysObjectId = object
		r.again, r.watts = true, r.survey.watts
	} else {
		r.reading = basis(before)
		r.again = d.sensorsDue(now, seconds(a.cfg.Polling.SensorsSeconds))
		r.watts = a.surveyor.load(ctx, g, p, r.again, r.reading)
	}
	r.reading.SysName, r.reading.ResponseTime = name, durationpb.New(took)
	r.reading.Target = d.at.String()
	if r.hasTime {
		r.reading.Uptime = durationpb.New(time.Duration(r.uptime) * 10 * time.Millisecond)
	}
	r.portsAt = a.o.Now()
	ports, w, err := readPorts(ctx, g, d.portsBefore(), r.whole, a.cfg.Polling.MaxInterfaces)
	r.reading.Incomplete = append(r.reading.Incomplete, w.faults...)
	switch {
	case ctx.Err() != nil:
		return result{}, fmt.Errorf("read interfaces: %w", ctx.Err())
	case err != nil: // the rest is good
		r.reading.Incomplete = append(r.reading.Incomplete, "interfaces: "+cause(err))
	}
	slices.SortFunc(ports, func(x, y port) int { return int(int64(x.index) - int64(y.index)) })
	r.ports, r.leftOut = ports, w.leftOut
	return r, nil
}

// basis is what of a reading stays until the device is read whole again.
func basis(r *pb.SnmpReading) *pb.SnmpReading {
	return &pb.SnmpReading{
		SysName: r.GetSysName(), SysObjectId: r.GetSysObjectId(), Vendor: r.GetVendor(), OsName: r.GetOsName(), OsVersion: r.GetOsVersion(),
		Hardware: r.GetHardware(), Location: r.GetLocation(), Contact: r.GetContact(), SerialNumber: r.GetSerialNumber(),
		EngineId: r.GetEngineId(), SysDescr: r.GetSysDescr(), Storage: r.GetStorage(), Sensors: r.GetSensors(),
		CpuPercent: r.GetCpuPercent(), Memory: r.GetMemory(), BgpPeers: r.GetBgpPeers(),
	}
}

// was is what the poll before knew.
func (d *device) was() (*pb.SnmpReading, *plan, time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reading, d.plan, d.inventory
}

// sensorsDue says whether sensors and the like are read now.
func (d *device) sensorsDue(now time.Time, every time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return now.Sub(d.sensed) >= every-every/20 // polls come at their phase, some late
}

func (d *device) portsBefore() []port {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ports // which is replaced, never changed
}

// hasRebooted compares sysUpTime with that of the last poll.
func (d *device) hasRebooted(uptime uint32, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.UptimeAt.IsZero() && rebooted(d.Uptime, uptime, now.Sub(d.UptimeAt))
}

// inVLAN opens a device within a VLAN, as switches of Cisco have it.
func inVLAN(ctx context.Context, t snmp.Target) place.InVLAN {
	left := t.Limits.Total
	return func(vlan uint16) (snmp.Getter, func(), error) {
		inside := t
		if t.Credential.Version == snmp.V3 {
			inside.Credential.Context = fmt.Sprintf("vlan-%d", vlan)
		} else {
			inside.Credential.Community = fmt.Sprintf("%s@%d", t.Credential.Community, vlan)
		}
		inside.Retries = min(t.Retries, 1) // as a wrong community looks like a lost packet
		if inside.Limits.Total = left; left == 0 {
			return nil, nil, fmt.Errorf("open VLAN %d: %w: the tables of those before took all that a poll may", vlan, snmp.ErrEndless)
		}
		client, err := snmp.Open(ctx, inside)
		if err != nil {
			return nil, nil, fmt.Errorf("open VLAN %d: %w", vlan, err)
		}
		return client, func() {
			client.Close()
			left -= min(left, client.Counts().BytesIn)
		}, nil
	}
}
