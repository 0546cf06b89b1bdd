package tail

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a home with a hub that can be stopped and started on the same port.
type site struct {
	home config.Home
	port int
	stop func()
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{home: config.Home(t.TempDir())}
	if err := s.home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(s.home.Certs(), identity.LayoutOptions{
		Host: "test", Canonical: func(string) string { return "" },
	}); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *site) start(t *testing.T) {
	t.Helper()
	cfg := hub.DefaultConfig()
	cfg.Server.Host, cfg.Server.Port, cfg.Metrics.Enabled = "127.0.0.1", s.port, false
	logger, registry := slog.New(slog.DiscardHandler), obs.NewRegistry()
	storage, err := hub.OpenStorage(t.Context(), hub.StorageOptions{Config: cfg, Home: s.home, Logger: logger, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Config: cfg, Home: s.home, Storage: storage, Logger: logger, Registry: registry})
	if err != nil {
		t.Fatal(errors.Join(err, storage.Close()))
	}
	s.port = h.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := errors.Join(<-done, storage.Close()); err != nil {
			t.Error(err)
		}
		s.stop = func() {}
	}
}

func (s *site) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

func (s *site) publish(t *testing.T, texts ...string) {
	t.Helper()
	cfg, err := identity.ClientConfig(identity.FilesFor(s.home.Certs(), "agent"), identity.ClientOptions{ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(s.addr(), grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, text := range texts {
		id, err := event.NewID()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pb.NewEventBusClient(conn).PublishEvent(t.Context(), &pb.Event{
			Id: id[:], Time: timestamppb.Now(), Type: "auth.attempt", Severity: pb.Severity_SEVERITY_HIGH,
			Host: &pb.Host{Name: "web-1"}, Agent: &pb.Agent{Id: "a\x1b[31m"}, Message: text,
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// follow runs in the background; lines come out of the channels.
func (s *site) follow(t *testing.T, want Want, limit uint64) (lines, notices chan string, done chan error) {
	t.Helper()
	request, err := want.Request()
	if err != nil {
		t.Fatal(err)
	}
	lines, notices, done = make(chan string, 100), make(chan string, 1000), make(chan error, 1)
	show := Text(writer(func(b []byte) { lines <- string(b) }))
	go func() {
		done <- Run(t.Context(), Options{
			Hub: s.addr(), Files: identity.FilesFor(s.home.Certs(), "operator"), Request: request, Limit: limit,
			Print: show, Notice: func(text string) { notices <- text },
		})
	}()
	return lines, notices, done
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

func TestFollowOverARestart(t *testing.T) {
	s := newSite(t)
	s.publish(t, "one")
	lines, notices, done := s.follow(t, Want{All: true, From: -1}, 3)
	first := <-lines
	for _, part := range []string{"high", "web-1", "auth.attempt", "one\n"} {
		if !strings.Contains(first, part) {
			t.Errorf("%q has no %q", first, part)
		}
	}
	if strings.Contains(first, "\x1b") {
		t.Errorf("%q can colour the terminal", first)
	}
	s.stop()
	if text := <-notices; !strings.Contains(text, "lost the hub") {
		t.Errorf("notice %q", text)
	}
	s.start(t)
	s.publish(t, "two", "three")
	if a, b := <-lines, <-lines; !strings.Contains(a, "two") || !strings.Contains(b, "three") {
		t.Errorf("after the restart: %q, %q", a, b)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNoFollowAndJSON(t *testing.T) {
	s := newSite(t)
	s.publish(t, "one", "two")
	request, err := (&Want{All: true, From: -1, NoFollow: true, Query: "two"}).Request()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Run(t.Context(), Options{
		Hub: s.addr(), Files: identity.FilesFor(s.home.Certs(), "dashboard"), Request: request,
		Print: JSON(&out), Notice: func(text string) { t.Errorf("notice %q", text) },
	}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Offset    uint64 `json:"offset"`
		Publisher string `json:"publisher"`
		Event     struct{ Message, Type string }
	}
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil || got.Offset != 1 || got.Event.Message != "two" || got.Publisher == "" {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestErrorsThatTryingAgainCannotMend(t *testing.T) {
	s := newSite(t)
	run := func(hub, cert string, show func(*pb.StoredEvent) error) error {
		return Run(t.Context(), Options{
			Hub: hub, Files: identity.FilesFor(s.home.Certs(), cert), Request: &pb.SubscribeRequest{},
			Print: show, Notice: func(string) {},
		})
	}
	s.publish(t, "one")
	none := func(*pb.StoredEvent) error { return nil }
	if err := run(s.addr(), "agent", none); err == nil || !strings.Contains(err.Error(), "role agent") {
		t.Errorf("a wrong role: %v", err)
	}
	if err := run(s.addr(), "nobody", none); err == nil {
		t.Error("no certificate, and no error")
	}
	if err := run("no port", "operator", none); err == nil {
		t.Error("no port, and no error")
	}
	if err := run(s.addr(), "operator", func(*pb.StoredEvent) error { return io.ErrClosedPipe }); !errors.Is(err, io.ErrClosedPipe) && err == nil {
		t.Errorf("a closed pipe: %v", err)
	}
	s.stop()
	if err := run(s.addr(), "operator", none); err == nil {
		t.Error("no hub, and no error")
	}
}

func TestWant(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		want Want
		req  *pb.SubscribeRequest
		err  string
	}{
		{name: "nothing", want: Want{From: -1}, req: &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromTail{FromTail: true}}},
		{name: "all", want: Want{From: -1, All: true}, req: &pb.SubscribeRequest{}},
		{name: "cursor", want: Want{From: -1, Cursor: "c"}, req: &pb.SubscribeRequest{Cursor: "c"}},
		{name: "offset", want: Want{From: 7}, req: &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromOffset{FromOffset: 7}}},
		{name: "since", want: Want{From: -1, Since: "15m"}, req: &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromTime{FromTime: timestamppb.New(now.Add(-15 * time.Minute))}}},
		{name: "since a time", want: Want{From: -1, Since: "2026-03-01T00:00:00Z"}, req: &pb.SubscribeRequest{Start: &pb.SubscribeRequest_FromTime{FromTime: timestamppb.New(now.Add(-12 * time.Hour))}}},
		{name: "bad since", want: Want{From: -1, Since: "yesterday"}, err: "15m"},
		{name: "bad severity", want: Want{From: -1, Severity: "loud"}, err: "critical"},
		{name: "bad query", want: Want{From: -1, Query: `"`}, err: "query"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Now = now
			got, err := tt.want.Request()
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v does not say %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			tt.req.Filter = &pb.Filter{}
			if diff := cmp.Diff(tt.req, got, protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
