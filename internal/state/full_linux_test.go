package state

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOpenOnAFullDisk: a database is served as it is, read-only, until there is room.
func TestOpenOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	file := filepath.Join(dir, "state.db")
	db, err := Open(t.Context(), Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CreateUser(t.Context(), User{Name: "ada", Role: "admin", PasswordHash: "x", Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	fill, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(fill, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	// What it holds can be read, people can sign in, and it is said what is to be done.
	if db, err = Open(t.Context(), Options{File: file}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if users, err := db.Users(t.Context()); err != nil || len(users) != 1 || !db.ReadOnly() || !strings.Contains(db.Fault(), "disk was full") {
		t.Errorf("%v, %v, read-only %t, %q", users, err, db.ReadOnly(), db.Fault())
	}
	if err = db.SetRole(t.Context(), "ada", "viewer"); err == nil || !strings.Contains(Explain(err), "disk is full") {
		t.Errorf("changed: %v, %q", err, Explain(err))
	}
	if tryWrite(t.Context(), file) == nil {
		t.Error("it has room")
	}
	if _, err := Open(t.Context(), Options{File: filepath.Join(dir, "other.db")}); err == nil {
		t.Error("a new one was made")
	}
	if err := errors.Join(fill.Close(), os.Remove(fill.Name())); err != nil {
		t.Fatal(err)
	}
	if err := tryWrite(t.Context(), file); err != nil {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
