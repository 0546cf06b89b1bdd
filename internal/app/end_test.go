package app

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs/inside"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/wal"
)

func TestWithin(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		takes time.Duration
		fails error
		want  string
		after time.Duration
	}{
		"in time":     {time.Second, nil, "<nil>", time.Second},
		"fails":       {time.Second, broken, "broken", time.Second},
		"takes ages":  {time.Hour, nil, "live view did not end within 2s and was left behind; what was acknowledged is on disk", 2 * time.Second},
		"ends before": {-1, broken, "broken", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.takes >= 0 {
					cancel()
				}
				begin := time.Now()
				err := within(ctx, 2*time.Second, func() string { return "live view" }, func() error {
					<-time.After(max(0, tt.takes))
					return tt.fails
				})
				if text := fmt.Sprint(err); text != tt.want {
					t.Errorf("%q, want %q", text, tt.want)
				}
				if took := time.Since(begin); took != tt.after {
					t.Errorf("after %s", took)
				}
				<-time.After(2 * time.Hour) // until what was left behind has ended
			})
		})
	}
}

// TestHubEndsWithinItsGrace whatever those do that it serves: a subscriber and an agent
// that never read, and a database that somebody else holds.
func TestHubEndsWithinItsGrace(t *testing.T) {
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
	cfg.Server.TimeoutSeconds = 4
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- runHub(ctx, h.home, cfg, slog.New(slog.NewTextHandler(h.log, nil)), &inside.Acts{}) }()
	serving := regexp.MustCompile(`hub is serving".* addr=(\S+)`)
	for h.addr == "" {
		if m := serving.FindStringSubmatch(h.log.String()); m != nil {
			h.addr = m[1]
		}
		select {
		case err := <-done:
			t.Fatalf("the hub ended: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	agent := h.dial(t, h.issue(t, identity.RoleAgent, "web1"))
	acked := publishUnread(t, agent)
	reader, err := pb.NewEventBusClient(h.dial(t, h.issue(t, identity.RoleSubscriber, "siem"))).Subscribe(t.Context(), &pb.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Recv(); err != nil { // one delivery, and never another
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+h.home.State()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	cancel()
	begin := time.Now()
	select {
	case err := <-done:
		t.Logf("after %s: %v", time.Since(begin), err)
	case <-time.After(time.Duration(cfg.Server.TimeoutSeconds)*time.Second + 2*time.Second):
		t.Fatal("the hub has not ended")
	}
	l, err := wal.Open(t.Context(), wal.Options{Dir: h.home.WAL(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("what it left: %v", err)
	}
	defer l.Close()
	if next := l.Stat().NextOffset; next < acked {
		t.Errorf("the log holds %d events, %d were acknowledged", next, acked)
	}
}

// publishUnread publishes batches, reads one answer and never another, until nothing
// more goes out. It returns how many events it knows to be on disk.
func publishUnread(t *testing.T, conn *grpc.ClientConn) (acked uint64) {
	t.Helper()
	stream, err := pb.NewEventBusClient(conn).Publish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var id [16]byte
	_, _ = rand.Read(id[:])
	sent := make(chan struct{}, 1)
	go func() {
		for seq := uint64(1); ; seq++ {
			req := &pb.PublishRequest{ProducerId: id[:], Sequence: seq}
			for range 2 {
				ev := someEvent(time.Now())
				ev.Host = &pb.Host{Name: "web1"}
				ev.Message = strings.Repeat("x", 1000)
				encoded, err := event.Encode(ev)
				if err != nil {
					return
				}
				req.Events = append(req.Events, encoded)
			}
			if stream.Send(req) != nil {
				return
			}
			select {
			case sent <- struct{}{}:
			default:
			}
		}
	}()
	ack, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for quiet := false; !quiet; {
		select {
		case <-sent:
		case <-time.After(300 * time.Millisecond):
			quiet = true
		}
	}
	return uint64(ack.GetAccepted())
}
