package answers

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/amoskys/amoskys/internal/event"
)

// arrange puts columns into the order in which the query names them, as the engine
// gives them by name, or those first that it sorts by, and heads them as the query calls
// them. One that the query does not name stays behind the others. Those that a query
// lists at its end are all there, also where no row has a value.
func (t *table) arrange(query string) {
	names := namesIn(query)
	list, last := listed(query)
	for _, name := range list {
		if column := columnNamed(name); last && !slices.Contains(t.fields, column) {
			t.fields = append(t.fields, column)
		}
	}
	order, places := make([]int, len(t.fields)), make([]int, len(t.fields))
	for i, column := range t.fields {
		order[i] = i
		if list == nil {
			places[i] = firstWord(query, cmp.Or(names[column], shownName(column)))
		} else if places[i] = slices.IndexFunc(list, func(name string) bool { return columnNamed(name) == column }); places[i] < 0 {
			places[i] = len(list)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(places[a], places[b]) })
	heads, to := make([]string, len(order)), make([]int, len(order))
	for i, at := range order {
		heads[i], to[at] = cmp.Or(names[t.fields[at]], shownName(t.fields[at])), i
	}
	t.fields = heads
	for _, row := range t.rows {
		for i := range row {
			row[i].column = to[row[i].column]
		}
	}
}

// columnNamed is what the engine calls the column that a query names.
func columnNamed(name string) string {
	f, key, ok := event.FieldByName(name)
	switch {
	case !ok || key != "":
		return name
	case f.Name == "time":
		return fieldTime
	}
	return columnOf(f)
}

// namesIn are the names by which a query calls columns, the last one where it has
// several for one.
func namesIn(query string) map[string]string {
	names := map[string]string{}
	for _, word := range patterns().word.FindAllString(query, -1) {
		names[columnNamed(word)] = word
	}
	return names
}

// listed are the fields that the last pipe of fields lists, nil without one. last says
// that they are the columns: what follows changes rows alone.
func listed(query string) (names []string, last bool) {
	m := patterns().listed.FindStringSubmatch(query)
	if m == nil {
		return nil, false
	}
	for name := range strings.SplitSeq(m[1], ",") {
		names = append(names, strings.TrimSpace(name))
	}
	return names, patterns().rowPipes.MatchString(m[2]) && !strings.Contains(m[1], "*")
}

type queryPatterns struct{ word, listed, rowPipes *regexp.Regexp }

// patterns find names in a query that was read before: what they mistake in a text in
// quotes is a head or an order, and never a value.
//
//nolint:gochecknoglobals // immutable once built
var patterns = sync.OnceValue(func() queryPatterns {
	return queryPatterns{
		word:     regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_.]*`),
		listed:   regexp.MustCompile(`(?s).*\|\s*(?:fields|keep|table)\s+([\w.,*\s]+)((?:\|[^|]*)*)$`),
		rowPipes: regexp.MustCompile(`^(?:\|\s*(?:limit|head|offset|skip|sort|order|first|last|filter|where)\b[^|]*)*$`),
	}
})

// fieldsPipe is a pipe that lists fields.
var fieldsPipe = sync.OnceValue(func() *regexp.Regexp { //nolint:gochecknoglobals // immutable once built
	return regexp.MustCompile(`\|\s*(?:fields|keep|table)\b`)
})

// firstWord is where a name first stands by itself in a query; its length where it does
// not.
func firstWord(query, name string) int {
	part := func(c byte) bool {
		return c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for at := 0; ; at++ {
		i := strings.Index(query[at:], name)
		if i < 0 {
			return len(query)
		}
		at += i
		end := at + len(name)
		if (at == 0 || !part(query[at-1])) && (end == len(query) || !part(query[end])) {
			return at
		}
	}
}
