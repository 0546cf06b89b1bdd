package hub

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/filter"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on a subscription's filter.
const (
	maxFilterWords = 1000
	maxQueryBytes  = 16 << 10
)

// matcher decides which events a subscription gets. The lists are held against
// the envelope alone; only what passes them is decoded, and only for a query.
type matcher struct {
	types    []string
	prefixes []string // of types, each ending in "."
	agents   []string
	hosts    []string
	severity pb.Severity
	query    *filter.Filter
	decoded  *pb.Event
}

// newMatcher returns nil for a filter that lets everything through.
func newMatcher(f *pb.Filter) (*matcher, error) {
	if n := len(f.GetTypes()) + len(f.GetAgents()) + len(f.GetHosts()); n > maxFilterWords {
		return nil, fmt.Errorf("filter lists %d words, at most %d are allowed", n, maxFilterWords)
	}
	if len(f.GetQuery()) > maxQueryBytes {
		return nil, fmt.Errorf("query is longer than %d bytes", maxQueryBytes)
	}
	m := &matcher{agents: f.GetAgents(), hosts: f.GetHosts(), severity: f.GetMinSeverity()}
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

// match decides on one encoded event. An event that cannot be read matches
// nothing.
func (m *matcher) match(encoded []byte) bool {
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
	return proto.Unmarshal(encoded, m.decoded) == nil && m.query.Match(m.decoded)
}

func (m *matcher) matchType(t string) bool {
	return len(m.types)+len(m.prefixes) == 0 || slices.Contains(m.types, t) ||
		slices.ContainsFunc(m.prefixes, func(p string) bool { return strings.HasPrefix(t, p) })
}

// contains reports whether an empty list, or one with the word, is given.
func contains(list []string, word []byte) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(s string) bool { return s == string(word) })
}
