package answers

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	"github.com/amoskys/amoskys/internal/logsql"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// span is a range of times in ns: from since, before until.
type span struct{ since, until int64 }

// clip returns the part of r that lies in o; it is empty if none does.
func (r span) clip(o span) span {
	c := span{max(r.since, o.since), min(r.until, o.until)}
	if c.until < c.since {
		c.until = c.since
	}
	return c
}

func (r span) empty() bool { return r.since >= r.until }

// turned refuses a range that ends before it begins, in which nothing can be: an empty
// answer would look like one.
func (r span) turned() error {
	beyond := r.since == noSince || r.since == noUntil || r.until == noUntil || r.until == noSince+1
	if !r.empty() || beyond {
		return nil
	}
	return status.Errorf(codes.InvalidArgument, "the range ends before it begins: it is from %s to %s", stamp(r.since), stamp(r.until-1))
}

// question is what to look for, in the engine's words, among what is stored now.
type question struct {
	filter string // without time; "" is all
	asked  span   // what the caller said; open ends are the ends of time
	held   []span // the days of asked that the engine has, oldest first
	place         // offsets from here on do not count
	again  uint64 // as stored has it
	now    int64
	// readings says that it may find readings, of which the store may keep some alone.
	readings bool
}

// The ends of time, for ranges that are open. The engine has no events outside.
const (
	noSince = math.MinInt64
	noUntil = math.MaxInt64
)

// farAhead is later than any event.
const farAhead = int64(280 * 366 * 24 * time.Hour)

// late is how long before now an event may have happened that is being stored. For
// older ones the log's offset is not looked at where that would cost much.
const late = int64(time.Hour)

// bound reads a bound of a range.
func bound(t *timestamppb.Timestamp, open int64) int64 {
	if t == nil {
		return open
	}
	// AsTime is within the years that UnixNano can tell for any clock of sense.
	at := t.AsTime()
	switch year := at.Year(); {
	case year < 1700:
		return noSince
	case year > 2250:
		return noUntil
	}
	return at.UnixNano()
}

// rangeOf reads a range of a request. The last instant belongs to it.
func rangeOf(since, until *timestamppb.Timestamp) span {
	r := span{bound(since, noSince), bound(until, noUntil)}
	if r.until != noUntil {
		r.until++
	}
	return r
}

// costs are why a question has the engine read every value of a field; of which events
// says a filter in the engine's words, "" for all.
type costs struct{ why, sieve string }

// filterText writes what a filter asks for as LogsQL for the engine, "" for all, and
// says what is costly about it.
func filterText(f *pb.Filter) (text string, costly costs, readings bool, err error) {
	var terms []string
	if len(f.GetTypes()) > 0 {
		types := make([]string, len(f.GetTypes()))
		for i, t := range f.GetTypes() {
			if types[i] = "type:=" + quoted(t); strings.HasSuffix(t, ".") {
				types[i] += "*"
			}
		}
		terms = append(terms, "("+strings.Join(types, " or ")+")")
	}
	for name, values := range map[string][]string{"host": f.GetHosts(), "agent": f.GetAgents()} {
		if len(values) > 0 {
			terms = append(terms, oneOf(name, values, hostname.Normal))
		}
	}
	if f.GetMinSeverity() > 0 {
		var words []string
		for n := range pb.Severity_name {
			if pb.Severity(n) >= f.GetMinSeverity() {
				words = append(words, event.SeverityText(pb.Severity(n)))
			}
		}
		terms = append(terms, oneOf("severity", words, nil))
	}
	if strings.TrimSpace(f.GetQuery()) != "" {
		q, err := logsql.Parse(f.GetQuery())
		if err != nil {
			return "", costs{}, false, badQuery(err)
		}
		if q.Pipes() {
			return "", costs{}, false, status.Error(codes.InvalidArgument, "a query with pipes has rows, not events: it can be run by Rows (amoskys query), not here")
		}
		costly = costs{q.Costly(), strings.TrimSpace(strings.Join(terms, " ") + " " + q.Sieve())}
		terms = append(terms, "("+q.Engine()+")")
		readings = mayFindReadings(f, q.MayFind)
	} else {
		readings = mayFindReadings(f, func(string) bool { return true })
	}
	return strings.Join(terms, " "), costly, readings, nil
}

// oneOf writes that a field has one of some values.
func oneOf(name string, values []string, normal func(string) string) string {
	list := make([]string, len(values))
	for i, v := range values {
		if normal != nil {
			v = normal(v)
		}
		list[i] = quoted(v)
	}
	return name + ":in(" + strings.Join(list, ",") + ")"
}

// badQuery says where and why a query is wrong.
func badQuery(err error) error {
	if syntax, ok := errors.AsType[*logsql.SyntaxError](err); ok {
		text := fmt.Sprintf("%s (position %d)", syntax.Message, syntax.Position)
		if syntax.Hint != "" {
			text += ": " + syntax.Hint
		}
		return status.Error(codes.InvalidArgument, text)
	}
	return status.Error(codes.InvalidArgument, err.Error())
}

// text writes the question for one range: exact asks for offsets below next only,
// otherwise only among events that may be so new that this matters.
func (q *question) text(r span, exact bool) string {
	parts := []string{fmt.Sprintf("_time:[%s, %s)", stamp(r.since), stamp(r.until))}
	if q.filter != "" {
		parts = append(parts, q.filter)
	}
	switch {
	case exact:
		parts = append(parts, q.before())
	case r.until > q.now-late:
		parts = append(parts, q.stored())
	}
	return strings.Join(parts, " ")
}

// stored is the condition that an event counts as stored now, where recent ones are
// looked at.
func (q *question) stored() string {
	recent := q.now - late
	return fmt.Sprintf(`(_time:<%s or %s)`, stamp(recent), q.before())
}

// before is the condition that an event is before the place, or of a log before.
func (p place) before() string {
	if p.log == 0 {
		return fmt.Sprintf(`"offset":<%d`, p.next)
	}
	return fmt.Sprintf(`("offset":<%d or !"log":=%d)`, p.next, p.log)
}

// query is what the engine is asked. A query inside of the filter, as in in(…), sees
// what was asked for and is stored, whichever window the one around it looks at.
func (q *question) query(text string) vlogs.Query {
	query := vlogs.Query{Text: text}
	if strings.Contains(q.filter, "|") {
		query.Filter = fmt.Sprintf("_time:[%s, %s) %s", stamp(max(q.asked.since, 0)), stamp(min(q.asked.until, farAhead)), q.stored())
	}
	return query
}

// whole is the range from the oldest to the newest that is held of what was asked.
func (q *question) whole() span {
	if len(q.held) == 0 {
		return span{}
	}
	return span{q.held[0].since, q.held[len(q.held)-1].until}
}
