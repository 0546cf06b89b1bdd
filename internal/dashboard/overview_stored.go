package dashboard

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// storedOverview is what the store tells of a range. What it did not tell is nil.
type storedOverview struct {
	status          *pb.StatusResponse
	recent, samples *pb.SearchEventsResponse
	counts          *storedCounts
	// away is why something is missing.
	away error
}

// storedCounts is what takes the longer the longer the range is.
type storedCounts struct {
	findings, types *pb.SearchEventsResponse
	hosts           *pb.SeriesResponse
}

// Counts of a range are good for a thousandth of it, and a minute at most: those of a
// week are not counted again each time that an event comes in.
const (
	countsShare = 1000
	countsMost  = time.Minute
)

// storedQuestions asks the store several things at once, and lets it be away.
type storedQuestions struct {
	group *errgroup.Group

	mu   sync.Mutex // guards away
	away error
}

func (q *storedQuestions) ask(question func() error) {
	q.group.Go(func() error {
		err := question()
		if !isStoreAway(err) {
			return err
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		q.away = err
		return nil
	})
}

// askOverview asks the store for its part; that it is away is no error. of is held by
// the caller.
func (s *Server) askOverview(ctx context.Context, of *madeOverview, since, until *timestamppb.Timestamp, now time.Time) (storedOverview, error) {
	end := now
	if until != nil {
		end = until.AsTime()
	}
	readings := end.Add(-topWindow)
	if since.AsTime().After(readings) {
		readings = since.AsTime()
	}
	var o storedOverview
	g, ctx := errgroup.WithContext(ctx)
	q := &storedQuestions{group: g}
	q.ask(func() (err error) { o.status, err = s.stored().Status(ctx, &pb.StatusRequest{}); return err })
	q.ask(func() (err error) {
		o.recent, err = s.stored().SearchEvents(ctx, &pb.SearchEventsRequest{Since: since, Until: until, Limit: recentEvents, NoTotal: true})
		return err
	})
	q.ask(func() (err error) {
		o.samples, err = s.stored().SearchEvents(ctx, &pb.SearchEventsRequest{
			Filter: &pb.Filter{Types: []string{event.TypeProcessSample}}, Limit: topSamples, Since: timestamppb.New(readings), Until: until, NoTotal: true,
		})
		return err
	})
	good := min(countsMost, max(overviewFor, end.Sub(since.AsTime())/countsShare))
	counted := of.counts != nil && now.Sub(of.countsAt) < good && now.After(of.countsAt)
	if o.counts = of.counts; !counted {
		o.counts = &storedCounts{}
		s.askCounts(ctx, q, o.counts, since, until, end)
	}
	if err := g.Wait(); err != nil {
		return o, err
	}
	if o.away = q.away; o.away == nil && !counted {
		of.counts, of.countsAt = o.counts, now
	}
	return o, nil
}

// findingsBegun leaves out what is told of a finding again, when it goes on or ends, and what
// was found in captures that were replayed: neither calls for attention now.
const findingsBegun = "-finding.status:in(" + event.FindingUpdate + "," + event.FindingResolved + ") -labels.capture:*"

func (s *Server) askCounts(ctx context.Context, q *storedQuestions, c *storedCounts, since, until *timestamppb.Timestamp, end time.Time) {
	q.ask(func() (err error) {
		c.types, err = s.stored().SearchEvents(ctx, &pb.SearchEventsRequest{Since: since, Until: until, Limit: 1, Facets: []string{"type"}})
		return err
	})
	q.ask(func() (err error) {
		c.findings, err = s.stored().SearchEvents(ctx, &pb.SearchEventsRequest{
			Filter: &pb.Filter{Types: []string{"finding."}, Query: findingsBegun}, Since: since, Until: until,
			Limit: newestFindings, Facets: []string{"severity"},
		})
		return err
	})
	q.ask(func() (err error) {
		c.hosts, err = s.stored().Series(ctx, &pb.SeriesRequest{
			Names: []string{"host_events_per_second"}, Since: since, Until: timestamppb.New(end.Add(-time.Second)),
		})
		return err
	})
}
