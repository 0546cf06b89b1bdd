package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
)

// caller is who is at the other end of a connection, as its certificate says.
type caller struct {
	credentials.TLSInfo
	ID identity.ID
	// Publisher is ID as text, made once because every record carries it.
	Publisher string
}

// finished are transport credentials for connections whose TLS handshake is
// done: by then the listener has told gRPC and HTTPS apart.
type finished struct{}

var _ credentials.TransportCredentials = finished{}

var errNotTLS = errors.New("connection is not TLS")

// ServerHandshake reads who the peer is.
func (finished) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil, nil, errNotTLS
	}
	state := secure.ConnectionState()
	id, err := identity.PeerID(state)
	if err != nil {
		return nil, nil, err
	}
	return conn, caller{
		TLSInfo: credentials.TLSInfo{
			State:          state,
			CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		},
		ID: id, Publisher: id.String(),
	}, nil
}

// ClientHandshake is never used: these credentials are a server's.
func (finished) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.ErrUnsupported
}

// Info names the protocol.
func (finished) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone returns the same, for there is no state.
func (f finished) Clone() credentials.TransportCredentials { return f }

// OverrideServerName does nothing on the server's side.
func (finished) OverrideServerName(string) error { return nil }

// callerOf returns who makes a call.
func callerOf(ctx context.Context) (caller, error) {
	if p, ok := peer.FromContext(ctx); ok {
		if c, ok := p.AuthInfo.(caller); ok {
			return c, nil
		}
	}
	return caller{}, status.Error(codes.Unauthenticated, "the connection carries no client certificate")
}

// Caller returns the identity of whoever makes a call to the hub, for services
// that are registered with it.
func Caller(ctx context.Context) (identity.ID, bool) {
	c, err := callerOf(ctx)
	return c.ID, err == nil
}
