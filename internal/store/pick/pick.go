// Package pick answers questions out of the best of several engines that hold the same
// events, and out of the next one where that fails. Each answer comes out of one engine
// alone, so that it is of one state; what the engine lacks, and another one that is away
// would have, the answer says (Service.Lacks).
package pick

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Source is one engine with what is known of it.
type Source struct {
	Name  string
	Query pb.QueryServer
	// Standing is asked before each question; it must not wait.
	Standing func() Standing
}

// Standing is how well an engine can answer.
type Standing struct {
	Away    bool      // it cannot be asked
	Partial bool      // some of its events cannot be asked for now
	Filling bool      // it is filled again from the log
	Lost    uint64    // events that it had and has no more
	Log     uint64    // number of the log that Next is of
	Next    uint64    // everything before it that the log had is there
	Oldest  time.Time // of its events; zero where it is not known
}

// near is how many events an engine may be behind another and be as good: they are fed
// side by side.
const near = 20_000

// compare tells which of two is better, negative where a is.
func compare(a, b *Standing) int {
	faults := func(s *Standing) int {
		switch {
		case s.Away:
			return 3
		case s.Partial:
			return 2
		case s.Filling:
			return 1
		}
		return 0
	}
	if c := cmp.Compare(faults(a), faults(b)); c != 0 {
		return c
	}
	if a.Log == b.Log && (a.Next > b.Next+near || b.Next > a.Next+near) {
		return cmp.Compare(b.Next, a.Next)
	}
	if c := cmp.Compare(a.Lost, b.Lost); c != 0 {
		return c
	}
	if a.Oldest.IsZero() || b.Oldest.IsZero() {
		return 0
	}
	const day = 24 * time.Hour
	return a.Oldest.Truncate(day).Compare(b.Oldest.Truncate(day))
}

// Service implements the Query service.
type Service struct {
	pb.UnimplementedQueryServer
	sources []Source
	status  func() *pb.StatusResponse
}

// New returns a service over sources, of which the first is asked where several are as
// good. status says how the store as a whole is.
func New(status func() *pb.StatusResponse, sources ...Source) *Service {
	return &Service{sources: sources, status: status}
}

// Order are the sources, the best first.
func (s *Service) Order() []*Source {
	type one struct {
		source   *Source
		standing Standing
	}
	all := make([]one, 0, len(s.sources))
	for i := range s.sources {
		all = append(all, one{&s.sources[i], s.sources[i].Standing()})
	}
	slices.SortStableFunc(all, func(a, b one) int { return compare(&a.standing, &b.standing) })
	order := make([]*Source, 0, len(all))
	for _, o := range all {
		order = append(order, o.source)
	}
	return order
}

// Lacks are what an engine does not have of a range and another one, which cannot answer
// so well now, does: events from before its own oldest. Of each the day counts: two that
// were fed side by side begin at the same event.
func (s *Service) Lacks(name string, since time.Time) []*pb.Lack {
	var own Standing
	for i := range s.sources {
		if s.sources[i].Name == name {
			own = s.sources[i].Standing()
		}
	}
	var lacks []*pb.Lack
	for i := range s.sources {
		other := &s.sources[i]
		if other.Name == name {
			continue
		}
		has := other.Standing()
		if has.Oldest.IsZero() || !own.Oldest.IsZero() && (!has.Oldest.Before(own.Oldest) || !since.IsZero() && !since.Before(own.Oldest)) {
			continue
		}
		l := &pb.Lack{Place: "store", Since: timestamppb.New(has.Oldest)}
		if own.Oldest.IsZero() {
			l.Reason = fmt.Sprintf("cluster %s, which answers, has no events yet; cluster %s has, and cannot answer as well now", name, other.Name)
		} else {
			l.Until = timestamppb.New(own.Oldest)
			l.Reason = fmt.Sprintf("cluster %s, which answers, has no events from before %s UTC; cluster %s has, and cannot answer as well now",
				name, own.Oldest.UTC().Format(time.DateTime), other.Name)
		}
		lacks = append(lacks, l)
	}
	return lacks
}

// isAway reports whether another engine may do better.
func isAway(err error) bool { return status.Code(err) == codes.Unavailable }

// ask asks the best engine, and the next one where it cannot answer.
func ask[R any](ctx context.Context, s *Service, question func(pb.QueryServer) (R, error)) (r R, err error) {
	for _, source := range s.Order() {
		if r, err = question(source.Query); !isAway(err) || ctx.Err() != nil {
			return r, err
		}
	}
	return r, err
}

// Status implements the service.
func (s *Service) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return s.status(), nil
}

// SearchEvents implements the service.
func (s *Service) SearchEvents(ctx context.Context, r *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	return ask(ctx, s, func(q pb.QueryServer) (*pb.SearchEventsResponse, error) { return q.SearchEvents(ctx, r) })
}

// Event implements the service. What is not found where some events cannot be asked for
// may be there.
func (s *Service) Event(ctx context.Context, r *pb.EventRequest) (*pb.EventResponse, error) {
	partial := s.Order()[0].Standing().Partial
	e, err := ask(ctx, s, func(q pb.QueryServer) (*pb.EventResponse, error) { return q.Event(ctx, r) })
	if partial && status.Code(err) == codes.NotFound {
		err = status.Errorf(codes.Unavailable, "event %d cannot be asked for now: storage nodes are away, and may have it", r.GetOffset())
	}
	return e, err
}

// Series implements the service.
func (s *Service) Series(ctx context.Context, r *pb.SeriesRequest) (*pb.SeriesResponse, error) {
	return ask(ctx, s, func(q pb.QueryServer) (*pb.SeriesResponse, error) { return q.Series(ctx, r) })
}

// Metrics implements the service.
func (s *Service) Metrics(ctx context.Context, r *pb.MetricsRequest) (*pb.MetricsResponse, error) {
	return ask(ctx, s, func(q pb.QueryServer) (*pb.MetricsResponse, error) { return q.Metrics(ctx, r) })
}

// FieldNames implements the service.
func (s *Service) FieldNames(ctx context.Context, r *pb.FieldNamesRequest) (*pb.FieldNamesResponse, error) {
	return ask(ctx, s, func(q pb.QueryServer) (*pb.FieldNamesResponse, error) { return q.FieldNames(ctx, r) })
}

// FieldValues implements the service.
func (s *Service) FieldValues(ctx context.Context, r *pb.FieldValuesRequest) (*pb.FieldValuesResponse, error) {
	return ask(ctx, s, func(q pb.QueryServer) (*pb.FieldValuesResponse, error) { return q.FieldValues(ctx, r) })
}

// begun is a stream of answers that knows whether any was sent: behind one no other
// engine can go on.
type begun[R any] struct {
	grpc.ServerStreamingServer[R]

	sent bool
}

// Send implements grpc.ServerStreamingServer.
func (b *begun[R]) Send(r *R) error {
	b.sent = true
	return b.ServerStreamingServer.Send(r) //nolint:wrapcheck // gRPC's own, to gRPC
}

// SendMsg implements grpc.ServerStream.
func (b *begun[R]) SendMsg(m any) error {
	b.sent = true
	return b.ServerStreamingServer.SendMsg(m) //nolint:wrapcheck // gRPC's own, to gRPC
}

// stream is ask for an answer of many messages.
func stream[R any](s *Service, out grpc.ServerStreamingServer[R], question func(pb.QueryServer, grpc.ServerStreamingServer[R]) error) (err error) {
	for _, source := range s.Order() {
		b := &begun[R]{ServerStreamingServer: out}
		if err = question(source.Query, b); !isAway(err) || b.sent || out.Context().Err() != nil {
			return err
		}
	}
	return err
}

// Rows implements the service.
func (s *Service) Rows(r *pb.RowsRequest, out grpc.ServerStreamingServer[pb.RowsResponse]) error {
	return stream(s, out, func(q pb.QueryServer, out grpc.ServerStreamingServer[pb.RowsResponse]) error { return q.Rows(r, out) })
}

// Export implements the service.
func (s *Service) Export(r *pb.ExportRequest, out grpc.ServerStreamingServer[pb.ExportResponse]) error {
	return stream(s, out, func(q pb.QueryServer, out grpc.ServerStreamingServer[pb.ExportResponse]) error {
		return q.Export(r, out)
	})
}
