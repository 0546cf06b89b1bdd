package tail

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/filter"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
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

// Request turns w into what the hub is asked. Without a start it begins with the
// next event to come. The error says what would be right.
func (w *Want) Request() (*pb.SubscribeRequest, error) {
	if _, err := filter.Parse(w.Query); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	r := &pb.SubscribeRequest{
		Cursor: w.Cursor, NoFollow: w.NoFollow,
		Filter: &pb.Filter{Types: w.Types, Agents: w.Agents, Hosts: w.Hosts, Query: w.Query},
	}
	if w.Severity != "" {
		n, ok := pb.Severity_value["SEVERITY_"+strings.ToUpper(w.Severity)]
		if !ok || n == 0 {
			return nil, fmt.Errorf("severity %q is not known; valid: informational, low, medium, high, critical", w.Severity)
		}
		r.Filter.MinSeverity = pb.Severity(n)
	}
	switch {
	case w.Since != "":
		at, err := parseSince(w.Since, w.Now)
		if err != nil {
			return nil, err
		}
		r.Start = &pb.SubscribeRequest_FromTime{FromTime: timestamppb.New(at)}
	case w.From >= 0:
		r.Start = &pb.SubscribeRequest_FromOffset{FromOffset: uint64(w.From)}
	case !w.All && w.Cursor == "":
		r.Start = &pb.SubscribeRequest_FromTail{FromTail: true}
	}
	return r, nil
}

func parseSince(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, fmt.Errorf("since %q is neither a duration such as 15m nor a time such as %s", s, now.UTC().Format(time.RFC3339))
	}
	return at, nil
}
