package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/config"
)

// TestWhatAKilledBackupLeaves goes with the next one, or the next start of the hub; that of
// one which runs stays.
func TestWhatAKilledBackupLeaves(t *testing.T) {
	t.Parallel()
	home := config.Home(t.TempDir())
	killed, young, old := home.Path("run/backup-1"), home.Path("run/backup-2"), home.Path("run/backup-3")
	for _, dir := range []string{killed, young, old} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "state.db"), []byte("accounts"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(killed, workLock), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	runs, end, err := BackupWork(home)
	if err != nil {
		t.Fatal(err)
	}
	if err := SweepBackupWork(home); err != nil {
		t.Fatal(err)
	}
	for dir, there := range map[string]bool{killed: false, old: false, young: true, runs: true} {
		if _, err := os.Stat(dir); (err == nil) != there {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(runs); err == nil {
		t.Error("the folder stays when the backup is made")
	}
}
