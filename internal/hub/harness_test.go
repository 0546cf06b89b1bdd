package hub

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/wal"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		runChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// testHub is a hub with everything real: certificates, TLS, TCP on loopback, a
// log on disk.
type testHub struct {
	*Hub
	home     config.Home
	config   Config
	storage  *Storage
	log      *lockedBuffer
	registry Registry

	stopOnce sync.Once
	cancel   context.CancelFunc
	done     chan error
}

type hubOption func(*Options, *StorageOptions)

// startHub runs a hub until the test ends. An empty home makes a new one.
func startHub(t *testing.T, home config.Home, options ...hubOption) *testHub {
	t.Helper()
	if home == "" {
		home = newHome(t)
	}
	h, err := openHub(home, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.stopNow(); err != nil {
			t.Errorf("stop the hub: %v", err)
		}
	})
	return h
}

func newHome(tb testing.TB) config.Home {
	tb.Helper()
	home := config.Home(tb.TempDir())
	if err := makeHome(home); err != nil {
		tb.Fatal(err)
	}
	return home
}

func makeHome(home config.Home) error {
	if err := home.Ensure(); err != nil {
		return err
	}
	_, err := identity.EnsureLayout(home.Certs(), identity.LayoutOptions{
		Host: "test-host", Canonical: func(string) string { return "" },
	})
	return err
}

func testConfig() Config {
	c := DefaultConfig()
	c.Server.Host, c.Server.Port = "127.0.0.1", 0
	c.Metrics.Host, c.Metrics.Port, c.Metrics.IntervalSeconds = "127.0.0.1", 0, 1
	c.Server.TimeoutSeconds = 10
	c.WAL.MinFreeMB = 0
	return c
}

func openHub(home config.Home, options ...hubOption) (*testHub, error) {
	text := &lockedBuffer{}
	logger := slog.New(slog.NewTextHandler(text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	registry := obs.NewRegistry()
	o := Options{Config: testConfig(), Home: home, Logger: logger, Registry: registry, Version: "test"}
	s := StorageOptions{Open: wal.Opener(vfs.OS{}), Home: home, Logger: logger, Registerer: registry}
	for _, f := range options {
		f(&o, &s)
	}
	s.Config = o.Config
	storage, err := OpenStorage(context.Background(), s)
	if err != nil {
		return nil, err
	}
	o.Storage = storage
	inner, err := New(o)
	if err != nil {
		return nil, errors.Join(err, storage.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &testHub{
		Hub: inner, home: home, config: o.Config, storage: storage, log: text, registry: registry,
		cancel: cancel, done: make(chan error, 1),
	}
	go func() { h.done <- inner.Run(ctx) }()
	return h, nil
}

// stopNow stops the hub in order and closes its log. It may be called twice.
func (h *testHub) stopNow() (err error) {
	h.stopOnce.Do(func() {
		h.cancel()
		err = errors.Join(<-h.done, h.storage.Close())
	})
	return err
}

// dial connects with the certificate of a role of the layout.
func (h *testHub) dial(t *testing.T, name string) *grpc.ClientConn {
	t.Helper()
	return dialFiles(t, h.Addr().String(), identity.FilesFor(h.home.Certs(), name))
}

func dialFiles(tb testing.TB, addr string, files identity.Files, options ...grpc.DialOption) *grpc.ClientConn {
	tb.Helper()
	cfg, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: "localhost"})
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+addr,
		append([]grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(cfg))}, options...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// issue makes a certificate of any identity from the home's own authority.
func issue(t *testing.T, home config.Home, id identity.ID, ttl time.Duration) identity.Files {
	t.Helper()
	return issueWith(t, home, identity.IssueOptions{ID: id, TTL: ttl})
}

// issueWith is issue with all that a certificate can say.
func issueWith(t *testing.T, home config.Home, o identity.IssueOptions) identity.Files {
	t.Helper()
	ca, err := identity.LoadCA(filepath.Join(home.Certs(), "ca.crt"), filepath.Join(home.Certs(), "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if o.ID.Domain == "" {
		o.ID.Domain = ca.Domain()
	}
	pair, err := ca.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := identity.Files{
		CA: filepath.Join(home.Certs(), "ca.crt"), Cert: filepath.Join(dir, "x.crt"), Key: filepath.Join(dir, "x.key"),
	}
	for file, data := range map[string][]byte{files.Cert: pair.CertPEM, files.Key: pair.KeyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// tlsConfig is a client's configuration for HTTPS with a certificate of the layout.
func (h *testHub) tlsConfig(t *testing.T, name string) *tls.Config {
	t.Helper()
	cfg, err := identity.ClientConfig(identity.FilesFor(h.home.Certs(), name), identity.ClientOptions{ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// ownHost is the host of the layout's certificates.
var ownHost = &pb.Host{Name: "test-host"}

// makeEvent builds a valid event with its own id.
func makeEvent(tb testing.TB, text string) []byte {
	tb.Helper()
	return encode(tb, &pb.Event{Type: "process.execution", Message: text, Host: ownHost})
}

// encode fills in what an event needs.
func encode(tb testing.TB, ev *pb.Event) []byte {
	tb.Helper()
	if ev.GetId() == nil {
		id, err := event.NewID()
		if err != nil {
			tb.Fatal(err)
		}
		ev.Id = id[:]
	}
	if ev.GetTime() == nil {
		ev.Time = timestamppb.Now()
	}
	if ev.GetHost() == nil && ev.GetObserver() == nil {
		ev.Host = ownHost
	}
	b, err := proto.Marshal(ev)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func publishStream(tb testing.TB, conn *grpc.ClientConn, agent string) grpc.BidiStreamingClient[pb.PublishRequest, pb.PublishAck] {
	tb.Helper()
	ctx := tb.Context()
	if agent != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, identity.MetadataAgent, agent)
	}
	s, err := pb.NewEventBusClient(conn).Publish(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// exchange sends one batch and returns its ack.
func exchange(tb testing.TB, s grpc.BidiStreamingClient[pb.PublishRequest, pb.PublishAck], r *pb.PublishRequest) *pb.PublishAck {
	tb.Helper()
	if err := s.Send(r); err != nil {
		_, err = s.Recv()
		tb.Fatalf("send: %v", err)
	}
	ack, err := s.Recv()
	if err != nil {
		tb.Fatalf("receive: %v", err)
	}
	return ack
}

// readAll subscribes up to the tail and returns what is there, decoded.
func (h *testHub) readAll(t *testing.T, req *pb.SubscribeRequest) (events []*pb.StoredEvent, gaps []*pb.Gap, next uint64) {
	t.Helper()
	conn := h.dial(t, "operator")
	defer conn.Close()
	req.NoFollow = true
	return subscribeAll(t, conn, req)
}

func subscribeAll(tb testing.TB, conn *grpc.ClientConn, req *pb.SubscribeRequest) (events []*pb.StoredEvent, gaps []*pb.Gap, next uint64) {
	tb.Helper()
	s, err := pb.NewEventBusClient(conn).Subscribe(tb.Context(), req)
	if err != nil {
		tb.Fatal(err)
	}
	for {
		d, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return events, gaps, next
		}
		if err != nil {
			tb.Fatal(err)
		}
		events = append(events, d.GetEvents()...)
		if d.GetGap() != nil {
			gaps = append(gaps, d.GetGap())
		}
		next = d.GetNextOffset()
	}
}

func messages(t *testing.T, events []*pb.StoredEvent) []string {
	t.Helper()
	out := make([]string, len(events))
	for i, e := range events {
		var ev pb.Event
		if err := proto.Unmarshal(e.GetEvent(), &ev); err != nil {
			t.Fatal(err)
		}
		out[i] = ev.GetMessage()
	}
	return out
}

// eventually polls until ok, for things that only a process outside or a counter
// shows.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(15 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// lockedBuffer gathers the log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func sixteen(i int) []byte { return fmt.Appendf(nil, "%016d", i) }

// metric reads one metric without labels, or the sum over its labels.
func (h *testHub) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			match := true
			for i := 0; i+1 < len(labels); i += 2 {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				match = match && found
			}
			if match {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func decode(t *testing.T, e *pb.StoredEvent) *pb.Event {
	t.Helper()
	var ev pb.Event
	if err := proto.Unmarshal(e.GetEvent(), &ev); err != nil {
		t.Fatal(err)
	}
	return &ev
}

func healthOf(t *testing.T, conn *grpc.ClientConn, service string) string {
	t.Helper()
	r, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		return err.Error()
	}
	return r.GetStatus().String()
}
