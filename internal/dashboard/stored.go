package dashboard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Names of metadata in which the store is told for whom we ask.
const (
	userMetadata = "amoskys-user"
	roleMetadata = "amoskys-role"
)

// store is the way to the store. Single questions and streams, of which an export may
// last for hours, have a connection each, so that neither uses up the other's calls, and
// questions about metrics, of which a page of Grafana asks forty at once, a third.
type store struct {
	ask, stream, numbers *grpc.ClientConn
	query                pb.QueryClient
	devices              pb.DevicesClient
	metrics              pb.MetricsClient
}

var _ grpc.ClientConnInterface = (*store)(nil)

// dialStore prepares the connections. gRPC makes them, and makes them again after a
// break: a store that comes back is asked within some seconds.
func dialStore(o Options) (*store, error) {
	creds := o.HubCredentials
	if creds == nil {
		secure, err := identity.ClientConfig(o.Config.Hub.Files(o.Home), identity.ClientOptions{
			ServerName: o.Config.Store.Name(), ServerRole: identity.RoleStore, NextProtos: []string{"h2"}, Logger: o.Logger, Now: o.Now,
		})
		if err != nil {
			return nil, fmt.Errorf("read certificate for the store: %w", err)
		}
		creds = credentials.NewTLS(secure)
	}
	dialer, err := o.Config.Hub.Dialer(o.Home)
	if err != nil {
		return nil, err
	}
	options := append([]grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(32 << 20)),
		grpc.WithUserAgent("amoskys-dashboard/" + o.Version),
	}, o.DialOptions...)
	s := &store{}
	for _, conn := range []**grpc.ClientConn{&s.ask, &s.stream, &s.numbers} {
		if *conn, err = dial.NewClient(o.Config.Store.Addr(), dialer.Dial, creds, options...); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	s.query, s.devices, s.metrics = pb.NewQueryClient(s), pb.NewDevicesClient(s), pb.NewMetricsClient(s.numbers)
	return s, nil
}

func (s *store) close() error {
	var err error
	for _, conn := range []*grpc.ClientConn{s.ask, s.stream, s.numbers} {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	return err
}

// Invoke asks a single question for whoever is signed in.
func (s *store) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return s.ask.Invoke(forUser(ctx), method, args, reply, opts...)
}

// NewStream begins a stream for whoever is signed in.
func (s *store) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return s.stream.NewStream(forUser(ctx), desc, method, opts...)
}

// forUser says whose share of the store a call is of; what serves several people at
// once is of the dashboard's own.
func forUser(ctx context.Context) context.Context {
	who := sessionOf(ctx)
	if who.user == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, userMetadata, who.user, roleMetadata, storeRole(who.role))
}

func storeRole(r pb.Role) string {
	return strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_"))
}

// rates are the names of series that come from events, which the store counts; the
// hub has all others.
func isRate(name string) bool { return strings.HasSuffix(name, "events_per_second") }

// readSeries asks hub and store for what each has, on one scale: the hub's, which keeps
// some steps alone. Where they are asked together and the store is away, its part is
// left out.
func (s *Server) readSeries(ctx context.Context, req *pb.SeriesRequest) (*pb.SeriesResponse, error) {
	rates := slices.DeleteFunc(slices.Clone(req.GetNames()), func(n string) bool { return !isRate(n) })
	others := slices.DeleteFunc(slices.Clone(req.GetNames()), isRate)
	if len(rates) == 0 {
		return s.hub.query.Series(ctx, req)
	}
	ask := &pb.SeriesRequest{Names: rates, Since: req.GetSince(), Until: req.GetUntil(), Step: req.GetStep()}
	if len(others) == 0 {
		stored, err := s.stored().Series(ctx, ask)
		if err != nil {
			return nil, s.storeProblem(err)
		}
		return stored, nil
	}
	own, err := s.hub.query.Series(ctx, &pb.SeriesRequest{Names: others, Since: req.GetSince(), Until: req.GetUntil(), Step: req.GetStep()})
	if err != nil {
		return nil, err
	}
	ask.Step = own.GetStep()
	stored, err := s.stored().Series(ctx, ask)
	switch {
	case isStoreAway(err):
		return own, nil
	case err != nil:
		return nil, s.storeProblem(err)
	}
	joined := joinSeries(stored, own)
	slices.SortStableFunc(joined.GetSeries(), func(a, b *pb.TimeSeries) int {
		return slices.Index(req.GetNames(), a.GetName()) - slices.Index(req.GetNames(), b.GetName())
	})
	return joined, nil
}

// joinSeries joins responses of one step, each value at its time, and none where they
// have none. Of another step than the first, the second is left out.
func joinSeries(first, second *pb.SeriesResponse) *pb.SeriesResponse {
	step := first.GetStep().AsDuration()
	if len(first.GetSeries()) == 0 {
		return second
	}
	if len(second.GetSeries()) == 0 || step <= 0 || step != second.GetStep().AsDuration() {
		return first
	}
	start := first.GetStart()
	if second.GetStart().AsTime().Before(start.AsTime()) {
		start = second.GetStart()
	}
	before := func(r *pb.SeriesResponse) int { return int(r.GetStart().AsTime().Sub(start.AsTime()) / step) }
	points := 0
	for _, r := range []*pb.SeriesResponse{first, second} {
		for _, one := range r.GetSeries() {
			points = max(points, before(r)+len(one.GetValues()))
		}
	}
	joined := &pb.SeriesResponse{Start: start, Step: first.GetStep()}
	for _, r := range []*pb.SeriesResponse{first, second} {
		for _, one := range r.GetSeries() {
			values := make([]float64, points)
			for i := range values {
				values[i] = math.NaN()
			}
			copy(values[before(r):], one.GetValues())
			one.Values = values
			joined.Series = append(joined.Series, one)
		}
	}
	return joined
}
