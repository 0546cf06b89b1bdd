package app

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs/inside"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// serveHome runs a whole hub on a home that is there, until the test ends.
func (h *wholeHub) serveHome(t *testing.T, cfg hub.Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- runHub(ctx, h.home, cfg, slog.New(slog.NewTextHandler(h.log, nil)), &inside.Acts{}) }()
	serving := regexp.MustCompile(`hub is serving".* addr=(\S+)`)
	for h.addr = ""; h.addr == ""; {
		if m := serving.FindAllStringSubmatch(h.log.String(), -1); len(m) > 0 {
			h.addr = m[len(m)-1][1]
		}
		select {
		case err := <-done:
			t.Fatalf("the hub ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestHubOfAReadOnlyHome serves what is there, says so, and takes nothing.
func TestHubOfAReadOnlyHome(t *testing.T) {
	t.Parallel()
	h := &wholeHub{home: config.Home(t.TempDir()), log: &lockedLog{}}
	if err := h.home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(h.home.Certs(), identity.LayoutOptions{Host: "hub1", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	cfg := hub.DefaultConfig()
	cfg.Server.Host, cfg.Server.Port, cfg.Metrics.Enabled, cfg.WAL.MinFreeMB = "127.0.0.1", 0, false, 0
	agent, subscriber := h.issue(t, identity.RoleAgent, "web-1"), h.issue(t, identity.RoleSubscriber, "siem")
	stop := h.serveHome(t, cfg)
	if _, err := pb.NewEventBusClient(h.dial(t, agent)).PublishEvent(t.Context(), someEvent(time.Now())); err != nil {
		t.Fatal(err)
	}
	stop()
	where := string(h.home)
	if err := syscall.Mount(where, where, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("a folder cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(where, syscall.MNT_DETACH) })
	if err := syscall.Mount("", where, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("a folder cannot be made read-only: %v", err)
	}
	h.log = &lockedLog{}
	stop = h.serveHome(t, cfg)
	defer stop()
	ev := someEvent(time.Now())
	ev.Id = []byte("fedcba9876543210")
	if _, err := pb.NewEventBusClient(h.dial(t, agent)).PublishEvent(t.Context(), ev); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("publish: %v", err)
	}
	sub, err := pb.NewEventBusClient(h.dial(t, subscriber)).Subscribe(t.Context(), &pb.SubscribeRequest{NoFollow: true})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := sub.Recv(); err != nil || len(d.GetEvents()) == 0 {
		t.Errorf("read: %v, %v", d, err)
	}
	operator := identity.FilesFor(h.home.Certs(), "operator")
	st, err := pb.NewQueryClient(h.dial(t, operator)).Status(t.Context(), &pb.StatusRequest{})
	if err != nil || !strings.Contains(strings.Join(st.GetReasons(), "\n"), "the home is read-only") {
		t.Errorf("status %v, %v", st.GetReasons(), err)
	}
}
