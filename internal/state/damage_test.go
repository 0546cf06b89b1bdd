package state_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/state"
)

// TestOpenDamaged: whoever finds the hub down is told which file it is and what
// can be done, and the file stays as it is.
func TestOpenDamaged(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "state.db")
	db := open(t, whole)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := bytes.Clone(sound)
	for i := 100; i < 4096; i++ {
		spoiled[i] = 0xa5 // the table of tables, behind the header
	}
	for name, content := range map[string][]byte{
		"no database":    bytes.Repeat([]byte("nonsense"), 1000),
		"spoiled tables": spoiled,
		"cut short":      sound[:len(sound)/2+100],
		"emptied":        {},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "state.db")
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := state.Open(t.Context(), state.Options{File: file})
			if err == nil {
				t.Fatal("it opens", db.Close())
			}
			what := []string{"damaged", "move"}
			if name == "emptied" {
				what = []string{"empty", "remove"}
			}
			for _, want := range append(what, file, "restore", "backup", "-wal", "accounts", "sessions", "audit trail") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in: %v", want, err)
				}
			}
			after, err := os.ReadFile(file)
			if err != nil || !bytes.Equal(after, content) {
				t.Errorf("the file has changed: %v", err)
			}
		})
	}
}
