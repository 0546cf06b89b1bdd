package identify

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/module"
)

// Prober identifies devices and reads them. It is safe for concurrent use.
type Prober struct {
	facts   *Facts
	modules *module.Set
}

// New returns a Prober that knows facts and modules.
func New(facts *Facts, modules *module.Set) *Prober {
	return &Prober{facts: facts, modules: modules}
}

// NewBuiltIn returns a Prober that knows what is part of the program.
func NewBuiltIn() (*Prober, error) {
	facts, factsErr := BuiltIn()
	modules, modulesErr := module.BuiltIn()
	return New(facts, modules), errors.Join(factsErr, modulesErr)
}

// Observation is what was read of a device at once.
type Observation struct {
	Reading *pb.SnmpReading
	// Tables are what the reading was made of, for metrics and for what a reading has
	// no place for: forwarding tables and addresses.
	Tables *module.Tables
}

// Probe identifies a device and reads all that it says of itself. What one table costs
// stands in the reading's Incomplete; the error is that nothing was read at all, or that
// ctx ended.
func (p *Prober) Probe(ctx context.Context, g snmp.Getter) (*pb.SnmpReading, Identity, error) {
	o, id, err := p.Observe(ctx, g, module.Options{})
	if o == nil {
		return nil, id, err
	}
	return o.Reading, id, err
}

// Observe does as Probe does, and returns the tables too.
func (p *Prober) Observe(ctx context.Context, g snmp.Getter, options module.Options) (*Observation, Identity, error) {
	id, err := p.Identify(ctx, g)
	if err != nil {
		return nil, id, err
	}
	o, err := p.Read(ctx, g, &id, p.Modules(id), options)
	return o, id, err
}

// Modules are the walk modules for a device.
func (p *Prober) Modules(id Identity) []*module.Module {
	return p.modules.ForDevice(id.System.Object, id.System.Enterprises)
}

// Objects of SNMPv2-MIB (RFC 3418) and SNMP-FRAMEWORK-MIB (RFC 3411).
const (
	sysDescr     = "1.3.6.1.2.1.1.1.0"
	sysObjectID  = "1.3.6.1.2.1.1.2.0"
	sysName      = "1.3.6.1.2.1.1.5.0"
	snmpEngineID = "1.3.6.1.6.3.10.2.1.1.0"
)

// Identify asks a device for what tells who it is: a dozen requests as a rule. It is
// enough to do so once a day, and after a reboot.
func (p *Prober) Identify(ctx context.Context, g snmp.Getter) (Identity, error) {
	first, err := g.Get(ctx, sysDescr, sysObjectID, sysName, snmpEngineID)
	if err != nil {
		return Identity{}, fmt.Errorf("identify device: %w", err)
	}
	s := System{
		Descr: text(first, sysDescr), Object: strings.Trim(text(first, sysObjectID), "."), Name: text(first, sysName),
	}
	s.Enterprises = p.present(ctx, g, Enterprise(s.Object))
	if err := p.look(ctx, g, &s); err != nil {
		return Identity{System: s}, err
	}
	id, reads := p.facts.match(s)
	id.EngineID = octets(first, snmpEngineID)
	if err := p.ask(ctx, g, &id, reads); err != nil {
		return id, err
	}
	return id, nil
}

// look asks for what rules need to know: whether there is anything below an OID.
func (p *Prober) look(ctx context.Context, g snmp.Getter, s *System) error {
	const most = 40
	for _, oid := range p.facts.wanted(*s, most) {
		err := g.Walk(ctx, oid, func(snmp.Variable) error {
			s.Has = append(s.Has, oid)
			return module.ErrStop
		})
		if ctx.Err() != nil {
			return fmt.Errorf("identify device: %w", err)
		}
	}
	return nil
}

// next is what a Getter may offer beside: one step in the order of OIDs.
type next interface {
	Next(ctx context.Context, oid string) (snmp.Variable, error)
}

// mostEnterprises bounds how many a device is believed to have.
const mostEnterprises = 64

// present are the enterprises below which a device has anything, that of its sysObjectID
// first. With one step in the order of OIDs for each it finds all of them; a Getter
// without such steps is asked for those that facts and modules know of, and only where
// sysObjectID does not tell the maker.
func (p *Prober) present(ctx context.Context, g snmp.Getter, own uint32) []uint32 {
	var found []uint32
	if own != 0 {
		found = append(found, own)
	}
	stepper, ok := g.(next)
	if !ok {
		return p.tried(ctx, g, own, found)
	}
	at := enterprises
	for range mostEnterprises {
		v, err := stepper.Next(ctx, at)
		number := Enterprise(v.OID)
		if err != nil || v.Value == nil || number == 0 {
			break
		}
		if number != own {
			found = append(found, number)
		}
		// The last that can be below it; what is next has another number.
		at = fmt.Sprintf("%s.%d.4294967295", enterprises, number)
	}
	return found
}

func (p *Prober) tried(ctx context.Context, g snmp.Getter, own uint32, found []uint32) []uint32 {
	if !generic(own) {
		return found
	}
	candidates := append(p.facts.Enterprises(), p.modules.Enterprises()...)
	slices.Sort(candidates)
	for _, number := range slices.Compact(candidates) {
		if number == own || ctx.Err() != nil {
			continue
		}
		has := false
		err := g.Walk(ctx, fmt.Sprintf("%s.%d", enterprises, number), func(snmp.Variable) error {
			has = true
			return module.ErrStop
		})
		if err != nil && !errors.Is(err, module.ErrStop) {
			return found
		}
		if has {
			found = append(found, number)
		}
	}
	return found
}

// ask reads the values that rules name, until each fact has one.
func (p *Prober) ask(ctx context.Context, g snmp.Getter, id *Identity, reads []Read) error {
	const most = 40
	reads = reads[:min(len(reads), most)]
	have := map[string]bool{}
	for _, r := range reads {
		if have[r.Fact] {
			continue
		}
		value, err := r.ask(ctx, g)
		if ctx.Err() != nil {
			return fmt.Errorf("identify device: %w", err)
		}
		if err != nil || value == "" {
			continue
		}
		have[r.Fact] = true
		id.set(r.Fact, value)
		id.Evidence = append(id.Evidence, fmt.Sprintf("%s says %s %s", r.OID, r.Fact, value))
	}
	return nil
}

// ask reads one value and takes out of it what Match says.
func (r *Read) ask(ctx context.Context, g snmp.Getter) (string, error) {
	found := ""
	if r.First {
		err := g.Walk(ctx, r.OID, func(v snmp.Variable) error {
			if found = r.take(v); found != "" {
				return module.ErrStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, module.ErrStop) {
			return "", fmt.Errorf("read %s: %w", r.OID, err)
		}
		return found, nil
	}
	got, err := g.Get(ctx, r.OID)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", r.OID, err)
	}
	if len(got) > 0 && got[0].OID == r.OID {
		found = r.take(got[0])
	}
	return found, nil
}

func (r *Read) take(v snmp.Variable) string {
	value := module.TextOf(v)
	if r.match == nil {
		return value
	}
	groups := r.match.FindStringSubmatch(value)
	switch {
	case groups == nil:
		return ""
	case len(groups) > 1:
		return strings.TrimSpace(groups[1])
	default:
		return groups[0]
	}
}

// set replaces a fact: what a device says in its own place is closer than a pattern.
func (id *Identity) set(fact, value string) {
	switch fact {
	case "version":
		id.OSVersion = value
	case "hardware":
		id.Hardware = value
	case "serial":
		id.Serial = value
	case "os":
		id.OS = value
	case "name":
		id.Name = value
	}
}

// Read reads a device that is known, with the modules given, and completes id with what
// tables say. The error is that the device answers no more, or that ctx ended; what was
// read until then is in the Observation, which is never nil.
func (p *Prober) Read(ctx context.Context, g snmp.Getter, id *Identity, modules []*module.Module, options module.Options) (*Observation, error) {
	started := time.Now()
	options.Object = id.System.Object
	tables, err := module.Walk(ctx, g, modules, options)
	o := &Observation{Tables: tables}
	var known module.Known
	o.Reading, known = told(tables)
	r := o.Reading
	r.Neighbors = Neighbors(tables)
	id.complete(tables, known)
	id.fill(r)
	system(tables, r)
	r.ResponseTime = durationpb.New(time.Since(started))
	r.Incomplete = tables.Incomplete
	if err != nil {
		r.Error = err.Error()
		return o, fmt.Errorf("read device: %w", err)
	}
	return o, nil
}

// Again is what of a device's tables is read again between two whole readings: processors,
// memory, storage, sensors, peers, and the power that interfaces give.
func Again(tables *module.Tables) *pb.SnmpReading {
	r, _ := told(tables)
	return r
}

// told is what tables say of a device beside who it is.
func told(tables *module.Tables) (*pb.SnmpReading, module.Known) {
	r := &pb.SnmpReading{Interfaces: interfaces(tables)}
	known := tables.Fill(r)
	r.Sensors = append(r.GetSensors(), sensors(tables)...)
	r.BgpPeers = peers(tables)
	power(tables, r.GetInterfaces())
	return r, known
}

// fill writes what the device is into a reading.
func (id *Identity) fill(r *pb.SnmpReading) {
	r.SysName, r.SysObjectId, r.SysDescr = id.System.Name, id.System.Object, id.System.Descr
	r.Vendor, r.OsName, r.OsVersion = id.Vendor, id.OS, id.OSVersion
	r.Hardware, r.SerialNumber, r.EngineId = id.Hardware, id.Serial, id.EngineID
}

func text(got []snmp.Variable, oid string) string {
	for _, v := range got {
		if v.OID == oid {
			return module.TextOf(v)
		}
	}
	return ""
}

func octets(got []snmp.Variable, oid string) string {
	for _, v := range got {
		if b, ok := v.Value.([]byte); ok && v.OID == oid {
			return hex.EncodeToString(b[:min(len(b), 64)])
		}
	}
	return ""
}
