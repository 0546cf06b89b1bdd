package live

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	"github.com/amoskys/amoskys/internal/logsql"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// plan is how to find the events that a request asks for: cheap tests on the index
// first, then the query on what is left.
type plan struct {
	since, until int64

	types, agents, hosts []string // of pb.Filter; types may end in "."
	minSeverity          uint8

	// query is nil when it matches all.
	query *logsql.Query
}

// newPlan reads a request. A bad query is INVALID_ARGUMENT.
func newPlan(f *pb.Filter, since, until int64) (*plan, error) {
	p := &plan{
		since: since, until: until, types: f.GetTypes(), agents: normal(f.GetAgents()), hosts: normal(f.GetHosts()),
		minSeverity: uint8(min(max(f.GetMinSeverity(), 0), 255)),
	}
	q, err := logsql.Parse(f.GetQuery())
	if err != nil {
		if syntax, ok := errors.AsType[*logsql.SyntaxError](err); ok {
			return nil, status.Error(codes.InvalidArgument, fmt.Sprintf("%s (position %d)", syntax, syntax.Position))
		}
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if q.All() {
		return p, nil
	}
	if _, err := q.Matcher(); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	p.query = q
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
	rows  *logsql.Matcher // of the plan's query
	event pb.Event
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
	if m.query != nil && m.rows == nil {
		m.rows, _ = m.query.Matcher() // newPlan has seen that there is one
	}
	return true
}

func (p *plan) flagsOf(name string) uint8 {
	var flags uint8
	if matchesType(p.types, name) {
		flags |= typeOK
	}
	if len(p.hosts) == 0 || slices.Contains(p.hosts, name) {
		flags |= hostOK
	}
	if len(p.agents) == 0 || slices.Contains(p.agents, name) {
		flags |= agentOK
	}
	return flags
}

func matchesType(types []string, name string) bool {
	return len(types) == 0 || slices.ContainsFunc(types, func(t string) bool {
		return t == name || strings.HasSuffix(t, ".") && strings.HasPrefix(name, t)
	})
}

// match says whether entry i of the block matches.
func (m *matcher) match(v *blockView, i int) bool {
	m.fresh = false
	e := &v.entries[i]
	if e.time < m.since || e.time > m.until || e.severity < m.minSeverity ||
		m.flags[e.typ]&typeOK == 0 || m.flags[e.host]&hostOK == 0 || m.flags[e.agent]&agentOK == 0 {
		return false
	}
	return m.query == nil || m.rows.Match(v.raw(e), v.names[e.publisher], e.offset, time.Unix(0, e.logged))
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
