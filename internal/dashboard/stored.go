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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Names of metadata in which the store is told for whom we ask.
const (
	userMetadata = "amoskys-user"
	roleMetadata = "amoskys-role"
)

// store is the way to the stores: the first is asked, and while it is away the next one.
type store struct {
	lines   []*storeLine
	query   pb.QueryClient
	devices pb.DevicesClient
	metrics pb.MetricsClient
}

// storeLine is the way to one store. Single questions and streams, of which an export may
// last for hours, have a connection each, so that neither uses up the other's calls, and
// questions about metrics, of which a page of Grafana asks forty at once, a third.
type storeLine struct{ ask, stream, numbers *grpc.ClientConn }

var (
	_ grpc.ClientConnInterface = (*store)(nil)
	_ grpc.ClientConnInterface = numbers{}
)

// dialStore prepares the connections. gRPC makes them, and makes them again after a
// break: a store that comes back is asked within some seconds.
func dialStore(o Options) (*store, error) {
	dialer, err := o.Config.Hub.Dialer(o.Home)
	if err != nil {
		return nil, err
	}
	s := &store{}
	for _, at := range o.Config.Store.All() {
		line, err := dialStoreAt(&o, at, dialer.Dial)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.lines = append(s.lines, line)
	}
	s.query, s.devices, s.metrics = pb.NewQueryClient(s), pb.NewDevicesClient(s), pb.NewMetricsClient(numbers{s})
	return s, nil
}

func dialStoreAt(o *Options, at dial.StoreConfig, dialer dial.Func) (*storeLine, error) {
	creds := o.HubCredentials
	if creds == nil {
		secure, err := identity.ClientConfig(o.Config.Hub.Files(o.Home), identity.ClientOptions{
			ServerName: at.Name(), ServerRole: identity.RoleStore, NextProtos: []string{"h2"}, Logger: o.Logger, Now: o.Now,
		})
		if err != nil {
			return nil, fmt.Errorf("read certificate for the store: %w", err)
		}
		creds = credentials.NewTLS(secure)
	}
	options := append([]grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(32 << 20)),
		grpc.WithUserAgent("amoskys-dashboard/" + o.Version),
	}, append(o.Spans.DialOptions(), o.DialOptions...)...)
	line := &storeLine{}
	for _, conn := range []**grpc.ClientConn{&line.ask, &line.stream, &line.numbers} {
		var err error
		if *conn, err = dial.NewClient(at.Addr(), dialer, creds, options...); err != nil {
			return nil, errors.Join(err, line.close())
		}
	}
	return line, nil
}

func (l *storeLine) close() error {
	var err error
	for _, conn := range []*grpc.ClientConn{l.ask, l.stream, l.numbers} {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	return err
}

func (s *store) close() error {
	var err error
	for _, line := range s.lines {
		err = errors.Join(err, line.close())
	}
	return err
}

// wayTo is one of the connections to a store.
type wayTo func(*storeLine) *grpc.ClientConn

func (s *store) order(way wayTo) []*grpc.ClientConn {
	order := make([]*grpc.ClientConn, 0, len(s.lines))
	for _, line := range s.lines {
		order = append(order, way(line))
	}
	if len(order) > 1 {
		slices.SortStableFunc(order, func(a, b *grpc.ClientConn) int { return unreached(a) - unreached(b) })
	}
	return order
}

// unreached is 1 of a connection that cannot be made now. One that nobody has used is made,
// so that it is known when it is needed.
func unreached(c *grpc.ClientConn) int {
	switch c.GetState() { //nolint:exhaustive // the others are on their way
	case connectivity.Idle:
		c.Connect()
	case connectivity.TransientFailure, connectivity.Shutdown:
		return 1
	}
	return 0
}

// invoke asks one store after the other, those that cannot be connected to last.
func (s *store) invoke(ctx context.Context, way wayTo, method string, args, reply any, opts ...grpc.CallOption) (err error) {
	for _, conn := range s.order(way) {
		err = conn.Invoke(ctx, method, args, reply, opts...)
		if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
			return err //nolint:wrapcheck // gRPC's own
		}
	}
	return err //nolint:wrapcheck // gRPC's own
}

// Invoke asks a single question for whoever is signed in.
func (s *store) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return s.invoke(forUser(ctx), func(l *storeLine) *grpc.ClientConn { return l.ask }, method, args, reply, opts...)
}

// NewStream begins a stream for whoever is signed in, from the first store that is there.
func (s *store) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	way := func(l *storeLine) *grpc.ClientConn { return l.stream }
	return s.order(way)[0].NewStream(forUser(ctx), desc, method, opts...)
}

// numbers is the way for questions about metrics.
type numbers struct{ s *store }

// Invoke asks a single question.
func (n numbers) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return n.s.invoke(ctx, func(l *storeLine) *grpc.ClientConn { return l.numbers }, method, args, reply, opts...)
}

// NewStream begins a stream.
func (n numbers) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	way := func(l *storeLine) *grpc.ClientConn { return l.numbers }
	return n.s.order(way)[0].NewStream(ctx, desc, method, opts...)
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
		return s.ownSeries(ctx, req)
	}
	ask := &pb.SeriesRequest{Names: rates, Since: req.GetSince(), Until: req.GetUntil(), Step: req.GetStep()}
	if len(others) == 0 {
		stored, err := s.stored().Series(ctx, ask)
		if err != nil {
			return nil, s.storeProblem(err)
		}
		return stored, nil
	}
	own, err := s.ownSeries(ctx, &pb.SeriesRequest{Names: others, Since: req.GetSince(), Until: req.GetUntil(), Step: req.GetStep()})
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
