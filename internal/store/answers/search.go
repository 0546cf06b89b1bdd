package answers

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on one search.
const (
	defaultLimit   = 100
	maxLimit       = 1_000
	maxPageBytes   = 8 << 20 // of encoded events; one event always fits
	maxBuckets     = 500
	maxFacets      = 16
	maxFacetValues = 50
)

// SearchEvents looks for events by their own time, and of equal ones by their place
// in the log, and counts all that match.
func (s *Service) SearchEvents(ctx context.Context, req *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	began := time.Now()
	if len(req.GetFacets()) > maxFacets {
		return nil, status.Errorf(codes.InvalidArgument, "at most %d facets can be counted at once", maxFacets)
	}
	facets, err := facetsOf(req.GetFacets())
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.begin(ctx, costOf(req))
	if err != nil {
		return nil, err
	}
	defer end()
	q, err := s.question(ctx, req.GetFilter(), rangeOf(req.GetSince(), req.GetUntil()))
	if err != nil {
		return nil, s.closing(err)
	}
	p := page{n: limitOf(req.GetLimit(), defaultLimit, maxLimit), oldestFirst: req.GetOldestFirst()}
	if err := s.resume(ctx, req, q, &p); err != nil {
		return nil, err
	}
	response := &pb.SearchEventsResponse{CompleteToOffset: q.next, Store: s.stateOf()}
	if err := s.fill(ctx, req, q, p, response); err != nil {
		return nil, s.closing(err)
	}
	if err := s.count(ctx, req, q, facets, response); err != nil {
		return nil, s.closing(err)
	}
	lacks, err := s.lacks(ctx, q)
	if err != nil {
		return nil, s.closing(err)
	}
	response.Lacks = append(response.Lacks, lacks...)
	response.Thinned = s.thinned(q)
	response.Took = durationpb.New(time.Since(began))
	return response, nil
}

// costOf tells a search that only turns a page from one that counts.
func costOf(req *pb.SearchEventsRequest) kind {
	if req.GetNoTotal() && req.GetHistogramBuckets() == 0 && len(req.GetFacets()) == 0 {
		return light
	}
	return heavy
}

func limitOf(n uint32, otherwise, most int) int {
	if n == 0 {
		return otherwise
	}
	return int(min(n, uint32(most)))
}

// resume makes p begin behind the page before. What counted as stored for the first
// page counts for all, so that nothing comes twice or is passed over while events
// are being stored.
func (s *Service) resume(ctx context.Context, req *pb.SearchEventsRequest, q *question, p *page) error {
	switch {
	case req.GetPage() != "" && req.GetBeforeOffset() > 0:
		return status.Error(codes.InvalidArgument, "page and before_offset exclude each other")
	case req.GetPage() != "":
		t, err := parseToken(req)
		if err != nil {
			return err
		}
		p.behind, q.next = &t.last, min(t.next, q.next)
	case req.GetBeforeOffset() > 0:
		at, ok, err := s.timeOf(ctx, req.GetBeforeOffset())
		if err != nil {
			return s.closing(err)
		}
		if !ok {
			at = noSince // what came before an event that is not kept is gone too
		}
		p.behind = &key{at, req.GetBeforeOffset()}
	}
	return nil
}

// fill reads the page itself.
func (s *Service) fill(ctx context.Context, req *pb.SearchEventsRequest, q *question, p page, response *pb.SearchEventsResponse) error {
	keys, more, err := s.find(ctx, q, p)
	if err != nil {
		return err
	}
	events, read, err := s.fetch(ctx, keys, maxPageBytes)
	if err != nil {
		return err
	}
	s.places.note(keys[:read])
	response.Events = events
	if response.More = more || read < len(keys); response.More {
		response.NextPage = token{keys[read-1], q.next}.encode(req)
	}
	return nil
}
