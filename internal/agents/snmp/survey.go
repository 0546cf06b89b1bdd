package snmp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/amoskys/amoskys/internal/config"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/identify"
	"github.com/amoskys/amoskys/internal/snmp/module"
)

// surveyor reads devices whole, with walk modules, and knows what of them is read at each
// poll.
type surveyor struct {
	know func() (knowledge, error)

	mu    sync.Mutex // guards what follows
	plans map[string]*plan
}

// knowledge is what is known of makers and tables.
type knowledge struct {
	prober  *identify.Prober
	modules *module.Set
}

// plan is what is read of a device at each poll beside its interfaces: the tables that
// tell of processors and memory. Devices of a kind share one.
type plan struct{ modules []*module.Module }

// survey is what a whole reading says beside interfaces.
type survey struct {
	reading  *pb.SnmpReading
	identity identify.Identity
	plan     *plan
	ips      []string // of its interfaces
}

// maxPlans bounds the kinds of devices that share plans; others have their own.
const maxPlans = 1024

// newSurveyor reads the user's modules and facts, each in a folder. Those that are part of
// the program are read when they are needed: an agent that asks nobody does without.
func newSurveyor(modules, facts string) (*surveyor, error) {
	s := &surveyor{plans: map[string]*plan{}}
	s.know = sync.OnceValues(func() (knowledge, error) {
		known, err := identify.Load(facts)
		if err != nil {
			return knowledge{}, fmt.Errorf("read facts: %w", err)
		}
		set, err := module.Load(modules)
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

// trap names a trap as modules do; empty where none does.
func (s *surveyor) trap(oid string) string {
	k, err := s.know()
	if err != nil {
		return ""
	}
	return k.modules.Trap(oid)
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
	return survey{reading: o.Reading, identity: id, plan: s.plan(modules, o.Tables), ips: ownAddresses(o.Tables)}, nil
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

// plan keeps of modules the tables and groups that told something of processors or memory.
func (s *surveyor) plan(modules []*module.Module, found *module.Tables) *plan {
	var kept []*module.Module
	var words []string
	for _, m := range modules {
		c := *m
		c.Groups = slices.DeleteFunc(slices.Clone(m.Groups), func(g module.Group) bool { return !loads(g.Into) || !answered(found.Rows(g.Name)) })
		c.Tables = slices.DeleteFunc(slices.Clone(m.Tables), func(t module.Table) bool { return !loads(t.Into) || !answered(found.Rows(t.Name)) })
		if len(c.Groups)+len(c.Tables) == 0 {
			continue
		}
		kept = append(kept, &c)
		for _, g := range c.Groups {
			words = append(words, m.Name+"."+g.Name)
		}
		for _, t := range c.Tables {
			words = append(words, m.Name+"."+t.Name)
		}
	}
	name := strings.Join(words, " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.plans[name]
	if p == nil {
		p = &plan{modules: kept}
		if len(s.plans) < maxPlans {
			s.plans[name] = p
		}
	}
	return p
}

func loads(into []module.Into) bool {
	return slices.ContainsFunc(into, func(i module.Into) bool { return i.CPU != "" || i.IdleCPU != "" || i.Memory != nil })
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

// load reads processors and memory into r.
func (s *surveyor) load(ctx context.Context, g snmp.Getter, p *plan, r *pb.SnmpReading) {
	if p == nil || len(p.modules) == 0 {
		return
	}
	tables, err := module.Walk(ctx, g, p.modules, module.Options{NoSlow: true, Object: r.GetSysObjectId()})
	if tables == nil {
		return
	}
	r.CpuPercent, r.Memory = nil, nil
	fresh := &pb.SnmpReading{}
	tables.Fill(fresh)
	r.CpuPercent, r.Memory = fresh.GetCpuPercent(), fresh.GetMemory()
	r.Incomplete = append(r.Incomplete, tables.Incomplete...)
	if err != nil && len(tables.Incomplete) == 0 {
		r.Incomplete = append(r.Incomplete, "processors and memory: "+cause(err))
	}
}
