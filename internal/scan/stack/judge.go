// Package stack judges what a device is: its operating system and its class, from
// traits of its TCP/IP stack, its services, what it announces, and who made it.
//
// Rules lie in YAML files (data/*.yaml): patterns over features of a device, each with
// what it says and a weight. Weights of rules that agree add up as chances do
// (1 - (1-a)(1-b)), and what has the most wins; each rule that counted is a sentence of
// evidence. What peers say of themselves is a claim: it counts, and never alone for all.
package stack

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan/probe"
)

//go:embed data/*.yaml
var ours embed.FS

// File is what a file of rules holds.
type File struct {
	Rules []Rule `yaml:"rules"`
	// Families say of which family a system is, such as Debian of Linux.
	Families map[string][]string `yaml:"families"`
	// CPE has the names of systems in CPE, as "o:debian:debian_linux".
	CPE map[string]string `yaml:"cpe"`
}

// Rule says something of devices whose features match.
type Rule struct {
	// When has a regular expression (RE2) for each feature; all must match. Groups
	// that are named fill the field of their name.
	When map[string]string `yaml:"when"`
	OS   string            `yaml:"os"`
	// Version of the system; the group os_version fills it.
	Version string `yaml:"version"`
	Vendor  string `yaml:"vendor"`
	Model   string `yaml:"model"`
	Class   string `yaml:"class"`
	// Weight is how much it counts, above 0 and at most 1.
	Weight float64 `yaml:"weight"`
	// Because is the sentence of evidence.
	Because string `yaml:"because"`
	// Example has features that it matches.
	Example map[string]string `yaml:"example"`

	when []condition
}

type condition struct {
	feature string
	pattern *regexp.Regexp
}

// Classes are what a device can be.
func Classes() []string {
	return []string{
		"server", "workstation", "laptop", "phone", "tablet", "printer", "camera", "switch", "router", "firewall",
		"access point", "storage", "hypervisor", "management controller", "industrial", "iot", "tv", "media player",
		"game console", "voip phone", "ups", "load balancer", "watch",
	}
}

// Judge knows the rules. It is safe for concurrent use.
type Judge struct {
	rules  []Rule
	family map[string]string
	cpe    map[string]string
}

// New loads the rules, ours and those of files of users, which come first.
func New(files ...string) (*Judge, error) {
	j := &Judge{family: map[string]string{}, cpe: map[string]string{}}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read rules of devices: %w", err)
		}
		if err := j.add(name, text); err != nil {
			return nil, err
		}
	}
	names, err := fs.Glob(ours, "data/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list rules of devices: %w", err)
	}
	for _, name := range names {
		text, err := ours.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read rules of devices: %w", err)
		}
		if err := j.add(name, text); err != nil {
			return nil, err
		}
	}
	return j, nil
}

func (j *Judge) add(name string, text []byte) error {
	var f File
	if err := config.Decode(name, text, &f, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		return fmt.Errorf("read rules of devices: %w", err)
	}
	j.rules = append(j.rules, f.Rules...)
	for family, members := range f.Families {
		for _, m := range members {
			j.family[m] = family
		}
	}
	maps.Copy(j.cpe, f.CPE)
	return nil
}

// Validate implements config.Validator and compiles what it checks.
func (f *File) Validate(v *config.Check) {
	for i := range f.Rules {
		f.Rules[i].validate(v.Under(fmt.Sprintf("rules[%d]", i)))
	}
}

func (r *Rule) validate(v *config.Check) {
	r.when = nil
	for feature, pattern := range r.When {
		v.OneOf("when", feature, Features()...)
		re, err := regexp.Compile(pattern)
		if err != nil {
			v.Add("when."+feature, "%v", err)
			continue
		}
		r.when = append(r.when, condition{feature, re})
	}
	slices.SortFunc(r.when, func(a, b condition) int { return strings.Compare(a.feature, b.feature) })
	if len(r.When) == 0 {
		v.Add("when", "needs at least one feature")
	}
	if r.Weight <= 0 || r.Weight > 1 {
		v.Add("weight", "must be above 0 and at most 1")
	}
	if r.Class != "" {
		v.OneOf("class", r.Class, Classes()...)
	}
	v.NotEmpty("because", r.Because)
	if _, ok := r.matches(r.Example); len(r.when) == len(r.When) && !ok {
		v.Add("example", "is not matched by the patterns under when")
	}
}

// matches returns the groups of a rule that matches.
func (r *Rule) matches(features map[string]string) (map[string]string, bool) {
	var groups map[string]string
	for _, w := range r.when {
		text, ok := features[w.feature]
		if !ok {
			return nil, false
		}
		m := w.pattern.FindStringSubmatch(text)
		if m == nil {
			return nil, false
		}
		for i, name := range w.pattern.SubexpNames() {
			if name != "" && m[i] != "" {
				if groups == nil {
					groups = map[string]string{}
				}
				groups[name] = m[i]
			}
		}
	}
	return groups, true
}

// Device returns what known, its stack and clues make of a device: os_name, os_version,
// device_class, vendor, model, names, cpe, confidence and evidence, each only where
// something says so. traits may be nil. known is not changed.
func (j *Judge) Device(known *pb.DeviceInventory, traits *probe.Traits, clues []Clue) *pb.DeviceInventory {
	b := ballot{j: j, os: votes{}, class: votes{}, vendor: votes{}, model: votes{}, version: map[string]string{}}
	features := featuresOf(known, traits, clues)
	for i := range j.rules {
		r := &j.rules[i]
		groups, ok := r.matches(features)
		if !ok {
			continue
		}
		b.count(vote{
			os: cmp.Or(r.OS, groups["os"]), version: cmp.Or(r.Version, groups["os_version"]), vendor: cmp.Or(r.Vendor, groups["vendor"]),
			model: cmp.Or(r.Model, groups["model"]), class: r.Class, weight: r.Weight, because: r.Because,
		})
	}
	for _, c := range clues {
		b.count(vote{os: c.OS, version: c.OSVersion, vendor: c.Vendor, model: c.Model, class: c.Class, weight: 0.75, because: c.sentence()})
	}
	b.countKnown(known)
	return b.result(known, clues)
}

// vote is what one rule or clue says.
type vote struct {
	os, version, vendor, model, class string
	weight                            float64
	because                           string
}

// votes are chances by what they are for.
type votes map[string]float64

func (v votes) add(name string, weight float64) {
	if name != "" {
		v[name] = 1 - (1-v[name])*(1-weight)
	}
}

// best is the name with the most; of equals the first in the alphabet, so that the same
// facts give the same answer.
func (v votes) best() (name string, weight float64) {
	for _, n := range slices.Sorted(maps.Keys(v)) {
		if v[n] > weight {
			name, weight = n, v[n]
		}
	}
	return name, weight
}

// ballot gathers votes about one device.
type ballot struct {
	j                        *Judge
	os, class, vendor, model votes
	version                  map[string]string
	cast                     []vote
}

func (b *ballot) count(v vote) {
	if v.os+v.class+v.vendor+v.model == "" {
		return
	}
	b.os.add(v.os, v.weight)
	b.class.add(v.class, v.weight)
	b.vendor.add(v.vendor, v.weight)
	b.model.add(v.model, v.weight)
	if v.version != "" && b.version[v.os] == "" {
		b.version[v.os] = v.version
	}
	b.cast = append(b.cast, v)
}

// countKnown has what was said before vote too, so that a weaker guess does not replace
// it: what a device says by SNMP most of all.
func (b *ballot) countKnown(known *pb.DeviceInventory) {
	weight := known.GetConfidence()
	if weight == 0 {
		weight = 0.5
	}
	if slices.Contains(known.GetSources(), "snmp") {
		weight = 0.95
	}
	b.os.add(known.GetOsName(), weight)
	b.class.add(known.GetDeviceClass(), weight)
	if known.GetOsVersion() != "" && b.version[known.GetOsName()] == "" {
		b.version[known.GetOsName()] = known.GetOsVersion()
	}
}

// system picks a family by the votes for it and its members, then the member.
func (b *ballot) system() (name string, weight float64) {
	families, members := votes{}, map[string]votes{}
	for os, w := range b.os {
		f := cmp.Or(b.j.family[os], os)
		families.add(f, w)
		if members[f] == nil {
			members[f] = votes{}
		}
		if f != os {
			members[f].add(os, w)
		}
	}
	family, weight := families.best()
	if member, w := members[family].best(); member != "" && w >= 0.3 {
		return member, weight
	}
	return family, weight
}

const maxEvidence = 24

func (b *ballot) result(known *pb.DeviceInventory, clues []Clue) *pb.DeviceInventory {
	d := &pb.DeviceInventory{}
	system, osWeight := b.system()
	class, classWeight := b.class.best()
	d.OsName, d.DeviceClass = system, class
	d.OsVersion = b.version[d.GetOsName()]
	d.Confidence = max(osWeight, classWeight)
	if known.GetVendor() == "" {
		d.Vendor, _ = b.vendor.best()
	}
	if known.GetModel() == "" {
		d.Model, _ = b.model.best()
	}
	if short := b.j.cpe[d.GetOsName()]; short != "" {
		d.Cpe = []string{cpe(short, d.GetOsVersion())}
	}
	for _, c := range clues {
		// A certificate made for localhost says nothing of whom it is of.
		if c.Name != "" && !isLoopbackName(c.Name) && !slices.Contains(d.GetNames(), c.Name) && len(d.GetNames()) < 8 {
			d.Names = append(d.Names, c.Name)
		}
	}
	family := cmp.Or(b.j.family[d.GetOsName()], d.GetOsName())
	for _, v := range b.cast {
		agrees := v.os != "" && cmp.Or(b.j.family[v.os], v.os) == family || v.class != "" && v.class == d.GetDeviceClass()
		if agrees && len(d.GetEvidence()) < maxEvidence && !slices.Contains(d.GetEvidence(), v.because) {
			d.Evidence = append(d.Evidence, v.because)
		}
	}
	return d
}

// cpe writes a CPE 2.3 name (NIST IR 7695) of a system; versions have letters, digits
// and dots here.
func cpe(short, version string) string {
	ok := func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r == '.' || r == '_' || r == '-' {
			return r
		}
		return -1
	}
	version = cmp.Or(strings.Map(ok, strings.ToLower(version)), "*")
	return "cpe:2.3:" + short + ":" + version + ":*:*:*:*:*:*:*"
}

// isLoopbackName reports names that every host has for itself (RFC 6761, section 6.3).
func isLoopbackName(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || strings.HasPrefix(name, "localhost.")
}
