package hub

import (
	"context"
	"strings"

	"google.golang.org/grpc/peer"
)

// clip makes a text from outside fit for one line of the log.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "?")
}

func peerAddr(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return p.Addr.String()
	}
	return ""
}

// isLoopbackNetwork is obs.IsLoopback of what limit.Network returns.
func isLoopbackNetwork(network string) bool {
	return network == "::/64" || strings.HasPrefix(network, "127.")
}
