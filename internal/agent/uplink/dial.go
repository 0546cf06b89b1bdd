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

	"github.com/amoskys/amoskys/internal/dial"
)

// dial makes a client for one session. Nothing is connected yet.
func (u *Uplink) dial() (*grpc.ClientConn, *handshakes, error) {
	seen := &handshakes{via: u.o.Via}
	conn, err := dial.NewClient(u.o.Addr, u.o.Dial, Credentials(u.o.TLS, seen),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithUserAgent("amoskys-agent/"+u.o.Version), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<20)),
		// An endpoint's memory is dear, and batches are written whole anyway.
		grpc.WithReadBufferSize(8<<10), grpc.WithIdleTimeout(0),
	)
	return conn, seen, err
}

// handshakes keeps the last handshake error, of which gRPC passes on only text.
type handshakes struct {
	via string // the proxy on the way, for messages; empty for none

	mu  sync.Mutex
	err error
}

// connecting is what was being done when a connection failed.
func connecting(via string) string {
	if via == "" {
		return "connect to the hub"
	}
	return "connect to the hub through the proxy " + via
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
		return fmt.Errorf("%s: %w", connecting(h.via), how(h.err))
	case IsTLSError(err):
		// In TLS 1.3 a server refuses a client after the client's handshake.
		return fmt.Errorf("%s: %w", connecting(h.via), how(err))
	default:
		return plain(err, h.via)
	}
}

// plain says in a few words what gRPC wraps in several layers of its own.
func plain(err error, via string) error {
	const dialling = "Error while dialing: "
	s, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("publish to the hub: %w", err)
	}
	if text, ok := dial.ProxyFault(err); ok {
		return &spoken{"connect to the hub: " + text, err}
	}
	if _, cause, found := strings.Cut(s.Message(), dialling); found {
		return &spoken{connecting(via) + ": " + strings.Trim(cause, `"`), err}
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
