package node

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// connectTimeout bounds how long one try to reach the hub may take.
const connectTimeout = 10 * time.Second

// Connector returns a function for Options.Connect that opens Fleet.Control at
// the hub with the node's certificate. Certificate files are read at each try,
// so that a node may be started before its certificates exist.
func Connector(h Hub, home config.Home, logger *slog.Logger) func(context.Context) (Stream, error) {
	return func(ctx context.Context) (Stream, error) {
		name := h.ServerName
		if name == "" {
			name = h.Host
		}
		tlsConfig, err := identity.ClientConfig(h.Files(home), identity.ClientOptions{ServerName: name, ServerRole: identity.RoleHub, Logger: logger})
		if err != nil {
			return nil, err
		}
		conn, err := grpc.NewClient("passthrough:///"+h.Address(),
			grpc.WithTransportCredentials(credentials.NewTLS(tlsConfig)),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
			// A hub that vanished without a word is noticed within a minute.
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 40 * time.Second, Timeout: 15 * time.Second}),
			grpc.WithUserAgent("amoskys-node"),
		)
		if err != nil {
			return nil, fmt.Errorf("connect to hub: %w", err)
		}
		// The stream outlives ctx by the last report, so ctx ends only its opening.
		streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		opened := context.AfterFunc(ctx, cancel)
		stream, err := pb.NewFleetClient(conn).Control(streamCtx)
		if !opened() || err != nil {
			cancel()
			_ = conn.Close() // the first error says more
			return nil, fmt.Errorf("connect to hub %s: %w", h.Address(), err)
		}
		return &hubStream{BidiStreamingClient: stream, conn: conn, cancel: cancel}, nil
	}
}

// hubStream is Fleet.Control with its connection.
type hubStream struct {
	grpc.BidiStreamingClient[pb.NodeMessage, pb.NodeCommand]

	conn   *grpc.ClientConn
	cancel context.CancelFunc
}

// Close ends the stream and its connection.
func (s *hubStream) Close() {
	s.cancel()
	_ = s.conn.Close()
}
