package dashboard

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
)

// Bounds on connections. They are shared by network until a request shows a session,
// and by user from then on. An eighth is what a user, or a network from which people
// have signed in, has in safety from strangers; a quarter is not for strangers.
const (
	safeParts       = 8
	reservedParts   = 4
	connectionGrace = 2 * time.Second
	maxGuests       = 4_096
	guestFor        = 24 * time.Hour
)

// shared bounds the connections that l accepts. When there are too many, one of whom
// has most is closed, an idle one first.
func (s *Server) shared(l net.Listener) net.Listener {
	most := max(s.o.Config.Server.MaxConnections, 1)
	log := limit.NewLog(s.o.Logger, s.o.Now)
	return limit.NewListener(l, limit.ListenerOptions{
		Slots: limit.NewSlots(limit.SlotOptions{
			Slots: most, Share: most / safeParts, Reserved: most / reservedParts, Grace: connectionGrace, Now: s.o.Now,
		}),
		Known: s.isGuest,
		Refused: func(from net.Addr, err error) {
			log.Warn("connections", "connection refused", slog.String(obs.KeyPeer, from.String()), slog.Any(obs.KeyReason, err))
		},
		Shortage: func(err error) {
			log.Warn("descriptors", "connection not accepted", slog.Any(obs.KeyError, err),
				slog.Int("descriptors_max", limit.MaxDescriptors()))
		},
	})
}

// isGuest says whether a network is one that people have signed in from, or that of
// a proxy which speaks for others.
func (s *Server) isGuest(network string) bool {
	if addr, err := netip.ParseAddr(network); err == nil && s.isProxy(addr) {
		return true
	}
	return s.guests.Has(network, s.o.Now())
}

type connKey struct{}

// keepConn lets a request find the connection that it came on.
func keepConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, limit.ConnOf(c))
}

// vouch counts a request's connection as its user's: it has shown a session. That of
// a proxy carries requests of many.
func (s *Server) vouch(r *http.Request, user string) {
	conn, _ := r.Context().Value(connKey{}).(*limit.Conn)
	if conn == nil || conn.Slot == nil {
		return
	}
	network := limit.NetworkOf(conn.RemoteAddr())
	if addr, err := netip.ParseAddr(network); err == nil && s.isProxy(addr) {
		return
	}
	s.guests.Note(network, s.o.Now())
	_ = conn.Slot.Move("user "+user, true, 0) // nothing bounds one user but the others
}
