package state_test

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/state"
)

func someToken(id byte) state.Token {
	return state.Token{
		ID: state.TokenID{id}, SecretHash: sha256.Sum256([]byte{id}), Created: epoch,
		Expires: epoch.Add(time.Hour), CreatedBy: "spiffe://amoskys.local/operator/hub1",
	}
}

func TestTokens(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "state.db"))
	bound, old := someToken(2), someToken(3)
	bound.Host, bound.Created = "web-1", epoch.Add(time.Second)
	old.Created, old.Expires = epoch.Add(-time.Hour), epoch
	for _, tok := range []state.Token{someToken(1), bound, old} {
		if err := db.CreateToken(t.Context(), tok); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Tokens(t.Context())
	if diff := cmp.Diff([]state.Token{bound, someToken(1), old}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for name, use := range map[string]struct {
		tok  state.Token
		host string
	}{
		"unknown":      {someToken(9), "web-1"},
		"wrong secret": {state.Token{ID: state.TokenID{1}, SecretHash: sha256.Sum256([]byte("x"))}, "web-1"},
		"wrong host":   {bound, "web-2"},
		"ended":        {old, "web-1"},
	} {
		if err := db.UseToken(t.Context(), use.tok.ID, use.tok.SecretHash, use.host, "x"); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := db.UseToken(t.Context(), bound.ID, bound.SecretHash, "web-1", "web-1 from 192.0.2.1"); err != nil {
		t.Error(err)
	}
	bound.Used, bound.UsedBy = epoch, "web-1 from 192.0.2.1"
	if used, err := db.Token(t.Context(), bound.ID); err != nil || !cmp.Equal(used, bound) {
		t.Errorf("got %+v, %v", used, err)
	}
	if err := db.RevokeToken(t.Context(), bound.ID); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("revoke a used token: %v", err)
	}
	if err := db.RevokeToken(t.Context(), state.TokenID{1}); err != nil {
		t.Error(err)
	}
	if _, err := db.Token(t.Context(), state.TokenID{1}); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("a revoked token: %v", err)
	}
}

func TestTokenWorksOnceAmongMany(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "state.db"))
	tok := someToken(1)
	if err := db.CreateToken(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if db.UseToken(t.Context(), tok.ID, tok.SecretHash, "web-1", "x") == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d callers used the token", won.Load())
	}
}

// TestTokensComeToAnOldFile takes a file back to what the first version wrote.
func TestTokensComeToAnOldFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.db")
	db := open(t, file)
	if _, _, err := db.EnsureAdmin(t.Context(), cheap()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.ExecContext(t.Context(), "DROP TABLE tokens; PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, file)
	if _, err := db.User(t.Context(), state.AdminName); err != nil {
		t.Error(err)
	}
	if err := db.CreateToken(t.Context(), someToken(1)); err != nil {
		t.Error(err)
	}
}
