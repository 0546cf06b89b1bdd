// Package identify says what a device is that speaks SNMP: vendor, operating system and
// version, hardware, serial number and class; and reads what it says of itself:
// interfaces, processors, memory, storage, sensors and neighbours.
//
// What is known of makers and their systems is a table of facts in YAML (data/*.yaml,
// and files of the user's), held against sysObjectID, sysDescr and the enterprises below
// which a device has anything at all. The numbers are those that IANA has assigned;
// the patterns were written by us from what devices say and makers document.
// docs/snmp.md tells how to add to them.
package identify

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/snmp/module"
)

//go:embed data/*.yaml
var builtIn embed.FS

// Maker is who makes devices, and what they are as a rule.
type Maker struct {
	Vendor string `yaml:"vendor"`
	// Enterprises are the numbers that IANA has assigned to it and to whom it took over.
	Enterprises []uint32 `yaml:"enterprises"`
	// OS is the operating system of its devices where no rule knows better.
	OS string `yaml:"os"`
	// Class is that of pb.DeviceInventory, where no rule knows better.
	Class string `yaml:"class"`
	// Software is set for makers of agents and of parts: a device that has something
	// below their number need not be theirs.
	Software bool `yaml:"software"`
}

// Rule is what is known of some devices. A device fits when all that the rule asks for
// is so. Of several rules that fit, the closest says a thing first (see weight).
type Rule struct {
	Name string `yaml:"name"`
	// Objects are beginnings of sysObjectID; one has to fit.
	Objects []string `yaml:"objects"`
	// Enterprises are numbers below 1.3.6.1.4.1; the device has to have something
	// below one of them.
	Enterprises []uint32 `yaml:"enterprises"`
	// Descr are regular expressions (RE2) for sysDescr; one has to match. Groups named
	// vendor, os, version, hardware and serial say what they are called.
	Descr []string `yaml:"descr"`
	// SysName is a regular expression for sysName.
	SysName string `yaml:"sys_name"`
	// Has are OIDs; the device has to have something below one of them. It is asked
	// for that where the rest of the rule fits.
	Has []string `yaml:"has"`
	// General rules tell what any maker's device may run, such as Linux. They are
	// believed where no other rule knows.
	General bool `yaml:"general"`

	Vendor   string `yaml:"vendor"`
	OS       string `yaml:"os"`
	Version  string `yaml:"version"`
	Hardware string `yaml:"hardware"`
	Class    string `yaml:"class"`
	// Read are values of the device that say more, asked for in order until one of
	// each kind is there.
	Read []Read `yaml:"read"`

	descr   []*regexp.Regexp
	sysName *regexp.Regexp
	order   int
}

// Read is where a fact stands.
type Read struct {
	// Fact is one of module.Facts.
	Fact string `yaml:"fact"`
	OID  string `yaml:"oid"`
	// Match is a regular expression; its first group, or all that it matches, is the
	// fact. Empty is the whole text.
	Match string `yaml:"match"`
	// First says that OID is a column of a table, whose first value counts.
	First bool `yaml:"first"`

	match *regexp.Regexp
}

// file is what a YAML file holds.
type file struct {
	Makers []Maker `yaml:"makers"`
	Rules  []Rule  `yaml:"rules"`
}

// Facts are all that is known. They are not changed once made, and safe for concurrent
// use.
type Facts struct {
	makers map[uint32]*Maker
	rules  []*Rule
}

// Bounds of a user's folder.
const (
	maxFiles = 500
	maxRules = 20_000
)

// Load returns the facts that are built in, and those of the *.yaml files in folder,
// which come first: a rule of the same name, or a maker of the same number, replaces the
// built-in one. An empty folder is none. The error names each file that is wrong; Facts
// hold the rest.
func Load(folder string) (*Facts, error) {
	f := &Facts{makers: map[uint32]*Maker{}}
	var faults error
	if folder != "" {
		faults = f.gather(os.DirFS(folder), ".", folder+string(filepath.Separator))
	}
	faults = errors.Join(faults, f.gather(builtIn, "data", "built in: "))
	return f, faults
}

// Decode reads one file of facts, without those that are built in. Faults name file,
// line and key.
func Decode(name string, text []byte) (*Facts, error) {
	f := &Facts{makers: map[uint32]*Maker{}}
	return f, f.add(name, text)
}

// BuiltIn returns the facts that are part of the program.
func BuiltIn() (*Facts, error) { return Load("") }

func (f *Facts) gather(in fs.FS, folder, shown string) error {
	names, err := fs.Glob(in, strings.TrimPrefix(folder+"/*.yaml", "./"))
	if err != nil {
		return fmt.Errorf("read device facts in %s: %w", shown, err)
	}
	var faults []error
	for i, name := range names {
		if i >= maxFiles {
			faults = append(faults, fmt.Errorf("%s: more than %d files", shown, maxFiles))
			break
		}
		text, err := fs.ReadFile(in, name)
		if err != nil {
			faults = append(faults, fmt.Errorf("read device facts: %w", err))
			continue
		}
		faults = append(faults, f.add(shown+filepath.Base(name), text))
	}
	return errors.Join(faults...)
}

// add reads one file. What is known already stays.
func (f *Facts) add(name string, text []byte) error {
	content := &file{}
	if err := config.Decode(name, text, content, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		return err
	}
	for i := range content.Makers {
		maker := &content.Makers[i]
		for _, number := range maker.Enterprises {
			if _, have := f.makers[number]; !have {
				f.makers[number] = maker
			}
		}
	}
	for i := range content.Rules {
		rule := &content.Rules[i]
		if rule.Name != "" && slices.ContainsFunc(f.rules, func(r *Rule) bool { return r.Name == rule.Name }) {
			continue
		}
		rule.compile()
		rule.order = len(f.rules)
		f.rules = append(f.rules, rule)
	}
	return nil
}

// compile makes the expressions, which Validate has checked.
func (r *Rule) compile() {
	for _, text := range r.Descr {
		r.descr = append(r.descr, regexp.MustCompile(text))
	}
	if r.SysName != "" {
		r.sysName = regexp.MustCompile(r.SysName)
	}
	for i := range r.Read {
		if r.Read[i].Match != "" {
			r.Read[i].match = regexp.MustCompile(r.Read[i].Match)
		}
	}
}

// Validate reports what makes facts useless.
func (f *file) Validate(v *config.Check) {
	if len(f.Rules) > maxRules {
		v.Add("rules", "at most %d rules", maxRules)
	}
	for i := range f.Makers {
		check := v.Under(fmt.Sprintf("makers[%d]", i))
		check.NotEmpty("vendor", f.Makers[i].Vendor)
		if len(f.Makers[i].Enterprises) == 0 {
			check.Add("enterprises", "is empty; give the numbers that IANA assigned")
		}
		f.Makers[i].class(check)
	}
	for i := range f.Rules {
		f.Rules[i].validate(v.Under(fmt.Sprintf("rules[%d]", i)))
	}
}

func (m *Maker) class(v *config.Check) {
	if m.Class != "" {
		v.OneOf("class", m.Class, Classes()...)
	}
}

// maxPattern bounds a regular expression, in bytes.
const maxPattern = 1000

func (r *Rule) validate(v *config.Check) {
	v.Name("name", r.Name)
	if len(r.Objects) == 0 && len(r.Enterprises) == 0 && len(r.Descr) == 0 && len(r.Has) == 0 && r.SysName == "" {
		v.Add("descr", "a rule asks for something: objects, enterprises, descr, has or sys_name")
	}
	for i, oid := range r.Objects {
		if arcs, err := module.Arcs(oid); err != nil || len(arcs) == 0 {
			v.Add(fmt.Sprintf("objects[%d]", i), "%q is not an OID such as 1.3.6.1.4.1.9", oid)
		}
	}
	for i, oid := range r.Has {
		if arcs, err := module.Arcs(oid); err != nil || len(arcs) == 0 {
			v.Add(fmt.Sprintf("has[%d]", i), "%q is not an OID such as 1.3.6.1.4.1.9", oid)
		}
	}
	for i, text := range r.Descr {
		pattern(v, fmt.Sprintf("descr[%d]", i), text)
	}
	pattern(v, "sys_name", r.SysName)
	if r.Class != "" {
		v.OneOf("class", r.Class, Classes()...)
	}
	for i := range r.Read {
		check := v.Under(fmt.Sprintf("read[%d]", i))
		check.OneOf("fact", r.Read[i].Fact, module.Facts()...)
		if arcs, err := module.Arcs(r.Read[i].OID); err != nil || len(arcs) == 0 {
			check.Add("oid", "%q is not an OID such as 1.3.6.1.2.1.1.1.0", r.Read[i].OID)
		}
		pattern(check, "match", r.Read[i].Match)
	}
}

// groups are what a named group of an expression may be called.
func groups() []string { return []string{"vendor", "os", "version", "hardware", "serial"} }

func pattern(v *config.Check, key, text string) {
	if text == "" {
		return
	}
	if len(text) > maxPattern {
		v.Add(key, "is longer than %d bytes", maxPattern)
		return
	}
	expression, err := regexp.Compile(text)
	if err != nil {
		v.Add(key, "is not a regular expression: %v", err)
		return
	}
	for _, name := range expression.SubexpNames() {
		if name != "" {
			v.OneOf(key, name, groups()...)
		}
	}
}

// Classes are what a device can be.
func Classes() []string {
	return []string{
		"server", "workstation", "phone", "printer", "camera", "switch", "router", "firewall", "access point",
		"wireless", "storage", "hypervisor", "power", "sensor", "industrial", "load balancer", "optical",
		"media", "voip", "management", "timing", "iot", "network", "appliance", "modem",
	}
}

// Maker is who has an enterprise number, by our own table.
func (f *Facts) Maker(enterprise uint32) (*Maker, bool) {
	m, ok := f.makers[enterprise]
	return m, ok
}

// Enterprises are the numbers that rules ask for, sorted.
func (f *Facts) Enterprises() []uint32 {
	var out []uint32
	for _, r := range f.rules {
		out = append(out, r.Enterprises...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
