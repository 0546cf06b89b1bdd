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

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/filter"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// EventsAnswer is what a search found.
type EventsAnswer struct {
	Events     []Event     `json:"events" nullable:"false" doc:"Newest first."`
	Total      uint64      `json:"total" doc:"Matches in the whole range."`
	Scanned    uint64      `json:"scanned"`
	TookMS     float64     `json:"took_ms"`
	Histogram  *Histogram  `json:"histogram"`
	Facets     []Facet     `json:"facets" nullable:"false"`
	Store      StoreStatus `json:"store"`
	NextBefore *uint64     `json:"next_before" nullable:"true" doc:"The value of before for the next page; null on the last."`
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
}

// FieldsAnswer lists the fields that queries can name.
type FieldsAnswer struct {
	Fields []FieldInfo `json:"fields" nullable:"false"`
}

// FieldInfo describes one field.
type FieldInfo struct {
	Name          string   `json:"name"`
	Type          string   `json:"type" enum:"keyword,number,time,duration,boolean,map"`
	Description   string   `json:"description" doc:"Its other names."`
	ExampleValues []string `json:"example_values,omitempty"`
}

type eventsInput struct {
	Query     string   `query:"query" maxLength:"8192" doc:"In the language of docs/query.md."`
	Since     string   `query:"since" maxLength:"64" doc:"RFC 3339, or how long ago: 15m, 24h, 7d."`
	Until     string   `query:"until" maxLength:"64" doc:"RFC 3339, or how long ago."`
	Limit     uint32   `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Before    uint64   `query:"before" doc:"Only events before this offset."`
	Histogram uint32   `query:"histogram" maximum:"500" doc:"How many buckets; 0 for none."`
	Facets    []string `query:"facets" maxItems:"16" doc:"Fields to count values of."`
}

type eventInput struct {
	Offset     uint64 `path:"offset"`
	Neighbours uint32 `query:"neighbours" default:"10" maximum:"100"`
}

func (s *Server) registerEvents(api huma.API) {
	search := operation(http.MethodGet, "/api/events", "searchEvents", "Search events, newest first", "events", viewer())
	search.Errors = append(search.Errors, http.StatusBadRequest)
	get(s, api, search, s.searchEvents)
	one := operation(http.MethodGet, "/api/events/{offset}", "event", "One event and what surrounds it", "events", viewer())
	one.Errors = append(one.Errors, http.StatusNotFound)
	get(s, api, one, s.oneEvent)
	get(s, api, operation(http.MethodGet, "/api/fields", "fields", "Fields for the query bar", "events", viewer()),
		func(context.Context, *struct{}) (FieldsAnswer, error) { return fieldsAnswer(), nil })
}

func (s *Server) searchEvents(ctx context.Context, in *eventsInput) (*EventsAnswer, error) {
	if p := checkQuery(in.Query); p != nil {
		return nil, p
	}
	now := s.o.Now()
	since, err := parseTime("since", in.Since, now)
	if err != nil {
		return nil, err
	}
	until, err := parseTime("until", in.Until, now)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	found, err := s.hub.query.SearchEvents(ctx, &pb.SearchEventsRequest{
		Filter: &pb.Filter{Query: in.Query}, Since: since, Until: until, Limit: in.Limit, BeforeOffset: in.Before,
		HistogramBuckets: in.Histogram, Facets: in.Facets,
	})
	if err != nil {
		return nil, err
	}
	a := &EventsAnswer{
		Events: newEvents(found.GetEvents()), Total: found.GetTotal(), Scanned: found.GetScanned(),
		TookMS: float64(found.GetTook().AsDuration().Microseconds()) / 1000, Facets: []Facet{}, Store: newStoreStatus(found.GetStore()),
	}
	if h := found.GetHistogram(); h != nil {
		a.Histogram = &Histogram{h.GetStart().AsTime(), h.GetStep().AsDuration().Seconds(), append([]uint64{}, h.GetCounts()...)}
	}
	for _, f := range found.GetFacets() {
		facet := Facet{Field: f.GetField(), Values: []FacetValue{}, Distinct: f.GetDistinct()}
		for _, v := range f.GetValues() {
			facet.Values = append(facet.Values, FacetValue{v.GetValue(), v.GetCount()})
		}
		a.Facets = append(a.Facets, facet)
	}
	if n := len(a.Events); n > 0 && found.GetMore() {
		a.NextBefore = &a.Events[n-1].Offset
	}
	return a, nil
}

// checkQuery parses a query here, so that its fault has a position.
func checkQuery(query string) *Problem {
	_, err := filter.Parse(query)
	if err == nil {
		return nil
	}
	p := problem(http.StatusBadRequest, err.Error())
	p.Title = "The query cannot be read"
	if syntax, ok := errors.AsType[*filter.SyntaxError](err); ok {
		// Browsers count in UTF-16 units, the parser in bytes.
		at := len(utf16.Encode([]rune(query[:min(syntax.Position, len(query))])))
		p.QueryPosition = &at
	}
	return p
}

func (s *Server) oneEvent(ctx context.Context, in *eventInput) (*EventAnswer, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	found, err := s.hub.query.Event(ctx, &pb.EventRequest{Offset: in.Offset, Neighbours: in.Neighbours})
	if err != nil {
		return nil, err
	}
	raw, err := rawEvent(found.GetEvent())
	if err != nil {
		return nil, status.Error(codes.Internal, "this event cannot be read: "+err.Error())
	}
	return &EventAnswer{
		Event: newEvent(found.GetEvent()), Raw: raw, Before: newEvents(found.GetBefore()),
		After: newEvents(found.GetAfter()), Related: newEvents(found.GetRelated()),
	}, nil
}

func fieldsAnswer() FieldsAnswer {
	a := FieldsAnswer{Fields: []FieldInfo{}}
	for _, f := range event.FieldCatalog() {
		var names []string
		if f.ECS != "" && f.ECS != f.Name {
			names = append(names, "ECS "+f.ECS)
		}
		if f.OCSF != "" {
			names = append(names, "OCSF "+f.OCSF)
		}
		a.Fields = append(a.Fields, FieldInfo{
			Name: f.Name, Type: string(f.Type), Description: strings.Join(names, ", "), ExampleValues: f.Values,
		})
	}
	return a
}
