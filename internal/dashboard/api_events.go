package dashboard

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/logsql"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// EventsAnswer is what a search found.
type EventsAnswer struct {
	Events    []Event     `json:"events" nullable:"false" doc:"Newest first by their own time, of equal times the later in the log first; with oldest_first the other way round."`
	Total     uint64      `json:"total" doc:"Matches in the whole range; 0 with page or no_total, where it is not counted."`
	Scanned   uint64      `json:"scanned"`
	TookMS    float64     `json:"took_ms"`
	Histogram *Histogram  `json:"histogram"`
	Facets    []Facet     `json:"facets" nullable:"false"`
	Store     StoreStatus `json:"store"`
	// CompleteTo is where a live stream joins.
	CompleteTo uint64  `json:"complete_to_offset" doc:"Everything before this offset was looked at: a live stream from it joins without a gap and without a repetition."`
	NextBefore *uint64 `json:"next_before" nullable:"true" doc:"The value of before for the next page; null on the last. next_page is quicker."`
	NextPage   string  `json:"next_page" doc:"The value of page for the next page, with all else as it was; empty on the last."`
	Lacks      []Lack  `json:"lacks" nullable:"false" doc:"What this answer does not have; none: it is complete."`
	Thinned    bool    `json:"thinned" doc:"Readings may match and are thinned there: of each thing that is read the store has one every few minutes, and the metrics have those between, of processes the busiest."`
}

// TransformSchema tells huma, which has no tag for it, that the histogram may be
// null.
func (*EventsAnswer) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["histogram"] = &huma.Schema{
		OneOf: []*huma.Schema{s.Properties["histogram"], {Type: "null"}}, Description: "Null unless asked for.",
	}
	return s
}

// Histogram counts matches over time.
type Histogram struct {
	Start       time.Time `json:"start"`
	StepSeconds float64   `json:"step_seconds"`
	Counts      []uint64  `json:"counts" nullable:"false"`
}

// Facet counts the values of one field.
type Facet struct {
	Field    string       `json:"field"`
	Values   []FacetValue `json:"values" nullable:"false"`
	Distinct uint64       `json:"distinct"`
}

// FacetValue is one value and how often it is there.
type FacetValue struct {
	Value string `json:"value"`
	Count uint64 `json:"count"`
}

// EventAnswer is one event and what surrounds it.
type EventAnswer struct {
	Event   Event          `json:"event"`
	Raw     map[string]any `json:"raw" doc:"The event as protojson writes it."`
	Before  []Event        `json:"before" nullable:"false" doc:"Earlier events of the same host, oldest first."`
	After   []Event        `json:"after" nullable:"false" doc:"Later events of the same host, oldest first."`
	Related []Event        `json:"related" nullable:"false" doc:"Events of the same process or flow, newest first."`
	// Entities are what the event leads to.
	Entities []Entity `json:"entities" nullable:"false" doc:"The things that the event names, such as its process, its flow and its device."`
	// FromLog is set where the store left the event out.
	FromLog bool `json:"from_log" doc:"The store does not keep the event, such as a reading between two that are kept: the hub's log has it still. Nothing of what surrounds it is told."`
}

// Entity is one thing that an event names, and where to find more about it.
type Entity struct {
	Role  string `json:"role" doc:"The part it plays in the event."`
	Kind  string `json:"kind" enum:"host,process,user,file,flow,device,address,interface,certificate"`
	Key   string `json:"key" doc:"KIND:ID, the same in every event that names it."`
	Name  string `json:"name" doc:"What people call it; empty where its id says it."`
	Query string `json:"query" doc:"Finds the events that name it."`
}

// entitiesOf lists what an event leads to. One that cannot be read names nothing.
func entitiesOf(stored *pb.StoredEvent) []Entity {
	var attrs event.Attrs
	list := []Entity{}
	if attrs.Read(stored.GetEvent()) != nil {
		return list
	}
	for _, r := range entity.Of(&attrs) {
		if query := r.Key.Query(); query != "" {
			list = append(list, Entity{Role: string(r.Role), Kind: string(r.Key.Kind), Key: r.Key.String(), Name: r.Name, Query: query})
		}
	}
	return list
}

type eventsInput struct {
	Query     string   `query:"query" maxLength:"16384" doc:"In the language of docs/query.md."`
	Without   string   `query:"without" maxLength:"128" doc:"A type of event to leave out, such as process.sample."`
	Since     string   `query:"since" maxLength:"64" doc:"RFC 3339, or how long ago: 15m, 24h, 7d."`
	Until     string   `query:"until" maxLength:"64" doc:"RFC 3339, or how long ago."`
	Limit     uint32   `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Before    uint64   `query:"before" doc:"Only events that come after the one of this offset in the answer's order: next_before of the page before."`
	Page      string   `query:"page" maxLength:"1024" doc:"next_page of the page before; all else as it was."`
	NoTotal   bool     `query:"no_total" doc:"Do not count: the first rows of a long range come sooner."`
	Oldest    bool     `query:"oldest_first" doc:"The oldest first instead."`
	Histogram uint32   `query:"histogram" maximum:"500" doc:"How many buckets; 0 for none."`
	Facets    []string `query:"facets" maxItems:"16" doc:"Fields to count values of."`
}

type eventInput struct {
	Offset     uint64 `path:"offset"`
	Neighbours uint32 `query:"neighbours" default:"10" maximum:"100"`
}

func (s *Server) searchEvents(ctx context.Context, in *eventsInput) (*EventsAnswer, error) {
	asked, err := s.question(in.Query, in.Without, in.Since, in.Until)
	if err != nil {
		return nil, err
	}
	ctx, cancel := askStored(ctx)
	defer cancel()
	found, err := s.stored().SearchEvents(ctx, &pb.SearchEventsRequest{
		Filter: asked.filter, Since: asked.since, Until: asked.until, Limit: in.Limit, BeforeOffset: in.Before,
		HistogramBuckets: in.Histogram, Facets: in.Facets, Page: in.Page, OldestFirst: in.Oldest, NoTotal: in.NoTotal || in.Page != "",
	})
	if err != nil {
		return nil, s.storeProblem(err)
	}
	a := &EventsAnswer{
		Events: newEvents(found.GetEvents()), Total: found.GetTotal(), Scanned: found.GetScanned(),
		TookMS: tookMS(found.GetTook()), Facets: []Facet{}, Store: newStoreStatus(found.GetStore()),
		CompleteTo: found.GetCompleteToOffset(), NextPage: found.GetNextPage(), Lacks: newLacks(found.GetLacks()),
		Thinned: found.GetThinned(),
	}
	if h := found.GetHistogram(); h != nil {
		a.Histogram = &Histogram{h.GetStart().AsTime(), h.GetStep().AsDuration().Seconds(), append([]uint64{}, h.GetCounts()...)}
	}
	for _, f := range found.GetFacets() {
		a.Facets = append(a.Facets, newFacet(f))
	}
	if n := len(a.Events); n > 0 && found.GetMore() {
		a.NextBefore = &a.Events[n-1].Offset
	}
	return a, nil
}

func newFacet(f *pb.Facet) Facet {
	facet := Facet{Field: f.GetField(), Values: []FacetValue{}, Distinct: f.GetDistinct()}
	for _, v := range f.GetValues() {
		facet.Values = append(facet.Values, FacetValue{v.GetValue(), v.GetCount()})
	}
	return facet
}

func tookMS(took *durationpb.Duration) float64 {
	return float64(took.AsDuration().Microseconds()) / 1000
}

// question is what is asked of the store, checked.
type question struct {
	filter       *pb.Filter
	since, until *timestamppb.Timestamp
}

// question reads what calls about stored events have in common.
func (s *Server) question(query, without, sinceText, untilText string) (question, error) {
	if p := checkQuery(query); p != nil {
		return question{}, p
	}
	query, p := withoutType(query, without)
	if p != nil {
		return question{}, p
	}
	since, until, err := s.bounds(sinceText, untilText)
	return question{&pb.Filter{Query: query}, since, until}, err
}

// bounds reads a range of time; nil where it is open.
func (s *Server) bounds(sinceText, untilText string) (since, until *timestamppb.Timestamp, err error) {
	now := s.o.Now()
	if since, err = parseTime("since", sinceText, now); err != nil {
		return nil, nil, err
	}
	until, err = parseTime("until", untilText, now)
	return since, until, err
}

// withoutType leaves a type out of a query, which has been checked by itself so that
// nothing in it reaches beyond its own end.
func withoutType(query, without string) (string, *Problem) {
	if without == "" {
		return query, nil
	}
	if !isTypeName(without) {
		return "", problem(http.StatusBadRequest, "without must be a type of event such as process.sample")
	}
	left := logsql.And(query, "-type:="+without)
	if p := checkQuery(left); p != nil { // it was long
		return query, nil
	}
	return left, nil
}

func isTypeName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r != '.' && r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// checkQuery parses a query here, so that its fault has a position.
func checkQuery(query string) *Problem {
	_, err := logsql.Parse(query)
	if err == nil {
		return nil
	}
	p := problem(http.StatusBadRequest, err.Error())
	p.Title = "The query cannot be read"
	if syntax, ok := errors.AsType[*logsql.SyntaxError](err); ok {
		at := unitsOf(query[:min(syntax.Position, len(query))])
		p.QueryPosition = &at
		if from, to, ok := syntax.Mend(query); ok {
			p.Mend = &Mend{unitsOf(query[:from]), unitsOf(query[:to]), syntax.Hint}
		}
	}
	return p
}

// unitsOf is the length of a text as browsers count it, in UTF-16 units; the parser
// counts bytes.
func unitsOf(text string) int { return len(utf16.Encode([]rune(text))) }

func (s *Server) oneEvent(ctx context.Context, in *eventInput) (*EventAnswer, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	fromLog := false
	found, err := s.stored().Event(ctx, &pb.EventRequest{Offset: in.Offset, Neighbours: in.Neighbours})
	if status.Code(err) == codes.NotFound {
		if logged := s.readingOfLog(ctx, in.Offset); logged != nil {
			found, err, fromLog = &pb.EventResponse{Event: logged}, nil, true
		}
	}
	if err != nil {
		return nil, s.storeProblem(err)
	}
	raw, err := rawEvent(found.GetEvent())
	if err != nil {
		return nil, status.Error(codes.Internal, "this event cannot be read: "+err.Error())
	}
	return &EventAnswer{
		Event: newEvent(found.GetEvent()), Raw: raw, Before: newEvents(found.GetBefore()),
		After: newEvents(found.GetAfter()), Related: newEvents(found.GetRelated()),
		Entities: entitiesOf(found.GetEvent()), FromLog: fromLog,
	}, nil
}
