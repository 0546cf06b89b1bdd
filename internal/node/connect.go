package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// connectTimeout bounds how long one try to reach the hub may take.
const connectTimeout = 10 * time.Second

// Connector returns a function for Options.Connect that opens Fleet.Control at
// the hub with the node's certificate. Certificate files are read at each try,
// so that a node may be started before its certificates exist.
func Connector(h dial.HubConfig, home config.Home, logger *slog.Logger) func(context.Context) (Stream, error) {
	var announce sync.Once
	return func(ctx context.Context) (Stream, error) {
		dialer, err := h.Dialer(home)
		if err != nil {
			return nil, err
		}
		announce.Do(func() { dialer.Announce(logger, h.Addr()) })
		tlsConfig, err := identity.ClientConfig(h.Files(home), identity.ClientOptions{ServerName: h.Name(), ServerRole: identity.RoleHub, Logger: logger})
		if err != nil {
			return nil, err
		}
		conn, err := dial.NewClient(h.Addr(), dialer.Dial, credentials.NewTLS(tlsConfig),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
			// A hub that vanished without a word is noticed within a minute.
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 40 * time.Second, Timeout: 15 * time.Second}),
			grpc.WithUserAgent("amoskys-node"),
		)
		if err != nil {
			return nil, err
		}
		// The stream outlives ctx by the last report, so ctx ends only its opening.
		streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		opened := context.AfterFunc(ctx, cancel)
		stream, err := pb.NewFleetClient(conn).Control(streamCtx)
		if !opened() || err != nil {
			cancel()
			_ = conn.Close() // the first error says more
			return nil, explain(err, dialer.Describe(h.Addr()))
		}
		return &hubStream{BidiStreamingClient: stream, conn: conn, cancel: cancel}, nil
	}
}

// explain says where a connection failed, and when it is the proxy that did.
func explain(err error, addr string) error {
	if text, ok := dial.ProxyFault(err); ok {
		return errors.New("connect to hub: " + text)
	}
	return fmt.Errorf("connect to hub %s: %w", addr, err)
}

// hubStream is Fleet.Control with its connection.
type hubStream struct {
	grpc.BidiStreamingClient[pb.NodeMessage, pb.NodeCommand]

	conn   *grpc.ClientConn
	cancel context.CancelFunc
}

// SendResult implements Stream.
func (s *hubStream) SendResult(ctx context.Context) (ResultStream, error) {
	return pb.NewTasksClient(s.conn).SendResult(ctx)
}

// Close ends the stream and its connection.
func (s *hubStream) Close() {
	s.cancel()
	_ = s.conn.Close()
}
