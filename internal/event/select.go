package event

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Selector holds events against the lists of a pb.Filter: types, agents, hosts and the
// lowest severity. They are in an event's envelope, so nothing is decoded. The query of
// the filter is for others (package logsql). A nil Selector lets everything through.
type Selector struct {
	types    []string
	prefixes []string // of types, each ending in "."
	agents   []string
	hosts    []string
	severity pb.Severity
}

// NewSelector returns nil for a filter whose lists let everything through.
func NewSelector(f *pb.Filter) *Selector {
	s := &Selector{agents: normalNames(f.GetAgents()), hosts: normalNames(f.GetHosts()), severity: f.GetMinSeverity()}
	for _, t := range f.GetTypes() {
		if strings.HasSuffix(t, ".") {
			s.prefixes = append(s.prefixes, t)
		} else {
			s.types = append(s.types, t)
		}
	}
	if len(s.types)+len(s.prefixes)+len(s.agents)+len(s.hosts) == 0 && s.severity <= 0 {
		return nil
	}
	return s
}

// normalNames brings names into the form in which they are compared.
func normalNames(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = hostname.Normal(n)
	}
	return out
}

// Match decides on one encoded event, whose envelope alone it reads: the hub has looked
// at all of it before it came into the log. One whose envelope cannot be read matches
// nothing.
func (s *Selector) Match(encoded []byte) bool {
	if s == nil {
		return true
	}
	var e Envelope
	return e.glance(encoded) && e.Severity >= s.severity && s.matchType(e.TypeString()) &&
		holds(s.agents, e.AgentID) && holds(s.hosts, e.HostName)
}

// glance takes type, severity and names of an event, steps over all else, and reports
// whether its fields could be told apart.
func (e *Envelope) glance(b []byte) bool {
	for len(b) > 0 {
		num, typ, n := consumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return false
			}
			if num == 4 && typ == protowire.VarintType {
				v, _ := protowire.ConsumeVarint(b)
				e.takeSeverity(v)
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return false
		}
		switch int32(num) {
		case 3:
			e.Type = v
		case 5:
			firstStrings(v, &e.AgentID, &e.AgentKind)
		case 6:
			firstStrings(v, &e.HostName, nil)
		}
		b = b[n:]
	}
	return true
}

func (s *Selector) matchType(t string) bool {
	return len(s.types)+len(s.prefixes) == 0 || slices.Contains(s.types, t) ||
		slices.ContainsFunc(s.prefixes, func(p string) bool { return strings.HasPrefix(t, p) })
}

// holds reports whether an empty list, or one with the name, is given.
func holds(list []string, name []byte) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(s string) bool { return hostname.Is(name, s) })
}
