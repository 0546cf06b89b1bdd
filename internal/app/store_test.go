package app

import (
	"context"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/limit"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store"
)

// startFollowingStore runs a store's port beside h, without an engine, until the test
// ends or stop is called.
func startFollowingStore(t *testing.T, h *enrolHub) (addr string, stop func()) {
	t.Helper()
	cfg := store.DefaultConfig()
	cfg.Server.Host, cfg.Server.Port, cfg.Metrics.Enabled = "127.0.0.1", 0, false
	f, err := store.OpenFollower(store.FollowerOptions{
		File:   filepath.Join(h.home.Run(), "revoked.json"),
		Client: pb.NewCertificatesClient(h.dial(t, identity.FilesFor(h.home.Certs(), "store"))), Logger: obs.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.New(store.Options{
		Config: cfg, Home: h.home, Query: store.Starting{}, Memory: limit.NewBudget(1<<20, 1<<20), Logger: obs.Discard(), Registry: obs.NewRegistry(), Revoked: f.List.Refusal,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 2)
	go func() { done <- s.Run(ctx) }()
	go func() { done <- f.Run(ctx, s.CutRevoked) }()
	var stopped bool
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return s.Addr().String(), stop
}

func dialStore(t *testing.T, addr string, files identity.Files) *grpc.ClientConn {
	t.Helper()
	cfg, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: "127.0.0.1", ServerRole: identity.RoleStore})
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial.NewClient(addr, nil, credentials.NewTLS(cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestStoreFollowsRevocations: what the hub revokes is cut at the store's port too,
// and stays out when both start again and when the hub is away.
func TestStoreFollowsRevocations(t *testing.T) {
	h := startEnrolHub(t, true)
	pair, err := h.ca.Issue(identity.IssueOptions{ID: identity.ID{Domain: h.ca.Domain(), Role: identity.RoleOperator, Name: "ann"}})
	if err != nil {
		t.Fatal(err)
	}
	ann := writePair(t, h.home, pair)
	addr, stop := startFollowingStore(t, h)
	watch, err := healthpb.NewHealthClient(dialStore(t, addr, ann)).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	h.revoke(t, revokeSerial(pair.Cert))
	for err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
	refused := func(addr, when string) {
		t.Helper()
		_, err := pb.NewQueryClient(dialStore(t, addr, ann)).Status(t.Context(), &pb.StatusRequest{})
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", when, err)
		}
		if _, err := pb.NewQueryClient(dialStore(t, addr, identity.FilesFor(h.home.Certs(), "operator"))).Status(t.Context(), &pb.StatusRequest{}); err != nil {
			t.Errorf("%s, somebody else: %v", when, err)
		}
	}
	refused(addr, "at once")
	stop()
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	addr, _ = startFollowingStore(t, h)
	refused(addr, "with the hub away")
}
