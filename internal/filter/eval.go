package filter

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// node is one part of a parsed query.
type node interface {
	match(ev *pb.Event) bool
	// require is Filter.Require for this part.
	require(field string) ([]string, bool)
}

type all struct{}

func (all) match(*pb.Event) bool            { return true }
func (all) require(string) ([]string, bool) { return nil, false }

type allOf []node

func (l allOf) match(ev *pb.Event) bool {
	for _, n := range l {
		if !n.match(ev) {
			return false
		}
	}
	return true
}

func (l allOf) require(field string) ([]string, bool) {
	for _, n := range l {
		if vs, ok := n.require(field); ok {
			return vs, true
		}
	}
	return nil, false
}

type anyOf []node

func (l anyOf) match(ev *pb.Event) bool {
	for _, n := range l {
		if n.match(ev) {
			return true
		}
	}
	return false
}

func (l anyOf) require(field string) ([]string, bool) {
	var out []string
	for _, n := range l {
		vs, ok := n.require(field)
		if !ok {
			return nil, false
		}
		out = append(out, vs...)
	}
	return out, len(l) > 0
}

type negated struct{ node }

func (n negated) match(ev *pb.Event) bool       { return !n.node.match(ev) }
func (negated) require(string) ([]string, bool) { return nil, false }

// text looks for a word or phrase anywhere in the event, whatever its case.
type text struct{ folded string }

func newText(t token) node {
	if t.kind == tokWord && strings.Contains(t.text, "*") {
		return wildText{globPattern(t.text, false)}
	}
	return text{strings.ToLower(t.text)}
}

func (n text) match(ev *pb.Event) bool {
	return anyText(ev, func(s string) bool { return containsFold(s, n.folded) })
}
func (text) require(string) ([]string, bool) { return nil, false }

type wildText struct{ re *regexp.Regexp }

func (n wildText) match(ev *pb.Event) bool       { return anyText(ev, n.re.MatchString) }
func (wildText) require(string) ([]string, bool) { return nil, false }

// anyText tries the event's summary, then each value but the publisher: the words
// of a SPIFFE id, such as "agent", stand in every event.
func anyText(ev *pb.Event, ok func(string) bool) bool {
	if ok(event.Summary(ev)) {
		return true
	}
	for name, v := range event.Fields(ev) {
		if name == "publisher" {
			continue
		}
		switch x := v.(type) {
		case []any:
			for _, e := range x {
				if ok(valueText(e)) {
					return true
				}
			}
		default:
			if ok(valueText(v)) {
				return true
			}
		}
	}
	return false
}

// compare is the part that all field comparisons share.
type compare struct {
	field *event.Field
	key   string
}

func (c compare) any(ev *pb.Event, ok func(v any) bool) bool {
	return slices.ContainsFunc(c.field.Lookup(ev, c.key), ok)
}
func (compare) require(string) ([]string, bool) { return nil, false }

type exists compare

func (n exists) match(ev *pb.Event) bool       { return len(n.field.Lookup(ev, n.key)) > 0 }
func (exists) require(string) ([]string, bool) { return nil, false }

// equal compares a whole value: text without regard to case, numbers by
// value, addresses with a network where one is given.
type equal struct {
	compare
	text, folded string
	number       float64
	isNumber     bool
	prefix       netip.Prefix
}

func (n equal) match(ev *pb.Event) bool {
	return n.any(ev, func(v any) bool {
		if x, ok := numeric(v); ok {
			return n.isNumber && x == n.number
		}
		s := valueText(v)
		if strings.EqualFold(s, n.text) {
			return true
		}
		if n.prefix.IsValid() {
			a, err := netip.ParseAddr(s)
			return err == nil && n.prefix.Contains(a.Unmap())
		}
		return false
	})
}

func (n equal) require(field string) ([]string, bool) {
	if n.field.Name == field && !n.prefix.IsValid() {
		return []string{n.folded}, true
	}
	return nil, false
}

type matches struct {
	compare
	re *regexp.Regexp
}

func (n matches) match(ev *pb.Event) bool {
	return n.any(ev, func(v any) bool { return n.re.MatchString(valueText(v)) })
}

func newGlob(c compare, pattern string) node { return matches{c, globPattern(pattern, true)} }

// globPattern turns * into "any text"; anchored means the whole value.
func globPattern(pattern string, anchored bool) *regexp.Regexp {
	parts := strings.Split(pattern, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	expr := strings.Join(parts, ".*")
	if anchored {
		expr = "^" + expr + "$"
	}
	return regexp.MustCompile("(?is)" + expr) // quoted, so it always compiles
}

// ordered is > >= < <= on numbers, times and enumerations.
type ordered struct {
	compare
	op     string
	number float64
	time   time.Time
	rank   int
}

func (n ordered) match(ev *pb.Event) bool {
	return n.any(ev, func(v any) bool {
		if t, ok := v.(time.Time); ok {
			return n.holds(t.Compare(n.time))
		}
		if x, ok := numeric(v); ok {
			switch {
			case x < n.number:
				return n.holds(-1)
			case x > n.number:
				return n.holds(1)
			case x == n.number:
				return n.holds(0)
			}
			return false // NaN
		}
		rank := slices.Index(n.field.Values, valueText(v))
		return rank >= 0 && n.holds(rank-n.rank)
	})
}

func (n ordered) holds(cmp int) bool {
	switch n.op {
	case ">":
		return cmp > 0
	case ">=":
		return cmp >= 0
	case "<":
		return cmp < 0
	default:
		return cmp <= 0
	}
}

func numeric(v any) (float64, bool) {
	switch x := v.(type) {
	case float64:
		return x, true
	case int64:
		return float64(x), true
	case uint64:
		return float64(x), true
	default:
		return 0, false
	}
}

func valueText(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case int64:
		return strconv.FormatInt(x, 10)
	case uint64:
		return strconv.FormatUint(x, 10)
	case time.Time:
		return x.Format(time.RFC3339Nano)
	default:
		return ""
	}
}

// containsFold reports whether s holds the lower-case text sub, without regard
// to case.
func containsFold(s, sub string) bool {
	if sub == "" {
		return true
	}
	for i := range len(s) {
		if c := s[i]; c >= 0x80 {
			return strings.Contains(strings.ToLower(s), sub)
		}
	}
	for i := 0; i+len(sub) <= len(s); i++ {
		if lower(s[i]) == sub[0] && strings.EqualFold(s[i:i+len(sub)], sub) {
			return true
		}
	}
	return false
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
