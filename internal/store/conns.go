package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
)

// conn is a connection whose peer has shown a certificate, from its finished
// handshake to its end.
type conn struct {
	*tls.Conn

	id   identity.ID
	cert *x509.Certificate
	set  *conns
	slot *limit.Slot
	once sync.Once
	life context.Context //nolint:containedctx // ends with the connection
	end  context.CancelFunc
}

// Close closes the connection and takes it off the list.
func (c *conn) Close() error {
	c.once.Do(func() { c.set.drop(c) })
	return c.Conn.Close()
}

// cut ends the connection at once, without the goodbyes of TLS, for which a peer
// that does not read would have to be waited for.
func (c *conn) cut() {
	c.once.Do(func() { c.set.drop(c) })
	_ = c.NetConn().Close() // it has ended by itself
}

// conns is the listener of gRPC and the one list of live connections: who is at
// their other end is bounded and cut here.
type conns struct {
	net.Listener

	slots   *limit.Slots // by identity
	share   int          // of one certificate
	revoked func(identity.ID, *x509.Certificate) string
	logger  *slog.Logger
	limiter *limit.Log

	mu   sync.Mutex // guards open
	open map[*conn]struct{}
}

// newConns takes over in, whose connections are *tls.Conn with a finished handshake.
func newConns(in net.Listener, o *Options) *conns {
	revoked := o.Revoked
	if revoked == nil {
		revoked = func(identity.ID, *x509.Certificate) string { return "" }
	}
	return &conns{
		Listener: in, share: o.Config.Server.ClientConnections, revoked: revoked, logger: o.Logger,
		limiter: limit.NewLog(o.Logger, o.Now), open: map[*conn]struct{}{},
		slots: limit.NewSlots(limit.SlotOptions{Slots: o.Config.Server.MaxConnections, Now: o.Now}),
	}
}

// Accept returns the next connection that there is room for.
func (l *conns) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		secure, ok := raw.(*tls.Conn)
		if !ok {
			_ = raw.Close() // it is no client of ours
			continue
		}
		c, err := l.admit(secure)
		if err != nil {
			_ = raw.Close() // as above
			continue
		}
		return c, nil
	}
}

var errRevoked = errors.New("the certificate was revoked")

// admit puts a finished connection on the list, within its certificate's share and
// that of all. No connection gives way: those that are open are at work.
func (l *conns) admit(secure *tls.Conn) (*conn, error) {
	state := secure.ConnectionState()
	id, err := identity.PeerID(state)
	if err != nil {
		return nil, err
	}
	slot, err := l.slots.Take(limit.Claim{Key: id.String(), Known: true, Most: l.share})
	if err != nil {
		l.limiter.Warn("connections", "connection refused", slog.String(obs.KeyIdentity, id.String()),
			slog.String(obs.KeyPeer, secure.RemoteAddr().String()), slog.String(obs.KeyReason, err.Error()))
		return nil, err
	}
	c := &conn{Conn: secure, id: id, cert: state.PeerCertificates[0], set: l, slot: slot}
	c.life, c.end = context.WithCancel(context.Background())
	l.mu.Lock()
	l.open[c] = struct{}{}
	l.mu.Unlock()
	// A revocation between the handshake and the list would find it on neither.
	if l.revoked(id, c.cert) != "" {
		c.once.Do(func() { l.drop(c) })
		return nil, errRevoked
	}
	return c, nil
}

func (l *conns) drop(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	c.slot.Release()
	c.end()
}

// cutRevoked ends the connections whose certificate is refused by now, and returns
// how many those were. Calls on them end with their connection.
func (l *conns) cutRevoked() int {
	l.mu.Lock()
	var found []*conn
	for c := range l.open {
		if l.revoked(c.id, c.cert) != "" {
			found = append(found, c)
		}
	}
	l.mu.Unlock()
	for _, c := range found {
		c.cut()
	}
	return len(found)
}

// count is how many connections are open.
func (l *conns) count() int { return l.slots.Taken() }

// peer is who is at the other end of a call's connection.
type peer struct {
	credentials.TLSInfo

	id   identity.ID
	life context.Context //nolint:containedctx // the connection's
}

// finished are transport credentials for connections whose handshake is done.
type finished struct{}

var _ credentials.TransportCredentials = finished{}

// ServerHandshake says who the peer is.
func (finished) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, ok := raw.(*conn)
	if !ok {
		return nil, nil, errors.New("connection was not admitted")
	}
	return c, peer{id: c.id, life: c.life, TLSInfo: credentials.TLSInfo{
		State:          c.ConnectionState(),
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}}, nil
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

// handshakeMost is what a client has at most from connecting to a finished handshake.
const handshakeMost = 10 * time.Second
