// Package match decides which events a subscription gets, in the hub and in the
// readers inside its process alike: by the lists and the query of a pb.Filter.
package match

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/filter"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// maxQueryBytes bounds a subscription's query. Its lists are bounded as those of
// every message are, by scales.
const maxQueryBytes = 16 << 10

// Matcher decides which events a subscription gets. The lists are held against
// the envelope alone; only what passes them is decoded, and only for a query. A nil
// Matcher lets everything through. It is for one goroutine.
type Matcher struct {
	types    []string
	prefixes []string // of types, each ending in "."
	agents   []string
	hosts    []string
	severity pb.Severity
	query    *filter.Filter
	decoded  *pb.Event
}

// New returns nil for a filter that lets everything through.
func New(f *pb.Filter) (*Matcher, error) {
	if len(f.GetQuery()) > maxQueryBytes {
		return nil, fmt.Errorf("query is longer than %d bytes", maxQueryBytes)
	}
	m := &Matcher{agents: normal(f.GetAgents()), hosts: normal(f.GetHosts()), severity: f.GetMinSeverity()}
	for _, t := range f.GetTypes() {
		if strings.HasSuffix(t, ".") {
			m.prefixes = append(m.prefixes, t)
		} else {
			m.types = append(m.types, t)
		}
	}
	if strings.TrimSpace(f.GetQuery()) != "" {
		query, err := filter.Parse(f.GetQuery())
		if err != nil {
			if fault, ok := errors.AsType[*filter.SyntaxError](err); ok {
				return nil, fmt.Errorf("query, at %d: %w", fault.Position, err)
			}
			return nil, fmt.Errorf("query: %w", err)
		}
		m.query, m.decoded = query, new(pb.Event)
	}
	if len(m.types)+len(m.prefixes)+len(m.agents)+len(m.hosts) == 0 && m.severity <= 0 && m.query == nil {
		return nil, nil //nolint:nilnil // no matcher is what lets everything through
	}
	return m, nil
}

// normal brings names into the form in which they are compared.
func normal(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = hostname.Normal(n)
	}
	return out
}

// Match decides on one encoded event, which came from publisher. An event that
// cannot be read matches nothing.
func (m *Matcher) Match(encoded []byte, publisher string) bool {
	if m == nil {
		return true
	}
	e, err := event.Inspect(encoded)
	if err != nil {
		return false
	}
	if e.Severity < m.severity || !m.matchType(e.TypeString()) ||
		!contains(m.agents, e.AgentID) || !contains(m.hosts, e.HostName) {
		return false
	}
	if m.query == nil {
		return true
	}
	proto.Reset(m.decoded)
	if proto.Unmarshal(encoded, m.decoded) != nil {
		return false
	}
	event.Attribute(m.decoded, publisher)
	return m.query.Match(m.decoded)
}

func (m *Matcher) matchType(t string) bool {
	return len(m.types)+len(m.prefixes) == 0 || slices.Contains(m.types, t) ||
		slices.ContainsFunc(m.prefixes, func(p string) bool { return strings.HasPrefix(t, p) })
}

// contains reports whether an empty list, or one with the name, is given.
func contains(list []string, name []byte) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(s string) bool { return hostname.Is(name, s) })
}
