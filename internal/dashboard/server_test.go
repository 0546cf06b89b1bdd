package dashboard_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dashboard"
	"github.com/amoskys/amoskys/internal/identity"
)

func TestReplicasShareSessions(t *testing.T) {
	h := newHub(t)
	one, two := newSiteOver(t, h), newSiteOver(t, h)
	c := one.signedIn(t, "viewer")
	over := *c
	over.url = two.url
	if code := over.do("GET", "/api/session", nil, nil); code != 200 {
		t.Errorf("session at the other replica: %d", code)
	}
	if code := over.do("POST", "/api/logout", nil, nil); code != 204 {
		t.Errorf("logout there: %d", code)
	}
	if code := c.do("GET", "/api/session", nil, nil); code != 401 {
		t.Errorf("session at the first afterwards: %d", code)
	}
}

// TestTLSOnBothSides serves browsers over TLS and reaches a hub that asks for
// certificates, all from the files that an installation has.
func TestTLSOnBothSides(t *testing.T) {
	home := config.Home(t.TempDir())
	layout := identity.LayoutOptions{Domain: "test.local", Host: "localhost", Hosts: []string{"127.0.0.1"}}
	if _, err := identity.EnsureLayout(home.Certs(), layout); err != nil {
		t.Fatal(err)
	}
	h := newHub(t)
	h.stop()
	secure, err := identity.ServerConfig(identity.FilesFor(home.Certs(), "eventbus"),
		identity.ServerOptions{Allow: []identity.Role{identity.RoleDashboard}})
	if err != nil {
		t.Fatal(err)
	}
	secure.NextProtos = []string{"h2"}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(secure)))
	h.services(server)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	h.addr = l.Addr().String()

	cert, key := home.Path("web.crt"), home.Path("web.key")
	copyFile(t, filepath.Join(home.Certs(), "eventbus.crt"), cert)
	copyFile(t, filepath.Join(home.Certs(), "eventbus.key"), key)
	s := newSiteOver(t, h, func(o *dashboard.Options) {
		o.Home = home
		o.HubCredentials = nil
		o.Config.TLS = dashboard.TLSConfig{Enabled: true, CertFile: "web.crt", KeyFile: "web.key"}
	})
	s.url = strings.Replace(s.url, "http:", "https:", 1)
	c := s.client(t)
	transport := c.http.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	eventually(t, "the hub is connected", func() bool {
		var health dashboard.Health
		return c.do("GET", "/api/health", nil, &health) == 200 && health.Hub.Connected
	})
	response := c.send("POST", "/api/login", map[string]string{"username": "viewer", "password": testPassword})
	response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("login: %d %v", response.StatusCode, response.Header)
	}
	if cookie := response.Cookies()[0]; cookie.Name != "__Host-amoskys_session" || !cookie.Secure || cookie.Domain != "" {
		t.Errorf("cookie %+v", cookie)
	}
	if code := c.do("GET", "/api/overview", nil, nil); code != 200 {
		t.Errorf("overview: %d", code)
	}

	// A renewed certificate is served without a restart, a broken one is not.
	before := response.TLS.PeerCertificates[0]
	copyFile(t, filepath.Join(home.Certs(), "operator.crt"), cert)
	copyFile(t, filepath.Join(home.Certs(), "operator.key"), key)
	touch(t, cert, time.Now().Add(time.Minute))
	transport.CloseIdleConnections()
	response = c.send("GET", "/api/health", nil)
	response.Body.Close()
	renewed := response.TLS.PeerCertificates[0]
	if renewed.Equal(before) {
		t.Error("the old certificate is still served")
	}
	if err := os.WriteFile(cert, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	touch(t, cert, time.Now().Add(2*time.Minute))
	transport.CloseIdleConnections()
	response = c.send("GET", "/api/health", nil)
	response.Body.Close()
	if !response.TLS.PeerCertificates[0].Equal(renewed) {
		t.Error("another certificate is served")
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, file string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestNewRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, change := range map[string]func(*dashboard.Options){
		"taken port":     func(o *dashboard.Options) { o.Config.Server.Port = taken.Addr().(*net.TCPAddr).Port },
		"no certificate": func(o *dashboard.Options) { o.Home = config.Home(t.TempDir()); o.HubCredentials = nil },
		"no TLS files": func(o *dashboard.Options) {
			o.Config.TLS = dashboard.TLSConfig{Enabled: true, CertFile: "none.crt", KeyFile: "none.key"}
		},
	} {
		o := dashboard.Options{Config: dashboard.DefaultConfig(), Assets: assets(), HubCredentials: credentials.NewTLS(&tls.Config{})}
		o.Config.Server.Port = 0
		change(&o)
		if s, err := dashboard.New(o); err == nil {
			t.Errorf("%s: no error", name)
			_ = s.Close()
		}
	}
}

func TestClientAddressBehindProxies(t *testing.T) {
	s := newSite(t, func(o *dashboard.Options) { o.Config.Server.TrustedProxies = []string{"10.0.0.0/8", "::1/128"} })
	handler := s.server.Handler()
	for _, tc := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:9", "203.0.113.7", "192.0.2.1"},
		{"10.1.1.1:9", "203.0.113.7", "203.0.113.7"},
		{"10.1.1.1:9", "198.51.100.1, 203.0.113.7, 10.2.2.2", "203.0.113.7"},
		{"10.1.1.1:9", "spoof, garbage", "10.1.1.1"},
		{"10.1.1.1:9", "", "10.1.1.1"},
		{"[::ffff:10.1.1.1]:9", "2001:db8::1", "2001:db8::1"},
		{"[::1]:9", "203.0.113.8", "203.0.113.8"},
	} {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://dashboard/login", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.RemoteAddr = tc.remote
		request.Header.Set("X-Forwarded-For", tc.forwarded)
		handler.ServeHTTP(newRecorder(), request)
		lines := strings.Split(strings.TrimSpace(s.access.String()), "\n")
		if last := lines[len(lines)-1]; !strings.Contains(last, "peer="+tc.want+" ") {
			t.Errorf("%s with %q: %s", tc.remote, tc.forwarded, last)
		}
	}
}
