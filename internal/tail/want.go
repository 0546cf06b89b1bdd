package tail

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/logsql"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
)

// Want is what a person asks for, in words.
type Want struct {
	Query                string // in the language of docs/query.md
	Types, Agents, Hosts []string
	Severity             string // the lowest wanted, such as "medium"; empty for all
	Since                string // a duration back from Now, or a time in RFC 3339
	From                 int64  // first offset, unless negative
	All                  bool   // from the oldest event on
	Cursor               string // durable place in the log to go on from
	NoFollow             bool   // end at the last event
	Now                  time.Time
}

// Request turns w into what is read of the hub. Without a start it begins with the
// next event to come. The error says what would be right.
func (w *Want) Request() (reader.Request, error) {
	r := reader.Request{
		Cursor: w.Cursor, NoFollow: w.NoFollow,
		Filter: &pb.Filter{Types: w.Types, Agents: w.Agents, Hosts: w.Hosts},
	}
	if err := w.match(&r); err != nil {
		return reader.Request{}, err
	}
	if w.Severity != "" {
		n, ok := pb.Severity_value["SEVERITY_"+strings.ToUpper(w.Severity)]
		if !ok || n == 0 {
			return reader.Request{}, fmt.Errorf("severity %q is not known; valid: informational, low, medium, high, critical", w.Severity)
		}
		r.Filter.MinSeverity = pb.Severity(n)
	}
	switch {
	case w.Since != "":
		at, err := parseSince(w.Since, w.Now)
		if err != nil {
			return reader.Request{}, err
		}
		r.Start.Time = at
	case w.From >= 0:
		r.Start.Offset, r.Resume = uint64(w.From), true
	case !w.All && w.Cursor == "":
		r.Start.Tail = true
	}
	return r, nil
}

// match has the query applied here. A fault in it is shown under the query.
func (w *Want) match(r *reader.Request) error {
	q, err := logsql.Parse(w.Query)
	if fault, ok := errors.AsType[*logsql.SyntaxError](err); ok {
		return fmt.Errorf("query: %w\n  %s\n  %*s^", err, w.Query, utf8.RuneCountInString(w.Query[:min(fault.Position, len(w.Query))]), "")
	}
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	if q.All() {
		return nil
	}
	m, err := q.Matcher()
	if err != nil {
		return fmt.Errorf("query: %w: amoskys query is for those", err)
	}
	r.Match = m
	return nil
}

func parseSince(s string, now time.Time) (time.Time, error) {
	at, err := cli.When(s, now)
	if err != nil {
		return at, fmt.Errorf("since %w", err)
	}
	return at, nil
}
