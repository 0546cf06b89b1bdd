package backups

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/backup"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/postgrestest"
)

// TestAccountsInPostgreSQL: they are in a backup as a file. A restore with keys goes on with
// the server that the configuration names, one without leaves it alone. A server that does
// not answer fails the backup, which says so, and leaves nothing behind.
func TestAccountsInPostgreSQL(t *testing.T) {
	t.Parallel()
	var server postgrestest.Server
	t.Cleanup(server.End)
	url := server.Database(t)
	e := installed(t)
	write(t, e.Home.HubConfig(), "server: {port: 5000}\nstate: {url: \""+url+"\"}\n")
	if err := os.Remove(e.Home.State()); err != nil {
		t.Fatal(err)
	}
	db, err := state.Open(t.Context(), state.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.CreateUser(t.Context(), state.User{Name: "grace", Role: "admin", PasswordHash: "x", Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	place := backedUp(t, e)
	for name, keys := range map[string]*backup.Sealing{"with keys": sealing(), "without": nil} {
		to := envOf(t, t.TempDir())
		back, err := Restore(t.Context(), to, RestoreOptions{From: place, Sealing: keys})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !strings.Contains(strings.Join(back.Warnings, "\n"), "state.url") {
			t.Errorf("%s: %v", name, back.Warnings)
		}
		file, err := state.Open(t.Context(), state.Options{File: to.Home.State()})
		if err != nil {
			t.Fatal(err)
		}
		if users, err := file.Users(t.Context()); err != nil || len(users) != 1 || users[0].Name != "grace" {
			t.Errorf("%s: %v, %v", name, users, err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		cfg, err := app.LoadHubConfig(to)
		if err != nil {
			t.Fatal(err)
		}
		if got := opens(t, to.Home.State(), func() (*state.DB, error) { return app.OpenState(t.Context(), to.Home, cfg) }); got != (keys == nil) {
			t.Errorf("%s: its hub opens the file: %t", name, got)
		}
	}

	server.Stop()
	e.Now = func() time.Time { return time.Now().Add(time.Minute) }
	if _, err := Create(t.Context(), e, Options{To: place}); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("backed up without accounts: %v", err)
	}
	if ids, err := backup.Snapshots(t.Context(), mustOpen(t, place)); err != nil || len(ids) != 1 {
		t.Errorf("backups %v, %v", ids, err)
	}
	if left, err := os.ReadDir(e.Home.Run()); err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// opens reports whether open opens a file, by an account that is noted in it.
func opens(t *testing.T, file string, open func() (*state.DB, error)) bool {
	t.Helper()
	db, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.CreateUser(t.Context(), state.User{Name: "seen", Role: "viewer", PasswordHash: "x", Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	defer db.RemoveUser(t.Context(), "seen")
	own, err := state.Open(t.Context(), state.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	users, err := own.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(users) == 2
}
