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
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/wal"
)

// What runs already is the engine's parser, whose packages start goroutines as they load.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

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
		Host: "web-1", Canonical: func(string) string { return "" },
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
	storage, err := hub.OpenStorage(t.Context(), hub.StorageOptions{Open: wal.Opener(vfs.OS{}), Config: cfg, Home: s.home, Logger: logger, Registerer: registry})
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
	show := Text(writer(func(b []byte) { lines <- string(b) }), false)
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
	said := func(want string) {
		t.Helper()
		if text := <-notices; !strings.Contains(text, want) {
			t.Errorf("notice %q, want %q", text, want)
		}
	}
	s.stop()
	said("lost the hub")
	s.start(t)
	said("the hub is back")
	s.publish(t, "two", "three")
	if a, b := <-lines, <-lines; !strings.Contains(a, "two") || !strings.Contains(b, "three") {
		t.Errorf("after the restart: %q, %q", a, b)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := len(notices); n > 0 {
		t.Errorf("%d notices more, such as %q", n, <-notices)
	}
}

// TestQuietHub: who follows and gets nothing is told that this is no fault, once.
func TestQuietHub(t *testing.T) {
	s := newSite(t)
	lines, notices, done := s.follow(t, Want{From: -1}, 1)
	if text := <-notices; !strings.Contains(text, "waiting for events") {
		t.Errorf("notice %q", text)
	}
	s.stop() // before it ever sent an event
	if text := <-notices; !strings.Contains(text, "lost the hub") {
		t.Errorf("notice %q", text)
	}
	s.start(t)
	if text := <-notices; !strings.Contains(text, "is back") {
		t.Errorf("notice %q", text)
	}
	s.publish(t, "one")
	<-lines
	if err := <-done; err != nil || len(notices) > 0 {
		t.Errorf("%v, %d notices more", err, len(notices))
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

// TestCursorMoves: what was shown is not shown again, whoever ends it.
func TestCursorMoves(t *testing.T) {
	s := newSite(t)
	s.publish(t, "one", "two", "three", "four")
	more := func(limit uint64, noFollow bool) []string {
		t.Helper()
		request, err := (&Want{From: -1, Cursor: "mine", NoFollow: noFollow, Query: "NOT two"}).Request()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if err := Run(t.Context(), Options{
			Hub: s.addr(), Files: identity.FilesFor(s.home.Certs(), "operator"), Request: request, Limit: limit,
			Print: Text(writer(func(b []byte) {
				words := strings.Fields(string(b))
				got = append(got, words[len(words)-1])
			}), false),
			Notice: func(text string) { t.Errorf("notice %q", text) },
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	for i, want := range [][]string{{"one", "three"}, {"four"}} {
		if got := more(2, i > 0); !cmp.Equal(got, want) {
			t.Errorf("run %d showed %v, want %v", i+1, got, want)
		}
	}
	if got := more(0, true); len(got) != 0 {
		t.Errorf("shown again: %v", got)
	}

	// One that follows and is stopped.
	s.publish(t, "five")
	request, err := (&Want{From: -1, Cursor: "mine"}).Request()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if err := Run(ctx, Options{
		Hub: s.addr(), Files: identity.FilesFor(s.home.Certs(), "operator"), Request: request,
		Print: func(*reader.Event) error { stop(); return nil }, Notice: func(string) {},
	}); err != nil {
		t.Fatal(err)
	}
	if got := more(0, true); len(got) != 0 {
		t.Errorf("shown again after it was stopped: %v", got)
	}
}

func TestErrorsThatTryingAgainCannotMend(t *testing.T) {
	s := newSite(t)
	run := func(hub, cert string, show func(*reader.Event) error) error {
		return Run(t.Context(), Options{
			Hub: hub, Files: identity.FilesFor(s.home.Certs(), cert), Request: reader.Request{},
			Print: show, Notice: func(string) {},
		})
	}
	s.publish(t, "one")
	none := func(*reader.Event) error { return nil }
	if err := run(s.addr(), "agent", none); err == nil || !strings.Contains(err.Error(), "role agent") {
		t.Errorf("a wrong role: %v", err)
	}
	if err := run(s.addr(), "nobody", none); err == nil {
		t.Error("no certificate, and no error")
	}
	if err := run("no port", "operator", none); err == nil {
		t.Error("no port, and no error")
	}
	if err := run(s.addr(), "operator", func(*reader.Event) error { return io.ErrClosedPipe }); !errors.Is(err, io.ErrClosedPipe) && err == nil {
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
		req  reader.Request
		err  string
	}{
		{name: "nothing", want: Want{From: -1}, req: reader.Request{Start: reader.Start{Tail: true}}},
		{name: "all", want: Want{From: -1, All: true}, req: reader.Request{}},
		{name: "cursor", want: Want{From: -1, Cursor: "c"}, req: reader.Request{Cursor: "c"}},
		{name: "offset", want: Want{From: 7}, req: reader.Request{Start: reader.Start{Offset: 7}, Resume: true}},
		{name: "since", want: Want{From: -1, Since: "15m"}, req: reader.Request{Start: reader.Start{Time: now.Add(-15 * time.Minute)}}},
		{name: "since a time", want: Want{From: -1, Since: "2026-03-01T00:00:00Z"}, req: reader.Request{Start: reader.Start{Time: now.Add(-12 * time.Hour)}}},
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
