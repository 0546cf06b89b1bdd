package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial/dialtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// far is the address of a hub that only a proxy reaches (RFC 2606).
const far = "hub.example:5000"

func secureServer(t *testing.T) *httptest.Server {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hub for "+r.Host) }))
	t.Cleanup(s.Close)
	return s
}

func mustNew(t *testing.T, p Proxy) *Dialer {
	t.Helper()
	d, err := New(p, "")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// hello speaks TLS with the server through conn, end to end.
func hello(t *testing.T, s *httptest.Server, conn net.Conn) {
	t.Helper()
	secure := tls.Client(conn, &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"})
	defer func() { _ = secure.Close() }()
	if err := secure.HandshakeContext(t.Context()); err != nil {
		t.Fatalf("TLS through the proxy: %v", err)
	}
	if _, err := io.WriteString(secure, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(secure)
	if err != nil || !strings.Contains(string(answer), "hub for x") {
		t.Errorf("%v: %s", err, answer)
	}
}

// TestTunnel: mutual TLS passes through a proxy, named by the environment or by
// hub.proxy, with and without a password, over HTTP and HTTPS.
func TestTunnel(t *testing.T) {
	s := secureServer(t)
	route := map[string]string{far: s.Listener.Addr().String()}
	secure := &tls.Config{Certificates: s.TLS.Certificates}
	for _, tt := range []struct {
		name   string
		o      dialtest.Options
		byFile bool // in hub.proxy instead of the environment
	}{
		{name: "environment", o: dialtest.Options{Route: route}},
		{name: "setting", o: dialtest.Options{Route: route}, byFile: true},
		{name: "password", o: dialtest.Options{Route: route, Credentials: "zoe:s3cret"}, byFile: true},
		{name: "password of the environment", o: dialtest.Options{Route: route, Credentials: "zoe:s3cret"}},
		{name: "https proxy", o: dialtest.Options{Route: route, TLS: secure}, byFile: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dialtest.NoProxy(t)
			dialtest.NoDNS(t)
			p := dialtest.Start(t, tt.o)
			setting := Proxy(p.URL())
			if !tt.byFile {
				t.Setenv("HTTPS_PROXY", p.URL())
				setting = ""
			}
			d := mustNew(t, setting)
			if tt.o.TLS != nil {
				d.roots = x509.NewCertPool()
				d.roots.AddCert(s.Certificate())
			}
			conn, err := d.Dial(t.Context(), far)
			if err != nil {
				t.Fatal(err)
			}
			hello(t, s, conn)
			if got := fmt.Sprint(p.Targets()); got != "[CONNECT "+far+"]" {
				t.Error(got)
			}
			if via := d.Via(far); strings.Contains(via, "s3cret") || !strings.HasSuffix(via, "://"+p.Addr) {
				t.Errorf("via %q", via)
			}
		})
	}
}

// TestEarlyBytes: a server that speaks first may have its words come in one packet
// with the proxy's grant.
func TestEarlyBytes(t *testing.T) {
	dialtest.NoProxy(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.WriteString(c, " and late")
			_ = c.Close()
		}
	}()
	p := dialtest.Start(t, dialtest.Options{Route: map[string]string{far: l.Addr().String()}, Early: "early"})
	conn, err := mustNew(t, Proxy(p.URL())).Dial(t.Context(), far)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "early and late" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWhoGoesThroughAProxy is the rule in one table.
func TestWhoGoesThroughAProxy(t *testing.T) {
	for _, tt := range []struct {
		addr, setting, env, not string
		want                    string
	}{
		{addr: far, env: "http://p:1", want: "http://p:1"},
		{addr: far, env: "p:1", want: "http://p:1"},
		{addr: far, env: "http://u:secret@p:1", want: "http://p:1"},
		{addr: far, env: "http://p:1", not: "hub.example"},
		{addr: far, env: "http://p:1", not: ".example"},
		{addr: far, env: "http://p:1", not: "*"},
		{addr: "192.0.2.7:5000", env: "http://p:1", not: "192.0.2.0/24"},
		{addr: "192.0.2.7:5000", env: "http://p:1", not: "other.example", want: "http://p:1"},
		{addr: far, env: "http://p:1", setting: "none"},
		{addr: far, env: "http://p:1", setting: "http://q:2", not: "*", want: "http://q:2"},
		{addr: "localhost:5000", env: "http://p:1"},
		{addr: "hub.localhost:5000", env: "http://p:1", setting: "http://q:2"},
		{addr: "LOCALHOST.:5000", setting: "http://q:2"},
		{addr: "127.0.0.9:5000", setting: "http://q:2"},
		{addr: "[::1]:5000", setting: "http://q:2"},
		{addr: far},
	} {
		dialtest.NoProxy(t)
		t.Setenv("HTTPS_PROXY", tt.env)
		t.Setenv("NO_PROXY", tt.not)
		t.Setenv("HTTP_PROXY", "http://never:1")
		if got := mustNew(t, Proxy(tt.setting)).Via(tt.addr); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

// TestProxyRefuses: whoever reads the error knows that it is the proxy, which one,
// and what to do; no password is in it, and nothing that the proxy made up.
func TestProxyRefuses(t *testing.T) {
	const evil = "\x1b[31mpwned"
	gone := func() string {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		return l.Addr().String()
	}()
	for name, tt := range map[string]struct {
		o    dialtest.Options
		url  string
		want []string
	}{
		"no password": {o: dialtest.Options{Credentials: "zoe:s3cret"}, url: "http://%s", want: []string{"407", "USER:PASSWORD"}},
		"wrong":       {o: dialtest.Options{Credentials: "zoe:s3cret"}, url: "http://zoe:wr0ng@%s", want: []string{"407"}},
		"forbidden":   {o: dialtest.Options{Answer: "HTTP/1.1 403 " + evil + "\r\n\r\n"}, want: []string{"forbids", "CONNECT", far}},
		"bad gateway": {o: dialtest.Options{Answer: "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 99\r\n\r\n"}, want: []string{"cannot reach " + far}},
		"redirect":    {o: dialtest.Options{Answer: "HTTP/1.1 302 Found\r\nLocation: http://login\r\n\r\n"}, want: []string{"302 Found"}},
		"no proxy":    {o: dialtest.Options{Answer: "SSH-2.0-OpenSSH " + evil + "\r\n"}, want: []string{"does not answer as an HTTP proxy"}},
		"endless":     {o: dialtest.Options{Answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)}, want: []string{"does not answer as an HTTP proxy"}},
		"silent end":  {o: dialtest.Options{Answer: "\r\n"}, want: []string{"does not answer as an HTTP proxy"}},
		"not there":   {url: "http://zoe:s3cret@" + gone, want: []string{"cannot be reached", "refused"}},
		"socks":       {url: "socks5://zoe:s3cret@%s", want: []string{"socks5"}},
		"no TLS":      {url: "https://zoe:s3cret@%s", want: []string{"cannot be trusted"}},
		"not a URL":   {url: "http://zoe:s3cret@%%zz:1", want: []string{"HTTPS_PROXY", "or a URL such as"}},
	} {
		t.Run(name, func(t *testing.T) {
			dialtest.NoProxy(t)
			p := dialtest.Start(t, tt.o)
			url := tt.url
			if url == "" {
				url = "http://zoe:s3cret@%s"
			}
			if strings.Contains(url, "%") {
				url = strings.ReplaceAll(strings.ReplaceAll(url, "%s", p.Addr), "%%", "%")
			}
			t.Setenv("HTTPS_PROXY", url)
			_, err := mustNew(t, "").Dial(t.Context(), far)
			fault, ok := errors.AsType[*ProxyError](err)
			if !ok {
				t.Fatalf("%v", err)
			}
			text := fault.Error()
			for _, want := range append(tt.want, "HTTPS_PROXY", "NO_PROXY=hub.example", "hub.proxy: none") {
				if !strings.Contains(text, want) {
					t.Errorf("%q lacks %q", text, want)
				}
			}
			for _, never := range []string{"s3cret", "wr0ng", "zoe", "pwned"} {
				if strings.Contains(text, never) {
					t.Errorf("%q has %q", text, never)
				}
			}
			// What gRPC leaves of it is still known for the proxy's.
			if words, ok := ProxyFault(fmt.Errorf("connection error: desc = %q", "transport: Error while dialing: "+text)); !ok || words != text {
				t.Errorf("%q, %v", words, ok)
			}
		})
	}
}

// TestProxyHangs: the proxy has a deadline of its own, a shorter one counts before,
// and somebody who gives up need not wait.
func TestProxyHangs(t *testing.T) {
	dialtest.NoProxy(t)
	p := dialtest.Start(t, dialtest.Options{Hang: true})
	d := mustNew(t, Proxy(p.URL()))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := d.Dial(ctx, far)
	if fault, ok := errors.AsType[*ProxyError](err); !ok || !strings.Contains(fault.Error(), "does not answer in time") {
		t.Errorf("%v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := d.Dial(ctx, far); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	synctest.Test(t, func(t *testing.T) { // without a deadline of the caller's
		near, _ := net.Pipe()
		began := time.Now()
		_, err := d.negotiate(t.Context(), near, mustURL(t, "http://p:1"), &ProxyError{Addr: far})
		if took := time.Since(began); err == nil || took != proxyTimeout {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// TestLoopbackIsNotLookedUp: a machine without /etc/hosts reaches itself.
func TestLoopbackIsNotLookedUp(t *testing.T) {
	dialtest.NoProxy(t)
	dialtest.NoDNS(t)
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", listen)
		if err != nil {
			continue // a machine without IPv6
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		for _, name := range []string{"localhost", "LocalHost.", "hub.localhost"} {
			conn, err := mustNew(t, "").Dial(t.Context(), net.JoinHostPort(name, port))
			if err != nil {
				t.Errorf("%s on %s: %v", name, listen, err)
				continue
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSettingIsRedacted: hub.proxy may hold a password, and is shown by many.
func TestSettingIsRedacted(t *testing.T) {
	c := struct {
		Hub HubConfig `yaml:"hub"`
	}{DefaultHub("node")}
	c.Hub.Proxy = "http://zoe:s3cret@p:3128"
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		string(asJSON), fmt.Sprint(c), fmt.Sprintf("%#v %+v %d", c, c, c.Hub.Proxy), fmt.Sprint(config.Entries(c, nil)), c.Hub.Proxy.LogValue().String(),
	} {
		if strings.Contains(text, "s3cret") || !strings.Contains(text, "http://p:3128") {
			t.Error(text)
		}
	}
}

// TestSettingsAreChecked: a fault says what would be right, and never the password.
func TestSettingsAreChecked(t *testing.T) {
	for p, ok := range map[Proxy]bool{
		"": true, "none": true, "http://p:3128": true, "https://zoe:s3cret@p": true, "env:NAME": true, "file:proxy.txt": true,
		"http://p:3128/": true,
		"p:3128":         false, "s3cret": false, "socks5://zoe:s3cret@p:1": false, "http://zoe:s3cret@": false, "http://p:1/s3cret": false, "http://zoe:s3cret@p:x": false,
	} {
		v := config.NewCheck()
		h := DefaultHub("node")
		h.Proxy = p
		h.Validate(v)
		faults := v.Faults()
		if (len(faults) == 0) != ok || strings.Contains(fmt.Sprint(faults), "s3cret") {
			t.Errorf("%s: %v", string(p), faults)
		}
	}
}

// TestReferences: the URL with its password may be kept out of the file.
func TestReferences(t *testing.T) {
	dialtest.NoProxy(t)
	t.Setenv("MY_PROXY", "http://zoe:s3cret@p:3128")
	if got := mustNew(t, "env:MY_PROXY").Via(far); got != "http://p:3128" {
		t.Error(got)
	}
	t.Setenv("MY_PROXY", "s3cret")
	if _, err := New("env:MY_PROXY", ""); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
	_, err := ForCommand(func(name string) (string, bool) { return "gopher://q:1", name == "AMOSKYS_HUB_PROXY" }, "")
	if err == nil || !strings.HasPrefix(err.Error(), "$AMOSKYS_HUB_PROXY: ") {
		t.Error(err)
	}
	d, err := ForCommand(func(name string) (string, bool) { return "http://q:1", name == "AMOSKYS_HUB_PROXY" }, "")
	if err != nil || d.Via(far) != "http://q:1" {
		t.Error(d, err)
	}
}
