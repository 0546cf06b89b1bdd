package live

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/filter"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// plan is how to find the events that a request asks for: cheap tests on the
// index first, then on the grams, and decoding for what is left.
type plan struct {
	since, until int64

	types, agents, hosts []string // of pb.Filter; types may end in "."
	minSeverity          uint8

	// query is nil when it matches all.
	query *filter.Filter
	// indexed: the query speaks of type, host, agent and severity alone.
	indexed bool
	// words is the query when it is of free words, otherwise nil.
	words *wordQuery
	// needs are values, in lower case, one of which the field must equal; nil
	// lets every value pass.
	needType, needHost, needAgent []string
	needSeverity                  []uint8
	// literals: of each list an event must hold one.
	literals [][]literal
}

// newPlan reads a request. A bad query is INVALID_ARGUMENT.
func newPlan(f *pb.Filter, since, until int64) (*plan, error) {
	p := &plan{
		since: since, until: until, types: f.GetTypes(), agents: normal(f.GetAgents()), hosts: normal(f.GetHosts()),
		minSeverity: uint8(min(max(f.GetMinSeverity(), 0), 255)),
	}
	q, err := filter.Parse(f.GetQuery())
	if err != nil {
		if syntax, ok := errors.AsType[*filter.SyntaxError](err); ok {
			return nil, status.Error(codes.InvalidArgument, fmt.Sprintf("%s (position %d)", syntax.Message, syntax.Position))
		}
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if q.All() {
		return p, nil
	}
	p.query = q
	p.indexed = indexOnly(f.GetQuery())
	p.words = newWordQuery(f.GetQuery())
	p.needType, _ = q.Require("type")
	p.needHost, _ = q.Require("host")
	p.needAgent, _ = q.Require("agent")
	if names, ok := q.Require("severity"); ok {
		p.needSeverity = severities(names)
	}
	p.literals = literalsOf(q)
	return p, nil
}

// normal brings names into the form in which the ring keeps them.
func normal(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = hostname.Normal(n)
	}
	return out
}

func severities(names []string) []uint8 {
	found := []uint8{}
	for n := range pb.Severity_name {
		if slices.Contains(names, event.SeverityText(pb.Severity(n))) {
			found = append(found, uint8(n))
		}
	}
	return found
}

// literalFields are the fields whose values are text or numbers, by which a
// literal in Filter.Require can be looked for. The index has the others.
var literalFields = sync.OnceValue(func() []*event.Field { //nolint:gochecknoglobals // immutable once built
	var fields []*event.Field
	for _, f := range event.FieldCatalog() {
		plain := f.Type == event.FieldKeyword && len(f.Values) == 0 || f.Type == event.FieldNumber
		if plain && f.Name != "type" && f.Name != "host" && f.Name != "agent" {
			fields = append(fields, f)
		}
	}
	return fields
})

// isNotCanonical says that a number could be written in another way.
func isNotCanonical(s string) bool {
	return !(s != "" && len(s) <= 15 && s[0] != '0' && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' }))
}

// literalsOf finds texts without which an event cannot match.
func literalsOf(q *filter.Filter) [][]literal {
	var all [][]literal
	for _, field := range literalFields() {
		values, ok := q.Require(field.Name)
		if ok && (field.Type == event.FieldKeyword || !slices.ContainsFunc(values, isNotCanonical)) {
			all = addLiterals(all, values)
		}
	}
	for _, word := range requiredWords(q.String()) {
		all = addLiterals(all, []string{word})
	}
	return all
}

// addLiterals adds a list of which one must be there. If one of them cannot be
// looked for, the list is of no use.
func addLiterals(all [][]literal, values []string) [][]literal {
	var list []literal
	for _, v := range values {
		l, ok := newLiteral(v)
		if !ok {
			return all
		}
		list = append(list, l)
	}
	return append(all, list)
}

// requiredWords returns the free words of a query that is a plain conjunction,
// as most are; nothing for any other.
func requiredWords(q string) []string {
	if strings.ContainsAny(q, "()'`\\") || strings.Count(q, `"`)%2 != 0 {
		return nil
	}
	var words []string
	for i, part := range strings.Split(q, `"`) {
		if i%2 == 1 {
			// A phrase of its own stands between blanks; others belong to a field.
			if before := strings.Split(q, `"`)[i-1]; before == "" && i == 1 || strings.HasSuffix(before, " ") {
				words = append(words, part)
			}
			continue
		}
		for word := range strings.FieldsSeq(part) {
			switch lower := strings.ToLower(word); {
			case lower == "or", lower == "not", word[0] == '-', word[0] == '!':
				return nil
			case lower == "and", strings.ContainsAny(word, "*:,"):
			default:
				words = append(words, word)
			}
		}
	}
	return words
}

// indexTerm is a term that the index answers alone.
var indexTerm = sync.OnceValue(func() *regexp.Regexp { //nolint:gochecknoglobals // immutable once built
	const value = `(?:"[^"\s\\]*"|[\w.*/-]+)`
	return regexp.MustCompile(`^(?i:and|or|not)$|^[-!]?\(*[-!]?(?:type|host|agent|severity):(?:(?:=|>=?|<=?)?` +
		value + `|in\(` + value + `(?:,` + value + `)*\))\)*$`)
})

func indexOnly(q string) bool {
	for term := range strings.FieldsSeq(q) {
		if !indexTerm().MatchString(term) {
			return false
		}
	}
	return true
}

// Flags of a name in a block.
const (
	typeOK = 1 << iota
	hostOK
	agentOK
)

// matcher applies a plan to one block. It is used by one goroutine.
type matcher struct {
	*plan
	flags []uint8
	memo  map[uint64]bool
	event pb.Event
	grams []gram
	// fresh says that event holds the entry that match looked at last.
	fresh bool
}

// begin prepares for a block; false says that nothing in it can match.
func (m *matcher) begin(v *blockView) bool {
	if v.maxTime < m.since || v.minTime > m.until {
		return false
	}
	m.flags = slices.Grow(m.flags[:0], len(v.names))[:len(v.names)]
	var some uint8
	for i, name := range v.names {
		m.flags[i] = m.flagsOf(name)
		some |= m.flags[i]
	}
	if some != typeOK|hostOK|agentOK {
		return false
	}
	m.memo = nil
	m.grams = nil
	if m.query != nil && !m.indexed && len(m.literals) > 0 && v.sealed {
		m.grams = v.block.buildGrams()
	}
	return true
}

func (p *plan) flagsOf(name string) uint8 {
	var flags uint8
	if matchesType(p.types, name) && needed(p.needType, name) {
		flags |= typeOK
	}
	if (len(p.hosts) == 0 || slices.Contains(p.hosts, name)) && needed(p.needHost, name) {
		flags |= hostOK
	}
	if (len(p.agents) == 0 || slices.Contains(p.agents, name)) && needed(p.needAgent, name) {
		flags |= agentOK
	}
	return flags
}

func matchesType(types []string, name string) bool {
	return len(types) == 0 || slices.ContainsFunc(types, func(t string) bool {
		return t == name || strings.HasSuffix(t, ".") && strings.HasPrefix(name, t)
	})
}

func needed(values []string, name string) bool {
	return values == nil || slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, name) })
}

// match says whether entry i of the block matches.
func (m *matcher) match(v *blockView, i int) bool {
	m.fresh = false
	e := &v.entries[i]
	if e.time < m.since || e.time > m.until || e.severity < m.minSeverity ||
		m.flags[e.typ]&typeOK == 0 || m.flags[e.host]&hostOK == 0 || m.flags[e.agent]&agentOK == 0 {
		return false
	}
	if m.query == nil {
		return true
	}
	if m.needSeverity != nil && !slices.Contains(m.needSeverity, e.severity) {
		return false
	}
	if m.indexed {
		return m.matchIndex(m.query, v, e)
	}
	if m.words != nil && m.words.rest != nil && !m.matchIndex(m.words.rest, v, e) {
		return false
	}
	if m.grams != nil && !m.mayMatch(&m.grams[i]) {
		return false
	}
	if m.words != nil && m.words.inTexts(v.raw(e)) {
		return true
	}
	ev := m.decode(v, e)
	return ev != nil && m.query.Match(ev)
}

func (m *matcher) mayMatch(g *gram) bool {
	for _, list := range m.literals {
		if !slices.ContainsFunc(list, g.mayHold) {
			return false
		}
	}
	return true
}

// matchIndex asks a query about an event that has what the index knows, once
// for each combination in the block.
func (m *matcher) matchIndex(q *filter.Filter, v *blockView, e *entry) bool {
	combination := uint64(e.typ) | uint64(e.host)<<16 | uint64(e.agent)<<32 | uint64(e.severity)<<48
	if known, ok := m.memo[combination]; ok {
		return known
	}
	ev := &pb.Event{Type: v.names[e.typ], Severity: pb.Severity(e.severity)}
	if agent := v.names[e.agent]; agent != "" {
		ev.Agent = &pb.Agent{Id: agent}
	}
	if host := v.names[e.host]; host != "" {
		ev.Host = &pb.Host{Name: host}
	}
	if m.memo == nil {
		m.memo = map[uint64]bool{}
	}
	matched := q.Match(ev)
	m.memo[combination] = matched
	return matched
}

// decode returns the event of an entry, valid until the next call; nil when it
// cannot be read.
func (m *matcher) decode(v *blockView, e *entry) *pb.Event {
	if m.fresh {
		return &m.event
	}
	if proto.Unmarshal(v.raw(e), &m.event) != nil {
		return nil
	}
	event.Attribute(&m.event, v.names[e.publisher])
	m.fresh = true
	return &m.event
}

// noBound are the ends of a range that is open.
const (
	noSince = math.MinInt64
	noUntil = math.MaxInt64
)
