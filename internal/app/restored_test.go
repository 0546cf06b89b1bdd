package app

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/store"
	"github.com/amoskys/amoskys/internal/stream"
)

// answering is a server with the hub's certificate of a layout, as one looks from outside.
func answering(t *testing.T, certs string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(certs, "eventbus.crt"), filepath.Join(certs, "eventbus.key"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).HandshakeContext(t.Context()) // it may well fail
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func TestTwinsAreRefused(t *testing.T) {
	t.Parallel()
	old, other := t.TempDir(), t.TempDir()
	for _, dir := range []string{old, other} {
		if _, err := identity.EnsureLayout(dir, identity.LayoutOptions{Host: "hub-1"}); err != nil {
			t.Fatal(err)
		}
	}
	authority, err := os.ReadFile(filepath.Join(old, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	home := config.Home(t.TempDir())
	if err := os.MkdirAll(home.Data(), 0o700); err != nil {
		t.Fatal(err)
	}
	refuse := func(force bool, hubs ...string) error {
		r := &Restored{Snapshot: "x", From: "/b", Hub: hubs, Authority: string(authority)}
		if err := r.Write(home); err != nil {
			t.Fatal(err)
		}
		return RefuseTwin(t.Context(), home, force)
	}
	if err := RefuseTwin(t.Context(), home, false); err != nil {
		t.Fatalf("a home that was not restored: %v", err)
	}
	twin, stranger := answering(t, old), answering(t, other)
	if err := refuse(false, nobody.Addr().String(), stranger); err != nil {
		t.Fatalf("another hub: %v", err)
	}
	if err := refuse(false, nobody.Addr().String(), twin); err == nil || !strings.Contains(err.Error(), "still answers at "+twin) {
		t.Fatalf("the same hub: %v", err)
	}
	if err := refuse(true, twin); err != nil {
		t.Fatalf("forced: %v", err)
	}
	if err := NoteStarted(home, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := RefuseTwin(t.Context(), home, false); err != nil {
		t.Fatalf("once it ran: %v", err)
	}
}

// taking is a log that takes everything.
type taking struct{ stream.Log }

func (taking) Submit(*stream.Record, func(stream.Offset, error)) error { return nil }
func (taking) Stat() stream.Stat                                       { return stream.Stat{State: stream.StateOK, NextOffset: 7} }

func TestALogThatIsShownTakesNothing(t *testing.T) {
	t.Parallel()
	shown := openedLog(taking{}, "/srv/copy", &Restored{ReadOnly: true})
	if err := shown.Submit(nil, nil); !errors.Is(err, stream.ErrReadOnly) || !errors.Is(err, stream.ErrShown) {
		t.Fatalf("it takes events: %v", err)
	}
	if s := shown.Stat(); s.State != stream.StateShown || s.NextOffset != 7 || !strings.Contains(s.Reason, "restore --writable --home /srv/copy") {
		t.Fatalf("it says %+v", s)
	}
	for _, r := range []*Restored{nil, {}} {
		if err := openedLog(taking{}, "", r).Submit(nil, nil); err != nil {
			t.Fatalf("another log: %v", err)
		}
	}
	cfg := restoredStore(store.DefaultConfig(), &Restored{ReadOnly: true})
	if cfg.Store.RetentionDays < 36500 || cfg.TSDB.RetentionSizeMB != 0 {
		t.Fatalf("what is shown becomes too old: %+v", cfg)
	}
	if cfg.Store.Writes || !store.DefaultConfig().Store.Writes {
		t.Error("a copy that is looked at writes into the clusters of what it is a copy of")
	}
}
