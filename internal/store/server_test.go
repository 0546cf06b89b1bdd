package store

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/rights"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked is a Query service that says who calls, and waits in Export.
type asked struct {
	Starting

	exporting chan struct{}
}

func (asked) SearchEvents(ctx context.Context, _ *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	return &pb.SearchEventsResponse{NextPage: CallerOf(ctx).Key()}, nil
}

func (asked) Event(context.Context, *pb.EventRequest) (*pb.EventResponse, error) { panic("a mistake") }

func (a asked) Export(_ *pb.ExportRequest, s grpc.ServerStreamingServer[pb.ExportResponse]) error {
	close(a.exporting)
	<-s.Context().Done()
	return status.FromContextError(s.Context().Err()).Err()
}

// stage is a running store and certificates of every role.
type stage struct {
	home    config.Home
	server  *Server
	asked   asked
	revoked atomic.Pointer[identity.ID]
	stop    func() error
}

func start(t *testing.T, change func(*Options)) *stage {
	t.Helper()
	st := &stage{home: config.Home(t.TempDir()), asked: asked{Starting: Starting{Config: DefaultConfig().Store}, exporting: make(chan struct{})}}
	if _, err := identity.EnsureLayout(st.home.Certs(), identity.LayoutOptions{
		With: []string{"analysis", "subscriber"}, Canonical: func(string) string { return "" },
	}); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Config: DefaultConfig(), Home: st.home, Query: st.asked, Memory: limit.NewBudget(24<<20, 16<<20), Logger: obs.Discard(), Registry: obs.NewRegistry(),
		Revoked: func(id identity.ID, _ *x509.Certificate) string {
			if r := st.revoked.Load(); r != nil && *r == id {
				return "it was revoked"
			}
			return ""
		},
	}
	o.Config.Server.Host, o.Config.Server.Port, o.Config.Metrics.Port = "127.0.0.1", 0, 0
	if change != nil {
		change(&o)
	}
	var err error
	if st.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.server.Run(ctx) }()
	var ended bool
	st.stop = func() error {
		cancel()
		if ended {
			return nil
		}
		ended = true
		return <-done
	}
	t.Cleanup(func() {
		if err := st.stop(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// dial connects with the certificate called name.
func (st *stage) dial(t *testing.T, name string) *grpc.ClientConn {
	t.Helper()
	secure, err := identity.ClientConfig(identity.FilesFor(st.home.Certs(), name), identity.ClientOptions{ServerName: "localhost", ServerRole: identity.RoleStore})
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial.NewClient(st.server.Addr().String(), nil, credentials.NewTLS(secure))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestRights calls each method that is served with each role, and finds what the
// table says.
func TestRights(t *testing.T) {
	st := start(t, nil)
	files := map[identity.Role]string{identity.RoleHub: "eventbus"}
	for _, role := range identity.Roles() {
		name := string(role)
		if files[role] != "" {
			name = files[role]
		}
		c := st.dial(t, name)
		for service, info := range st.server.grpc.GetServiceInfo() {
			for _, m := range info.Methods {
				if m.IsServerStream || m.IsClientStream {
					continue // the same guard, below
				}
				method := "/" + service + "/" + m.Name
				err := c.Invoke(t.Context(), method, &pb.StatusRequest{}, &pb.StatusResponse{})
				if refused := status.Code(err) == codes.PermissionDenied; refused == rights.Store().Allows(role, method) {
					t.Errorf("%s as %s: %v", method, role, err)
				}
			}
		}
		s, err := pb.NewQueryClient(c).Rows(t.Context(), &pb.RowsRequest{})
		if err == nil {
			_, err = s.Recv()
		}
		if refused := status.Code(err) == codes.PermissionDenied; refused == rights.Store().Allows(role, pb.Query_Rows_FullMethodName) {
			t.Errorf("rows as %s: %v", role, err)
		}
	}
}

// TestCaller: a dashboard says for whom it asks; others are who they are.
func TestCaller(t *testing.T) {
	st := start(t, nil)
	ctx := metadata.AppendToOutgoingContext(t.Context(), UserMetadata, strings.Repeat("zoe", maxUser), RoleMetadata, "viewer")
	for name, long := range map[string]bool{"dashboard": true, "operator": false} {
		r, err := pb.NewQueryClient(st.dial(t, name)).SearchEvents(ctx, &pb.SearchEventsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(r.GetNextPage(), " for zoezoe"); got != long || len(r.GetNextPage()) > 2*maxUser {
			t.Errorf("%s is %s", name, r.GetNextPage())
		}
	}
	if c := (Caller{ID: identity.ID{Domain: "d", Role: "operator", Name: "n"}}); c.Key() != "spiffe://d/operator/n" {
		t.Error(c.Key())
	}
}

// TestPanicIsAnAnswer and the store goes on.
func TestPanicIsAnAnswer(t *testing.T) {
	c := pb.NewQueryClient(start(t, nil).dial(t, "operator"))
	if _, err := c.Event(t.Context(), &pb.EventRequest{}); status.Code(err) != codes.Internal {
		t.Error(err)
	}
	if s, err := c.Status(t.Context(), &pb.StatusRequest{}); err != nil || s.GetStore().GetRetention().AsDuration() == 0 {
		t.Errorf("%v, %v", s, err)
	}
}

// TestRevokedIsCut: a stream that runs ends, and nobody connects again.
func TestRevokedIsCut(t *testing.T) {
	st := start(t, nil)
	c := pb.NewQueryClient(st.dial(t, "operator"))
	s, err := c.Export(t.Context(), &pb.ExportRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-st.asked.exporting
	if n := st.server.CutRevoked(); n != 0 {
		t.Fatalf("%d cut before", n)
	}
	id := callerID(t, st, "operator")
	st.revoked.Store(&id)
	if n := st.server.CutRevoked(); n != 1 {
		t.Fatalf("%d cut", n)
	}
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if _, err := c.Status(t.Context(), &pb.StatusRequest{}); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if _, err := pb.NewQueryClient(st.dial(t, "dashboard")).Status(t.Context(), &pb.StatusRequest{}); err != nil {
		t.Error(err)
	}
}

// callerID is whom a certificate names.
func callerID(t *testing.T, st *stage, name string) identity.ID {
	t.Helper()
	h, err := identity.ReadHolder(filepath.Join(st.home.Certs(), name+".crt"))
	if err != nil {
		t.Fatal(err)
	}
	return h.ID
}

// TestStops ends a stream that would last, and says why.
func TestStops(t *testing.T) {
	st := start(t, nil)
	s, err := pb.NewQueryClient(st.dial(t, "operator")).Export(t.Context(), &pb.ExportRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-st.asked.exporting
	if err := st.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "the store is stopping") {
		t.Error(err)
	}
}

// TestShareOfOne: one certificate's connections are bounded, and others have theirs.
func TestShareOfOne(t *testing.T) {
	st := start(t, func(o *Options) { o.Config.Server.ClientConnections = 2 })
	var refused int
	for range 4 {
		if _, err := pb.NewQueryClient(st.dial(t, "operator")).Status(t.Context(), &pb.StatusRequest{}); err != nil {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d of 4 were refused", refused)
	}
	if _, err := pb.NewQueryClient(st.dial(t, "dashboard")).Status(t.Context(), &pb.StatusRequest{}); err != nil {
		t.Error(err)
	}
}

// TestLargeRequest is refused, whoever sends it.
func TestLargeRequest(t *testing.T) {
	c := pb.NewQueryClient(start(t, nil).dial(t, "operator"))
	_, err := c.SearchEvents(t.Context(), &pb.SearchEventsRequest{Page: strings.Repeat("x", 2*maxRequest)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Error(err)
	}
}

// TestProbes: metrics for this machine, a verdict for anybody, and health by gRPC.
func TestProbes(t *testing.T) {
	var ready atomic.Bool
	st := start(t, func(o *Options) { o.Ready = ready.Load })
	get := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s%s", st.server.MetricsAddr(), path), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/metrics": 200, "/healthz": 200, "/x": 404} {
		if code, text := get(path); code != want {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	if _, text := get("/metrics"); !strings.Contains(text, "amoskys_store_connections 0") {
		t.Error("the gauge of connections is missing")
	}
	ready.Store(true)
	if code, _ := get("/readyz"); code != http.StatusOK {
		t.Error(code)
	}
	h := healthpb.NewHealthClient(st.dial(t, "node"))
	if r, err := h.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", r, err)
	}
}

// TestNothingStaysOpen when a port is taken or a certificate missing.
func TestNothingStaysOpen(t *testing.T) {
	st := start(t, nil)
	_, port, err := net.SplitHostPort(st.server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	o := st.server.o
	o.Registry = obs.NewRegistry()
	if _, err := fmt.Sscan(port, &o.Config.Metrics.Port); err != nil {
		t.Fatal(err)
	}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "open the metrics port") {
		t.Error(err)
	}
	o.Home = config.Home(t.TempDir())
	if _, err := New(o); err == nil {
		t.Error("a store without a certificate")
	}
}
