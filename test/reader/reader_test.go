// Package reader_test runs the readers' suite over a real hub, once in its process and
// once by gRPC.
package reader_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/reader/readertest"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/wal"
)

func TestReaders(t *testing.T) {
	for what, as := range map[string]readertest.Site{
		"events":                  {},
		"events of packed blocks": {Codec: codec.S2},
		"packed blocks":           {Codec: codec.S2, Blocks: true},
	} {
		with := func(s readertest.Site) readertest.Site {
			s.Codec, s.Blocks = as.Codec, as.Blocks
			return s
		}
		t.Run(what+" in process", func(t *testing.T) {
			readertest.Run(t, func(t *testing.T) readertest.Site { return with(openSite(t).local()) })
		})
		t.Run(what+" by gRPC", func(t *testing.T) {
			readertest.Run(t, func(t *testing.T) readertest.Site { return with(openSite(t).remote(t)) })
		})
	}
}

// site is a hub with a disk that a test can break.
type site struct {
	home     config.Home
	log      stream.Log
	addr     string
	from, to atomic.Int64 // unreadable
}

func openSite(t *testing.T) *site {
	t.Helper()
	s := &site{home: config.Home(t.TempDir())}
	if err := s.home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(s.home.Certs(), identity.LayoutOptions{Host: "h", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	cfg := hub.DefaultConfig()
	cfg.Server.Host, cfg.Server.Port, cfg.Metrics.Enabled = "127.0.0.1", 0, false
	cfg.WAL.MinFreeMB, cfg.WAL.RotationSizeMB, cfg.WAL.RetentionSizeMB, cfg.Server.MaxMessageMB = 0, 1, 2, 1
	logger, registry := slog.New(slog.DiscardHandler), obs.NewRegistry()
	storage, err := hub.OpenStorage(t.Context(), hub.StorageOptions{
		Open: wal.Opener(errorfs.Wrap(vfs.OS{}, func(op errorfs.Op) error {
			if strings.HasSuffix(op.Path, ".wal") && op.Hits(s.from.Load(), s.to.Load()) {
				return syscall.EIO
			}
			return nil
		})),
		Config: cfg, Home: s.home, Logger: logger, Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Config: cfg, Home: s.home, Storage: storage, Logger: logger, Registry: registry})
	if err != nil {
		t.Fatal(errors.Join(err, storage.Close()))
	}
	s.log, s.addr = storage.Log, h.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, storage.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) common() readertest.Site {
	return readertest.Site{
		Log:   s.log,
		Block: func(from, to int64) { s.from.Store(from); s.to.Store(to) },
		Trim: func(t *testing.T) {
			t.Helper()
			if err := s.log.(interface{ Maintain(context.Context) error }).Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func (s *site) local() readertest.Site {
	out := s.common()
	out.Source = &reader.Local{Log: s.log, Follow: stream.FollowOptions{Pause: time.Millisecond, MaxPause: 10 * time.Millisecond}}
	out.Cursor = func(name string) string { return name }
	return out
}

func (s *site) remote(t *testing.T) readertest.Site {
	t.Helper()
	cfg, err := identity.ClientConfig(identity.FilesFor(s.home.Certs(), "operator"), identity.ClientOptions{ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	conn, err := grpc.NewClient("passthrough:///"+s.addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond}, MinConnectTimeout: time.Second}),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				conns = append(conns, c)
			}
			return c, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	out := s.common()
	out.Source = reader.NewRemote(conn)
	out.Cursor = func(name string) string { return "operator@h@" + name }
	out.Cut = func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			_ = c.Close()
		}
		conns = nil
	}
	return out
}
