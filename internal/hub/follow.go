package hub

import (
	"errors"
	"log/slog"
	"time"

	"github.com/amoskys/amoskys/internal/hub/begun"
	"github.com/amoskys/amoskys/internal/obs"
)

// Bounds on what one connection, one identity and all together may have begun and
// not finished, and on what they may leave unread.
const (
	begunOfConnection  = 8 << 20
	begunOfIdentity    = 16 << 20
	begunOfAll         = 96 << 20
	unreadOfConnection = 20 << 20 // max_streams windows, with what their frames cost
	unreadOfIdentity   = 32 << 20
	unreadOfAll        = 64 << 20

	// A message has 30 s, and as much more as its bytes take at 2 KiB a second: one
	// of 256 KiB over a link of 4 KiB a second passes.
	begunGrace    = 30 * time.Second
	begunRate     = 2 << 10
	begunPatience = 2 * time.Second

	tinyReads  = 5000
	headerRate = 4 << 20 // a hundred times what a busy dashboard sends
)

// begunLimits are the bounds for messages of at most so many bytes: where the
// configuration allows larger ones, a few of them fit all the same.
func begunLimits(message int) begun.Limits {
	m := int64(message)
	return begun.Limits{
		Message: m, Window: streamWindow,
		Connection: max(begunOfConnection, 2*m), Identity: max(begunOfIdentity, 4*m), Hub: max(begunOfAll, 8*m),
		ConnectionUnread: max(unreadOfConnection, 2*m), IdentityUnread: max(unreadOfIdentity, 4*m), HubUnread: max(unreadOfAll, 8*m),
		Patience: begunPatience, Grace: begunGrace, Rate: begunRate, TinyReads: tinyReads, HeaderRate: headerRate,
	}
}

// followedConn is a connection whose frames are followed while gRPC serves it.
type followedConn struct {
	*peerConn
	follower *begun.Follower
}

// Read reads what gRPC gets, after the follower has. It waits while what began in
// it has no room.
func (c followedConn) Read(b []byte) (int, error) {
	n, err := c.peerConn.Read(b)
	if n > 0 {
		if err := c.follower.Received(b[:n]); err != nil {
			return 0, err
		}
	}
	return n, err
}

// Write writes what gRPC sends.
func (c followedConn) Write(b []byte) (int, error) {
	c.follower.Sent(b)
	return c.peerConn.Write(b)
}

// Close closes the connection and gives its room back.
func (c followedConn) Close() error {
	c.follower.Close()
	return c.peerConn.Close()
}

// follow begins to follow a connection. One that goes beyond its bounds is cut.
func (h *Hub) follow(peer *peerConn) followedConn {
	return followedConn{peer, h.begun.Follow(peer.Publisher, func(why error) {
		reason := begunReason(why)
		h.metrics.fail(reason)
		h.followLimiter.Warn(reason, "connection cut", slog.String(obs.KeyReason, reason),
			slog.String(obs.KeyIdentity, peer.Publisher), slog.String(obs.KeyPeer, peer.RemoteAddr().String()),
			slog.Any(obs.KeyError, why))
		_ = peer.cut() // it may have ended by itself
	})}
}

// begunReasons are the short words of begun's errors.
func begunReasons() map[error]string {
	return map[error]string{
		begun.ErrFrames: "bad_frames", begun.ErrStreams: "too_many_streams", begun.ErrUnread: "too_much_unread",
		begun.ErrBegun: "too_much_begun", begun.ErrStalled: "message_stalled", begun.ErrNoRoom: "no_room",
	}
}

func begunReason(why error) string {
	for err, reason := range begunReasons() {
		if errors.Is(why, err) {
			return reason
		}
	}
	return "other"
}
