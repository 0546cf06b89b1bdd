package dashboard

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/logsql"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Completion is what can stand at a place of a query.
type Completion struct {
	From    int                `json:"from" doc:"Where the part begins that an option takes the place of, in UTF-16 units from 0."`
	To      int                `json:"to" doc:"Where it ends."`
	Field   string             `json:"field" doc:"The field of which a value is expected there; empty for none."`
	Options []CompletionOption `json:"options" nullable:"false" doc:"What is there in the range first, then the rest."`
	// Stored says what became of the question to the store.
	Stored string `json:"stored" enum:"unasked,complete,late,busy,away" doc:"Whether the store was asked for what is there, and answered: late means not in time."`
}

// CompletionOption is one way to go on.
type CompletionOption struct {
	Text   string  `json:"text" doc:"What to write."`
	Label  string  `json:"label" doc:"What to show."`
	Kind   string  `json:"kind" enum:"field,operator,value,pipe,function,word"`
	About  string  `json:"about" doc:"For people; may be empty."`
	Events *uint64 `json:"events,omitempty" doc:"In how many events of the range it is, where the store was asked."`
}

type completeInput struct {
	Query  string `query:"query" maxLength:"16384" doc:"As far as it is typed; any text has an answer."`
	Cursor int    `query:"cursor" minimum:"0" maximum:"16384" doc:"Where, in UTF-16 units from 0."`
	Since  string `query:"since" maxLength:"64" doc:"Values and fields of this range come first: RFC 3339, or how long ago; 24h without."`
	Until  string `query:"until" maxLength:"64" doc:"RFC 3339, or how long ago."`
	Limit  int    `query:"limit" default:"20" minimum:"1" maximum:"100"`
	Stored bool   `query:"stored" doc:"Also ask the store, for two seconds at most; without, only what the language knows is answered."`
}

// Bounds on what completion asks of the store: people type on meanwhile.
const (
	completeTimeout = 2 * time.Second
	namesKept       = 30 * time.Second
	maxNamesKept    = 64 // ranges
)

// completeQuery answers GET /api/query/complete. The caller who types on leaves, which
// ends the question to the store.
func (s *Server) completeQuery(ctx context.Context, in *completeInput) (Completion, error) {
	if in.Since == "" {
		in.Since = valuesRange
	}
	found := logsql.Complete(in.Query, bytesOf(in.Query, in.Cursor))
	a := Completion{
		From: unitsOf(in.Query[:found.From]), To: unitsOf(in.Query[:found.To]), Field: found.Field,
		Options: make([]CompletionOption, 0, len(found.Options)), Stored: "unasked",
	}
	for _, o := range found.Options {
		option := CompletionOption{Text: o.Text, Label: strings.TrimSpace(o.Text), Kind: o.Kind, About: o.About}
		if o.Kind == "value" {
			option.Text = found.Value(o.Text)
		}
		a.Options = append(a.Options, option)
	}
	if in.Stored {
		if err := s.completeStored(ctx, in, found, &a); err != nil {
			return Completion{}, err
		}
	}
	a.Options = a.Options[:min(len(a.Options), in.Limit)]
	return a, nil
}

// completeStored adds what the store has in the range. That it does not answer is said
// and no error.
func (s *Server) completeStored(ctx context.Context, in *completeInput, found logsql.Completion, a *Completion) error {
	since, until, err := s.bounds(in.Since, in.Until)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	switch {
	case found.Field != "":
		var values *pb.FieldValuesResponse
		values, err = s.stored().FieldValues(ctx, &pb.FieldValuesRequest{
			Field: found.Field, Prefix: found.Typed, Since: since, Until: until, Limit: uint32(in.Limit),
		})
		if err == nil {
			a.Options = withValues(a.Options, values.GetFacet().GetValues(), found)
		}
	case slices.ContainsFunc(a.Options, func(o CompletionOption) bool { return o.Kind == "field" }):
		var counts map[string]uint64
		counts, err = s.names.of(in.Since+" "+in.Until, s.o.Now(), func() (map[string]uint64, error) {
			return s.countNames(ctx, &pb.FieldNamesRequest{Since: since, Until: until})
		})
		if err == nil {
			a.Options = presentFirst(a.Options, counts, found.Typed)
		}
	default:
		return nil
	}
	a.Stored = storedWord(err)
	return nil
}

// storedWord says for people's tools how the store answered.
func storedWord(err error) string {
	switch code := status.Code(err); {
	case err == nil, code == codes.InvalidArgument: // a field whose values are not counted
		return "complete"
	case code == codes.DeadlineExceeded, errors.Is(err, context.DeadlineExceeded), code == codes.Canceled:
		return "late"
	case code == codes.ResourceExhausted:
		return "busy"
	}
	return "away"
}

// withValues puts values that events have in front of those that the language knows.
func withValues(options []CompletionOption, values []*pb.FacetValue, at logsql.Completion) []CompletionOption {
	out := make([]CompletionOption, 0, len(options)+len(values))
	known := map[string]bool{}
	for _, v := range values {
		n := v.GetCount()
		known[v.GetValue()] = true
		out = append(out, CompletionOption{Text: at.Value(v.GetValue()), Label: v.GetValue(), Kind: "value", Events: &n})
	}
	for _, o := range options {
		if o.Kind != "value" || !known[o.Label] {
			out = append(out, o)
		}
	}
	return out
}

func (s *Server) countNames(ctx context.Context, req *pb.FieldNamesRequest) (map[string]uint64, error) {
	found, err := s.stored().FieldNames(ctx, req)
	if err != nil {
		return nil, err //nolint:wrapcheck // its code is what counts
	}
	counts := make(map[string]uint64, len(found.GetFields()))
	for _, f := range found.GetFields() {
		counts[f.GetValue()] = f.GetCount()
	}
	return counts, nil
}

// presentFirst says in how many events each field is, and puts those that are there in
// front of the others: among those that begin as typed, and then among the rest.
func presentFirst(options []CompletionOption, counts map[string]uint64, typed string) []CompletionOption {
	rank := func(o CompletionOption) int {
		r := 0
		if o.Events == nil || *o.Events == 0 {
			r = 1
		}
		if typed != "" && !strings.HasPrefix(o.Label, strings.ToLower(typed)) {
			r += 2
		}
		return r
	}
	var fields []int
	for i := range options {
		if options[i].Kind == "field" {
			n := counts[strings.TrimSuffix(options[i].Label, ":")]
			options[i].Events = &n
			fields = append(fields, i)
		}
	}
	sorted := make([]CompletionOption, 0, len(fields))
	for _, i := range fields {
		sorted = append(sorted, options[i])
	}
	slices.SortStableFunc(sorted, func(a, b CompletionOption) int { return rank(a) - rank(b) })
	for at, i := range fields {
		options[i] = sorted[at]
	}
	return options
}

// keptNames remembers for a while which fields there are in a range: every key that
// somebody presses asks for them, and they are the same for everybody.
type keptNames struct {
	mu    sync.Mutex // guards what follows
	known map[string]namesAt
}

type namesAt struct {
	counts map[string]uint64
	until  time.Time
}

// of returns what is remembered, or asks. Several who ask at once all do.
func (k *keptNames) of(key string, now time.Time, ask func() (map[string]uint64, error)) (map[string]uint64, error) {
	k.mu.Lock()
	found, ok := k.known[key]
	k.mu.Unlock()
	if ok && now.Before(found.until) {
		return found.counts, nil
	}
	counts, err := ask()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil || len(k.known) >= maxNamesKept {
		k.known = map[string]namesAt{}
	}
	k.known[key] = namesAt{counts, now.Add(namesKept)}
	return counts, nil
}

// bytesOf is where a place of a text stands that is counted in UTF-16 units.
func bytesOf(text string, units int) int {
	for i, r := range text {
		if units <= 0 {
			return i
		}
		units -= max(utf16.RuneLen(r), 1)
	}
	return len(text)
}
