package vfs_test

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// systems returns each implementation with an empty folder in it.
func systems(t *testing.T) map[string]func(*testing.T) (vfs.FS, string) {
	t.Helper()
	return map[string]func(*testing.T) (vfs.FS, string){
		"os":  func(t *testing.T) (vfs.FS, string) { t.Helper(); return vfs.OS{}, t.TempDir() },
		"mem": func(t *testing.T) (vfs.FS, string) { t.Helper(); return memfs.New(), "/" },
		"error": func(t *testing.T) (vfs.FS, string) {
			t.Helper()
			return errorfs.Wrap(memfs.New(), func(errorfs.Op) error { return nil }), "/"
		},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size+10)
	n, err := f.ReadAt(b, 0)
	if !errors.Is(err, io.EOF) {
		t.Fatalf("read past the end: %v", err)
	}
	must(t, f.Close())
	return string(b[:n])
}

func TestFiles(t *testing.T) {
	for name, system := range systems(t) {
		t.Run(name, func(t *testing.T) {
			fsys, root := system(t)
			dir := filepath.Join(root, "a", "b")
			must(t, fsys.MkdirAll(dir, 0o700))
			must(t, fsys.MkdirAll(dir, 0o700))
			file := filepath.Join(dir, "file")
			if _, err := fsys.Open(file); !vfs.IsNotExist(err) {
				t.Fatalf("open a missing file: %v", err)
			}
			if _, err := fsys.OpenRW(file); !vfs.IsNotExist(err) {
				t.Fatalf("open a missing file: %v", err)
			}
			f, err := fsys.Create(file)
			must(t, err)
			n, err := f.WriteVec([][]byte{[]byte("hello"), nil, []byte(", "), []byte("world")}, 3)
			if err != nil || n != 12 {
				t.Fatal(n, err)
			}
			_, err = f.WriteAt([]byte("HEL"), 3)
			must(t, err)
			must(t, f.Datasync())
			must(t, f.Sync())
			if got := read(t, fsys, file); got != "\x00\x00\x00HELlo, world" {
				t.Fatalf("%q", got)
			}
			must(t, f.Truncate(6))
			if err := f.Preallocate(6, 4); err == nil {
				must(t, f.Datasync())
				if got := read(t, fsys, file); got != "\x00\x00\x00HEL\x00\x00\x00\x00" {
					t.Fatalf("%q", got)
				}
			} else if !errors.Is(err, errors.ErrUnsupported) {
				t.Fatal(err)
			}
			must(t, f.Close())
			must(t, fsys.SyncDir(dir))
			must(t, fsys.Rename(file, file+"2"))
			must(t, fsys.SyncDir(dir))
			if _, err := fsys.Stat(file); !vfs.IsNotExist(err) {
				t.Fatal(err)
			}
			st, err := fsys.Stat(file + "2")
			if err != nil || st.Size() != 10 || st.IsDir() {
				t.Fatal(st, err)
			}
			entries, err := fsys.ReadDir(filepath.Dir(dir))
			if err != nil || len(entries) != 1 || !entries[0].IsDir() || entries[0].Name() != "b" {
				t.Fatal(entries, err)
			}
			// A removed file can be read while it is open.
			open, err := fsys.Open(file + "2")
			must(t, err)
			must(t, fsys.Remove(file+"2"))
			b := make([]byte, 3)
			if _, err := open.ReadAt(b, 3); err != nil || string(b) != "HEL" {
				t.Fatal(string(b), err)
			}
			if _, err := open.WriteAt(b, 0); err == nil {
				t.Fatal("a file opened for reading was written")
			}
			must(t, open.Close())
			if free, err := fsys.FreeBytes(root); err != nil || free == 0 {
				t.Fatal(free, err)
			}
			if _, err := fsys.ReadDir(filepath.Join(root, "nowhere")); !vfs.IsNotExist(err) {
				t.Fatal(err)
			}
		})
	}
}

// TestNamed: a file knows whether its name leads to it.
func TestNamed(t *testing.T) {
	for name, fsys := range map[string]vfs.FS{"os": vfs.OS{}, "memory": memfs.New()} {
		t.Run(name, func(t *testing.T) {
			dir := "/"
			if name == "os" {
				dir = t.TempDir() + "/"
			}
			f, err := fsys.Create(dir + "a")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			named := func(want bool, when string) {
				t.Helper()
				if got, err := f.Named(dir + "a"); got != want || err != nil {
					t.Errorf("%s: %v, %v", when, got, err)
				}
			}
			named(true, "just made")
			if err := fsys.Rename(dir+"a", dir+"b"); err != nil {
				t.Fatal(err)
			}
			named(false, "renamed")
			other, err := fsys.Create(dir + "a")
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			named(false, "another one there")
			if err := fsys.Rename(dir+"b", dir+"a"); err != nil {
				t.Fatal(err)
			}
			named(true, "back")
			if err := fsys.Remove(dir + "a"); err != nil {
				t.Fatal(err)
			}
			named(false, "removed")
		})
	}
}

func TestManyPieces(t *testing.T) {
	for name, system := range systems(t) {
		t.Run(name, func(t *testing.T) {
			fsys, root := system(t)
			f, err := fsys.Create(filepath.Join(root, "file"))
			must(t, err)
			var pieces [][]byte
			var want strings.Builder
			for i := range 3000 { // more than one system call takes
				p := strings.Repeat(string(rune('a'+i%26)), i%7)
				pieces = append(pieces, []byte(p))
				want.WriteString(p)
			}
			if n, err := f.WriteVec(pieces, 0); err != nil || n != int64(want.Len()) {
				t.Fatal(n, err)
			}
			must(t, f.Close())
			if diff := cmp.Diff(want.String(), read(t, fsys, filepath.Join(root, "file"))); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestLock(t *testing.T) {
	for name, system := range systems(t) {
		t.Run(name, func(t *testing.T) {
			fsys, root := system(t)
			where := filepath.Join(root, "LOCK")
			lock, err := fsys.Lock(where)
			must(t, err)
			_, err = fsys.Lock(where)
			locked, ok := errors.AsType[*vfs.LockedError](err)
			if !ok || locked.PID == 0 || !strings.Contains(locked.Error(), "locked by process") || !strings.Contains(locked.Error(), "stop that one") {
				t.Fatalf("second lock: %v", err)
			}
			must(t, lock.Close())
			lock, err = fsys.Lock(where)
			must(t, err)
			must(t, lock.Close())
		})
	}
}

func TestCrash(t *testing.T) {
	m := memfs.New()
	must(t, m.MkdirAll("/d", 0o700))
	synced, err := m.Create("/d/synced")
	must(t, err)
	_, err = synced.WriteAt([]byte("durable"), 0)
	must(t, err)
	must(t, synced.Datasync())
	must(t, m.SyncDir("/d"))
	_, err = synced.WriteAt([]byte("DUR"), 0)
	must(t, err)
	_, err = synced.WriteAt([]byte(" more"), 7)
	must(t, err)
	unsynced, err := m.Create("/d/unsynced")
	must(t, err)
	_, err = unsynced.WriteAt([]byte("x"), 0)
	must(t, err)

	strict := m.Crash(nil)
	if got := read(t, strict, "/d/synced"); got != "durable" {
		t.Errorf("strict: %q", got)
	}
	if _, err := strict.Stat("/d/unsynced"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("strict: %v", err)
	}
	all := m.Crash(func(n int) int { return n })
	if got := read(t, all, "/d/synced") + read(t, all, "/d/unsynced"); got != "DURable morex" {
		t.Errorf("all: %q", got)
	}
	// One of two writes, and half of the other.
	answers := []int{1, 1, 2, 0}
	some := m.Crash(func(int) int { a := answers[0]; answers = answers[1:]; return a })
	if got := read(t, some, "/d/synced"); got != "DURable m" && got != "DURable mo" {
		t.Errorf("some: %q", got)
	}
	// A rename that was not synced may be undone, never half done.
	must(t, unsynced.Sync())
	must(t, m.SyncDir("/d"))
	must(t, m.Rename("/d/unsynced", "/d/synced"))
	if got := read(t, m.Crash(nil), "/d/synced"); got != "durable" {
		t.Errorf("rename: %q", got)
	}
	must(t, m.SyncDir("/d"))
	if got := read(t, m.Crash(nil), "/d/synced"); got != "x" {
		t.Errorf("rename: %q", got)
	}
}

func TestScatteredCrash(t *testing.T) {
	m := memfs.New()
	f, err := m.Create("/f")
	must(t, err)
	must(t, m.SyncDir("/"))
	_, err = f.WriteAt([]byte(strings.Repeat("a", memfs.Sector)+strings.Repeat("b", memfs.Sector)), 0)
	must(t, err)
	odd := false
	c := m.CrashScattered(func() bool { odd = !odd; return !odd })
	if got := read(t, c, "/f"); got != strings.Repeat("\x00", memfs.Sector)+strings.Repeat("b", memfs.Sector) {
		t.Errorf("%q", got)
	}
}

func TestFullAndReadOnly(t *testing.T) {
	m := memfs.New()
	m.SetCapacity(10)
	f, err := m.Create("/f")
	must(t, err)
	n, err := f.WriteAt([]byte("0123456789abc"), 0)
	if n != 10 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(n, err)
	}
	if err := f.Preallocate(0, 11); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if free, _ := m.FreeBytes("/"); free != 0 || m.Used() != 10 {
		t.Fatal(free, m.Used())
	}
	m.SetCapacity(memfs.Unlimited)
	m.SetReadOnly(true)
	for what, err := range map[string]error{
		"write":    second(f.WriteAt([]byte("x"), 0)),
		"truncate": f.Truncate(0),
		"create":   second(m.Create("/g")),
		"open":     second(m.OpenRW("/f")),
		"remove":   m.Remove("/f"),
		"rename":   m.Rename("/f", "/g"),
		"mkdir":    m.MkdirAll("/d", 0o700),
		"lock":     second(m.Lock("/l")),
	} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestErrorfs(t *testing.T) {
	broken := errors.New("broken")
	m := memfs.New()
	fsys := errorfs.Wrap(m, errorfs.Nth(3, broken))
	f, err := fsys.Create("/f")
	must(t, err)
	must(t, f.Truncate(0))
	if n, err := f.WriteAt([]byte("abcdef"), 0); n != 3 || !errors.Is(err, broken) {
		t.Fatal(n, err)
	}
	if got := read(t, m, "/f"); got != "abc" {
		t.Fatalf("%q", got)
	}
	must(t, f.Close())
	if fsys.Ops() != 4 {
		t.Fatal(fsys.Ops())
	}
	fsys = errorfs.Wrap(m, errorfs.From(2, broken))
	f, err = fsys.OpenRW("/f")
	must(t, err)
	for what, err := range map[string]error{
		"write": second(f.WriteVec([][]byte{{1}, {2}}, 0)), "sync": f.Sync(), "datasync": f.Datasync(),
		"truncate": f.Truncate(1), "preallocate": f.Preallocate(0, 1), "create": second(fsys.Create("/g")),
		"remove": fsys.Remove("/f"), "rename": fsys.Rename("/f", "/g"), "mkdir": fsys.MkdirAll("/d", 0o700),
		"sync dir": fsys.SyncDir("/"), "lock": second(fsys.Lock("/l")),
	} {
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := f.Size(); err != nil {
		t.Error(err)
	}
	must(t, f.Close())
}
