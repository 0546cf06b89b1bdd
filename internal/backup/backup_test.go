package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// source is a file in memory.
func source(path string, content []byte, changed time.Time) Source {
	return Source{
		Path: path, Mode: 0o600, Size: int64(len(content)), Changed: changed,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
}

// bigger is content of several pieces.
func bigger(seed byte) []byte {
	b := make([]byte, 2*PieceBytes+123)
	for i := range b {
		b[i] = byte(i>>8) + byte(i/PieceBytes)*31 + seed
	}
	return b
}

func manifest(id string) *Manifest {
	return &Manifest{Format: Format, ID: "20261128T08150" + id + "Z-9f3a", Time: time.Now().UTC()}
}

func save(t *testing.T, p Place, id string, sources ...Source) Saved {
	t.Helper()
	saved, err := Save(t.Context(), p, manifest(id), sources, SaveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

func folder(t *testing.T) Place {
	t.Helper()
	p, err := Open(t.Context(), t.TempDir(), nil, true)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// suite is what every place must do.
func suite(t *testing.T, p Place) {
	t.Helper()
	small, big := []byte("a: 1\n"), bigger(1)
	at := time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)
	first := save(t, p, "1", source("config/a.yaml", small, time.Time{}), source("data/wal/x.wal", big, at), source("data/wal/y.wal", nil, at),
		Source{Path: "certs/client.crt", Link: "agent.crt"})
	if first.Files != 4 || first.Bytes != int64(len(small)+len(big)) || first.Sent < first.Bytes {
		t.Fatalf("saved %+v", first)
	}
	unread := source("data/wal/x.wal", big, at)
	unread.Open = func() (io.ReadCloser, error) { return nil, errors.New("it has not changed, and is read") }
	longer := append(bytes.Clone(big), "more"...)
	second := save(t, p, "2", source("config/a.yaml", small, time.Time{}), unread, source("data/wal/z.wal", longer, at))
	if second.Sent > PieceBytes {
		t.Fatalf("what was there was sent again: %+v", second)
	}
	m, err := Load(t.Context(), p, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), p, m); err != nil {
		t.Fatal(err)
	}
	into := t.TempDir()
	for range 2 { // what is there is left
		if err := Fetch(t.Context(), p, m, into, FetchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string][]byte{"config/a.yaml": small, "data/wal/x.wal": big, "data/wal/z.wal": longer} {
		if b, err := os.ReadFile(filepath.Join(into, name)); err != nil || !bytes.Equal(b, want) {
			t.Fatalf("%s came back with %d bytes: %v", name, len(b), err)
		}
	}
	done, err := prune(t.Context(), p, 1, time.Now().Add(time.Hour))
	if err != nil || len(done.Snapshots) != 1 || done.Objects != 0 && done.Bytes >= PieceBytes {
		t.Fatalf("pruned %+v: %v", done, err)
	}
	if err := Check(t.Context(), p, m); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(t.Context(), p, manifest("1").ID); !errors.Is(err, ErrNoSnapshot) {
		t.Fatalf("a pruned one: %v", err)
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	suite(t, folder(t))
}

func TestNothingIsPrunedThatSomebodyMayNeed(t *testing.T) {
	t.Parallel()
	p := folder(t)
	save(t, p, "1", source("config/a", []byte("old"), time.Time{}))
	save(t, p, "2", source("config/a", []byte("new"), time.Time{}))
	done, err := Prune(t.Context(), p, 1, time.Now())
	if err != nil || len(done.Snapshots) != 1 || done.Objects != 0 {
		t.Fatalf("a piece of a minute ago went: %+v, %v", done, err)
	}
	done, err = Prune(t.Context(), p, 1, time.Now().Add(25*time.Hour))
	if err != nil || done.Objects != 1 {
		t.Fatalf("a day later: %+v, %v", done, err)
	}
	if _, err := Prune(t.Context(), p, 0, time.Now()); err == nil {
		t.Fatal("all were pruned")
	}
	// Which pieces a manifest needs that cannot be read is not known.
	save(t, p, "3", source("config/a", []byte("newest"), time.Time{}))
	name := p.(*dir).file(manifestName(manifest("3").ID))
	if err := os.WriteFile(name, []byte("no manifest"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Prune(t.Context(), p, 1, time.Now().Add(25*time.Hour)); !errors.Is(err, ErrDamaged) {
		t.Fatalf("pruned beside a manifest that cannot be read: %v", err)
	}
}

// TestNamesGoOn: behind a clock that was set back a backup is the newest all the same.
func TestNamesGoOn(t *testing.T) {
	t.Parallel()
	p := folder(t)
	now := time.Date(2026, 11, 28, 7, 0, 0, 0, time.UTC)
	if id := NextID(t.Context(), p, now); id[:16] != "20261128T070000Z" {
		t.Error(id)
	}
	save(t, p, "3", source("config/a", []byte("x"), time.Time{}))
	for at, want := range map[time.Time]string{now: "20261128T081504Z", now.AddDate(0, 0, 1): "20261129T070000Z"} {
		if id := NextID(t.Context(), p, at); id[:16] != want || CheckID(id) != nil {
			t.Errorf("%s, want %s", id, want)
		}
	}
}

func TestDamagedBackupsAreRefused(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(file string) error{
		"missing": os.Remove,
		"cut":     func(file string) error { return os.Truncate(file, 3) },
		"altered": func(file string) error { return os.WriteFile(file, []byte("b: 2\n"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := folder(t)
			save(t, p, "1", source("config/a.yaml", []byte("a: 1\n"), time.Time{}))
			m, err := Load(t.Context(), p, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := harm(p.(*dir).file(objectName(m.Files[0].Pieces[0]))); err != nil {
				t.Fatal(err)
			}
			if err := Check(t.Context(), p, m); (name != "altered") != errors.Is(err, ErrDamaged) {
				t.Fatalf("by sizes: %v", err)
			}
			into := t.TempDir()
			if err := Fetch(t.Context(), p, m, into, FetchOptions{}); !errors.Is(err, ErrDamaged) {
				t.Fatalf("by content: %v", err)
			}
			if _, err := os.Stat(filepath.Join(into, "config/a.yaml")); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("something was written: %v", err)
			}
			save(t, p, "2", source("config/a.yaml", []byte("a: 1\n"), time.Time{})) // and the next one is whole, where sizes tell
			if m, err = Load(t.Context(), p, ""); err != nil {
				t.Fatal(err)
			}
			if err := Fetch(t.Context(), p, m, into, FetchOptions{}); (name == "altered") != errors.Is(err, ErrDamaged) {
				t.Fatalf("the next one: %v", err)
			}
		})
	}
}

func TestAFileThatShrinksIsNoBackup(t *testing.T) {
	t.Parallel()
	p := folder(t)
	short := source("config/a", []byte("abc"), time.Time{})
	short.Size = 4
	if _, err := Save(t.Context(), p, manifest("1"), []Source{short}, SaveOptions{}); err == nil {
		t.Fatal("saved")
	}
	if _, err := Load(t.Context(), p, ""); !errors.Is(err, ErrNoSnapshot) {
		t.Fatalf("there is a manifest: %v", err)
	}
}

func TestOneBackupAtATime(t *testing.T) {
	t.Parallel()
	p := folder(t)
	l, err := p.(*dir).lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Save(t.Context(), p, manifest("1"), nil, SaveOptions{}); !errors.Is(err, errBusy) {
		t.Fatalf("saved beside another: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	save(t, p, "1")
}

func TestACancelledBackupIsNone(t *testing.T) {
	t.Parallel()
	p := folder(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Save(ctx, p, manifest("1"), []Source{source("data/x/y", bigger(1), time.Time{})}, SaveOptions{
		Progress: func(int64, int64) { cancel() },
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if _, err := Load(t.Context(), p, ""); !errors.Is(err, ErrNoSnapshot) {
		t.Fatalf("there is a manifest: %v", err)
	}
}

func TestKeysAreSealed(t *testing.T) {
	t.Parallel()
	keys := []Key{{Path: "certs/ca.key", Mode: 0o600, Content: []byte("very secret")}}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, way := range map[string]struct{ seal, open, wrong Sealing }{
		"passphrase": {Sealing{Passphrase: "correct horse", WorkFactor: 2}, Sealing{Passphrase: "correct horse"}, Sealing{Passphrase: "battery staple"}},
		"recipient":  {Sealing{Recipients: id.Recipient().String()}, Sealing{Identities: id.String()}, Sealing{Identities: other.String()}},
	} {
		sealed, err := way.seal.Seal(keys)
		if err != nil || bytes.Contains(sealed, []byte("secret")) {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := way.open.Unseal(sealed)
		if err != nil || len(got) != 1 || string(got[0].Content) != "very secret" {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		if _, err := way.wrong.Unseal(sealed); !errors.Is(err, ErrWrongKey) {
			t.Fatalf("%s, another: %v", name, err)
		}
		sealed[len(sealed)-1] ^= 1
		if _, err := way.open.Unseal(sealed); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%s, altered: %v", name, err)
		}
	}
	if _, err := (&Sealing{}).Seal(keys); !errors.Is(err, ErrNoRecipient) {
		t.Fatalf("sealed for nobody: %v", err)
	}
	if _, err := (&Sealing{Passphrase: "short"}).Seal(keys); err == nil || !strings.Contains(err.Error(), "at least") {
		t.Fatalf("a short passphrase: %v", err)
	}
	out, err := (&Sealing{Recipients: id.Recipient().String()}).Seal([]Key{{Path: "../x", Mode: 0o600}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Sealing{Identities: id.String()}).Unseal(out); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a key that leaves the home: %v", err)
	}
}

func TestKeysAreWrittenForTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	into := t.TempDir()
	if err := WriteKeys(into, []Key{{Path: "certs/hosts/web/node.key", Mode: 0o644, Content: []byte("secret")}}); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(into, "certs", "hosts", "web", "node.key")
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "secret" {
		t.Fatalf("%q, %v", b, err)
	}
}
