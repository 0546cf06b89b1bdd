package logsql

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/logsql/row"
)

// target is the field that a filter is for.
type target struct {
	kind  targetKind
	name  string       // as the engine has it
	field *event.Field // nil for those that the catalogue lacks
	key   string       // of a map
	said  string       // as the query has it
}

type targetKind uint8

const (
	targetNone   targetKind = iota // no field was named: any
	targetAny                      // "*:" was written
	targetPrefix                   // all whose name begins with name
	targetField
	targetList  // one JSON array
	targetMap   // one JSON object
	targetEntry // an entry of a map
	targetTime  // the time of the event
	targetStream
	targetComputed // made by a pipe, or a field of the record: nothing is known of it
)

func (t target) none() bool { return t.kind == targetNone }

func (t target) any() bool { return t.kind == targetNone || t.kind == targetAny }

func (t target) context() context {
	if t.none() {
		return inName
	}
	return inValue
}

// label names the target in messages.
func (t target) label() string {
	if t.said != "" {
		return t.said
	}
	return "this"
}

// recordFields are those of a row that are no attributes of the event.
func recordFields() []string {
	return []string{row.Offset, row.Logged, row.Encoded, row.EventTime, row.Exact, row.Cut}
}

// hiddenFields are those in which words without a field are not looked for: every
// event has words in them, such as "agent", that nobody means.
func hiddenFields() []string {
	return append(recordFields(), row.Publisher, row.Time, "_stream", "_stream_id")
}

// engineName is what the engine calls an attribute.
func engineName(f *event.Field) string {
	switch f.Name {
	case "message":
		return row.Message
	case "time":
		return row.Time
	}
	return f.Name
}

// scope knows which names mean what, at one place of the query.
type scope struct {
	made map[string]bool // by pipes in front
	open bool            // a pipe in front makes names that nobody can know
	// shaped says that the rows are no longer events: counts, for example.
	shaped bool
}

func (s *scope) make(name string) {
	if s.made == nil {
		s.made = map[string]bool{}
	}
	s.made[name] = true
}

func (s *scope) clone() scope {
	return scope{made: maps.Clone(s.made), open: s.open, shaped: s.shaped}
}

// resolve finds what a name means.
func (s *scope) resolve(name string, pos int) (target, *SyntaxError) {
	if s.made[name] || slices.Contains(recordFields(), name) {
		return target{kind: targetComputed, name: name}, nil
	}
	switch name {
	case "_time":
		return target{kind: targetTime, name: name}, nil
	case "_msg":
		name = "message"
	case "_stream":
		return target{kind: targetStream, name: name}, nil
	case "_stream_id":
		return target{}, faultAt(pos, "_stream_id is not available: name host, agent and type")
	}
	f, key, ok := event.FieldByName(name)
	if !ok {
		if s.open {
			return target{kind: targetComputed, name: name}, nil
		}
		return target{}, unknownField(pos, name)
	}
	t := target{kind: targetField, name: engineName(f), field: f, key: key}
	switch {
	case t.name == "_time":
		t.kind = targetTime
	case f.Type == event.FieldMap && key != "":
		t.kind = targetEntry
	case f.Type == event.FieldMap:
		t.kind = targetMap
	case f.Repeats():
		t.kind = targetList
	}
	return t, nil
}

// groups are the beginnings of names that all attributes in which words are looked
// for have, and none of hiddenFields.
//
//nolint:gochecknoglobals // immutable once built
var groups = sync.OnceValue(func() []string {
	var names []string
	for _, f := range event.FieldCatalog() {
		if n := engineName(f); !slices.Contains(hiddenFields(), n) {
			names = append(names, n)
		}
	}
	var out []string
	for _, n := range names {
		size := 1
		for size < len(n) && slices.ContainsFunc(hiddenFields(), func(h string) bool { return strings.HasPrefix(h, n[:size]) }) {
			size++
		}
		if !slices.Contains(out, n[:size]) {
			out = append(out, n[:size])
		}
	}
	slices.Sort(out)
	return slices.CompactFunc(out, func(longer, shorter string) bool { return strings.HasPrefix(longer, shorter) })
})

// each writes the filter for every field that the target means.
func (p *parser) each(tg target, filter string) {
	switch {
	case tg.any() && p.names.shaped:
		p.out.raw("*:", filter)
	case tg.any() && p.pipes == 0:
		// What is in no field at all is in none of the groups: most blocks are done with
		// after one look at their words, and not one for each group.
		p.out.raw("(*:", filter, " ")
		p.eachGroup(filter)
		p.out.raw(")")
	case tg.any(): // behind a pipe *: would have the engine read all that a row has
		p.eachGroup(filter)
	case tg.kind == targetPrefix:
		p.out.raw(quote(tg.name), "*:", filter)
	default:
		p.out.raw(quote(tg.name), ":", filter)
	}
}

// eachGroup writes the filter for all attributes in which words are looked for.
func (p *parser) eachGroup(filter string) {
	p.out.raw("(")
	for i, g := range groups() {
		if i > 0 {
			p.out.raw(" or ")
		}
		p.out.raw(quote(g), "*:", filter)
	}
	p.out.raw(")")
}
