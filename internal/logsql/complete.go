package logsql

import (
	"cmp"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/event"
)

// Completion is what can stand at a place of a query.
type Completion struct {
	// From and To are the bytes that an option takes the place of.
	From, To int
	Options  []Option
	// Field is the native name of the field of which a value is expected there; empty
	// for none. Values that events have are for the caller to add.
	Field string
	// Typed is the beginning of that value, or of a name, without its quote.
	Typed string

	place valuePlace
}

// valuePlace is what stands in front of a value.
type valuePlace uint8

const (
	behindColon valuePlace = iota // only the colon: an operator is missing
	behindSign
	inList
)

// Value writes a value at the place of the completion: the whole value, in quotes
// where it needs them.
func (c Completion) Value(value string) string {
	if !plain(value) {
		value = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(value) + `"`
	}
	switch c.place {
	case inList:
		return value
	case behindColon:
		value = "=" + value
	case behindSign:
	}
	return value + " "
}

// plain reports whether a value can be typed without quotes.
func plain(value string) bool {
	t, err := lexer{text: value}.scan(0, inValue)
	return err == nil && t.kind == tokWord && t.text == value && !t.keyword("and", "or", "not", "in")
}

// Option is one way to go on.
type Option struct {
	Text string
	// Kind is "field", "operator", "value", "pipe", "function" or "word".
	Kind  string
	About string // for people
}

// maxOptions bounds a completion: there are more fields than anybody reads.
const maxOptions = 100

// Complete says what can stand at the cursor, a place in the text in bytes. Any text has
// an answer, as it is typed.
func Complete(text string, cursor int) Completion {
	cursor = min(max(cursor, 0), len(text))
	l := lexer{text: text[:cursor]}
	w := walkTo(l)
	c := Completion{From: w.word.pos, To: cursor, Typed: w.word.text}
	switch front := strings.TrimSpace(text[:c.From]); {
	case strings.HasSuffix(front, "(") || strings.HasSuffix(front, ","):
		c.place = inList
	case !strings.HasSuffix(front, ":"):
		c.place = behindSign
	}
	if in := inName; w.word.text != "" && !w.quoted { // a word that goes on behind the cursor is replaced whole
		if w.field != "" {
			in = inValue
		}
		if t, err := (lexer{text: text}).scan(c.From, in); err == nil && t.kind == tokWord {
			c.To = t.end
		}
	}
	typed := w.word.text
	switch at := w.top(); {
	case w.quoted:
		c.Field = w.field
	case w.field != "":
		c.Field = w.field
		c.Options = valueOptions(w, typed)
	case at.pipe == pipeNone:
		fields, between := fieldOptions(typed, ":"), words(typed, at.terms > 0)
		fields = fields[:min(len(fields), maxOptions-len(between))]
		if c.Options = append(fields, between...); at.terms > 0 {
			c.Options = append(between, fields...)
		}
	case at.terms == 0:
		c.Options = pipeOptions(typed)
	default:
		c.Options = fieldOptions(typed, "")
		if at.pipe == pipeStats && at.fields == 0 {
			c.Options = append(functionOptions(typed), c.Options...)
		}
	}
	if len(c.Options) > maxOptions {
		c.Options = c.Options[:maxOptions]
	}
	return c
}

// place is one level of parentheses, up to the cursor.
type place struct {
	pipe   pipePlace
	terms  int // finished words since the pipe, or the level, began
	fields int // how many parentheses of fields are open
	// queries says that the pipe holds a query in parentheses.
	queries bool
}

type pipePlace uint8

const (
	pipeNone  pipePlace = iota // a filter stands here
	pipeStats                  // functions and fields
	pipeOther                  // fields
)

// walk is where the cursor is.
type walk struct {
	levels []place
	word   token  // that is being typed; empty, at the cursor, where none is
	quoted bool   // in quotes that are not closed
	field  string // a value of it is expected
	sign   bool   // an operator stands behind the field
}

func (w *walk) top() *place { return &w.levels[len(w.levels)-1] }

// walkTo reads the text of l to its end.
func walkTo(l lexer) walk {
	w := walk{levels: []place{{}}, word: token{pos: len(l.text), end: len(l.text)}}
	var prev token
	for pos := 0; ; {
		in := inName
		if w.field != "" {
			in = inValue
		}
		t, err := l.scan(pos, in)
		if err != nil {
			w.word, w.quoted = token{pos: t.pos, text: l.text[t.pos+1:]}, true
			return w
		}
		if t.kind == tokEnd {
			if t.spaced && prev.end < len(l.text) && !prev.is("(") && !prev.is(",") {
				w.field = ""
			}
			return w
		}
		if t.kind == tokWord && t.end == len(l.text) {
			w.word = t
			if t.spaced && !prev.is("(") && !prev.is(",") {
				w.field = ""
			}
			return w
		}
		w.step(t, prev)
		prev, pos = t, t.end
	}
}

// step takes a finished token.
func (w *walk) step(t, prev token) {
	at := w.top()
	switch {
	case t.is("("):
		level := place{pipe: at.pipe, terms: at.terms}
		switch {
		case at.pipe == pipeNone || prev.keyword("if", "case"):
			level = place{}
		case at.queries && (prev.keyword("union") || prev.is(")")): // of union and join
			level = place{}
		default:
			level.fields = at.fields + 1
		}
		at.terms++
		w.levels = append(w.levels, level)
	case t.is(")"):
		if len(w.levels) > 1 {
			w.levels = w.levels[:len(w.levels)-1]
		}
		w.field = ""
	case t.is("|"):
		*at, w.field = place{pipe: pipeOther}, ""
	case t.is(":") && at.pipe == pipeNone && (prev.kind == tokWord || prev.kind == tokString):
		w.sign = false
		if f, _, ok := event.FieldByName(prev.text); ok {
			w.field = f.Name
		}
	case t.kind == tokSign:
		w.sign = true
	case at.pipe != pipeNone && at.terms == 0:
		at.terms++
		switch {
		case t.keyword("filter", "where"):
			*at = place{}
		case t.keyword("stats", "by", "running_stats", "total_stats") || slices.Contains(statsFunctions(), strings.ToLower(t.text)):
			at.pipe = pipeStats
		case t.keyword("union", "join"):
			at.queries = true
		}
	default:
		at.terms++
		if !prev.is(":") && !prev.is("(") && !prev.is(",") || t.spaced {
			w.field = ""
		}
	}
}

// valueOptions are values, and operators while nothing has been typed.
func valueOptions(w walk, typed string) []Option {
	f, _, ok := event.FieldByName(w.field)
	if !ok {
		return nil
	}
	var out []Option
	for _, v := range f.Values {
		if strings.HasPrefix(v, strings.ToLower(typed)) {
			out = append(out, Option{Text: v, Kind: "value"})
		}
	}
	if typed != "" || w.sign {
		return out
	}
	operators := []Option{{"=", "operator", "the whole value"}, {"*", "operator", "any value"}, {"~\"", "operator", "a regular expression"}, {"in(", "operator", "one of several"}}
	if f.Type == event.FieldNumber || f.Type == event.FieldDuration || f.Type == event.FieldTime || len(f.Values) > 2 {
		operators = append(operators, Option{">=", "operator", "at least"}, Option{"<=", "operator", "at most"}, Option{">", "operator", "more"}, Option{"<", "operator", "less"})
	}
	return append(out, operators...)
}

// fieldOptions are fields of which a name begins so, then those that hold the text.
func fieldOptions(typed, behind string) []Option {
	typed = strings.ToLower(typed)
	var first, then []Option
	for _, f := range event.FieldCatalog() {
		o := Option{Text: f.Name + behind, Kind: "field", About: about(f)}
		names := []string{f.Name, f.ECS, f.OCSF, f.Path}
		switch {
		case strings.HasPrefix(f.Name, typed):
			first = append(first, o)
		case slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, typed) }):
			then = append(then, o)
		}
	}
	return append(first, then...)
}

// about describes a field in a few words.
func about(f *event.Field) string {
	kind := string(f.Type)
	if len(f.Values) > 0 {
		kind = oneOf(f.Values)
	} else if f.Repeats() {
		kind = "list of " + kind
	}
	if other := cmp.Or(f.ECS, f.OCSF, f.Path); other != f.Name {
		return kind + "; " + other
	}
	return kind
}

func words(typed string, behind bool) []Option {
	list := []Option{{"and ", "word", "both"}, {"or ", "word", "either"}, {"| ", "pipe", "count, sort or change what was found"}, {"not ", "word", "what follows must not hold"}}
	if !behind {
		list = list[3:]
	}
	return starting(list, typed)
}

func pipeOptions(typed string) []Option {
	kinds := pipeKinds()
	list := make([]Option, 0, len(kinds))
	for _, name := range pipeNames() {
		list = append(list, Option{name + " ", "pipe", kinds[name].about})
	}
	return starting(list, typed)
}

func functionOptions(typed string) []Option {
	var list []Option
	for _, name := range statsFunctions() {
		list = append(list, Option{Text: name + "(", Kind: "function"})
	}
	return starting(append(list, Option{"by (", "word", "a row for each group"}), typed)
}

func starting(list []Option, typed string) []Option {
	return slices.DeleteFunc(list, func(o Option) bool { return !strings.HasPrefix(o.Text, strings.ToLower(typed)) })
}
