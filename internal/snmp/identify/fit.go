package identify

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// weight is how close a rule is to a device that it fits. Words of the device's own
// count most, then that it has something of a maker's, then how much of its sysObjectID
// the rule names.
func (r *Rule) weight(arcs int, words, enterprise bool) int {
	weight := 10 * arcs
	if words {
		weight += 120
	}
	if enterprise {
		weight += 100
	}
	if r.General {
		weight -= 10_000
	}
	return weight
}

// object is how many arcs of a sysObjectID the rule names, and whether it fits.
func (r *Rule) object(id string) (int, bool) {
	best, fits := 0, len(r.Objects) == 0
	for _, oid := range r.Objects {
		if id == oid || strings.HasPrefix(id, oid+".") {
			best, fits = max(best, strings.Count(oid, ".")+1), true
		}
	}
	return best, fits
}

// Enterprise is the number below 1.3.6.1.4.1 in an OID, or 0.
func Enterprise(oid string) uint32 {
	rest, ok := strings.CutPrefix(oid, enterprises+".")
	if !ok {
		return 0
	}
	number, _, _ := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// enterprises is where makers' own objects are.
const enterprises = "1.3.6.1.4.1"

// candidate is a rule that fits, with what its expression found.
type candidate struct {
	rule   *Rule
	weight int
	said   map[string]string
}

// fitting are the rules that fit a device, the closest first.
func (f *Facts) fitting(s System) []candidate {
	var out []candidate
	for _, r := range f.rules {
		if c, ok := r.fit(s); ok && (len(r.Has) == 0 || anyOf(r.Has, s.Has)) {
			if len(r.Has) > 0 {
				c.weight += 100
			}
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.rule.order, b.rule.order))
	})
	return out
}

func anyOf(wanted, have []string) bool {
	return slices.ContainsFunc(wanted, func(oid string) bool { return slices.Contains(have, oid) })
}

// wanted are the OIDs that have to be looked for, of rules that fit but for them.
func (f *Facts) wanted(s System, most int) []string {
	var out []string
	for _, r := range f.rules {
		if len(r.Has) == 0 {
			continue
		}
		if _, ok := r.fit(s); !ok {
			continue
		}
		for _, oid := range r.Has {
			if len(out) < most && !slices.Contains(out, oid) {
				out = append(out, oid)
			}
		}
	}
	return out
}

func (r *Rule) fit(s System) (candidate, bool) {
	arcs, ok := r.object(s.Object)
	if !ok {
		return candidate{}, false
	}
	has := len(r.Enterprises) > 0
	if has && !slices.ContainsFunc(r.Enterprises, func(n uint32) bool { return slices.Contains(s.Enterprises, n) }) {
		return candidate{}, false
	}
	if r.sysName != nil && !r.sysName.MatchString(s.Name) {
		return candidate{}, false
	}
	c := candidate{rule: r, weight: r.weight(arcs, r.sysName != nil, has)}
	if len(r.descr) == 0 {
		return c, true
	}
	for _, expression := range r.descr {
		if found := expression.FindStringSubmatch(s.Descr); found != nil {
			// An empty expression is for devices that the others do not match: it is
			// no word of the device's own.
			c.weight = r.weight(arcs, expression.String() != "" || r.sysName != nil, has)
			c.said = map[string]string{}
			for i, name := range expression.SubexpNames() {
				if name != "" && found[i] != "" {
					c.said[name] = strings.TrimSpace(found[i])
				}
			}
			return c, true
		}
	}
	return candidate{}, false
}
