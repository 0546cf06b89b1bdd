package latest

import (
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/amoskys/amoskys/internal/event/reading"
)

// agentKey is the labels agent and host.
type agentKey struct{ agent, host string }

// agent is one of them.
type agent struct {
	key    agentKey
	seen   time.Time // by the hub's clock
	groups map[groupKey]*group
	shown  int // series
	empty  int // groups without
}

// groupKey is what a later reading of replaces an earlier one: a process, a device, the
// agent itself, or one series of a batch.
type groupKey struct {
	source  reading.Source
	subject string
}

// group are the series of one reading.
type group struct {
	seen   time.Time
	series []*series
	// left counts those that are not shown, by reason.
	left [reasons]int
}

// series is one of them, as it is shown.
type series struct {
	of     *agent
	name   string
	labels []reading.Label
	line   []byte // name and labels, and the blank before the value
	value  float64
	family *family
	at     int // in family.series
}

// family are the series of one metric.
type family struct {
	name   string // without what samples have at the end
	help   string // empty for one that only a batch knows of
	kind   reading.Kind
	series []*series
	sorted bool // those of a histogram are in order
}

// replace takes a new reading of a group: what it lacks ends. v is locked.
func (v *Values) replace(a *agent, key groupKey, samples []reading.Sample, received time.Time) {
	g := a.groups[key]
	if g == nil {
		key.subject = strings.Clone(key.subject)
		g = &group{}
		a.groups[key] = g
		v.count(a, g, 1)
	}
	g.seen = lastOf(g.seen, received)
	v.count(a, g, -1)
	clear(g.left[:])
	n := 0 // series of g that are of this reading
	for i := range samples {
		x := &samples[i]
		switch {
		case x.Detail:
		case n < len(g.series) && g.series[n].is(x):
			g.series[n].value = x.Value
			n++
		default:
			if n < len(g.series) {
				v.hide(a, g.series[n])
				g.series = slices.Delete(g.series, n, n+1)
			}
			if s, why := v.show(a, x); s != nil {
				g.series = slices.Insert(g.series, n, s)
				n++
			} else {
				g.left[why]++
			}
		}
	}
	for _, s := range g.series[n:] {
		v.hide(a, s)
	}
	clear(g.series[n:])
	g.series = g.series[:n]
	v.count(a, g, 1)
	if n == 0 && (a.empty > maxEmptyOfAgent || v.empty > maxEmpty) {
		v.samples += uint64(len(samples))
		v.end(a, key)
	}
}

// How many groups without series are remembered, so that what is left out can be counted.
// Samples of others are counted one by one.
const (
	maxEmptyOfAgent = 1000
	maxEmpty        = 50_000
)

// count adds what a group leaves out to all that is left out, or takes it away.
func (v *Values) count(a *agent, g *group, sign int) {
	if len(g.series) == 0 {
		a.empty += sign
		v.empty += sign
	}
	for why, n := range g.left {
		v.left[why] += sign * n
	}
}

// end ends the series of a group. v is locked.
func (v *Values) end(a *agent, key groupKey) {
	g := a.groups[key]
	if g == nil {
		return
	}
	v.count(a, g, -1)
	for _, s := range g.series {
		v.hide(a, s)
	}
	delete(a.groups, key)
}

// show makes a series of a sample, or says why it is left out.
func (v *Values) show(a *agent, x *reading.Sample) (s *series, why int) {
	f := v.familyOf(x)
	if f == nil {
		return nil, forName
	}
	if a.shown >= v.o.MaxOfAgent || v.shown >= v.o.MaxSeries && !v.makeRoom(a) {
		return nil, forRoom
	}
	s = &series{of: a, family: f, at: len(f.series), value: x.Value, line: appendSeries(nil, a.key.agent, a.key.host, x)}
	s.line = append(s.line, ' ')
	s.keep(x)
	if len(f.series) == 0 {
		v.families[f.key()] = f
	}
	f.series, f.sorted = append(f.series, s), false
	a.shown++
	v.shown++
	return s, 0
}

// hide takes a series away, and its family with the last.
func (v *Values) hide(a *agent, s *series) {
	f := s.family
	last := len(f.series) - 1
	f.series[s.at] = f.series[last]
	f.series[s.at].at = s.at
	f.series[last] = nil
	f.series, f.sorted = f.series[:last], false
	if last == 0 {
		delete(v.families, f.key())
	}
	a.shown--
	v.shown--
}

// makeRoom takes one group's series from the agent that has most, for one that has less
// than an equal share, and reports whether there is room now.
func (v *Values) makeRoom(a *agent) bool {
	if a.shown >= v.o.MaxSeries/max(1, len(v.agents)) {
		return false
	}
	most := a
	for _, other := range v.agents {
		if other.shown > most.shown {
			most = other
		}
	}
	if most == a {
		return false
	}
	for key, g := range most.groups {
		if len(g.series) > 0 {
			v.end(most, key) // it is left out when it is read again
			return true
		}
	}
	return false
}

// familyOf finds the family of a sample, or makes one that is not kept yet; nil where
// another metric has its name in one of the formats.
func (v *Values) familyOf(x *reading.Sample) *family {
	f := &family{name: x.Name, kind: x.Kind}
	if known, ok := reading.FamilyOf(x.Name); ok {
		f.name, f.help, f.kind = known.Name, known.Help, known.Kind
	}
	held := v.families[f.key()]
	switch {
	case f.help == "" && v.table[f.key()]:
		return nil
	case held == nil:
		f.name = strings.Clone(f.name)
		return f
	case held.name != f.name || (held.kind == reading.Histogram) != (f.kind == reading.Histogram):
		return nil
	}
	return held
}

// key is the name that OpenMetrics gives a family.
func (f *family) key() string {
	if f.kind == reading.Counter {
		return strings.TrimSuffix(f.name, "_total")
	}
	return f.name
}

// is reports whether a series is that of a sample.
func (s *series) is(x *reading.Sample) bool {
	return s.name == x.Name && slices.Equal(s.labels, x.Labels)
}

// keep copies name and labels of a sample, whose texts are not ours, as parts of one text.
func (s *series) keep(x *reading.Sample) {
	n := len(x.Name)
	for _, l := range x.Labels {
		n += len(l.Name) + len(l.Value)
	}
	var b strings.Builder
	b.Grow(n)
	part := func(text string) string {
		at := b.Len()
		b.WriteString(text)
		return b.String()[at:]
	}
	s.name = part(x.Name)
	s.labels = make([]reading.Label, len(x.Labels))
	for i, l := range x.Labels {
		s.labels[i] = reading.Label{Name: part(l.Name), Value: part(l.Value)}
	}
}

// view is a text without a copy of its bytes, to look something up.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // read only, and nobody keeps it
}
