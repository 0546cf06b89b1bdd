package hub

import (
	"context"
	"crypto/x509"
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
	// conn is the connection that the call came on.
	conn *peerConn
	// Observes says that the certificate names kinds of agents that watch others.
	Observes bool
	// life ends with that connection, however it does.
	life context.Context //nolint:containedctx // a connection's, not a call's
}

// finished are transport credentials for connections whose TLS handshake is
// done: by then the listener has told gRPC and HTTPS apart.
type finished struct {
	follow func(*peerConn) followedConn
}

var _ credentials.TransportCredentials = finished{}

var errNoPeer = errors.New("connection was not admitted")

// ServerHandshake says who the peer is.
func (f finished) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	peer, ok := conn.(*peerConn)
	if !ok {
		return nil, nil, errNoPeer
	}
	followed := f.follow(peer)
	return followed, caller{
		TLSInfo: credentials.TLSInfo{
			State:          peer.ConnectionState(),
			CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		},
		ID: peer.ID, Publisher: peer.Publisher, Observes: len(identity.Observes(peer.Cert)) > 0, conn: peer,
		life: followed.follower.Context(),
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

// CallerCertificate returns the certificate of whoever makes a call to the hub.
func CallerCertificate(ctx context.Context) (*x509.Certificate, bool) {
	c, err := callerOf(ctx)
	if err != nil || c.conn == nil {
		return nil, false
	}
	return c.conn.Cert, true
}
