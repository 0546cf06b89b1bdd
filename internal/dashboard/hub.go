package dashboard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// hub is the connection to the hub: its clients, and whether it is there.
type hub struct {
	conn     *grpc.ClientConn
	accounts pb.AccountsClient
	fleet    pb.FleetClient
	query    pb.QueryClient
	bus      pb.EventBusClient
	timeout  time.Duration
	now      func() time.Time

	mu        sync.Mutex // guards what follows
	connected bool
	since     time.Time
	// changed is closed and replaced when connected changes.
	changed chan struct{}
}

// dialHub prepares the connection. gRPC makes it, and makes it again after a
// break, with a back-off of half a second to five.
func dialHub(o Options) (*hub, error) {
	creds := o.HubCredentials
	if creds == nil {
		c := o.Config.Hub
		files := identity.Files{CA: o.Home.Path(c.CACert), Cert: o.Home.Path(c.CertFile), Key: o.Home.Path(c.KeyFile)}
		// The hub tells gRPC from HTTPS by h2 being all that is offered.
		secure, err := identity.ClientConfig(files, identity.ClientOptions{
			ServerName: c.Host, ServerRole: identity.RoleHub, NextProtos: []string{"h2"}, Logger: o.Logger, Now: o.Now,
		})
		if err != nil {
			return nil, fmt.Errorf("read certificate for the hub: %w", err)
		}
		creds = credentials.NewTLS(secure)
	}
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 500 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(32 << 20)),
		grpc.WithUserAgent("amoskys-dashboard/" + o.Version),
	}, o.DialOptions...)
	conn, err := grpc.NewClient("passthrough:///"+o.Config.HubAddress(), options...)
	if err != nil {
		return nil, fmt.Errorf("prepare connection to hub: %w", err)
	}
	return &hub{
		conn: conn, accounts: pb.NewAccountsClient(conn), fleet: pb.NewFleetClient(conn),
		query: pb.NewQueryClient(conn), bus: pb.NewEventBusClient(conn),
		timeout: o.Config.hubTimeout(), now: o.Now, since: o.Now(), changed: make(chan struct{}),
	}, nil
}

func (h *hub) close() error { return h.conn.Close() }

// watch keeps the connection up and notes its state until ctx ends.
func (h *hub) watch(ctx context.Context) {
	for {
		state := h.conn.GetState()
		switch state {
		case connectivity.Idle:
			h.conn.Connect()
		case connectivity.Ready:
			h.set(true)
		case connectivity.TransientFailure, connectivity.Shutdown:
			h.set(false)
		case connectivity.Connecting: // a break is over or confirmed soon
		}
		if !h.conn.WaitForStateChange(ctx, state) {
			return
		}
		if state == connectivity.Ready {
			h.set(false)
		}
	}
}

func (h *hub) set(connected bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.connected == connected {
		return
	}
	h.connected, h.since = connected, h.now()
	close(h.changed)
	h.changed = make(chan struct{})
}

// state says whether the hub is connected, since when, and gives a channel that
// is closed when that changes.
func (h *hub) state() (connected bool, since time.Time, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.connected, h.since, h.changed
}

// call bounds one request to the hub in time.
func (h *hub) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, h.timeout)
}
