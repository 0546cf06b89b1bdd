package snmp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/identify"
	"github.com/amoskys/amoskys/internal/snmp/mib"
	"github.com/amoskys/amoskys/internal/snmp/module"
)

// surveyor reads devices whole, with walk modules, and knows what of them is read at each
// poll.
type surveyor struct {
	know  func() (knowledge, error)
	names *mib.Names

	mu    sync.Mutex // guards what follows
	plans map[string]*plan
}

// knowledge is what is known of makers and tables.
type knowledge struct {
	prober  *identify.Prober
	modules *module.Set
}

// plan is what is read of a device between two whole readings beside its interfaces. Devices
// of a kind share one.
type plan struct {
	loads []*module.Module // at each poll: processors and memory
	again []*module.Module // less often: these, and sensors, disks, peers and the power of ports
}

// survey is what a whole reading says beside interfaces.
type survey struct {
	reading  *pb.SnmpReading
	identity identify.Identity
	plan     *plan
	ips      []string // of its interfaces
	watts    watts
}

// watts are what interfaces give, by ifIndex; nil where none tells.
type watts map[uint32]float32

func wattsOf(r *pb.SnmpReading) watts {
	var out watts
	for _, it := range r.GetInterfaces() {
		if it.GetPoeWatts() > 0 {
			if out == nil {
				out = watts{}
			}
			out[it.GetIndex()] = float32(it.GetPoeWatts())
		}
	}
	return out
}

// maxPlans bounds the kinds of devices that share plans; others have their own.
const maxPlans = 1024

// newSurveyor reads the user's modules and facts, each in a folder. Those that are part of
// the program are read when they are needed: an agent that asks nobody does without.
func newSurveyor(modules, facts string, names *mib.Names) (*surveyor, error) {
	s := &surveyor{plans: map[string]*plan{}, names: names}
	s.know = sync.OnceValues(func() (knowledge, error) {
		known, err := identify.Load(facts)
		if err != nil {
			return knowledge{}, fmt.Errorf("read facts: %w", err)
		}
		set, err := module.Load(modules, names)
		if err != nil {
			return knowledge{}, fmt.Errorf("read modules: %w", err)
		}
		return knowledge{identify.New(known, set), set}, nil
	})
	if modules == "" && facts == "" {
		return s, nil
	}
	_, err := s.know()
	return s, err
}

// trap names a trap as modules do, or MIB files; empty where none does.
func (s *surveyor) trap(oid string) string {
	if k, err := s.know(); err == nil {
		if name := k.modules.Trap(oid); name != "" {
			return name
		}
	}
	return bareName(s.names.Exact(oid))
}

// bareName is a name without its module.
func bareName(full string) string {
	_, name, _ := strings.Cut(full, "::")
	return name
}

// named writes an OID by name where it has one.
func (s *surveyor) named(oid string) string { return cmp.Or(s.names.Name(oid), oid) }

// model names a device that nothing else names as its maker's MIB files name its sysObjectID.
func (s *surveyor) model(object string, r *pb.SnmpReading, id *identify.Identity) {
	full := s.names.Exact(object)
	if r.GetHardware() != "" || full == "" {
		return
	}
	r.Hardware = bareName(full)
	id.Evidence = append(id.Evidence, "sysObjectID is "+full)
}

// readNames reads the user's MIB files. What of them is left out is told; a folder that is not
// there is an error.
func (c *Config) readNames(home config.Home, log *slog.Logger) (*mib.Names, error) {
	if c.SNMP.MIBs == "" {
		return mib.Common(), nil
	}
	names, faults, err := mib.Load(home.Path(c.SNMP.MIBs))
	if err != nil {
		return nil, fmt.Errorf("snmp.mibs: %w", err)
	}
	if err := errors.Join(faults...); err != nil {
		log.Warn("some of the MIB files are left out", obs.KeyError, err)
	}
	return names.Over(mib.Common()), nil
}

// folders are those of the user's walk modules and facts, empty for none.
func (c *Config) folders(home config.Home) (modules, facts string) {
	if c.SNMP.Modules != "" {
		modules = home.Path(c.SNMP.Modules)
	}
	if c.SNMP.Facts != "" {
		facts = home.Path(c.SNMP.Facts)
	}
	return modules, facts
}

// survey reads a device whole, without interfaces and without what places need.
func (s *surveyor) survey(ctx context.Context, g snmp.Getter) (survey, error) {
	k, err := s.know()
	if err != nil {
		return survey{}, err
	}
	id, err := k.prober.Identify(ctx, g)
	if err != nil {
		return survey{}, fmt.Errorf("identify: %w", err)
	}
	modules := surveyed(k.prober.Modules(id))
	o, err := k.prober.Read(ctx, g, &id, modules, module.Options{})
	if ctx.Err() != nil {
		return survey{}, fmt.Errorf("survey: %w", ctx.Err())
	}
	_ = err                                       // it stands in the reading's incomplete, and what was read is good
	if text := o.Reading.GetError(); text != "" { // it answered, or there were no identity
		o.Reading.Incomplete, o.Reading.Error = append(o.Reading.GetIncomplete(), text), ""
	}
	s.model(id.System.Object, o.Reading, &id)
	return survey{
		reading: o.Reading, identity: id, plan: s.plan(modules, o.Tables), ips: ownAddresses(o.Tables), watts: wattsOf(o.Reading),
	}, nil
}

// ownAddresses are those of the device's interfaces that tell it from others, in order.
func ownAddresses(tables *module.Tables) []string {
	var out []netip.Addr
	for _, in := range []struct{ table, part string }{{"ipAddrTable", "ipAdEntAddr"}, {"ipAddressTable", "ipAddressAddr"}} {
		rows := tables.Rows(in.table)
		for i := range rows.List {
			addr, err := netip.ParseAddr(rows.Part(&rows.List[i], in.part))
			if addr = addr.Unmap().WithZone(""); err == nil && addr.IsGlobalUnicast() && len(out) < 4*maxAliases {
				out = append(out, addr)
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	out = slices.Compact(out)
	texts := make([]string, 0, len(out))
	for _, addr := range out[:min(len(out), maxAliases)] {
		texts = append(texts, addr.String())
	}
	return texts
}

// surveyed are modules without what is read elsewhere: of interfaces they read their names
// alone, which neighbours are known by, and of forwarding and address tables nothing.
func surveyed(modules []*module.Module) []*module.Module {
	out := make([]*module.Module, 0, len(modules))
	for _, m := range modules {
		c := *m
		c.Tables = slices.DeleteFunc(slices.Clone(m.Tables), func(t module.Table) bool {
			return slices.Contains([]string{"dot1qTpFdbTable", "dot1qVlanCurrentTable", "dot1dTpFdbTable", "ipNetToPhysicalTable", "ipNetToMediaTable"}, t.Name)
		})
		for i := range c.Tables {
			if t := &c.Tables[i]; t.Name == "ifTable" || t.Name == "ifXTable" {
				t.Columns = slices.DeleteFunc(slices.Clone(t.Columns), func(c module.Column) bool { return c.Name != "ifDescr" && c.Name != "ifName" })
			}
		}
		out = append(out, &c)
	}
	return out
}

// plan keeps of modules the tables and groups that told something that changes.
func (s *surveyor) plan(modules []*module.Module, found *module.Tables) *plan {
	loaded := func(_ string, into []module.Into) bool { return loads(into) }
	loads, loadWords := reduced(modules, found, loaded)
	again, againWords := reduced(modules, found, changing(modules, found))
	name := loadWords + "\n" + againWords
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.plans[name]
	if p == nil {
		p = &plan{loads: loads, again: again}
		if len(s.plans) < maxPlans {
			s.plans[name] = p
		}
	}
	return p
}

// reduced are modules with the tables and groups alone that answered and are wanted, and
// words that tell this choice from others.
func reduced(modules []*module.Module, found *module.Tables, wanted func(name string, into []module.Into) bool) ([]*module.Module, string) {
	var kept []*module.Module
	var words []string
	for _, m := range modules {
		c := *m
		c.Groups = slices.DeleteFunc(slices.Clone(m.Groups), func(g module.Group) bool { return !wanted(g.Name, g.Into) || !answered(found.Rows(g.Name)) })
		c.Tables = slices.DeleteFunc(slices.Clone(m.Tables), func(t module.Table) bool { return !wanted(t.Name, t.Into) || !answered(found.Rows(t.Name)) })
		if len(c.Groups)+len(c.Tables) == 0 {
			continue
		}
		for i := range c.Tables {
			if t := &c.Tables[i]; t.Name == tableParts { // of which names alone are wanted here
				t.Columns = slices.DeleteFunc(slices.Clone(t.Columns), func(c module.Column) bool {
					return c.Name != "entPhysicalName" && c.Name != "entPhysicalDescr"
				})
			}
			words = append(words, m.Name+"."+c.Tables[i].Name)
		}
		for i := range c.Groups {
			words = append(words, m.Name+"."+c.Groups[i].Name)
		}
		kept = append(kept, &c)
	}
	return kept, strings.Join(words, " ")
}

func loads(into []module.Into) bool {
	return slices.ContainsFunc(into, func(i module.Into) bool { return i.CPU != "" || i.IdleCPU != "" || i.Memory != nil })
}

// tableParts is the table of ENTITY-MIB that names sensors and ports.
const tableParts = "entPhysicalTable"

// changing says which tables tell what changes within minutes, and which name what they tell.
func changing(modules []*module.Module, found *module.Tables) func(name string, into []module.Into) bool {
	gives := func(i module.Into) bool { return i.PoE != nil }
	powered := slices.ContainsFunc(modules, func(m *module.Module) bool {
		return slices.ContainsFunc(m.Tables, func(t module.Table) bool { return slices.ContainsFunc(t.Into, gives) && answered(found.Rows(t.Name)) })
	})
	return func(name string, into []module.Into) bool {
		switch name {
		case "entPhySensorTable", "entSensorTable", "prtMarkerSuppliesTable", "bgpPeerTable":
			return true
		case tableParts:
			return powered || answered(found.Rows("entPhySensorTable")) || answered(found.Rows("entSensorTable"))
		case "ifTable", "ifXTable", "dot1dBasePortTable":
			return powered
		}
		return loads(into) || slices.ContainsFunc(into, func(i module.Into) bool { return i.Storage != nil || i.Sensor != nil || gives(i) })
	}
}

func answered(rows *module.Rows) bool {
	for i := range rows.List {
		for _, v := range rows.List[i].Values {
			if v.Known {
				return true
			}
		}
	}
	return false
}

// load reads into r what a plan has for each poll, and where again is set, what is read less
// often; then it returns the power that ports give.
func (s *surveyor) load(ctx context.Context, g snmp.Getter, p *plan, again bool, r *pb.SnmpReading) watts {
	if p == nil {
		return nil
	}
	modules := p.loads
	if again {
		modules = p.again
	}
	if len(modules) == 0 {
		return nil
	}
	tables, err := module.Walk(ctx, g, modules, module.Options{NoSlow: !again, Object: r.GetSysObjectId()})
	if tables == nil {
		return nil
	}
	fresh := identify.Again(tables)
	r.CpuPercent, r.Memory = fresh.GetCpuPercent(), fresh.GetMemory()
	if again {
		whole := len(tables.Incomplete) == 0 // else what is missing may only not have been read
		r.Storage, r.Sensors = orElse(fresh.GetStorage(), r.GetStorage(), whole), orElse(fresh.GetSensors(), r.GetSensors(), whole)
		r.BgpPeers = orElse(fresh.GetBgpPeers(), r.GetBgpPeers(), whole)
	}
	r.Incomplete = append(r.Incomplete, tables.Incomplete...)
	if err != nil && len(tables.Incomplete) == 0 {
		r.Incomplete = append(r.Incomplete, "processors and memory: "+cause(err))
	}
	return wattsOf(fresh)
}

// orElse is what was read, or where nothing was and the reading is not whole, what was before.
func orElse[T any](read, before []T, whole bool) []T {
	if len(read) == 0 && !whole {
		return before
	}
	return read
}
