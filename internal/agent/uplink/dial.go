package uplink

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// dial makes a client for one session. Nothing is connected yet.
func (u *Uplink) dial() (*grpc.ClientConn, *handshakes, error) {
	seen := &handshakes{}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(Credentials(u.o.TLS, seen)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithUserAgent("amoskys-agent/" + u.o.Version),
		// The hub is ours and dialled by name: no proxy, no configuration from DNS.
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1 << 20)),
		// An endpoint's memory is dear, and batches are written whole anyway.
		grpc.WithReadBufferSize(8 << 10), grpc.WithIdleTimeout(0),
	}
	if u.o.Dial != nil {
		options = append(options, grpc.WithContextDialer(u.o.Dial))
	}
	conn, err := grpc.NewClient(Target(u.o.Addr), options...)
	if err != nil {
		return nil, nil, fmt.Errorf("prepare connection to the hub: %w", err)
	}
	return conn, seen, nil
}

// Target is the gRPC target of host:port: names are resolved through DNS at each
// connection, addresses are taken as they are.
func Target(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || net.ParseIP(host) != nil {
		return "passthrough:///" + addr
	}
	return "dns:///" + addr
}

// handshakes keeps the last handshake error, of which gRPC passes on only text.
type handshakes struct {
	mu  sync.Mutex
	err error
}

func (h *handshakes) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

// explain prefers what the handshake said over what gRPC made of it.
func (h *handshakes) explain(err error, how func(error) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.err != nil:
		return fmt.Errorf("connect to the hub: %w", how(h.err))
	case IsTLSError(err):
		// In TLS 1.3 a server refuses a client after the client's handshake.
		return fmt.Errorf("connect to the hub: %w", how(err))
	default:
		return plain(err)
	}
}

// plain says in a few words what gRPC wraps in several layers of its own.
func plain(err error) error {
	const dialling = "Error while dialing: "
	s, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("publish to the hub: %w", err)
	}
	if _, cause, found := strings.Cut(s.Message(), dialling); found {
		return &spoken{"connect to the hub: " + strings.Trim(cause, `"`), err}
	}
	return &spoken{"publish to the hub: " + s.Message() + " (" + s.Code().String() + ")", err}
}

// spoken is an error with a text of its own.
type spoken struct {
	text string
	err  error
}

func (e *spoken) Error() string { return e.text }

func (e *spoken) Unwrap() error { return e.err }

// IsTLSError reports whether a connection failed over TLS, judging by the text,
// which is all that gRPC passes on.
func IsTLSError(err error) bool {
	text := err.Error()
	return strings.Contains(text, "tls: ") || strings.Contains(text, "x509: ") ||
		strings.Contains(text, "authentication handshake failed")
}

// Credentials returns transport credentials for cfg, or plain text for nil, that
// report handshake errors to seen, which may be nil.
func Credentials(cfg *tls.Config, seen *handshakes) credentials.TransportCredentials {
	if cfg == nil {
		return insecure.NewCredentials()
	}
	return noting{credentials.NewTLS(cfg), seen}
}

type noting struct {
	credentials.TransportCredentials
	seen *handshakes
}

// ClientHandshake implements credentials.TransportCredentials.
func (n noting) ClientHandshake(ctx context.Context, name string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := n.TransportCredentials.ClientHandshake(ctx, name, raw)
	if n.seen != nil {
		n.seen.note(err)
	}
	return conn, info, err
}

// Clone implements credentials.TransportCredentials.
func (n noting) Clone() credentials.TransportCredentials {
	return noting{n.TransportCredentials.Clone(), n.seen}
}
