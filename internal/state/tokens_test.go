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
		Expires: epoch.Add(time.Hour), CreatedBy: "spiffe://amoskys.local/operator/hub1", Uses: 1,
	}
}

func TestTokens(t *testing.T) { each(t, testTokens) }

func testTokens(t *testing.T, open opener) {
	db := open(t)
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
		if err := db.Enrol(t.Context(), use.tok.ID, use.tok.SecretHash, use.host, "x"); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := db.Enrol(t.Context(), bound.ID, bound.SecretHash, "web-1", "web-1 from 192.0.2.1"); err != nil {
		t.Error(err)
	}
	bound.UsedCount, bound.Used, bound.UsedBy = 1, epoch, "web-1 from 192.0.2.1"
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

// TestTokenWorksNoOftenerThanItSays has many hosts use one token at the same time.
func TestTokenWorksNoOftenerThanItSays(t *testing.T) { each(t, testTokenWorksNoOftenerThanItSays) }

func testTokenWorksNoOftenerThanItSays(t *testing.T, open opener) {
	for name, uses := range map[string]int{"one-time": 1, "join": 3} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			tok := someToken(byte(uses))
			tok.Uses, tok.HostPattern, tok.Kinds = uses, "web-*", []string{"flow", "snmp"}
			if err := db.CreateToken(t.Context(), tok); err != nil {
				t.Fatal(err)
			}
			var won atomic.Int32
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if db.Enrol(t.Context(), tok.ID, tok.SecretHash, "web-1", "x") == nil {
						won.Add(1)
					}
				})
			}
			wg.Wait()
			if int(won.Load()) != uses {
				t.Errorf("%d callers used the token, want %d", won.Load(), uses)
			}
			tok.UsedCount, tok.Used, tok.UsedBy = uses, epoch, "x"
			if got, err := db.Token(t.Context(), tok.ID); err != nil || !cmp.Equal(got, tok) || !got.Spent() {
				t.Errorf("%v\n%s", err, cmp.Diff(tok, got))
			}
		})
	}
}

// TestEnrolmentIsWholeOrNot: a token is not spent where its certificates are not kept.
func TestEnrolmentIsWholeOrNot(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.db")
	db := open(t, file)
	tok := someToken(1)
	if err := db.CreateToken(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	rename := func(from, to string) {
		t.Helper()
		if _, err := raw.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
			t.Fatal(err)
		}
	}
	cert := state.Certificate{Serial: "a1", Identity: "spiffe://x/node/web-1", Host: "web-1", Origin: state.OriginEnrolment, NotAfter: epoch.Add(time.Hour)}
	rename("certificates", "elsewhere")
	if err := db.Enrol(t.Context(), tok.ID, tok.SecretHash, "web-1", "x", cert); err == nil {
		t.Fatal("a certificate was kept where there is no table for it")
	}
	if got, err := db.Token(t.Context(), tok.ID); err != nil || got.UsedCount != 0 {
		t.Errorf("the token was used %d times, %v", got.UsedCount, err)
	}
	rename("elsewhere", "certificates")
	if err := db.Enrol(t.Context(), tok.ID, tok.SecretHash, "web-1", "x", cert); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Certificate(t.Context(), "a1"); err != nil {
		t.Error(err)
	}
}

// TestJoinTokenIsRevokedAfterSomeUses: what is left of it is useless.
func TestJoinTokenIsRevokedAfterSomeUses(t *testing.T) { each(t, testJoinTokenIsRevokedAfterSomeUses) }

func testJoinTokenIsRevokedAfterSomeUses(t *testing.T, open opener) {
	db := open(t)
	tok := someToken(1)
	tok.Uses = 2
	if err := db.CreateToken(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	for _, step := range []error{
		db.Enrol(t.Context(), tok.ID, tok.SecretHash, "web-1", "x"),
		db.RevokeToken(t.Context(), tok.ID),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if err := db.Enrol(t.Context(), tok.ID, tok.SecretHash, "web-2", "x"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("used after it was revoked: %v", err)
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
	if _, err := raw.ExecContext(t.Context(), "DROP TABLE backups; DROP TABLE device_marks; DROP TABLE saved_queries; DROP TABLE tokens; DROP TABLE hosts; DROP TABLE certificates; DROP TABLE revocations; PRAGMA user_version = 1"); err != nil {
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
