// Package remote is the command line's connection to a hub: over mutual TLS with
// the operator's certificate, with errors that say what to do.
package remote

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// ErrNotRunning says that nothing answers where the hub should be.
var ErrNotRunning = errors.New("the hub is not running")

// Client is a connection to a hub.
type Client struct {
	Fleet      pb.FleetClient
	Query      pb.QueryClient
	Enrollment pb.EnrollmentClient
	Addr       string // host:port

	conn  *grpc.ClientConn
	files identity.Files
	now   func() time.Time
}

// Address is where the hub of e.Home is reached from here: from the environment
// (EVENTBUS_HOST, EVENTBUS_PORT), else from the hub's own configuration.
func Address(e *cli.Env) (string, error) {
	cfg := hub.DefaultConfig()
	if err := config.Load(e.Home.HubConfig(), &cfg, config.DecodeOptions{Env: e.Lookup}); err != nil {
		return "", err
	}
	host, port := LocalHost(cfg.Server.Host), strconv.Itoa(cfg.Server.Port)
	if e.Lookup != nil {
		if h, ok := e.Lookup(config.EnvHubHost); ok && h != "" {
			host = h
		}
		if p, ok := e.Lookup(config.EnvHubPort); ok && p != "" {
			if n, err := strconv.Atoi(p); err != nil || n < 1 || n > math.MaxUint16 {
				return "", fmt.Errorf("$%s: %q is not a port: use a number from 1 to 65535", config.EnvHubPort, p)
			}
			port = p
		}
	}
	return net.JoinHostPort(host, port), nil
}

// LocalHost turns an address that is listened on into one to dial from here.
func LocalHost(listen string) string {
	if ip := net.ParseIP(listen); listen == "" || ip != nil && ip.IsUnspecified() {
		return "localhost"
	}
	return listen
}

// Dial prepares a connection to the hub at addr; empty means Address. Nothing is
// sent yet: the first call finds out whether there is a hub. The caller closes it.
func Dial(e *cli.Env, addr string) (*Client, error) {
	if addr == "" {
		var err error
		if addr, err = Address(e); err != nil {
			return nil, err
		}
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("address of the hub: %w", err)
	}
	files := identity.FilesFor(e.Home.Certs(), "operator")
	tlsConfig, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: host, ServerRole: identity.RoleHub})
	if err != nil {
		return nil, fmt.Errorf("%w (amoskys up does too; --home says where)", err)
	}
	quick := backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, Jitter: 0.1, MaxDelay: 200 * time.Millisecond}
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(credentials.NewTLS(tlsConfig)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: quick, MinConnectTimeout: 5 * time.Second}),
		grpc.WithUserAgent("amoskys-cli"))
	if err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	return &Client{
		Fleet: pb.NewFleetClient(conn), Query: pb.NewQueryClient(conn), Enrollment: pb.NewEnrollmentClient(conn), Addr: addr,
		conn: conn, files: files, now: e.Now,
	}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Explain turns the error of a call into one for people; see [Explain].
func (c *Client) Explain(err error) error { return Explain(err, c.Addr, c.files, c.now()) }

// Explain turns the error of a call to the hub at addr into one for people. Nothing listening is
// ErrNotRunning, which silence is not; a refused certificate says which and why; what the hub answered
// comes without gRPC's words around it.
func Explain(err error, addr string, files identity.Files, now time.Time) error {
	if err == nil {
		return nil
	}
	if r, ok := errors.AsType[*identity.Rejection](identity.ExplainHandshake(err, files, now)); ok {
		return fmt.Errorf("connect to the hub at %s: %w", addr, r)
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unavailable, codes.DeadlineExceeded:
		if s.Code() == codes.DeadlineExceeded && !strings.Contains(s.Message(), "connection error") {
			return fmt.Errorf("the hub at %s does not answer: it hangs, is overloaded, or the network between loses everything (%s)", addr, lastPart(s.Message()))
		}
		if isLocal(s.Message()) {
			return fmt.Errorf("%w at %s: start it with amoskys up, or name another with EVENTBUS_HOST and EVENTBUS_PORT (%s)", ErrNotRunning, addr, lastPart(s.Message()))
		}
	default:
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return errors.New(s.Message())
}

// lastPart is what the system said, without the layers around it.
func lastPart(message string) string {
	return strings.Trim(message[strings.LastIndex(message, ": ")+1:], " \"")
}

// isLocal tells the words of our own side of the connection from the hub's.
func isLocal(message string) bool {
	for _, words := range []string{"connection error", "error reading from server", "context deadline exceeded", "name resolver error", "connection refused", "EOF"} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}
