package backup

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sample is a manifest with one file of each kind.
func sample() *Manifest {
	sum := sumOf([]byte("x"))
	return &Manifest{
		Format: Format, ID: "20261128T081500Z-9f3a", Time: time.Date(2026, 11, 28, 8, 15, 0, 0, time.UTC), Host: "web-1",
		Log:   LogRange{First: 3, Next: 9, Chain: sum},
		Parts: []Part{{Name: "log", Path: "data/wal", Offset: 9}},
		Files: []File{
			{Path: "certs/client.crt", Link: "agent.crt"},
			{Path: "config/agents/a.yaml", Mode: 0o600, Size: 1, SHA256: sum, Pieces: []string{sum}},
			{Path: "data/empty", Mode: 0o600, SHA256: sumOf(nil)},
		},
	}
}

// encoded is a manifest with a checksum, whether or not its rules allow it.
func encoded(t testing.TB, m *Manifest) []byte {
	t.Helper()
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat([]byte(sumOf(body)+"\n"), body)
}

func TestManifestIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	b, err := sample().encode()
	if err != nil {
		t.Fatal(err)
	}
	m, err := DecodeManifest(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Find("config/agents/a.yaml") == nil || m.Bytes() != 1 || m.Log != sample().Log {
		t.Fatalf("read %+v", m)
	}
	for i := range b {
		bad := slices.Clone(b)
		bad[i] ^= 0x10
		if _, err := DecodeManifest(bad); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := DecodeManifest(b[:i]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func TestHostileManifestsAreRefused(t *testing.T) {
	t.Parallel()
	path := func(p string) func(*Manifest) { return func(m *Manifest) { m.Files[1].Path = p } }
	for name, change := range map[string]func(*Manifest){
		"above the home":       path("../config/x"),
		"through a folder":     path("config/../../x"),
		"full path":            path("/etc/passwd"),
		"not clean":            path("config//x"),
		"the home itself":      path("config"),
		"another folder":       path("bin/amoskys"),
		"backslash":            path(`config\..\x`),
		"zero byte":            path("config/\x00"),
		"twice":                path("data/empty"),
		"file and folder":      path("data/empty/x"),
		"long":                 path("config/" + strings.Repeat("x", maxPathBytes)),
		"link out":             func(m *Manifest) { m.Files[0].Link = "../x" },
		"link to full path":    func(m *Manifest) { m.Files[0].Link = "/etc/passwd" },
		"link with content":    func(m *Manifest) { m.Files[0].Size = 1 },
		"setuid":               func(m *Manifest) { m.Files[1].Mode = 0o4755 },
		"negative":             func(m *Manifest) { m.Files[1].Size = -1 },
		"too few pieces":       func(m *Manifest) { m.Files[1].Size = PieceBytes + 1 },
		"piece is no checksum": func(m *Manifest) { m.Files[1].Pieces = []string{"../../x"} },
		"no checksum":          func(m *Manifest) { m.Files[1].SHA256 = "" },
		"name":                 func(m *Manifest) { m.ID = "../x" },
		"no format":            func(m *Manifest) { m.Format = 0 },
		"part":                 func(m *Manifest) { m.Parts[0].Path = "/tmp" },
		"keys":                 func(m *Manifest) { m.Keys = "keys/other" },
	} {
		m := sample()
		change(m)
		if _, err := DecodeManifest(encoded(t, m)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := sample()
	newer.Format++
	if _, err := DecodeManifest(encoded(t, newer)); !errors.Is(err, ErrNewer) {
		t.Errorf("newer: %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add(encoded(f, sample())[65:])
	f.Add([]byte(`{"format":1,"id":"20261128T081500Z-9f3a","files":[{"path":"config/../../etc/x","size":0}]}`))
	f.Add([]byte(`{"format":1,"id":"20261128T081500Z-9f3a","files":[{"path":"data/x","link":".."}]}`))
	f.Add([]byte(`{"format":99}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := DecodeManifest(slices.Concat([]byte(sumOf(body)+"\n"), body))
		if err != nil {
			return
		}
		home := t.TempDir()
		for i := range m.Files {
			f := &m.Files[i]
			rel, err := filepath.Rel(home, filepath.Join(home, filepath.FromSlash(f.Path)))
			if err != nil || !filepath.IsLocal(rel) || rel == "." {
				t.Fatalf("%q leaves the home", f.Path)
			}
			if f.Link != "" && filepath.Base(f.Link) != f.Link {
				t.Fatalf("link %q leads to %q", f.Path, f.Link)
			}
		}
		if _, err := m.encode(); err != nil {
			t.Fatalf("read, but not to be written: %v", err)
		}
	})
}

// TestNamesAreInTheOrderOfTime: the newest backup is known by its name, of two in the same
// second too.
func TestNamesAreInTheOrderOfTime(t *testing.T) {
	t.Parallel()
	now, last := time.Date(2026, 11, 28, 9, 25, 21, 0, time.UTC), ""
	for _, step := range []time.Duration{0, time.Microsecond, 300 * time.Millisecond, 699998 * time.Microsecond, time.Microsecond, time.Hour} {
		now = now.Add(step)
		id := NewID(now)
		if err := CheckID(id); err != nil {
			t.Fatal(err)
		}
		if id <= last {
			t.Fatalf("%s, of %s, is not behind %s", id, now, last)
		}
		last = id
	}
}
