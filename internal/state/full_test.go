package state

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestExplain: whoever revokes or enrols while the hub's disk is full is told so.
func TestExplain(t *testing.T) {
	db, err := Open(t.Context(), Options{File: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.sql.db.SetMaxOpenConns(1) // the bound is a connection's
	if _, err := db.sql.ExecContext(t.Context(), "PRAGMA max_page_count = 1"); err != nil {
		t.Fatal(err)
	}
	for range 1_000 {
		if err = db.Revoke(t.Context(), Revocation{Target: time.Now().String(), Reason: strings.Repeat("x", 500), Time: time.Now()}); err != nil {
			break
		}
	}
	if text := Explain(err); err == nil || !strings.Contains(text, "disk is full") {
		t.Errorf("%v is explained as %q", err, text)
	}
	if text := Explain(errors.New("x")); !strings.Contains(text, "log says why") {
		t.Error(text)
	}
}
