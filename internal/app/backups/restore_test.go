package backups

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/backup"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/wal"
)

// envOf is an environment in which nothing of ours runs.
func envOf(t *testing.T, home string) *cli.Env {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{config.EnvHubPort: port, config.EnvStorePort: port, config.EnvHubHost: "127.0.0.1", config.EnvStoreHost: "127.0.0.1"}
	return &cli.Env{
		Home: config.Home(home), Now: time.Now, Logger: obs.Discard(),
		Lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok },
	}
}

// installed is an installation at rest: certificates, a log with some records, an account.
func installed(t *testing.T) *cli.Env {
	t.Helper()
	e := envOf(t, t.TempDir())
	if err := e.Home.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.EnsureLayout(e.Home.Certs(), identity.LayoutOptions{Host: "hub1", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(t.Context(), wal.Options{Dir: e.Home.WAL(), Logger: obs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if i == 7 || i == 14 {
			if err := log.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r := &stream.Record{Publisher: "spiffe://amoskys.local/agent/a", Received: time.Now(), Count: 1, Payload: [][]byte{[]byte("\x1a\x05event")}}
		if _, err := log.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := state.Open(t.Context(), state.Options{File: e.Home.State()})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CreateUser(t.Context(), state.User{Name: "ada", Role: "admin", PasswordHash: "x", Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, e.Home.Path("rules/metrics/own.yml"), "groups: []\n")
	write(t, e.Home.HubConfig(), "server: {port: 5000}\n")
	return e
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func sealing() *backup.Sealing {
	return &backup.Sealing{Passphrase: "correct horse battery", WorkFactor: 2}
}

// backedUp is a place with a backup of an installation.
func backedUp(t *testing.T, e *cli.Env) string {
	t.Helper()
	place := t.TempDir()
	if _, err := Create(t.Context(), e, Options{To: place, Sealing: sealing()}); err != nil {
		t.Fatal(err)
	}
	return place
}

// holds are the files below a home, by path, but for what each restore has of its own.
func holds(t *testing.T, home config.Home) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(string(home), func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(string(home), at)
		if entry.Type()&fs.ModeSymlink != 0 { // what it leads to may be a key, which is not there
			to, err := os.Readlink(at)
			files[filepath.ToSlash(rel)] = "-> " + to
			return err
		}
		b, err := os.ReadFile(at)
		files[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(files, "data/restored.json")
	return files
}

// sameBut compares what two homes hold; of a folder the names alone.
func sameBut(t *testing.T, folder string, want, got map[string]string) {
	t.Helper()
	plain := func(files map[string]string) map[string]string {
		out := map[string]string{}
		for name, content := range files {
			if folder != "" && strings.HasPrefix(name, folder) || name == "data/state.db" && folder != "" {
				content = "" // another authority; hosts were asked for
			}
			out[name] = content
		}
		return out
	}
	if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
		t.Errorf("the restored home differs (-want +got):\n%.2000s", diff)
	}
}

var errCut = errors.New("cut short")

// TestARestoreThatIsCutShort goes on when it is run again, whatever step it was cut behind:
// the home is then as one that was restored at once. Meanwhile nobody starts in it.
func TestARestoreThatIsCutShort(t *testing.T) {
	t.Parallel()
	place := backedUp(t, installed(t))
	for name, keys := range map[string]*backup.Sealing{"with keys": sealing(), "without": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := func(e *cli.Env, cut func(string) error, progress func(int64, int64)) error {
				_, err := Restore(t.Context(), e, RestoreOptions{From: place, Sealing: keys, cut: cut, Progress: progress})
				return err
			}
			var steps []string
			once, own := envOf(t, t.TempDir()), ""
			if err := at(once, func(step string) error { steps = append(steps, step); return nil }, nil); err != nil {
				t.Fatal(err)
			}
			if keys == nil {
				own = "certs/"
			}
			want := holds(t, once.Home)
			if _, ok := want["certs/ca.key"]; !ok || len(steps) < 9 {
				t.Fatalf("steps %v, and %d files", steps, len(want))
			}
			if _, ok := want["certs.before/ca.crt"]; ok != (keys == nil) {
				t.Fatalf("the certificates of before are apart: %t", ok)
			}
			for i := range steps[:len(steps)-1] {
				e, n := envOf(t, t.TempDir()), 0
				err := at(e, func(string) error {
					if n++; n > i {
						return errCut
					}
					return nil
				}, nil)
				if !errors.Is(err, errCut) {
					t.Fatalf("not cut behind %s: %v", steps[i], err)
				}
				if err := app.RefuseTwin(t.Context(), e.Home, true); err == nil || !strings.Contains(err.Error(), "cut short") {
					t.Errorf("cut behind %s, it starts: %v", steps[i], err)
				}
				if err := at(e, nil, nil); err != nil {
					t.Fatalf("cut behind %s, and again: %v", steps[i], err)
				}
				sameBut(t, own, want, holds(t, e.Home))
				if err := app.RefusePartial(e.Home); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestAPartThatHoldsNothing: a folder of the store's without files is no damage.
func TestAPartThatHoldsNothing(t *testing.T) {
	t.Parallel()
	old := installed(t)
	for _, name := range []string{storePath, metricsPath} {
		if err := os.MkdirAll(old.Home.Path(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	back, err := Restore(t.Context(), envOf(t, t.TempDir()), RestoreOptions{From: backedUp(t, old)})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{partStore, partMetrics} {
		if want := name + " is not in the backup: it holds nothing yet"; !slices.Contains(back.Warnings, want) {
			t.Errorf("%q lacks %q", back.Warnings, want)
		}
	}
}

// TestALogWithAGapIsRestored: what lacked when the backup was made is said, and no damage of
// the backup.
func TestALogWithAGapIsRestored(t *testing.T) {
	t.Parallel()
	old := installed(t)
	segments, err := filepath.Glob(filepath.Join(old.Home.WAL(), "*.wal"))
	if err != nil || len(segments) != 3 {
		t.Fatal(segments, err)
	}
	if err := os.Remove(segments[1]); err != nil {
		t.Fatal(err)
	}
	back, err := Restore(t.Context(), envOf(t, t.TempDir()), RestoreOptions{From: backedUp(t, old)})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(back.Warnings, func(w string) bool { return strings.HasPrefix(w, "the log is in the backup, but events are missing") }) {
		t.Errorf("warnings %q", back.Warnings)
	}
}

// TestWhatARestoreLeavesBehindDoesNotStopAHome: a folder in which nothing was begun, as a
// file system leaves it where a lock was open, is none of a restore that was cut short.
func TestWhatARestoreLeavesBehindDoesNotStopAHome(t *testing.T) {
	t.Parallel()
	e := envOf(t, t.TempDir())
	write(t, filepath.Join(e.Home.Path(app.PartialRestore), lockFile), "")
	if err := app.RefusePartial(e.Home); err != nil {
		t.Error(err)
	}
	if _, err := Restore(t.Context(), e, RestoreOptions{From: backedUp(t, installed(t))}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(e.Home.Path(app.PartialRestore)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of the restore is there: %v", err)
	}
}

// TestARestoreThatEndsWhileItFetches: what is there is not fetched again.
func TestARestoreThatEndsWhileItFetches(t *testing.T) {
	t.Parallel()
	place, e := backedUp(t, installed(t)), envOf(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Restore(ctx, e, RestoreOptions{From: place, Progress: func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "run the same again") {
		t.Fatalf("%v", err)
	}
	if _, err := Restore(t.Context(), e, RestoreOptions{From: place}); err != nil {
		t.Fatal(err)
	}
}

// TestAnotherWayOn: one that was cut short without keys may go on with them, and the other
// way round; another backup, and a second restore beside it, may not.
func TestAnotherWayOn(t *testing.T) {
	t.Parallel()
	old := installed(t)
	place := backedUp(t, old)
	want := envOf(t, t.TempDir())
	if _, err := Restore(t.Context(), want, RestoreOptions{From: place, Sealing: sealing()}); err != nil {
		t.Fatal(err)
	}
	e := envOf(t, t.TempDir())
	cutAt := func(step string) func(string) error {
		return func(at string) error {
			if at == step {
				return errCut
			}
			return nil
		}
	}
	for _, keys := range []*backup.Sealing{nil, sealing(), nil} {
		if _, err := Restore(t.Context(), e, RestoreOptions{From: place, Sealing: keys, cut: cutAt("data")}); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
	}
	if _, err := Create(t.Context(), old, Options{To: place}); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), e, RestoreOptions{From: place}); err == nil || !strings.Contains(err.Error(), "run it again with --id") {
		t.Errorf("another backup goes on: %v", err)
	}
	ids, err := backup.Snapshots(t.Context(), mustOpen(t, place))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := vfs.OS{}.Lock(filepath.Join(e.Home.Path(app.PartialRestore), lockFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), e, RestoreOptions{From: place, ID: ids[0]}); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("two restore at once: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), e, RestoreOptions{From: place, ID: ids[0], Sealing: sealing()}); err != nil {
		t.Fatal(err)
	}
	sameBut(t, "", holds(t, want.Home), holds(t, e.Home))
}

func mustOpen(t *testing.T, place string) backup.Place {
	t.Helper()
	p, err := backup.Open(t.Context(), place, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestAHomeThatLivesIsLeft: nothing in it changes, whatever of a home it is.
func TestAHomeThatLivesIsLeft(t *testing.T) {
	t.Parallel()
	place := backedUp(t, installed(t))
	for _, what := range []string{"certs/ca.crt", "data/wal/x", "data/state.db", "config/agents/x.yaml", "run/up.lock", "data/other", "certs.before/x", "rules/x", "notes.txt"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			e := envOf(t, t.TempDir())
			write(t, e.Home.Path(what), "mine")
			if _, err := Restore(t.Context(), e, RestoreOptions{From: place}); err == nil || !strings.Contains(err.Error(), "already") {
				t.Errorf("%v", err)
			}
			if got := holds(t, e.Home); len(got) != 1 || got[what] != "mine" {
				t.Errorf("it holds %v", got)
			}
		})
	}
	inside := installed(t)
	for _, to := range []string{inside.Home.Path("data/x/y"), string(inside.Home)} {
		if _, err := Create(t.Context(), inside, Options{To: to}); err == nil || !strings.Contains(err.Error(), "lies in the home") {
			t.Errorf("backed up to %s: %v", to, err)
		}
	}
	// What was refused leaves nothing behind.
	e := envOf(t, t.TempDir())
	if _, err := Restore(t.Context(), e, RestoreOptions{From: place, Sealing: &backup.Sealing{Passphrase: "another one"}}); !errors.Is(err, backup.ErrWrongKey) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(string(e.Home)); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// TestAnAlteredBackupLeavesNothing: neither a piece that was altered nor one that was cut
// comes into the home.
func TestAnAlteredBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func([]byte) []byte{
		"altered": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":     func(b []byte) []byte { return b[:len(b)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := backedUp(t, installed(t))
			var pieces []string
			err := filepath.WalkDir(filepath.Join(place, "objects"), func(at string, entry fs.DirEntry, err error) error {
				if err == nil && !entry.IsDir() {
					pieces = append(pieces, at)
				}
				return err
			})
			if err != nil || len(pieces) < 5 {
				t.Fatal(pieces, err)
			}
			slices.Sort(pieces)
			b, err := os.ReadFile(pieces[len(pieces)/2])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(pieces[len(pieces)/2], harm(b), 0o600); err != nil {
				t.Fatal(err)
			}
			e := envOf(t, t.TempDir())
			if _, err := Restore(t.Context(), e, RestoreOptions{From: place, Sealing: sealing()}); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("%v", err)
			}
			if left, err := os.ReadDir(string(e.Home)); err != nil || len(left) > 0 {
				t.Errorf("it left %v, %v", left, err)
			}
		})
	}
}

// TestAManifestThatLies: one that was altered together with its checksum is refused where
// the log is not the one that it names, or a part has no files.
func TestAManifestThatLies(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(*backup.Manifest){
		"no segment": func(m *backup.Manifest) {
			m.Files = slices.DeleteFunc(m.Files, func(f backup.File) bool { return strings.HasSuffix(f.Path, ".wal") })
		},
		"no segment in the middle": func(m *backup.Manifest) {
			segments := 0
			m.Files = slices.DeleteFunc(m.Files, func(f backup.File) bool {
				if !strings.HasSuffix(f.Path, ".wal") {
					return false
				}
				segments++
				return segments == 2
			})
			if segments < 3 {
				t.Fatalf("there are %d segments", segments)
			}
		},
		"no state": func(m *backup.Manifest) {
			m.Files = slices.DeleteFunc(m.Files, func(f backup.File) bool { return f.Path == statePath })
		},
		"no files":      func(m *backup.Manifest) { m.Files, m.Keys = nil, "" },
		"another end":   func(m *backup.Manifest) { m.Log.Next = 5 },
		"another chain": func(m *backup.Manifest) { m.Log.Chain = "zz" },
		"no log":        func(m *backup.Manifest) { m.Parts = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := backedUp(t, installed(t))
			files, err := filepath.Glob(filepath.Join(place, "snapshots", "*.json"))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			text, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			m, err := backup.DecodeManifest(text)
			if err != nil {
				t.Fatal(err)
			}
			lie(m)
			body, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			body = append(body, '\n')
			if err := os.WriteFile(files[0], fmt.Appendf(nil, "%x\n%s", sha256.Sum256(body), body), 0o600); err != nil {
				t.Fatal(err)
			}
			e := envOf(t, t.TempDir())
			if _, err := Restore(t.Context(), e, RestoreOptions{From: place}); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("%v", err)
			}
			if left, err := os.ReadDir(string(e.Home)); err != nil || len(left) > 0 {
				t.Errorf("it left %v, %v", left, err)
			}
		})
	}
}
