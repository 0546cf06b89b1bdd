package language

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/eventtest"
)

// quote writes a text as a string of the language.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(s) + `"`
}

// value is one that an event has.
type value struct{ name, key, text string }

// valuesOf are the values of an event as people read them.
func valuesOf(t *testing.T, encoded []byte) map[event.FieldID][]value {
	t.Helper()
	var attrs event.Attrs
	if err := attrs.ReadStored(encoded, publisher); err != nil {
		t.Fatal(err)
	}
	values := map[event.FieldID][]value{}
	for i := range attrs.List {
		a := &attrs.List[i]
		name := event.FieldCatalog()[a.ID].Name
		values[a.ID] = append(values[a.ID], value{name, string(a.Key), string(a.Value.Append(nil))})
	}
	return values
}

// TestEveryField asks for each field of the catalogue by a value that an event has: as a
// whole, by a word of it, whether it is there, and in order where the field has one.
func TestEveryField(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine, and an engine that is a process of its own")
	}
	events := append(eventtest.Filled(), eventtest.Filled()...)
	for i, ev := range events {
		ev.Id = nil
		ev.Time = timestamppb.New(begin().Add(time.Duration(i) * time.Second))
		ev.Type, ev.Publisher = "test.filled", ""
	}
	w := newWorld(t, events)
	seen := map[string]bool{}
	for i, encoded := range w.events {
		for id, values := range valuesOf(t, encoded) {
			f := event.FieldCatalog()[id]
			if seen[f.Name] {
				continue
			}
			seen[f.Name] = true
			t.Run(f.Name, func(t *testing.T) {
				for n, v := range values {
					if f.Name == "publisher" {
						v.text = publisher
					}
					if !told(f, values, n) {
						continue
					}
					oneValue(t, w, i, f, v)
				}
			})
		}
	}
	for _, f := range event.FieldCatalog() {
		if !seen[f.Name] {
			t.Errorf("no event has %s", f.Name)
		}
	}
}

// told reports whether value n can be asked for: of a key that several maps of an event
// have a row keeps the last, numbers of an enumeration have no order, and what is no
// number has none either.
func told(f *event.Field, values []value, n int) bool {
	v := values[n]
	if f.Type == event.FieldMap && f.Repeats() {
		return !slices.ContainsFunc(values[n+1:], func(other value) bool { return other.key == v.key })
	}
	if f.Type == event.FieldKeyword && len(f.Values) > 0 {
		return slices.Contains(f.Values, v.text)
	}
	return f.Type != event.FieldNumber || v.text != "NaN" && v.text != "+Inf" && v.text != "-0"
}

func oneValue(t *testing.T, w *world, at int, f *event.Field, v value) {
	t.Helper()
	name := f.Name
	if v.key != "" {
		name += "." + v.key
		if strings.ContainsFunc(v.key, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }) {
			name = quote(name)
		}
	}
	has := func(query string, want bool) []int {
		t.Helper()
		found := w.both(t, query)
		if slices.Contains(found, at) != want {
			t.Errorf("%s: found %v, with %d %v", query, found, at, want)
		}
		return found
	}
	if name == "time" {
		has("time:>="+v.text, true)
		has("time:>"+v.text, false)
		has("time:["+v.text+","+v.text+"]", true)
		return
	}
	exact := has(name+":="+quote(v.text), true)
	if word := has(name+":"+quote(v.text), true); len(word) < len(exact) {
		t.Errorf("%s: as a word %v, as a whole %v", name, word, exact)
	}
	there := has(name+":*", true)
	if missing := has("-"+name+":*", false); len(there)+len(missing) != len(w.events) {
		t.Errorf("%s: %d have it, %d do not", name, len(there), len(missing))
	}
	has(name+`:""`, false)
	has(name+":in("+quote(v.text)+","+quote(v.text)+")", true)
	if f.Label(event.SchemaECS) != f.Name && v.key == "" {
		has(f.Label(event.SchemaECS)+":="+quote(v.text), true)
	}
	switch {
	case f.Type == event.FieldNumber, f.Type == event.FieldDuration, f.Type == event.FieldTime, f.Type == event.FieldKeyword && len(f.Values) > 0:
		has(name+":>="+quote(v.text), true)
		has(name+":<="+quote(v.text), true)
		if !f.Repeats() {
			has(name+":>"+quote(v.text), false)
			has(name+":<"+quote(v.text), false)
		} else {
			w.both(t, name+":>"+quote(v.text))
			w.both(t, name+":<"+quote(v.text))
		}
	case f.Type == event.FieldKeyword, f.Type == event.FieldMap:
		if len(v.text) > 2 {
			has(name+":="+quote(v.text[:2])+"*", true)
			has(name+":~"+quote("^"+v.text[:2]), true)
			has(name+":i("+quote(strings.ToUpper(v.text))+")", true)
		}
	}
}
