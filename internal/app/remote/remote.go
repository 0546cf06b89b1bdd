// Package remote is the command line's connection to a hub: over mutual TLS with
// the operator's certificate, with errors that say what to do.
package remote

import (
	"context"
	"crypto/tls"
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
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// ErrNotRunning says that nothing answers where the hub should be.
var ErrNotRunning = errors.New("the hub is not running")

// ErrStoreNotRunning says that nothing answers where the store should be.
var ErrStoreNotRunning = errors.New("the store is not running")

// Client is a connection to a hub.
type Client struct {
	Fleet        pb.FleetClient
	Tasks        pb.TasksClient
	Query        pb.QueryClient
	Accounts     pb.AccountsClient
	Saved        pb.SavedQueriesClient
	Marks        pb.DeviceMarksClient
	Enrollment   pb.EnrollmentClient
	Certificates pb.CertificatesClient
	Cursors      pb.CursorsClient
	Log          pb.LogClient
	Backups      pb.BackupsClient
	Addr         string // host:port
	Proxy        string // on the way there, without credentials; empty for none

	*line
}

// Address is where the hub of e.Home is reached from here: from the environment
// (EVENTBUS_HOST, EVENTBUS_PORT), else from the hub's own configuration.
func Address(e *cli.Env) (string, error) {
	cfg := hub.DefaultConfig()
	if err := config.Load(e.Home.HubConfig(), &cfg, config.DecodeOptions{Env: e.Lookup}); err != nil {
		return "", err
	}
	return place(e, cfg.Server.Host, cfg.Server.Port, config.EnvHubHost, config.EnvHubPort)
}

// place is where a server that listens on host and port is reached from here, unless
// the environment names another place.
func place(e *cli.Env, host string, port int, envHost, envPort string) (string, error) {
	host, at := LocalHost(host), strconv.Itoa(port)
	if e.Lookup != nil {
		if h, ok := e.Lookup(envHost); ok && h != "" {
			host = h
		}
		if p, ok := e.Lookup(envPort); ok && p != "" {
			if n, err := strconv.Atoi(p); err != nil || n < 1 || n > math.MaxUint16 {
				return "", fmt.Errorf("$%s: %q is not a port: use a number from 1 to 65535", envPort, p)
			}
			at = p
		}
	}
	return net.JoinHostPort(host, at), nil
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
	l, err := prepare(e, addr, hubEnd())
	if err != nil {
		return nil, err
	}
	conn := l.conn
	return &Client{
		Fleet: pb.NewFleetClient(conn), Tasks: pb.NewTasksClient(conn), Query: pb.NewQueryClient(conn),
		Accounts: pb.NewAccountsClient(conn), Saved: pb.NewSavedQueriesClient(conn), Marks: pb.NewDeviceMarksClient(conn), Enrollment: pb.NewEnrollmentClient(conn), Certificates: pb.NewCertificatesClient(conn),
		Cursors: pb.NewCursorsClient(conn), Log: pb.NewLogClient(conn), Backups: pb.NewBackupsClient(conn), Addr: addr, Proxy: l.proxy,
		line: l,
	}, nil
}

// end is what is at the other end of a connection.
type end struct {
	what       string // for people
	role       identity.Role
	notRunning error
	variables  string // that name another one
}

func hubEnd() end {
	return end{"the hub", identity.RoleHub, ErrNotRunning, config.EnvHubHost + " and " + config.EnvHubPort}
}

func storeEnd() end {
	return end{"the store", identity.RoleStore, ErrStoreNotRunning, config.EnvStoreHost + " and " + config.EnvStorePort}
}

// line is a connection that a command has, and what its errors are explained with.
type line struct {
	end
	addr, proxy string
	conn        *grpc.ClientConn
	files       identity.Files
	now         func() time.Time
}

// prepare makes a connection with the operator's certificate to a server of a role.
func prepare(e *cli.Env, addr string, to end) (*line, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("the address of %s is %q: write it as host:port", to.what, addr)
	}
	return prepareAs(e, addr, host, to)
}

// prepareAs is prepare for a server whose certificate has a name.
func prepareAs(e *cli.Env, addr, name string, to end) (*line, error) {
	files := identity.FilesFor(e.Home.Certs(), "operator")
	tlsConfig, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: name, ServerRole: to.role})
	if err != nil {
		if home := e.Home.Check(); home != nil {
			return nil, home
		}
		return nil, err
	}
	quick := backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, Jitter: 0.1, MaxDelay: 200 * time.Millisecond}
	dialer, err := dial.ForCommand(e.Lookup, e.Home)
	if err != nil {
		return nil, err
	}
	conn, err := dial.NewClient(addr, dialer.Dial, credentials.NewTLS(tlsConfig),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: quick, MinConnectTimeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithUserAgent("amoskys-cli"))
	if err != nil {
		return nil, err
	}
	return &line{end: to, addr: addr, proxy: dialer.Via(addr), conn: conn, files: files, now: e.Now}, nil
}

// maxAnswer bounds one message of an answer, in bytes: as a dashboard does.
const maxAnswer = 32 << 20

// Alive asks whether the other end does anything at all: a hub needs neither its log
// nor its database to answer, and to refuse us is an answer too. The error is that it
// is mute.
func (c *line) Alive(ctx context.Context) error {
	_, err := healthpb.NewHealthClient(c.conn).Check(ctx, &healthpb.HealthCheckRequest{})
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return err
	case codes.Unavailable: // no connection: is it the process, or certificates?
		return handshake(ctx, c.addr)
	default:
		return nil
	}
}

// handshake asks for the first answer of TLS, whatever it is.
func handshake(ctx context.Context, addr string) error {
	raw, err := dial.Direct(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // nothing is sent, and any answer is one
	defer func() { _ = raw.Close() }()                             // nothing was written
	if err = conn.HandshakeContext(ctx); ctx.Err() != nil {
		return fmt.Errorf("%s does not answer: %w", addr, err)
	}
	return nil
}

// Close ends the connection.
func (c *line) Close() error { return c.conn.Close() }

// Explain turns the error of a call into one for people; see [Explain].
func (c *line) Explain(err error) error {
	return c.explain(err, c.addr, c.proxy, c.files, c.now())
}

// Explain turns the error of a call to the hub at addr, through proxy if that is not empty, into one
// for people. Nothing listening is ErrNotRunning, which silence is not; a refused certificate says
// which and why; what a proxy did is said of the proxy; what the hub answered comes without gRPC's
// words around it.
func Explain(err error, addr, proxy string, files identity.Files, now time.Time) error {
	return hubEnd().explain(err, addr, proxy, files, now)
}

func (to end) explain(err error, addr, proxy string, files identity.Files, now time.Time) error {
	if err == nil {
		return nil
	}
	if text, ok := dial.ProxyFault(err); ok {
		return fmt.Errorf("connect to %s at %s: %s", to.what, addr, text)
	}
	if proxy != "" {
		addr += " through the proxy " + proxy
	}
	if r, ok := errors.AsType[*identity.Rejection](identity.ExplainHandshake(err, files, now)); ok {
		return fmt.Errorf("connect to %s at %s: %w", to.what, addr, r)
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unavailable, codes.DeadlineExceeded:
		if !isLocal(s.Message()) {
			break // its own words
		}
		last := lastPart(s.Message())
		if s.Code() == codes.DeadlineExceeded && !strings.Contains(s.Message(), "connection error") || last == context.DeadlineExceeded.Error() {
			return fmt.Errorf("%s at %s does not answer: it hangs, is overloaded, or the network between loses everything (%s)", to.what, addr, last)
		}
		return fmt.Errorf("%w at %s: start it with amoskys up, or name another with %s (%s)", to.notRunning, addr, to.variables, last)
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
