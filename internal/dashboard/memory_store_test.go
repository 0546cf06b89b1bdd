package dashboard_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub/query"
	"github.com/amoskys/amoskys/internal/logsql"
	"github.com/amoskys/amoskys/internal/logsql/row"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// memoryStore answers questions about the events of a memoryBus, in the place of a
// store, and everything else as a hub does.
type memoryStore struct {
	*query.Service

	hub *fakeHub
}

// stored is an event and its fields.
type stored struct {
	*pb.StoredEvent

	at     time.Time
	uid    string // of its process
	fields map[string]string
}

// matching returns the events that a filter wants, newest first, and the offset that
// they are complete to.
func (m memoryStore) matching(f *pb.Filter, since, until *timestamppb.Timestamp) ([]stored, uint64, error) {
	q, err := logsql.Parse(f.GetQuery())
	if fault, ok := errors.AsType[*logsql.SyntaxError](err); ok {
		return nil, 0, status.Errorf(codes.InvalidArgument, "column %d: %s", fault.Position+1, fault.Message)
	}
	if err != nil {
		return nil, 0, status.Error(codes.InvalidArgument, err.Error())
	}
	matcher, err := q.Matcher()
	if err != nil {
		return nil, 0, status.Error(codes.InvalidArgument, err.Error())
	}
	bus := m.hub.bus
	bus.mu.Lock()
	events, next := slices.Clone(bus.events), bus.first+uint64(len(bus.events))
	bus.mu.Unlock()
	var found []stored
	for _, e := range events {
		ev, err := event.Decode(e.GetEvent())
		if err != nil {
			return nil, 0, status.Error(codes.Internal, err.Error())
		}
		if _, thinned := event.ThinnedReading(e.GetEvent()); thinned {
			continue
		}
		at := ev.GetTime().AsTime()
		if since != nil && at.Before(since.AsTime()) || until != nil && !at.Before(until.AsTime()) || !isOfType(f.GetTypes(), ev.GetType()) {
			continue
		}
		if !matcher.Match(e.GetEvent(), e.GetPublisher(), e.GetOffset(), e.GetLoggedTime().AsTime()) {
			continue
		}
		found = append(found, stored{e, at, ev.GetProcess().GetProcess().GetUid(), fieldsOf(e)})
	}
	slices.SortFunc(found, func(a, b stored) int {
		return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.GetOffset(), a.GetOffset()))
	})
	return found, next, nil
}

func isOfType(types []string, typ string) bool {
	return len(types) == 0 || slices.ContainsFunc(types, func(t string) bool {
		return t == typ || strings.HasSuffix(t, ".") && strings.HasPrefix(typ, t)
	})
}

func fieldsOf(e *pb.StoredEvent) map[string]string {
	r, err := row.NewWriter(row.Bounds{}).Row(e.GetEvent(), e.GetPublisher(), e.GetOffset(), e.GetLoggedTime().AsTime())
	if err != nil {
		panic(err)
	}
	fields := map[string]string{}
	for _, f := range r.Fields {
		fields[f.Name] = string(f.Value)
	}
	return fields
}

// SearchEvents implements pb.QueryServer.
func (m memoryStore) SearchEvents(ctx context.Context, req *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	m.tell(ctx, req)
	for _, name := range req.GetFacets() {
		if !slices.ContainsFunc(event.FieldCatalog(), func(f *event.Field) bool { return f.Name == name }) {
			return nil, status.Errorf(codes.InvalidArgument, "unknown field %q", name)
		}
	}
	found, next, err := m.matching(req.GetFilter(), req.GetSince(), req.GetUntil())
	if err != nil {
		return nil, err
	}
	out := &pb.SearchEventsResponse{Total: uint64(len(found)), Scanned: next, CompleteToOffset: next, Took: durationpb.New(time.Millisecond), Store: m.state()}
	for _, name := range req.GetFacets() {
		counts := map[string]uint64{}
		for _, e := range found {
			if v := e.fields[name]; v != "" {
				counts[v]++
			}
		}
		facet := &pb.Facet{Field: name, Distinct: uint64(len(counts))}
		for _, v := range slices.Sorted(maps.Keys(counts)) {
			facet.Values = append(facet.Values, &pb.FacetValue{Value: v, Count: counts[v]})
		}
		out.Facets = append(out.Facets, facet)
	}
	if n := req.GetHistogramBuckets(); n > 0 {
		out.Histogram = &pb.Histogram{Start: timestamppb.Now(), Step: durationpb.New(time.Minute), Counts: make([]uint64, n)}
	}
	if before := req.GetBeforeOffset(); before > 0 {
		at := slices.IndexFunc(found, func(e stored) bool { return e.GetOffset() == before })
		found = found[at+1:]
	}
	limit := int(cmp.Or(req.GetLimit(), 100))
	out.More = len(found) > limit
	for _, e := range found[:min(len(found), limit)] {
		out.Events = append(out.Events, e.StoredEvent)
	}
	return out, nil
}

// Event implements pb.QueryServer.
func (m memoryStore) Event(ctx context.Context, req *pb.EventRequest) (*pb.EventResponse, error) {
	m.tell(ctx, req)
	found, _, err := m.matching(nil, nil, nil)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(found, func(e stored) bool { return e.GetOffset() == req.GetOffset() })
	if at < 0 {
		return nil, status.Error(codes.NotFound, "there is no such event")
	}
	n := int(req.GetNeighbours())
	out := &pb.EventResponse{Event: found[at].StoredEvent}
	for _, e := range found[at+1 : min(len(found), at+1+n)] {
		out.Before = append(out.Before, e.StoredEvent)
	}
	for _, e := range found[max(0, at-n):at] {
		out.After = append(out.After, e.StoredEvent)
	}
	for i, e := range found {
		if i != at && e.uid == found[at].uid {
			out.Related = append(out.Related, e.StoredEvent)
		}
	}
	return out, nil
}

// Status implements pb.QueryServer: the hub's, and the store's.
func (m memoryStore) Status(ctx context.Context, req *pb.StatusRequest) (*pb.StatusResponse, error) {
	out, err := m.Service.Status(ctx, req)
	if err == nil {
		out.Store = m.state()
	}
	return out, err
}

func (m memoryStore) state() *pb.StoreStatus {
	next := m.hub.bus.tail()
	return &pb.StoreStatus{State: "ok", Events: next, NextOffset: next}
}

// tell tells a test of a question.
func (m memoryStore) tell(ctx context.Context, req proto.Message) {
	if asked := m.hub.asked.Load(); asked != nil {
		(*asked)(ctx, req)
	}
}
