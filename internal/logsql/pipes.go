package logsql

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/event"
)

// pipeKind says what stands in a pipe, as far as names are concerned.
type pipeKind struct {
	about string // for completion
	// literal: texts in quotes are patterns, unless a word such as "from" says that a
	// name follows.
	literal bool
	math    bool // + - / are operators
	counts  bool // its rows are no events: only the names that it makes are left
	opens   bool // it makes names that nobody can know
	makes   []string
	refused string // why the pipe is not available
}

// pipeKinds are the pipes of the language.
func pipeKinds() map[string]pipeKind {
	stats := pipeKind{about: "count and compute, by groups", counts: true}
	return map[string]pipeKind{
		"stats": stats, "by": stats, "running_stats": {about: "totals so far"}, "total_stats": {about: "totals beside each row"},
		"filter": {about: "keep what matches"}, "where": {about: "keep what matches"},
		"fields": {about: "keep these fields"}, "keep": {about: "keep these fields"},
		"delete": {about: "drop these fields"}, "del": {about: "drop these fields"}, "rm": {about: "drop these fields"}, "drop": {about: "drop these fields"},
		"sort": {about: "put in order"}, "order": {about: "put in order"},
		"top":   {about: "the most frequent values", counts: true, makes: []string{"hits", "rank"}},
		"uniq":  {about: "each value once", counts: true, makes: []string{"hits"}},
		"limit": {about: "at most so many rows"}, "head": {about: "at most so many rows"},
		"offset": {about: "pass over rows"}, "skip": {about: "pass over rows"},
		"first": {about: "the first rows by a field"}, "last": {about: "the last rows by a field"},
		"copy": {about: "copy a field"}, "cp": {about: "copy a field"}, "rename": {about: "rename a field"}, "mv": {about: "rename a field"},
		"field_values":   {about: "values of a field", counts: true, makes: []string{"hits"}},
		"field_names":    {about: "names of fields", counts: true, makes: []string{"name", "hits"}},
		"facets":         {about: "frequent values of all fields", counts: true, makes: []string{"field_name", "field_value", "hits"}},
		"format":         {about: "make a text of fields", literal: true},
		"extract":        {about: "cut fields out of a text", literal: true, opens: true},
		"extract_regexp": {about: "cut fields out of a text", literal: true, opens: true},
		"replace":        {about: "replace text", literal: true}, "replace_regexp": {about: "replace text", literal: true},
		"split": {about: "cut a text to pieces", literal: true},
		"math":  {about: "compute", math: true}, "eval": {about: "compute", math: true},
		"len": {about: "length of a field"}, "hash": {about: "hash of a field"}, "unroll": {about: "a row for each value of a list"},
		"json_array_len": {about: "how many values a list has"}, "json_array_concat": {about: "join a list to a text", literal: true},
		"unpack_json": {about: "fields of a JSON text", opens: true}, "unpack_logfmt": {about: "fields of a logfmt text", opens: true},
		"unpack_syslog": {about: "fields of a syslog text", opens: true}, "unpack_words": {about: "words of a text", opens: true},
		"pack_json": {about: "one JSON text of fields"}, "pack_logfmt": {about: "one logfmt text of fields"},
		"collapse_nums": {about: "replace numbers"}, "decolorize": {about: "drop terminal colours"}, "drop_empty_fields": {about: "drop empty fields"},
		"coalesce": {about: "the first value that is set", literal: true}, "sample": {about: "one row of many"}, "time_add": {about: "shift times"},
		"union": {about: "rows of another query too", opens: true}, "join": {about: "rows of another query beside", opens: true},
		"set_stream_fields": {refused: "streams are host, agent and type"},
		"stream_context":    {refused: "the neighbours of an event come with its details"},
		"generate_sequence": {refused: "it has no events"},
		"query_stats":       {refused: "it has no events"}, "stats_remote": {refused: "it has no events"},
		"block_stats": {refused: "it has no events"}, "blocks_count": {refused: "it has no events"},
	}
}

func statsFunctions() []string {
	return []string{
		"any", "avg", "count", "count_empty", "count_uniq", "count_uniq_hash", "field_max", "field_min", "histogram",
		"json_values", "max", "median", "min", "quantile", "rate", "rate_sum", "row_any", "row_max", "row_min", "stddev",
		"sum", "sum_len", "uniq_values", "values",
	}
}

// pipeWords are words of pipes that are no names of fields, outside parentheses.
func pipeWords() []string {
	return []string{
		"by", "as", "from", "at", "on", "limit", "offset", "hits", "rank", "desc", "asc", "partition", "with", "filter",
		"fields", "keep_original_fields", "skip_empty_results", "preserve_keys", "result_prefix", "keep_const_fields",
		"max_values_per_field", "max_value_len", "drop_duplicates", "prettify", "default", "inner", "prefix", "switch", "sort", "case",
	}
}

// pipe reads one pipe.
func (p *parser) pipe() *SyntaxError {
	t := p.peek(inName)
	p.out.mark(t.pos)
	name := strings.ToLower(t.text)
	k, known := pipeKinds()[name]
	next := p.after(t, inName)
	switch {
	case t.kind != tokWord || t.keyword("not") || !known && next.is(":"):
		return p.filterPipe(t.pos)
	case known && k.refused != "":
		return faultAt(t.pos, "the pipe %s is not available: %s", name, k.refused)
	case name == "filter" || name == "where":
		p.at = t.end
		return p.filterPipe(p.at)
	case name == "union" || name == "join":
		p.at = t.end
		return p.joined(name)
	case name == "by" || !known && slices.Contains(statsFunctions(), name) && next.is("("):
		name, k = "stats", pipeKinds()["stats"]
	case !known:
		err := faultAt(t.pos, "there is no pipe %q", t.text)
		err.Hint = nearestOf(name, pipeNames())
		return err
	default:
		p.at = t.end
	}
	p.counted = p.counted || p.depth == 0 && slices.Contains(fewRows(), name)
	w := pipeWalk{p: p, name: name, kind: k, scope: p.names.clone()}
	var err *SyntaxError
	text := p.written(func() { err = w.walk() })
	if err != nil {
		return err
	}
	if p.growth = max(p.growth, 1) * growth(name, w.texts); p.growth > mostGrowth {
		return faultAt(t.pos, "the pipes up to here may make a text more than %d times longer", mostGrowth)
	}
	for _, u := range w.unpacked {
		p.out.raw(u, " | ")
	}
	p.out.raw(name, " ")
	p.out.differing(text[0], text[1])
	w.emptyNones()
	w.leave()
	return nil
}

// emptyNones makes results empty that have no value, in front of what sorts and filters
// them: the engine says NaN, and sorts that, as a text, above all numbers.
func (w *pipeWalk) emptyNones() {
	w.endNone("")
	for _, name := range w.nones {
		w.p.out.raw("| format if (", quote(name), `:="NaN") "" as `, quote(name), " ")
	}
}

// mayBeNone reports whether a function of stats is no number where nothing has a value.
func mayBeNone(function string) bool {
	return slices.Contains([]string{"avg", "rate_sum", "stddev", "sum"}, function)
}

// endNone ends a function of stats, whose result the query calls name, or "" where it
// does not.
func (w *pipeWalk) endNone(name string) {
	if w.none != "" {
		w.nones = append(w.nones, cmp.Or(name, w.none))
		w.none = ""
	}
}

func pipeNames() []string {
	var out []string
	for name, k := range pipeKinds() {
		if k.refused == "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// fewRows are pipes that give out few rows, however many they are given.
func fewRows() []string {
	return []string{"stats", "top", "uniq", "limit", "head", "field_values", "field_names", "facets"}
}

func (p *parser) filterPipe(pos int) *SyntaxError {
	p.at = pos
	p.out.raw("filter ")
	before := p.cost
	err := p.or(target{}, false)
	after := p.cost
	p.cost = before
	p.cost.program = after.program
	if p.depth == 0 && !p.counted {
		p.cost.read = after.read
	}
	return err
}

// joined reads join and union, which hold a query.
func (p *parser) joined(name string) *SyntaxError {
	p.subquery = true
	p.out.raw(name, " ")
	if name == "join" {
		t := p.peek(inName)
		if t.keyword("by", "on") {
			p.at = t.end
		}
		w := pipeWalk{p: p, name: name, scope: p.names.clone(), one: true}
		p.out.raw("by ")
		if err := w.walk(); err != nil {
			return err
		}
		if len(w.unpacked) > 0 {
			return faultAt(t.pos, "join needs fields of their own: a label is part of one")
		}
	}
	if err := p.expect("(", inName); err != nil {
		return err
	}
	outer := p.names
	p.names = scope{}
	p.out.raw("(")
	err := p.inside(p.body)
	p.out.raw(")")
	p.names = outer
	p.names.open = true
	if err != nil {
		return err
	}
	if err := p.expect(")", inName); err != nil {
		return err
	}
	for p.peek(inName).keyword("inner", "prefix") {
		t := p.take(inName)
		p.out.raw(" ", strings.ToLower(t.text))
		if t.keyword("prefix") {
			p.out.raw(" ", quote(p.take(inValue).text))
		}
	}
	return nil
}

// pipeWalk copies the words of one pipe and puts the engine's names for ours.
type pipeWalk struct {
	p     *parser
	name  string
	kind  pipeKind
	scope scope // of the rows that the pipe is given
	one   bool  // only what is in the first parentheses
	depth int
	// used and made are names in the engine's words.
	used, made []string
	unnamed    bool // a result has no name
	// nones are the results that the engine calls NaN where a group has no value, and none
	// is the one of the function that is being read, as the engine names it itself.
	nones    []string
	none     string
	unpacked []string
	texts    []string // patterns
	prev     walked
}

// walked is what stood in front.
type walked uint8

const (
	walkedOther walked = iota
	walkedName
	walkedClose  // )
	walkedAs     // as: a name is made
	walkedSource // from, at, by, fields: a name follows
)

func (w *pipeWalk) context() context {
	if w.kind.math {
		return inMath
	}
	return inName
}

func (w *pipeWalk) walk() *SyntaxError {
	for {
		t := w.p.peek(w.context())
		if w.depth == 0 && t.ends() {
			return nil
		}
		if t.kind == tokEnd {
			return faultAt(t.pos, "a closing ) is missing")
		}
		if w.depth > maxDepth {
			return faultAt(t.pos, "the query is nested deeper than %d", maxDepth)
		}
		w.p.at = t.end
		if err := w.token(t); err != nil {
			return err
		}
		if w.one && w.depth == 0 {
			return nil
		}
	}
}

func (w *pipeWalk) token(t token) *SyntaxError {
	out := &w.p.out
	next := w.p.after(t, w.context())
	switch {
	case t.kind == tokSign:
		w.sign(t)
		return nil
	case t.keyword("if", "case") && next.is("("):
		w.p.at = next.end
		out.raw(strings.ToLower(t.text), " (")
		outer := w.p.names
		w.p.names = w.scope
		err := w.p.inside(func() *SyntaxError { return w.p.or(target{}, false) })
		w.p.names = outer
		if err != nil {
			return err
		}
		out.raw(") ")
		w.prev = walkedClose
		return w.p.expect(")", inName)
	case w.prev == walkedAs, w.depth == 0 && (w.prev == walkedName || w.prev == walkedClose) && !w.isWord(t, next) && !next.is("("):
		return w.result(t, next)
	case t.kind == tokString && w.kind.literal && w.prev != walkedSource:
		text := t.text
		w.texts = append(w.texts, text)
		if w.name == "format" {
			text = w.formatted(text)
		}
		out.raw(quote(text), " ")
		w.prev = walkedOther
		return nil
	case t.kind == tokWord && isNumberText(t.text):
		out.raw(t.text, " ")
		w.prev = walkedOther
		return nil
	case t.kind == tokWord && next.is("("), w.isWord(t, next):
		out.raw(strings.ToLower(t.text), " ")
		w.prev = walkedOther
		switch {
		case t.keyword("as", "result_prefix", "prefix"):
			w.prev = walkedAs
		case t.keyword("from", "at", "by", "fields"):
			w.prev = walkedSource
		}
		if w.name == "stats" && w.depth == 0 && next.is("(") && mayBeNone(strings.ToLower(t.text)) {
			w.none = strings.ToLower(t.text)
		}
		w.unnamed = w.unnamed || w.kind.counts && w.depth == 0 && next.is("(") && slices.Contains(statsFunctions(), strings.ToLower(t.text))
		return nil
	}
	return w.field(t, next)
}

// isWord reports whether the token is a word of the pipe's own.
func (w *pipeWalk) isWord(t, next token) bool {
	if w.depth > 0 {
		return t.keyword("desc", "asc") && w.prev == walkedName || t.keyword("offset", "limit") && isNumberText(next.text)
	}
	if w.name == "stats" { // hits, rank and others are results there
		return t.keyword("by", "as", "limit", "sort", "switch", "default", "offset")
	}
	return t.keyword(pipeWords()...)
}

// sign copies a delimiter. A colon is followed by the size of a group.
func (w *pipeWalk) sign(t token) {
	out := &w.p.out
	w.prev = walkedOther
	if t.text == "," && w.depth == 0 {
		w.endNone("")
	} else if w.none != "" && (w.depth > 0 || t.text == "(") {
		w.none += t.text
		if t.text == "," {
			w.none += " "
		}
	}
	switch t.text {
	case "(":
		w.depth++
	case ")":
		w.depth--
		w.prev = walkedClose
	case ":":
		size := w.p.take(inValue)
		if size.kind == tokWord && isTimeText(size.text) {
			out.raw(":", size.text, " ")
		} else {
			out.raw(":", quote(size.text), " ")
		}
		return
	}
	out.raw(t.text, " ")
}

// result is a name that the pipe makes.
func (w *pipeWalk) result(t, next token) *SyntaxError {
	w.p.out.raw(quote(t.text))
	if next.is("*") && !next.spaced {
		w.p.at = next.end
		w.p.out.raw("*")
	}
	w.p.out.raw(" ")
	w.endNone(t.text)
	w.made = append(w.made, t.text)
	w.unnamed = false
	w.prev = walkedOther
	return nil
}

// field is the name of one that exists.
func (w *pipeWalk) field(t, next token) *SyntaxError {
	w.prev = walkedName
	if next.is("*") && !next.spaced && !w.kind.math {
		w.p.at = next.end
		w.p.out.raw(quote(t.text), "* ")
		return nil
	}
	tg, err := w.scope.resolve(t.text, t.pos)
	if err != nil {
		return err
	}
	name := tg.name
	if tg.kind == targetEntry {
		if tg.field.Repeats() {
			return faultAt(t.pos, "%s belongs to one of several values: it cannot be used here", t.text)
		}
		name = w.unpack(tg)
	}
	w.used = append(w.used, name)
	if w.none != "" {
		w.none += name
	}
	w.p.out.raw(quote(name))
	if after := w.p.peek(inName); !after.is(":") {
		w.p.out.raw(" ")
	}
	return nil
}

// unpack makes a field of an entry of a map, by a pipe in front.
func (w *pipeWalk) unpack(tg target) string {
	u := "unpack_json from " + quote(tg.name) + " fields (" + quote(tg.key) + ") result_prefix " + quote(tg.name+".")
	if !slices.Contains(w.unpacked, u) {
		w.unpacked = append(w.unpacked, u)
	}
	return tg.name + "." + tg.key
}

// formatted puts the engine's names into a pattern such as "<process.name> on <host>".
func (w *pipeWalk) formatted(pattern string) string {
	return regexp.MustCompile(`<([a-z_]+:)?([^<>:]+)>`).ReplaceAllStringFunc(pattern, func(s string) string {
		inner := strings.Trim(s, "<>")
		how, name, ok := strings.Cut(inner, ":")
		if !ok {
			how, name = "", inner
		} else {
			how += ":"
		}
		tg, err := w.scope.resolve(name, 0)
		if err != nil || tg.kind == targetEntry {
			return s
		}
		return "<" + how + tg.name + ">"
	})
}

// leave says what the names of the rows behind the pipe mean.
func (w *pipeWalk) leave() {
	names := &w.p.names
	if w.kind.counts {
		open := names.open
		*names = scope{shaped: true, open: w.unnamed || open}
		for _, n := range slices.Concat(w.used, w.kind.makes) {
			names.make(n)
		}
	}
	names.open = names.open || w.kind.opens
	for _, n := range w.made {
		names.make(n)
	}
}

func isNumberText(s string) bool {
	digits := strings.TrimLeft(s, "-+.")
	return digits != "" && digits[0] >= '0' && digits[0] <= '9' && isTimeText(s)
}

// nearestOf is the word of the list that is spelled most like name; empty where none is.
func nearestOf(name string, list []string) string {
	best, distance := "", max(2, len(name)/3)+1
	for _, s := range list {
		if d := event.EditDistance(name, s); d < distance {
			best, distance = s, d
		}
	}
	return best
}
