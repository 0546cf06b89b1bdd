package dashboard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// hub is what the dashboard has of the hub: its clients, and whether it is there; and
// the way to the store beside it.
//
// A hub bounds the calls that run on one connection, streams included. So that
// neither a long search nor a hundred tabs keep anybody from signing in, accounts,
// questions and streams have connections of their own.
type hub struct {
	conn       *grpc.ClientConn // for questions; the one that state tells of
	signing    *grpc.ClientConn
	streams    []*streamConn
	accounts   pb.AccountsClient
	saved      pb.SavedQueriesClient
	marks      pb.DeviceMarksClient
	fleet      pb.FleetClient
	enrollment pb.EnrollmentClient
	query      pb.QueryClient
	store      *store
	timeout    time.Duration
	now        func() time.Time

	addr string // where it is

	mu   sync.Mutex // guards what follows, and streamConn.used
	link link
}

// streamConn is a connection for streams.
type streamConn struct {
	conn *grpc.ClientConn
	used int
}

// streamConns is how many connections carry streams, each streamsOfConn: together
// maxFeeds, maxCatchUps and maxTaskStreams, and below the 128 that a hub allows each by
// default. One that is not used is not made.
const (
	streamConns   = 5
	streamsOfConn = 96
)

// dialHub prepares the connections. gRPC makes them, and makes them again after a
// break, with a back-off of half a second to five.
func dialHub(o Options) (*hub, error) {
	creds := o.HubCredentials
	if creds == nil {
		// The hub tells gRPC from HTTPS by h2 being all that is offered.
		secure, err := identity.ClientConfig(o.Config.Hub.Files(o.Home), identity.ClientOptions{
			ServerName: o.Config.Hub.Name(), ServerRole: identity.RoleHub, NextProtos: []string{"h2"}, Logger: o.Logger, Now: o.Now,
		})
		if err != nil {
			return nil, fmt.Errorf("read certificate for the hub: %w", err)
		}
		creds = credentials.NewTLS(secure)
	}
	dialer, err := o.Config.Hub.Dialer(o.Home)
	if err != nil {
		return nil, err
	}
	dialer.Announce(o.Logger, o.Config.Hub.Addr())
	h := &hub{timeout: o.Config.hubTimeout(), now: o.Now, addr: o.Config.Hub.Addr(), link: newLink(o.Now())}
	options := append([]grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 500 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(32 << 20)),
		grpc.WithUserAgent("amoskys-dashboard/" + o.Version),
		grpc.WithUnaryInterceptor(h.endHung),
	}, append(o.Spans.DialOptions(longStreams()...), o.DialOptions...)...)
	connect := func(more ...grpc.DialOption) (*grpc.ClientConn, error) {
		conn, err := dial.NewClient(o.Config.Hub.Addr(), dialer.Dial, creds, append(more, options...)...)
		if err != nil {
			return nil, errors.Join(err, h.close())
		}
		return conn, nil
	}
	if h.conn, err = connect(grpc.WithIdleTimeout(0)); err != nil {
		return nil, err
	}
	if h.signing, err = connect(); err != nil {
		return nil, err
	}
	for range streamConns {
		conn, err := connect(grpc.WithIdleTimeout(time.Minute))
		if err != nil {
			return nil, err
		}
		h.streams = append(h.streams, &streamConn{conn: conn})
	}
	if h.store, err = dialStore(o); err != nil {
		return nil, errors.Join(err, h.close())
	}
	h.enrollment, h.saved, h.marks = pb.NewEnrollmentClient(h.conn), pb.NewSavedQueriesClient(h.conn), pb.NewDeviceMarksClient(h.conn)
	h.accounts, h.fleet, h.query = pb.NewAccountsClient(h.signing), pb.NewFleetClient(h.conn), pb.NewQueryClient(h.conn)
	return h, nil
}

// longStreams are calls of which no span is made: they last as long as somebody looks.
func longStreams() []string {
	return []string{"/" + pb.EventBus_ServiceDesc.ServiceName + "/", pb.Fleet_WatchAgents_FullMethodName}
}

func (h *hub) close() error {
	var err error
	for _, s := range h.streams {
		err = errors.Join(err, s.conn.Close())
	}
	if h.store != nil {
		err = errors.Join(err, h.store.close())
	}
	for _, conn := range []*grpc.ClientConn{h.signing, h.conn} {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	return err
}

// stream returns a connection with room for one more stream, until done is called.
func (h *hub) stream() (conn *grpc.ClientConn, done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := max(0, slices.IndexFunc(h.streams, func(s *streamConn) bool { return s.used < streamsOfConn }))
	h.streams[at].used++
	return h.streams[at].conn, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.streams[at].used--
	}
}

// call bounds one request to the hub in time.
func (h *hub) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, h.timeout)
}
