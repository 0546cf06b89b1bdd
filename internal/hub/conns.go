package hub

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/limit"
)

// peerConn is a connection whose peer has shown a certificate, from its finished
// handshake to its end. gRPC and HTTPS serve it; calls find it by callerOf.
type peerConn struct {
	*tls.Conn
	// ID and Publisher are who the peer is, as ID and as text.
	ID        identity.ID
	Publisher string
	// Cert is the peer's certificate, by whose serial it may be revoked.
	Cert  *x509.Certificate
	Since time.Time

	set  *peerConns
	slot *limit.Slot
	once sync.Once
}

// Close closes the connection and takes it off the list.
func (c *peerConn) Close() error {
	c.once.Do(func() { c.set.drop(c) })
	return c.Conn.Close()
}

// cut ends the connection at once, without the goodbyes of TLS, for which a peer
// that does not read would have to be waited for.
func (c *peerConn) cut() error {
	c.once.Do(func() { c.set.drop(c) })
	return c.NetConn().Close()
}

// peerConns is the one list of live connections with a certificate. Whoever bounds,
// counts or cuts connections by who is at their other end does it here.
type peerConns struct {
	now    func() time.Time
	server *ServerConfig
	slots  *limit.Slots // by identity
	scarce *scarce
	// revoked says why a certificate is refused, "" when it is not, and seen hears of
	// each that is admitted; both may be nil.
	revoked func(identity.ID, *x509.Certificate) string
	seen    func(identity.ID, *x509.Certificate)

	mu   sync.Mutex // guards what follows
	open map[*peerConn]struct{}
	// byName holds the same by role and name, the domain left out: there is only one.
	byName map[identity.ID]map[*peerConn]struct{}
}

// bare is an identity without its domain.
func bare(id identity.ID) identity.ID { return identity.ID{Role: id.Role, Name: id.Name} }

func newPeerConns(server *ServerConfig, s *scarce, now func() time.Time) *peerConns {
	return &peerConns{
		now: now, server: server, scarce: s,
		open: map[*peerConn]struct{}{}, byName: map[identity.ID]map[*peerConn]struct{}{},
		slots: limit.NewSlots(limit.SlotOptions{Slots: server.MaxConnections, Now: now}),
	}
}

// admit puts a finished connection on the list, within its certificate's share and
// that of all. No connection gives way: those that are open are at work.
func (p *peerConns) admit(secure *tls.Conn) (*peerConn, error) {
	state := secure.ConnectionState()
	id, err := identity.PeerID(state)
	if err != nil {
		return nil, err
	}
	most := p.server.connectionsOf(id.Role)
	slot, err := p.slots.Take(limit.Claim{Key: id.String(), Known: true, Most: most})
	if err != nil {
		if errors.Is(err, limit.ErrFull) {
			most = p.server.MaxConnections
		}
		p.scarce.connection(id, secure.RemoteAddr(), most, err)
		return nil, err
	}
	c := &peerConn{
		Conn: secure, ID: id, Publisher: id.String(), Cert: state.PeerCertificates[0], Since: p.now(), set: p, slot: slot,
	}
	p.mu.Lock()
	p.open[c] = struct{}{}
	if p.byName[bare(id)] == nil {
		p.byName[bare(id)] = map[*peerConn]struct{}{}
	}
	p.byName[bare(id)][c] = struct{}{}
	p.mu.Unlock()
	// A revocation between the handshake and the list would find it on neither.
	if p.revoked != nil && p.revoked(id, c.Cert) != "" {
		c.once.Do(func() { p.drop(c) })
		return nil, errRevoked
	}
	if p.seen != nil {
		p.seen(id, c.Cert)
	}
	return c, nil
}

var errRevoked = errors.New("the certificate was revoked")

func (p *peerConns) drop(c *peerConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	delete(p.byName[bare(c.ID)], c)
	if len(p.byName[bare(c.ID)]) == 0 {
		delete(p.byName, bare(c.ID))
	}
	c.slot.Release()
}

// cut ends the connections that match and returns how many those were. Calls on
// them end with their connection.
func (p *peerConns) cut(match func(*peerConn) bool) int {
	p.mu.Lock()
	var found []*peerConn
	for c := range p.open {
		if match(c) {
			found = append(found, c)
		}
	}
	p.mu.Unlock()
	for _, c := range found {
		_ = c.cut() // it has ended by itself
	}
	return len(found)
}

// each calls do for every connection.
func (p *peerConns) each(do func(*peerConn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		do(c)
	}
}

// len returns how many connections are on the list.
func (p *peerConns) len() int { return p.slots.Taken() }

// route hands finished connections to gRPC, to HTTPS or to enrolment until in is
// closed. Those that enrol have shown no certificate: they go to enroll alone.
func (p *peerConns) route(in net.Listener, grpc, https *feed, enroll func(net.Conn)) error {
	for {
		c, err := in.Accept()
		if err != nil {
			return ignoreClosed(err)
		}
		secure, ok := c.(*tls.Conn)
		if !ok {
			_ = c.Close()
			continue
		}
		proto := secure.ConnectionState().NegotiatedProtocol
		if proto == identity.EnrollProto {
			enroll(c)
			continue
		}
		peer, err := p.admit(secure)
		switch {
		case err != nil:
			_ = c.Close()
		case proto == "h2":
			grpc.give(peer)
		default:
			https.give(peer)
		}
	}
}
