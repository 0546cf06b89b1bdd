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
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

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
// last for hours, have a connection each, so that neither uses up the other's calls.
type store struct {
	ask, stream *grpc.ClientConn
	query       pb.QueryClient
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
	for _, conn := range []**grpc.ClientConn{&s.ask, &s.stream} {
		if *conn, err = dial.NewClient(o.Config.Store.Addr(), dialer.Dial, creds, options...); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	s.query = pb.NewQueryClient(s)
	return s, nil
}

func (s *store) close() error {
	var err error
	for _, conn := range []*grpc.ClientConn{s.ask, s.stream} {
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

// readSeries asks hub and store for what each has, on one scale. Where they are asked
// together and the store is away, its part is left out.
func (s *Server) readSeries(ctx context.Context, req *pb.SeriesRequest) (*pb.SeriesResponse, error) {
	rates := slices.DeleteFunc(slices.Clone(req.GetNames()), func(n string) bool { return !isRate(n) })
	others := slices.DeleteFunc(slices.Clone(req.GetNames()), isRate)
	if len(rates) == 0 {
		return s.hub.query.Series(ctx, req)
	}
	stored, err := s.stored().Series(ctx, &pb.SeriesRequest{Names: rates, Since: req.GetSince(), Until: req.GetUntil(), Step: req.GetStep()})
	switch {
	case err != nil && (len(others) == 0 || !isStoreAway(err)):
		return nil, s.storeProblem(err)
	case len(others) == 0:
		return stored, nil
	}
	ask := &pb.SeriesRequest{Names: others, Since: req.GetSince(), Until: req.GetUntil(), Step: req.GetStep()}
	if err == nil {
		ask.Since, ask.Step = stored.GetStart(), stored.GetStep()
	}
	own, err := s.hub.query.Series(ctx, ask)
	if err != nil {
		return nil, err
	}
	alignSeries(own, stored.GetSeries(), stored.GetStart(), stored.GetStep())
	slices.SortStableFunc(own.GetSeries(), func(a, b *pb.TimeSeries) int {
		return slices.Index(req.GetNames(), a.GetName()) - slices.Index(req.GetNames(), b.GetName())
	})
	return own, nil
}

// alignSeries adds series of another start to a response of the same step: each value
// at its time, and none where they have none.
func alignSeries(to *pb.SeriesResponse, series []*pb.TimeSeries, start *timestamppb.Timestamp, step *durationpb.Duration) {
	if len(series) == 0 || step.AsDuration() <= 0 || step.AsDuration() != to.GetStep().AsDuration() {
		return
	}
	points := 0
	for _, one := range to.GetSeries() {
		points = max(points, len(one.GetValues()))
	}
	before := int(start.AsTime().Sub(to.GetStart().AsTime()) / step.AsDuration())
	if points == 0 {
		points, before, to.Start = len(series[0].GetValues()), 0, start
	}
	for _, one := range series {
		values := make([]float64, points)
		for i := range values {
			values[i] = math.NaN()
			if at := i - before; at >= 0 && at < len(one.GetValues()) {
				values[i] = one.GetValues()[at]
			}
		}
		one.Values = values
	}
	to.Series = append(to.Series, series...)
}
