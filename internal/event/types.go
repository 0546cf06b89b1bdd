package event

import (
	"errors"
	"fmt"
	"strings"
)

// Why CheckType refuses the type of an event.
var (
	ErrBadType      = errors.New("event type is not of lower-case words joined by dots, such as process.execution")
	ErrReservedType = errors.New("event type is reserved")
)

// First words of reserved types, and second words of findings that no kind of
// agent may have.
const (
	wordAudit   = "audit"
	wordFinding = "finding"
	wordHub     = "hub"
	wordMetric  = "metric"
)

// Maker is what makes an event, as far as the event's type depends on it.
type Maker uint8

// The makers of events. What the hub makes itself passes no check.
const (
	// MakerAgent makes every type but audit.*, and of findings finding.KIND.NAME,
	// where KIND is the kind of the agent.
	MakerAgent Maker = iota
	// MakerStore makes TypeMetricAlert and finding.metric.* alone.
	MakerStore
	// MakerAnalysis makes findings alone, of any type.
	MakerAnalysis
)

// CheckType is the one place that says who may make which type of event, by its
// body as well as by its type:
//
//	type or body          agent                      store             analysis
//	audit.*, Audit        no                         no                no
//	finding.*, Finding    finding.KIND.NAME, its     finding.metric.*  finding.*
//	                      own kind, not hub or       finding.metric_alert
//	                      metric
//	any other             yes                        no                no
//
// A type is of two or more words of a-z, 0-9 and _, joined by dots, so none has a
// second spelling. The error is ErrBadType or ErrReservedType, wrapped.
func (e *Envelope) CheckType(m Maker) error {
	typ := e.TypeString()
	if !IsType(typ) {
		return fmt.Errorf("%w: it is %.64q", ErrBadType, typ)
	}
	first, rest, _ := strings.Cut(typ, ".")
	finding := first == wordFinding
	switch {
	case first == wordAudit || e.HasAudit:
		return fmt.Errorf("%w: audit records, as this %.64q, are the hub's own", ErrReservedType, typ)
	case e.HasFinding && !finding:
		return fmt.Errorf("%w: the type of a finding begins with finding., not %.64q", ErrReservedType, typ)
	case finding && m == MakerStore && !e.HasFinding:
		return fmt.Errorf("%w: what a store makes has the body of a finding, unlike this %.64q", ErrReservedType, typ)
	case !finding && m != MakerAgent:
		return fmt.Errorf("%w: stores and analyses make findings alone, not %.64q", ErrReservedType, typ)
	case !finding || m == MakerAnalysis:
		return nil
	}
	second, _, named := strings.Cut(rest, ".")
	switch {
	case m == MakerStore && typ != TypeMetricAlert && (second != wordMetric || !named):
		return fmt.Errorf("%w: a store makes findings of type %s or finding.metric.NAME, not %.64q", ErrReservedType, TypeMetricAlert, typ)
	case m == MakerStore:
		return nil
	case !named || second == wordHub || second == wordMetric || second != string(e.AgentKind):
		return fmt.Errorf("%w: an agent of kind %.48q makes findings of type finding.KIND.NAME with its own kind, not %.64q",
			ErrReservedType, e.AgentKind, typ)
	}
	return nil
}

// IsType reports whether s is spelled as the type of an event: two or more words of
// a-z, 0-9 and _, joined by single dots.
func IsType(s string) bool {
	words, start := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.' && i > start:
			words, start = words+1, i+1
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
		default:
			return false
		}
	}
	return words > 0 && start < len(s)
}
