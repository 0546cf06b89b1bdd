package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// diagnoseTimeout bounds the second look at a refused connection.
const diagnoseTimeout = 3 * time.Second

// diagnose finds out why a connection was closed right after its handshake. In
// TLS 1.3 the server's refusal of a client certificate arrives with the first
// read, and a client that is writing by then often sees only a broken pipe. So
// this connects once more and only reads. It returns err when that tells nothing.
func (u *Uplink) diagnose(ctx context.Context, err error) error {
	if u.o.TLS == nil || status.Code(err) != codes.Unavailable || IsTLSError(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, diagnoseTimeout)
	defer cancel()
	raw, dialErr := u.o.Dial(ctx, u.o.Addr)
	if dialErr != nil {
		return err
	}
	defer func() { _ = raw.Close() }() // only read
	cfg := u.o.TLS.Clone()
	cfg.NextProtos = []string{"h2"}
	conn := tls.Client(raw, cfg)
	if cause := conn.HandshakeContext(ctx); cause != nil {
		return fmt.Errorf("%s: %w", connecting(u.o.Via), u.o.Explain(cause))
	}
	deadline, _ := ctx.Deadline()
	if conn.SetReadDeadline(deadline) != nil {
		return err
	}
	// A server that lets us in speaks first: HTTP/2 begins with its settings.
	if _, cause := conn.Read(make([]byte, 1)); cause != nil && !errors.Is(cause, io.EOF) && IsTLSError(cause) {
		return fmt.Errorf("%s: %w", connecting(u.o.Via), u.o.Explain(cause))
	}
	return err
}
