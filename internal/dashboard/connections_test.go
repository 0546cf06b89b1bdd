package dashboard_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/dashboard"
)

// TestIdleConnectionsShutNobodyOut: strangers who hold more connections than there
// are keep nobody at another address from signing in, and whoever has signed in
// keeps their connection.
func TestIdleConnectionsShutNobodyOut(t *testing.T) {
	const most = 64
	s := newSite(t, func(o *dashboard.Options) { o.Config.Server.MaxConnections = most })
	ada := s.signedIn(t, "viewer")
	tab := ada.tab(t)
	ping := func() {
		tab.say(`{"op":"ping"}`)
		tab.until("a pong", func(m *message) bool { return m.Type == "pong" })
	}
	ping()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 5)}}
	for range most + most/8 {
		c, err := from.DialContext(t.Context(), "tcp", s.server.Addr().String())
		if err != nil {
			t.Skipf("this machine has no second address: %v", err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.WriteString(c, "GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			continue // it gave way already
		}
		if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			_ = answer.Body.Close()
		}
	}
	began := time.Now()
	s.signedIn(t, "admin")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s to sign in", took)
	}
	ping()
}
