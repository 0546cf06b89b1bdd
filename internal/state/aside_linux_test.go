package state_test

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/state"
)

// TestReadOnlyHome: a database that cannot be written is read as it is, journal and
// all; sessions come and go in a copy, and what people would believe in is refused.
func TestReadOnlyHome(t *testing.T) {
	ctx := t.Context()
	where, temp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	file := filepath.Join(where, "state.db")
	before, err := state.Open(ctx, state.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = before.Close() }) // open until then, so that the journal holds it all
	if before.ReadOnly() {
		t.Error("a file that can be written is said to be read-only")
	}
	if err := before.CreateUser(ctx, state.User{Name: "ada", Role: "admin", PasswordHash: "x", Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(where, where, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("a folder cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(where, syscall.MNT_DETACH) })
	if err := syscall.Mount("", where, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("a folder cannot be made read-only: %v", err)
	}
	db, err := state.Open(ctx, state.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if users, err := db.Users(ctx); err != nil || len(users) != 1 || users[0].Name != "ada" || !db.ReadOnly() {
		t.Errorf("%v, %v, read-only %t", users, err, db.ReadOnly())
	}
	session := state.Session{TokenHash: sha256.Sum256([]byte("t")), User: "ada", Created: time.Now(), LastSeen: time.Now(), Expires: time.Now().Add(time.Hour)}
	if err := db.CreateSession(ctx, session); err != nil {
		t.Errorf("sign in: %v", err)
	}
	if err := db.DeleteSession(ctx, session.TokenHash); err != nil {
		t.Errorf("sign out: %v", err)
	}
	_, setPassword := db.SetPassword(ctx, "ada", "y", nil)
	for what, err := range map[string]error{
		"add a user": db.CreateUser(ctx, state.User{Name: "eve", Role: "admin", PasswordHash: "x", Created: time.Now()}),
		"password":   setPassword,
		"role":       db.SetRole(ctx, "ada", "viewer"),
		"audit":      db.AppendAudit(ctx, state.Audit{Time: time.Now(), Actor: "ada", Operation: "x"}),
	} {
		if err == nil || !strings.Contains(err.Error(), state.ErrReadOnly.Error()) {
			t.Errorf("%s: %v", what, err)
		} else if text := state.Explain(err); what != "role" && !strings.Contains(text, "read-only") {
			t.Errorf("%s: %q", what, text)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		t.Error("the database is gone")
	}
}
