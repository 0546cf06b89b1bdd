package app

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/hub/certificates"
	"github.com/amoskys/amoskys/internal/hub/fleet"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// acts remembers what was audited.
type acts struct {
	mu      sync.Mutex
	list    []string
	details []string
}

func (a *acts) Audit(_ context.Context, act *pb.AuditActivity) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.details = append(a.details, act.GetDetail())
	a.list = append(a.list, fmt.Sprintf("%s %v %s", act.GetOperation(), act.GetSuccess(), act.GetTarget()))
}

func (a *acts) has(act string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.list, act)
}

// enrolHub is a hub that enrols, with real TLS on loopback.
type enrolHub struct {
	home    config.Home
	addr    string
	db      *state.DB
	members *membership
	hub     *hub.Hub
	acts    *acts
	ca      *identity.CA
	clock   *setClock
	agents  map[string][]string // that the fleet knows, by host
	// connected says whether a host's node is connected; nil for none.
	connected func(string) bool
	stop      func() error
}

// setClock is a clock that tests move. It begins now, because other sides have clocks
// of their own.
type setClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *setClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *setClock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func startEnrolHub(t *testing.T, enrols bool) *enrolHub {
	t.Helper()
	home := config.Home(t.TempDir())
	if err := home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(home.Certs(), identity.LayoutOptions{Host: "hub1", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	h := &enrolHub{home: home, acts: &acts{}, clock: &setClock{at: time.Now()}}
	files := identity.FilesFor(home.Certs(), "ca")
	var err error
	if h.ca, err = identity.LoadCA(files.CA, files.Key); err != nil {
		t.Fatal(err)
	}
	h.start(t, enrols)
	return h
}

// start runs the hub, also again after stop.
func (h *enrolHub) start(t *testing.T, enrols bool) {
	t.Helper()
	cfg := hub.DefaultConfig()
	cfg.Server.Host, cfg.Server.Port, cfg.Metrics.Enabled, cfg.WAL.MinFreeMB = "127.0.0.1", 0, false, 0
	registry := obs.NewRegistry()
	storage, err := OpenStorage(t.Context(), cfg, h.home, obs.Discard(), registry)
	if err != nil {
		t.Fatal(err)
	}
	if h.db, err = state.Open(t.Context(), state.Options{File: h.home.State(), Now: h.clock.Now}); err != nil {
		t.Fatal(err)
	}
	h.members, err = newMembership(t.Context(), membershipOptions{
		home: h.home, files: cfg.Files(h.home), db: h.db, auditor: h.acts, logger: obs.Discard(), now: h.clock.Now,
		peers:     func() certificates.Peers { return h.hub },
		connected: func(host string) bool { return h.connected != nil && h.connected(host) },
		agents:    func(host string) []string { return h.agents[host] },
	})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := fleet.New(t.Context(), fleet.Options{Store: h.db, Bind: bindNode, Caller: callerName})
	if err != nil {
		t.Fatal(err)
	}
	o := hub.Options{
		Config: cfg, Home: h.home, Storage: storage, Logger: obs.Discard(), Registry: registry, Now: h.clock.Now,
		Revoked: h.members.revocations.Refusal, Seen: h.members.certificates.Seen,
		Register: func(r grpc.ServiceRegistrar) {
			pb.RegisterFleetServer(r, nodes)
			pb.RegisterEnrollmentServer(r, h.members.enroll)
			pb.RegisterCertificatesServer(r, h.members.certificates)
		},
	}
	if enrols {
		o.Enroll = h.members.enroll.Handler()
	}
	if h.hub, err = hub.New(o); err != nil {
		t.Fatal(err)
	}
	h.addr = h.hub.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- h.hub.Run(ctx) }()
	h.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-done, storage.Close(), h.db.Close())
	})
	stop := h.stop
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func (h *enrolHub) dial(t *testing.T, files identity.Files) *grpc.ClientConn {
	t.Helper()
	cfg, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: "127.0.0.1", Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+h.addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (h *enrolHub) operator(t *testing.T) pb.EnrollmentClient {
	t.Helper()
	return pb.NewEnrollmentClient(h.dial(t, identity.FilesFor(h.home.Certs(), "operator")))
}

func (h *enrolHub) token(t *testing.T, host string) string {
	t.Helper()
	resp, err := h.operator(t).CreateToken(t.Context(), &pb.CreateTokenRequest{Host: host})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetToken()
}

func (h *enrolHub) join(t *testing.T, home config.Home, token, host string, force bool) error {
	t.Helper()
	e := &cli.Env{Home: home, Now: h.clock.Now, Logger: obs.Discard()}
	_, err := endpoint.Enroll(t.Context(), e, endpoint.EnrollOptions{Hub: h.addr, Token: token, Host: host, Force: force})
	return err
}

func TestEnrolledHostPublishes(t *testing.T) {
	h := startEnrolHub(t, true)
	home := config.Home(filepath.Join(t.TempDir(), "web-1"))
	token := h.token(t, "")
	if err := h.join(t, home, token, "web-1", false); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node.key", "agent.key", "client.key"} {
		info, err := os.Stat(filepath.Join(home.Certs(), name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	for _, role := range []string{"node", "agent"} {
		if got, want := ownID(filepath.Join(home.Certs(), role+".crt")).String(), "spiffe://amoskys.local/"+role+"/web-1"; got != want {
			t.Errorf("identity %q, want %q", got, want)
		}
	}
	if _, findings := identity.Verify(home.Certs(), identity.VerifyOptions{}); len(findings) > 0 {
		t.Errorf("findings: %+v", findings)
	}
	bus := pb.NewEventBusClient(h.dial(t, identity.FilesFor(home.Certs(), "agent")))
	ack, err := bus.PublishEvent(t.Context(), &pb.Event{
		Id: []byte("0123456789abcdef"), Time: timestamppb.Now(), Type: "process.execution", Host: &pb.Host{Name: "web-1"},
	})
	if err != nil {
		t.Errorf("publish: %v, %v", ack, err)
	}
	if err := h.join(t, config.Home(t.TempDir()), token, "web-1", false); err == nil || !strings.Contains(err.Error(), "the token was used on") {
		t.Errorf("the second use: %v", err)
	}
	if !h.acts.has("host.enroll true web-1") || !h.acts.has("host.enroll false ") {
		t.Errorf("audited: %q", h.acts.list)
	}
	// Certificates are replaced only when asked, and the old ones stay otherwise.
	if err := h.join(t, home, h.token(t, "web-1"), "web-1", false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("over certificates: %v", err)
	}
	if err := h.join(t, home, h.token(t, "web-1"), "web-1", true); err != nil {
		t.Errorf("with force: %v", err)
	}
	if err := h.join(t, h.home, h.token(t, "web-1"), "web-1", true); err == nil || !strings.Contains(err.Error(), "hub's own home") {
		t.Errorf("over the hub's own: %v", err)
	}
}

func TestEnrolmentIsRefused(t *testing.T) {
	h := startEnrolHub(t, true)
	expired := identity.NewToken(h.ca.Cert)
	if err := h.db.CreateToken(t.Context(), state.Token{
		ID: expired.ID, SecretHash: expired.SecretHash(), Created: time.Now().Add(-time.Hour), Expires: time.Now().Add(-time.Second),
	}); err != nil {
		t.Fatal(err)
	}
	forged, err := identity.ParseToken(h.token(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	forged.Secret = sha256.Sum256([]byte("guess"))
	open := h.operator(t)
	revoked, err := open.CreateToken(t.Context(), &pb.CreateTokenRequest{Ttl: durationpb.New(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open.RevokeToken(t.Context(), &pb.RevokeTokenRequest{Id: revoked.GetInfo().GetId()}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ token, host, want string }{
		"expired":       {expired.Text(), "web-1", "the token ended on"},
		"unknown":       {identity.NewToken(h.ca.Cert).Text(), "web-1", "the token is not known here"},
		"wrong secret":  {forged.Text(), "web-1", "the token is not known here"},
		"revoked":       {revoked.GetToken(), "web-1", "the token is not known here"},
		"wrong host":    {h.token(t, "web-1"), "web-2", "the token is for host web-1, not for web-2"},
		"bad host":      {h.token(t, ""), "web 1", "is not allowed"},
		"agent as host": {h.token(t, ""), "web-1/proc", "has no /"},
		"no token":      {"amk1_x", "web-1", "not a whole enrolment token"},
	} {
		home := config.Home(t.TempDir())
		if err := h.join(t, home, tt.token, tt.host, false); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := os.Stat(home.Certs()); err == nil {
			t.Errorf("%s: something was written", name)
		}
	}
	if _, err := open.CreateToken(t.Context(), &pb.CreateTokenRequest{Host: "a b"}); err == nil {
		t.Error("a token for a host that cannot be")
	}
	if err := os.Remove(filepath.Join(h.home.Certs(), "ca.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := open.CreateToken(t.Context(), &pb.CreateTokenRequest{}); err == nil || !strings.Contains(err.Error(), "enrolment is off because") {
		t.Errorf("without the authority's key: %v", err)
	}
}

// TestTokenIsNotSentToAnother: a hub of another authority hears no byte of it.
func TestTokenIsNotSentToAnother(t *testing.T) {
	h, other := startEnrolHub(t, true), startEnrolHub(t, true)
	err := other.join(t, config.Home(t.TempDir()), h.token(t, ""), "web-1", false)
	if r, ok := errors.AsType[*identity.Rejection](err); !ok || r.Reason != identity.ReasonUnknownAuthority {
		t.Errorf("got %v", err)
	}
	if len(other.acts.list) != 0 {
		t.Errorf("the other hub saw %q", other.acts.list)
	}
	if err := startEnrolHub(t, false).join(t, config.Home(t.TempDir()), h.token(t, ""), "web-1", false); err == nil {
		t.Error("a hub that enrols nobody let a client in")
	}
}

// raw opens a TLS connection without a client certificate.
func (h *enrolHub) raw(t *testing.T, protos ...string) (*tls.Conn, error) {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: protos}}
	c, err := d.DialContext(t.Context(), "tcp", h.addr)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*tls.Conn), c.SetDeadline(time.Now().Add(10 * time.Second))
}

func TestWithoutCertificateOnlyEnrolment(t *testing.T) {
	h := startEnrolHub(t, true)
	for _, protos := range [][]string{nil, {"h2"}, {"http/1.1"}, {identity.EnrollProto, "h2"}, {"h2", identity.EnrollProto}, {"http/1.1", identity.EnrollProto}} {
		c, err := h.raw(t, protos...)
		if err == nil {
			_, err = c.Read(make([]byte, 1)) // TLS 1.3 tells with the first read
		}
		if got := identity.ClassifyHandshakeError(err); got != identity.ReasonNoCertificate {
			t.Errorf("offering %q: %v", protos, err)
		}
	}
	for _, tt := range []struct{ send, want string }{
		{"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404"},
		{"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404"},
		{"GET /v1/enroll HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 "},
	} {
		c, err := h.raw(t, identity.EnrollProto)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, tt.send); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(answer), tt.want) || strings.Contains(string(answer), "HTTP/1.1 200") {
			t.Errorf("%q: %s", tt.send, answer)
		}
	}
}

// post sends a body as it is.
func (h *enrolHub) post(t *testing.T, body string) (int, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
		return h.raw(t, identity.EnrollProto) //nolint:contextcheck // the test's own context
	}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+h.addr+identity.EnrollPath, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func enrolBody(t *testing.T, r identity.EnrollRequest) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// loadCommon reads what all agents have in common of one kind's configuration.
func loadCommon(t *testing.T, kind string, home config.Home) agent.Common {
	t.Helper()
	d, err := endpoint.Find(kind)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := d.Load(home.AgentConfig(d.ConfigName), config.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return loaded.Common
}

func TestMalformedRequests(t *testing.T) {
	h := startEnrolHub(t, true)
	token := h.token(t, "")
	good, err := identity.NewSigningRequest()
	if err != nil {
		t.Fatal(err)
	}
	csr := string(good.CSRPEM)
	body := func(r identity.EnrollRequest) string { return enrolBody(t, r) }
	for name, tt := range map[string]struct {
		body string
		code int
	}{
		"empty":     {"", http.StatusBadRequest},
		"not JSON":  {"token=x", http.StatusBadRequest},
		"two":       {"{} {}", http.StatusBadRequest},
		"unknown":   {`{"role":"operator"}`, http.StatusBadRequest},
		"no token":  {"{}", http.StatusBadRequest},
		"no CSR":    {body(identity.EnrollRequest{Token: token, Host: "web-1", CSRNode: csr}), http.StatusBadRequest},
		"both":      {body(identity.EnrollRequest{Token: token, Host: "web-1", CSRNode: csr, CSRAgent: csr, Agents: []identity.EnrollAgent{{ID: "a", CSR: csr}}}), http.StatusBadRequest},
		"twice":     {body(identity.EnrollRequest{Token: token, Host: "web-1", CSRNode: csr, Agents: []identity.EnrollAgent{{ID: "a", CSR: csr}, {ID: "A", CSR: csr}}}), http.StatusBadRequest},
		"bad agent": {body(identity.EnrollRequest{Token: token, Host: "web-1", CSRNode: csr, Agents: []identity.EnrollAgent{{ID: "a/b", CSR: csr}}}), http.StatusBadRequest},
		"no agent":  {body(identity.EnrollRequest{Token: token, Host: "web-1", CSRNode: csr, Agents: []identity.EnrollAgent{{CSR: csr}}}), http.StatusBadRequest},
		"many":      {body(identity.EnrollRequest{Token: token, Host: "web-1", CSRNode: csr, Agents: make([]identity.EnrollAgent, 65)}), http.StatusBadRequest},
		"bad kind":  {body(identity.EnrollRequest{Token: token, Host: "web-1", CSRNode: csr, CSRAgent: csr, Observes: []string{"x y"}}), http.StatusBadRequest},
		"machine":   {body(identity.EnrollRequest{Token: token, Host: "web-1", CSRNode: csr, CSRAgent: csr, Machine: strings.Repeat("m", 129)}), http.StatusBadRequest},
		"bad CSR":   {body(identity.EnrollRequest{Token: token, Host: "web-1", CSRNode: csr, CSRAgent: csr[:len(csr)/2]}), http.StatusBadRequest},
		"oversized": {body(identity.EnrollRequest{Token: token, Host: strings.Repeat("a", identity.MaxEnrollBytes)}), http.StatusRequestEntityTooLarge},
	} {
		if code, text := h.post(t, tt.body); code != tt.code || strings.Contains(text, "BEGIN") {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	// None of it has cost the token.
	if err := h.join(t, config.Home(t.TempDir()), token, "web-1", false); err != nil {
		t.Error(err)
	}
	var last int
	for range 20 {
		last, _ = h.post(t, "{}")
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("after many requests: %d", last)
	}
}
