package hub

import (
	"crypto/tls"
	"crypto/x509"
	"net"

	"github.com/amoskys/amoskys/internal/identity"
)

// CutPeers closes the connections whose certificate matches, those of the metrics
// port included, and returns how many those were. Calls on them end at once.
func (h *Hub) CutPeers(match func(identity.ID, *x509.Certificate) bool) int {
	n := h.peers.cut(func(c *peerConn) bool { return match(c.ID, c.Cert) })
	if h.exporter != nil {
		n += h.exporter.peers.cut(func(c *peerConn) bool { return match(c.ID, c.Cert) })
	}
	return n
}

// EachPeer calls do for every live connection to the hub's port. do must not block.
func (h *Hub) EachPeer(do func(identity.ID, *x509.Certificate)) {
	h.peers.each(func(c *peerConn) { do(c.ID, c.Cert) })
}

// EachPeerOf is EachPeer for the connections of one identity, and looks at no others.
func (h *Hub) EachPeerOf(id identity.ID, do func(*x509.Certificate)) {
	h.peers.mu.Lock()
	defer h.peers.mu.Unlock()
	for c := range h.peers.byName[bare(id)] {
		do(c.Cert)
	}
}

// Certificate is what an agent of a host is connected with: its own, or else the one
// that agents of the host share, or else the node's. It is nil when none of them is
// connected.
func (h *Hub) Certificate(host, agent string) *x509.Certificate {
	id := identity.ID{Role: identity.RoleAgent, Name: host + "/" + agent}
	shared, node := id, id
	shared.Name, node.Name, node.Role = host, host, identity.RoleNode
	for _, of := range []identity.ID{id, shared, node} {
		if cert := h.peers.latest(of); cert != nil {
			return cert
		}
	}
	return nil
}

// latest is the certificate, of those that id is connected with, that ends last.
func (p *peerConns) latest(id identity.ID) (last *x509.Certificate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.byName[id] {
		if last == nil || c.Cert.NotAfter.After(last.NotAfter) {
			last = c.Cert
		}
	}
	return last
}

// listener admits what in accepts; whoever may not be admitted is closed.
func (p *peerConns) listener(in net.Listener) net.Listener { return peerListener{in, p} }

type peerListener struct {
	net.Listener
	peers *peerConns
}

// Accept returns the next connection that is admitted.
func (l peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if secure, ok := c.(*tls.Conn); ok {
			if peer, err := l.peers.admit(secure); err == nil {
				return peer, nil
			}
		}
		_ = c.Close()
	}
}
