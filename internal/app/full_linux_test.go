package app

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestHubOnAFullDisk: a hub whose disk was filled to the last byte while it did not run
// starts, serves what was acknowledged, and says what is wrong.
func TestHubOnAFullDisk(t *testing.T) {
	t.Parallel()
	h := &wholeHub{home: config.Home(t.TempDir()), log: &lockedLog{}}
	where := string(h.home)
	if err := syscall.Mount("tmpfs", where, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(where, syscall.MNT_DETACH) })
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
	fill, err := os.Create(h.home.Path("fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	if _, err := io.Copy(fill, endlessZeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	h.log = &lockedLog{}
	stop = h.serveHome(t, cfg)
	defer stop()
	sub, err := pb.NewEventBusClient(h.dial(t, subscriber)).Subscribe(t.Context(), &pb.SubscribeRequest{NoFollow: true})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := sub.Recv(); err != nil || len(d.GetEvents()) == 0 {
		t.Errorf("read: %v, %v", d, err)
	}
	operator := identity.FilesFor(h.home.Certs(), "operator")
	st, err := pb.NewQueryClient(h.dial(t, operator)).Status(t.Context(), &pb.StatusRequest{})
	if err != nil || !strings.Contains(strings.Join(st.GetReasons(), "\n"), "the disk was full when the hub started") {
		t.Errorf("status %v, %v", st.GetReasons(), err)
	}
}

type endlessZeros struct{}

func (endlessZeros) Read(p []byte) (int, error) { return len(p), nil }
