package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// wholeHub is a hub with every service, as RunHub makes it.
type wholeHub struct {
	home     config.Home
	addr     string
	services *services
	log      *lockedLog
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func startWholeHub(t *testing.T) *wholeHub {
	t.Helper()
	h := &wholeHub{home: config.Home(t.TempDir()), log: &lockedLog{}}
	if err := h.home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(h.home.Certs(), identity.LayoutOptions{Host: "hub1", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	cfg := hub.DefaultConfig()
	cfg.Server.Host, cfg.Server.Port, cfg.Metrics.Enabled, cfg.WAL.MinFreeMB = "127.0.0.1", 0, false, 0
	logger, registry := slog.New(slog.NewTextHandler(h.log, nil)), obs.NewRegistry()
	storage, err := OpenStorage(t.Context(), cfg, h.home, logger, registry)
	if err != nil {
		t.Fatal(err)
	}
	db, err := state.Open(t.Context(), state.Options{File: h.home.State()})
	if err != nil {
		t.Fatal(err)
	}
	if h.services, err = newServices(t.Context(), cfg, h.home, storage, db, registry, logger); err != nil {
		t.Fatal(err)
	}
	h.services.hub, err = hub.New(h.services.hubOptions(cfg, h.home, storage, logger, registry))
	if err != nil {
		t.Fatal(err)
	}
	h.addr = h.services.hub.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- h.services.run(ctx, grace(10*time.Second)) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, storage.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *wholeHub) dial(t *testing.T, files identity.Files) *grpc.ClientConn {
	t.Helper()
	cfg, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: "127.0.0.1"})
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

// issue writes a certificate of a host into a folder.
func (h *wholeHub) issue(t *testing.T, role identity.Role, name string) identity.Files {
	t.Helper()
	ca, err := identity.LoadCA(filepath.Join(h.home.Certs(), "ca.crt"), filepath.Join(h.home.Certs(), "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(identity.IssueOptions{ID: identity.ID{Domain: identity.DefaultDomain, Role: role, Name: name}})
	if err != nil {
		t.Fatal(err)
	}
	return writePair(t, h.home, pair)
}

// runNode runs a node as a machine of its own until the test ends.
func (h *wholeHub) runNode(t *testing.T, files identity.Files, machine string) {
	t.Helper()
	_, text, _ := net.SplitHostPort(h.addr)
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.New(node.Options{
		ID: "raspberrypi", Host: &pb.Host{Name: "raspberrypi", Id: machine}, Logger: obs.Discard(),
		StateFile: filepath.Join(t.TempDir(), "node.json"),
		Agents: []node.Agent{{
			ID: "proc_agent", Kind: "proc", Argv: []string{"sleep", "1000"}, Log: filepath.Join(t.TempDir(), "log"),
			Settings: func() (node.Settings, error) { return node.Settings{Addr: "127.0.0.1:0", Enabled: true}, nil },
		}},
		Connect: node.Connector(dial.HubConfig{
			Host: "127.0.0.1", Port: port, CACert: files.CA, CertFile: files.Cert, KeyFile: files.Key,
		}, h.home, obs.Discard()),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// eventsOf reads the log's events of a type, as far as it goes now.
func eventsOf(t *testing.T, conn grpc.ClientConnInterface, typ string) (found []*pb.Event) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := pb.NewEventBusClient(conn).Subscribe(ctx, &pb.SubscribeRequest{Filter: &pb.Filter{Types: []string{typ}}})
	if err != nil {
		t.Fatal(err)
	}
	for {
		d, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range d.GetEvents() {
			ev, err := event.Decode(e.GetEvent())
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, ev)
		}
		if d.GetNextOffset() >= d.GetTailOffset() {
			return found
		}
	}
}

// until polls for at most ten seconds.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // a poll with a deadline
	}
}

// TestTwoMachinesOfOneName: two machines that enrolled under one name and throw each
// other out are warned of in log, list, event and to whoever asks on one of them.
func TestTwoMachinesOfOneName(t *testing.T) {
	h := startWholeHub(t)
	files := h.issue(t, identity.RoleNode, "raspberrypi")
	operator := h.dial(t, identity.FilesFor(h.home.Certs(), "operator"))
	list := func() *pb.AgentStatus {
		resp, err := pb.NewFleetClient(operator).ListAgents(t.Context(), &pb.ListAgentsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if len(resp.GetAgents()) == 0 {
			return nil
		}
		return resp.GetAgents()[0]
	}
	h.runNode(t, files, "machine-a")
	until(t, "the first is connected", func() bool { return list().GetNodeConnected() })
	if a := list(); a.GetWarning() != "" || a.GetCertificateNotAfter() == nil {
		t.Errorf("one alone: %v", a)
	}
	h.runNode(t, files, "machine-b")
	until(t, "the list warns", func() bool {
		return strings.Contains(list().GetWarning(), "two machines are called raspberrypi, machine-a at 127.0.0.1 and machine-b at 127.0.0.1")
	})
	checked, err := pb.NewCertificatesClient(h.dial(t, files)).CheckCertificate(t.Context(), &pb.CheckCertificateRequest{})
	if err != nil || len(checked.GetWarnings()) != 1 || checked.GetCertificate().GetIdentity() != "spiffe://amoskys.local/node/raspberrypi" ||
		checked.GetCertificate().GetConnections() == 0 {
		t.Errorf("asked on the machine: %v, %v", checked, err)
	}
	home := config.Home(t.TempDir())
	if err := os.Symlink(filepath.Dir(files.Cert), home.Certs()); err != nil {
		t.Fatal(err)
	}
	for _, ext := range []string{".crt", ".key"} {
		if err := os.Rename(filepath.Join(home.Certs(), "own"+ext), filepath.Join(home.Certs(), "node"+ext)); err != nil {
			t.Fatal(err)
		}
	}
	_, port, _ := net.SplitHostPort(h.addr)
	variables := map[string]string{config.EnvHubHost: "127.0.0.1", config.EnvHubPort: port}
	checks := endpoint.Doctor(t.Context(), &cli.Env{Home: home, Now: time.Now, Logger: obs.Discard(), Lookup: func(name string) (string, bool) {
		v, ok := variables[name]
		return v, ok
	}}, "amoskys-agent")
	if !slices.ContainsFunc(checks, func(c endpoint.Check) bool {
		return c.Name == "host raspberrypi" && c.Verdict == endpoint.VerdictWarn && strings.Contains(c.Detail, "two machines are called raspberrypi")
	}) {
		t.Errorf("the doctor says %+v", checks)
	}
	var finding *pb.Event
	until(t, "a finding is published", func() bool {
		found := eventsOf(t, operator, "finding.hub.duplicate_host")
		if len(found) == 0 {
			return false
		}
		if len(found) != 1 {
			t.Fatalf("%d findings within an hour", len(found))
		}
		finding = found[0]
		return true
	})
	if finding.GetHost().GetName() != "raspberrypi" || finding.GetSeverity() != pb.Severity_SEVERITY_HIGH ||
		finding.GetObserver().GetName() != "hub1" || !strings.Contains(finding.GetFinding().GetDescription(), "--force --host NAME") {
		t.Errorf("finding %v", finding)
	}
	if n := strings.Count(h.log.String(), "two machines of one name"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
