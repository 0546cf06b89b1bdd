package service

import (
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/scan/stack"
)

//go:embed data/*.yaml
var ours embed.FS

// File is what a file of fingerprints holds.
type File struct {
	Probes       []Probe       `yaml:"probes"`
	Fingerprints []Fingerprint `yaml:"fingerprints"`
	// Names are services by their usual port, as "tcp/515", for ports that tell nothing.
	Names map[string]string `yaml:"names"`
}

// Probe is a question. What is answered becomes the fact of its name, or what its
// decoder makes of it.
type Probe struct {
	Name string `yaml:"name"`
	// Protocol is "tcp" (where empty) or "udp".
	Protocol string `yaml:"protocol"`
	// Ports are where it is asked first, as in "80,8000-8010".
	Ports string `yaml:"ports"`
	// TLS are ports where it is asked first once TLS is agreed on.
	TLS string `yaml:"tls"`
	// Rank orders the probes on a port that none of them names, the lowest first; 0 is
	// never.
	Rank int `yaml:"rank"`
	// After names services: once one of them is told, this is asked too.
	After []string `yaml:"after"`
	// Send is the question, with escapes as YAML has them (\r, \n, \xNN), or Hex is in
	// hexadecimal. Decoder names what speaks and reads a protocol; see Decoders.
	Send    string `yaml:"send"`
	Hex     string `yaml:"hex"`
	Decoder string `yaml:"decoder"`
	// Get is a path that is asked by HTTP; the facts are NAME.status, NAME.server,
	// NAME.header, NAME.title and NAME.body.
	Get string `yaml:"get"`
	// Service is what answers it where no fingerprint says so. Without it an answer
	// that no fingerprint knows tells nothing.
	Service string `yaml:"service"`

	send       []byte
	ports, tls portSet
}

// Fingerprint is what patterns over facts tell.
type Fingerprint struct {
	// When has a regular expression (RE2) for each fact that has to be there. Groups
	// such as (?P<version>…) fill the field of their name, and ${version} in texts.
	When map[string]string `yaml:"when"`
	Says `yaml:",inline"`
	// Examples are facts that it matches, and what it says of them.
	Examples []Example `yaml:"examples"`

	when []condition
}

// Example proves a fingerprint: facts, and some of what is said of them.
type Example struct {
	Facts map[string]string `yaml:"facts"`
	Says  `yaml:",inline"`
}

type condition struct {
	fact    string
	pattern *regexp.Regexp
}

// portSet is a list of ranges.
type portSet [][2]uint16

func (s portSet) has(port uint16) bool {
	return slices.ContainsFunc(s, func(r [2]uint16) bool { return r[0] <= port && port <= r[1] })
}

func parsePorts(text string) (portSet, error) {
	var set portSet
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, err := strconv.ParseUint(low, 10, 16)
		to, err2 := strconv.ParseUint(high, 10, 16)
		if err != nil || err2 != nil || from > to {
			return nil, fmt.Errorf("%q is no port and no range such as 8000-8010", part)
		}
		set = append(set, [2]uint16{uint16(from), uint16(to)})
	}
	return set, nil
}

// book is what is loaded.
type book struct {
	probes []*Probe
	prints []*Fingerprint
	names  map[string]string
	byFact map[string][]int // by the first fact of when: places in prints
}

// load reads the files of users, then ours.
func load(files []string) (*book, error) {
	b := &book{byFact: map[string][]int{}, names: map[string]string{}}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read fingerprints: %w", err)
		}
		if err := b.add(name, text); err != nil {
			return nil, err
		}
	}
	names, err := fs.Glob(ours, "data/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list fingerprints: %w", err)
	}
	for _, name := range names {
		text, err := ours.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read fingerprints: %w", err)
		}
		if err := b.add(name, text); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// add takes the probes and fingerprints of one file. A probe of a name that is there
// already is left out: users' files come first, and so replace ours.
func (b *book) add(name string, text []byte) error {
	var f File
	if err := config.Decode(name, text, &f, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		return fmt.Errorf("read fingerprints: %w", err)
	}
	for i := range f.Probes {
		p := &f.Probes[i]
		if !slices.ContainsFunc(b.probes, func(q *Probe) bool { return q.Name == p.Name }) {
			b.probes = append(b.probes, p)
		}
	}
	for port, service := range f.Names {
		if b.names[port] == "" {
			b.names[port] = service
		}
	}
	for i := range f.Fingerprints {
		p := &f.Fingerprints[i]
		first := p.when[0].fact
		b.byFact[first] = append(b.byFact[first], len(b.prints))
		b.prints = append(b.prints, p)
	}
	return nil
}

// Validate implements config.Validator and compiles what it checks.
func (f *File) Validate(v *config.Check) {
	for i := range f.Probes {
		f.Probes[i].validate(v.Under(fmt.Sprintf("probes[%d]", i)))
	}
	for i := range f.Fingerprints {
		f.Fingerprints[i].validate(v.Under(fmt.Sprintf("fingerprints[%d]", i)))
	}
}

func (p *Probe) validate(v *config.Check) {
	v.Name("name", p.Name)
	if p.Protocol == "" {
		p.Protocol = tcp
	}
	v.OneOf("protocol", p.Protocol, tcp, udp)
	v.Range("rank", p.Rank, 0, 1000)
	var err error
	if p.ports, err = parsePorts(p.Ports); err != nil {
		v.Add("ports", "%v", err)
	}
	if p.tls, err = parsePorts(p.TLS); err != nil {
		v.Add("tls", "%v", err)
	}
	given := 0
	if p.Send != "" {
		given++
		var ok bool
		if p.send, ok = octets(p.Send); !ok {
			v.Add("send", "has signs above \\xff, which are no single bytes")
		}
	}
	if p.Hex != "" {
		given++
		if p.send, err = hex.DecodeString(strings.Join(strings.Fields(p.Hex), "")); err != nil {
			v.Add("hex", "is not hexadecimal: %v", err)
		}
	}
	if p.Decoder != "" {
		given++
		v.OneOf("decoder", p.Decoder, Decoders()...)
	}
	if p.Get != "" {
		given++
		if !strings.HasPrefix(p.Get, "/") || strings.ContainsAny(p.Get, " \r\n") {
			v.Add("get", "must be a path such as /version")
		}
	}
	if given != 1 {
		v.Add("name", "needs one of send, hex, get and decoder")
	}
}

func (f *Fingerprint) validate(v *config.Check) {
	if len(f.When) == 0 {
		v.Add("when", "needs at least one fact")
	}
	f.when = nil
	for fact, pattern := range f.When {
		re, err := regexp.Compile(pattern)
		if err != nil {
			v.Add("when."+fact, "%v", err)
			continue
		}
		f.when = append(f.when, condition{fact, re})
	}
	slices.SortFunc(f.when, func(a, b condition) int { return strings.Compare(a.fact, b.fact) })
	if len(f.Examples) == 0 {
		v.Add("when", "needs an example under examples")
	}
	for i, e := range f.Examples {
		if _, ok := f.matches(e.Facts); len(f.when) == len(f.When) && !ok {
			v.Add(fmt.Sprintf("examples[%d]", i), "is not matched by the patterns under when")
		}
	}
	if f.Class != "" {
		v.OneOf("class", f.Class, stack.Classes()...)
	}
	if strings.Count(f.CPE, ":") == 1 {
		v.Add("cpe", "must be part:vendor:product, such as a:openbsd:openssh")
	}
}
