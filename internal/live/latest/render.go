package latest

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/event/reading"
)

// appendSeries appends the name and labels of a sample as both formats write them. agent
// and host are left out where they are empty.
func appendSeries(b []byte, agent, host string, x *reading.Sample) []byte {
	b = append(b, x.Name...)
	open := byte('{')
	label := func(name, value string) {
		if value == "" {
			return
		}
		b = append(append(append(append(b, open), name...), '=', '"'), escape(value)...)
		b = append(b, '"')
		open = ','
	}
	label("agent", agent)
	label("host", host)
	for _, l := range x.Labels {
		label(l.Name, l.Value)
	}
	if open == ',' {
		b = append(b, '}')
	}
	return b
}

// escape writes the value of a label as both formats have it.
func escape(text string) string {
	if !strings.ContainsAny(text, "\\\"\n") {
		return text
	}
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text)
}

// format is one of the two that are written.
type format int

const (
	formatText format = iota
	formatOpenMetrics
)

// append writes all families whose name is not among taken, and returns how many series
// were left out for that. v is locked.
func (v *Values) append(b []byte, f format, taken map[string]bool) (page []byte, left int) {
	for _, name := range slices.Sorted(maps.Keys(v.families)) {
		family := v.families[name]
		if taken[name] || taken[family.name] {
			left += len(family.series)
			continue
		}
		b = family.append(b, f)
	}
	return b, left
}

func (f *family) append(b []byte, to format) []byte {
	name, kind := f.name, f.kind.String()
	switch {
	case to == formatOpenMetrics:
		name = f.key()
	case f.kind == reading.Unknown:
		kind = "untyped"
	}
	b = append(append(append(append(b, "# HELP "...), name...), ' '), cmp.Or(f.help, "As agents tell it.")...)
	b = append(append(append(append(b, "\n# TYPE "...), name...), ' '), kind...)
	b = append(b, '\n')
	if f.kind == reading.Histogram && !f.sorted {
		f.order()
	}
	for _, s := range f.series {
		b = strconv.AppendFloat(append(b, s.line...), s.value, 'g', -1, 64)
		b = append(b, '\n')
	}
	return b
}

// order sorts the series of a histogram: those of one stand together, its buckets by their
// bounds, as OpenMetrics asks.
func (f *family) order() {
	slices.SortFunc(f.series, func(a, b *series) int {
		return cmp.Or(
			strings.Compare(a.of.key.agent, b.of.key.agent), strings.Compare(a.of.key.host, b.of.key.host),
			compareLabels(a.labels, b.labels), cmp.Compare(a.bound(), b.bound()), strings.Compare(a.name, b.name),
		)
	})
	for i, s := range f.series {
		s.at = i
	}
	f.sorted = true
}

// compareLabels compares all labels but le.
func compareLabels(a, b []reading.Label) int {
	others := func(all []reading.Label) []reading.Label {
		return slices.DeleteFunc(slices.Clone(all), func(l reading.Label) bool { return l.Name == "le" })
	}
	return slices.CompareFunc(others(a), others(b), func(x, y reading.Label) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Value, y.Value))
	})
}

// bound is that of a bucket. Sum and count come after.
func (s *series) bound() float64 {
	for _, l := range s.labels {
		if l.Name == "le" {
			if x, err := strconv.ParseFloat(l.Value, 64); err == nil {
				return x
			}
		}
	}
	return math.Inf(1)
}
