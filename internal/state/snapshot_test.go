package state_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/state"
)

func TestAFileIsCopiedWhileItIsOpen(t *testing.T) {
	t.Parallel()
	from, to := filepath.Join(t.TempDir(), "state.db"), filepath.Join(t.TempDir(), "copy.db")
	db, err := state.Open(t.Context(), state.Options{File: from})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.AppendAudit(t.Context(), state.Audit{Actor: "ada", Operation: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := db.PutBackup(t.Context(), state.Backup{ID: "a", Place: "p", Time: time.Unix(1, 0), Bytes: 3}); err != nil {
		t.Fatal(err)
	}
	if err := state.CopyFile(t.Context(), to, from); err != nil {
		t.Fatal(err)
	}
	if err := state.CopyFile(t.Context(), to, from); !errors.Is(err, state.ErrExists) {
		t.Fatalf("copied over another: %v", err)
	}
	if err := state.CopyFile(t.Context(), to+"2", from+"2"); err == nil {
		t.Fatal("copied what is not there")
	}
	copied, err := state.Open(t.Context(), state.Options{File: to})
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	trail, err := copied.AuditTrail(t.Context(), 0, 10)
	if err != nil || len(trail) != 1 || trail[0].Actor != "ada" {
		t.Fatalf("the copy has %+v: %v", trail, err)
	}
	if b, err := copied.LastBackup(t.Context()); err != nil || b.ID != "a" || b.Bytes != 3 {
		t.Fatalf("the copy has %+v: %v", b, err)
	}
}

func TestTheLastBackupIsRemembered(t *testing.T) {
	each(t, func(t *testing.T, open opener) {
		db := open(t)
		if _, err := db.LastBackup(t.Context()); !errors.Is(err, state.ErrNotFound) {
			t.Fatalf("before the first: %v", err)
		}
		for i := range 103 {
			if err := db.PutBackup(t.Context(), state.Backup{ID: fmt.Sprint(i), Place: "p", Time: time.Unix(1, 0), WithKeys: i == 102}); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := db.LastBackup(t.Context()); err != nil || b.ID != "102" || !b.WithKeys {
			t.Fatalf("%+v: %v", b, err)
		}
	})
}
