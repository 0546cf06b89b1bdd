package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// segmentFile is the only segment of a spool folder.
func segmentFile(t *testing.T, dir string) string {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, "*.spool"))
	if len(names) != 1 {
		t.Fatalf("segments %v, want one", names)
	}
	return names[0]
}

func drain(t *testing.T, s *Spool) []string {
	t.Helper()
	s.Flush()
	var out []string
	for s.Stats().Events > 0 {
		b, events := next(t, s)
		out = append(out, events...)
		s.Ack(b.Sequence)
	}
	return out
}

func TestTornTail(t *testing.T) {
	for cut := int64(1); cut < 40; cut++ {
		dir := t.TempDir()
		s := open(t, Options{Dir: dir, Events: 2, BootID: "b"})
		add(t, s, "aaaa", "bbbb", "cccc")
		crash(s)
		name := segmentFile(t, dir)
		info, _ := os.Stat(name)
		if err := os.Truncate(name, info.Size()-cut); err != nil {
			t.Fatal(err)
		}
		s = open(t, Options{Dir: dir, Events: 2, BootID: "b"})
		got := drain(t, s)
		if len(got) < 2 || got[0] != "aaaa" || got[1] != "bbbb" {
			t.Fatalf("cut by %d: %v", cut, got)
		}
		if n := s.Stats().DamagedEvents; n != 0 {
			t.Fatalf("cut by %d: a torn tail counts %d damaged events", cut, n)
		}
	}
}

func TestCorruptionIsSkippedAndCounted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Events: 2, BootID: "b"})
	add(t, s, "aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	name := segmentFile(t, dir)
	content, _ := os.ReadFile(name)
	for i := range content {
		if i < headerBytes {
			continue
		}
		bad := slices.Clone(content)
		bad[i] ^= 0x40
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"cursor", "lock"} {
			_ = os.Remove(filepath.Join(dir, f))
		}
		s := open(t, Options{Dir: dir, Events: 2, BootID: "b"})
		got := drain(t, s)
		if len(got) < 5 {
			t.Fatalf("byte %d: only %v is left", i, got)
		}
		if len(got) == 5 && s.Stats().DamagedEvents+uint64(s.Stats().DamagedBytes) == 0 {
			t.Fatalf("byte %d: loss is not counted", i)
		}
		crash(s)
		names, _ := filepath.Glob(filepath.Join(dir, "*.spool"))
		for _, n := range names {
			_ = os.Remove(n)
		}
	}
}

func TestBadHeaderIsSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, BootID: "b"})
	add(t, s, "a")
	crash(s)
	name := segmentFile(t, dir)
	content, _ := os.ReadFile(name)
	content[3] ^= 1
	_ = os.WriteFile(name, content, 0o600)
	s = open(t, Options{Dir: dir, BootID: "b"})
	if st := s.Stats(); st.DamagedBytes != int64(len(content)) {
		t.Errorf("damaged bytes %d, want %d", st.DamagedBytes, len(content))
	}
	if _, err := os.Stat(filepath.Join(dir, "damaged.bad")); err != nil {
		t.Error(err)
	}
	add(t, s, "b")
	wantEvents(t, drain(t, s), "b")
}

func TestDamageWhileRunning(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Events: 2})
	add(t, s, "aaaa", "bbbb", "cccc", "dddd")
	name := segmentFile(t, dir)
	content, _ := os.ReadFile(name)
	for _, gone := range []string{"aaaa", "cccc", "dddd"} {
		content = []byte(strings.Replace(string(content), gone, "XXXX", 1))
	}
	_ = os.WriteFile(name, content, 0o600)
	add(t, s, "eeee")
	wantEvents(t, drain(t, s), "bbbb", "eeee")
	if st := s.Stats(); st.DamagedEvents != 3 || st.Events != 0 {
		t.Errorf("stats %+v", st)
	}
}

// fullDisk fails writes while on is set.
type fullDisk struct {
	file
	on *bool
}

func (f fullDisk) WriteAt(b []byte, off int64) (int, error) {
	if *f.on {
		n, _ := f.file.WriteAt(b[:len(b)/2], off)
		return n, syscall.ENOSPC
	}
	return f.file.WriteAt(b, off)
}

func TestFullDisk(t *testing.T) {
	dir, full := t.TempDir(), false
	o := Options{Dir: dir, Events: 2, BootID: "b", openFile: func(name string, flag int) (file, error) {
		f, err := openOSFile(name, flag)
		return fullDisk{f, &full}, err
	}}
	s := open(t, o)
	add(t, s, "aaaa")
	full = true
	if err := s.Append([]byte("lost")); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("append on a full disk: %v", err)
	}
	if st := s.Stats(); st.DroppedDisk != 1 || st.LastError == nil {
		t.Errorf("stats %+v", st)
	}
	// What is there still goes out, although it cannot be sealed on disk.
	s.Flush()
	b, got := next(t, s)
	wantEvents(t, got, "aaaa")
	full = false
	add(t, s, "bbbb")
	_, got = next(t, s)
	wantEvents(t, got, "bbbb")
	if st := s.Stats(); st.LastError != nil {
		t.Errorf("error stays: %v", st.LastError)
	}
	crash(s)

	o.openFile = nil
	s = open(t, o)
	again, got := next(t, s)
	if again.Producer != b.Producer || again.Sequence != b.Sequence {
		t.Errorf("batch %v came again as %x/%d, was %x/%d", got, again.Producer, again.Sequence, b.Producer, b.Sequence)
	}
}

// TestSealsThatFailed: a batch that comes again after a crash is the one that was
// handed out, also when the disk was full at each seal.
func TestSealsThatFailed(t *testing.T) {
	dir, failing := t.TempDir(), 2
	o := Options{Dir: dir, Events: 2, BootID: "b", openFile: func(name string, flag int) (file, error) {
		f, err := openOSFile(name, flag)
		return fullForSeals{f, &failing}, err
	}}
	s := open(t, o)
	handed := map[string][]string{}
	name := func(b Batch) string { return fmt.Sprintf("%x/%d", b.Producer, b.Sequence) }
	for _, e := range []string{"a", "b", "c", "d", "e", "f"} {
		for err := s.Append([]byte(e)); err != nil; { // lost, and published again for this test
			err = s.Append([]byte(e))
		}
	}
	for range 3 {
		b, got := next(t, s)
		handed[name(b)] = got
	}
	crash(s)

	s = open(t, o)
	var again []string
	for s.Stats().Events > 0 {
		b, got := next(t, s)
		if first, ok := handed[name(b)]; ok {
			wantEvents(t, got, first...)
		}
		again = append(again, got...)
		s.Ack(b.Sequence)
	}
	wantEvents(t, again, "a", "b", "c", "d", "e", "f")
}

// fullForSeals fails a number of writes of seals alone.
type fullForSeals struct {
	file
	left *int
}

func (f fullForSeals) WriteAt(b []byte, off int64) (int, error) {
	if len(b) == frameBytes+sealBytes && frameType(b[2]) == frameSeal && *f.left > 0 {
		*f.left--
		return 0, syscall.ENOSPC
	}
	return f.file.WriteAt(b, off)
}

// stubborn cannot be cut.
type stubborn struct{ file }

func (stubborn) Truncate(int64) error { return syscall.EIO }

// noSync cannot make segments durable.
type noSync struct{ file }

func (f noSync) Sync() error {
	if named, ok := f.file.(*os.File); ok && !strings.HasSuffix(named.Name(), ".spool") {
		return f.file.Sync()
	}
	return syscall.EIO
}

// TestCrashWhileRecovering: events that are moved to a new segment are there once,
// wherever moving them ended.
func TestCrashWhileRecovering(t *testing.T) {
	o := Options{Dir: t.TempDir(), Events: 10, BootID: "b"}
	s := open(t, o)
	add(t, s, "a", "b")
	crash(s)
	o.openFile = func(name string, flag int) (file, error) {
		f, err := openOSFile(name, flag)
		return stubborn{f}, err
	}
	if _, err := Open(o); !errors.Is(err, syscall.EIO) {
		t.Fatalf("open: %v", err)
	}
	o.openFile = nil
	s = open(t, o)
	add(t, s, "c")
	wantEvents(t, drain(t, s), "a", "b", "c")
	crash(s)

	// The same when it could not even be written down that they were moved.
	o.Dir = t.TempDir()
	s = open(t, o)
	add(t, s, "a", "b")
	crash(s)
	o.openFile = func(name string, flag int) (file, error) {
		f, err := openOSFile(name, flag)
		return noSync{f}, err
	}
	if _, err := Open(o); !errors.Is(err, syscall.EIO) {
		t.Fatalf("open: %v", err)
	}
	o.openFile = nil
	s = open(t, o)
	wantEvents(t, drain(t, s), "a", "b")
}

// TestFullSpoolOpensAgain: a spool that is full to its limit when the agent is
// killed opens, and what is in it goes out.
func TestFullSpoolOpensAgain(t *testing.T) {
	o := Options{Dir: t.TempDir(), Policy: DropNewest, MaxBytes: 1 << 20, Events: 10, BootID: "b"}
	s := open(t, o)
	long, n := []byte(strings.Repeat("x", 10_000)), 0
	for s.Append(long) == nil {
		n++
	}
	if n%10 == 0 {
		t.Fatalf("all of the %d events are sealed", n)
	}
	crash(s)
	s = open(t, o)
	if got := drain(t, s); len(got) != n {
		t.Errorf("%d events of %d", len(got), n)
	}
}

func TestReadOnlyFolder(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(Options{Dir: dir, openFile: func(string, int) (file, error) { return nil, syscall.EROFS }})
	if !errors.Is(err, syscall.EROFS) {
		t.Errorf("error %v", err)
	}
	if _, err := Open(Options{Dir: dir}); err != nil {
		t.Errorf("the lock was not released: %v", err)
	}
}

func FuzzRecover(f *testing.F) {
	var good []byte
	good = append(good, segmentHeader{ordinal: 1}.encode()...)
	good = appendFrame(good, frameEvent, []byte("event"))
	good = appendFrame(good, frameSeal, seal{seq: 1, off: headerBytes, count: 1}.encode())
	good = appendFrame(good, frameEvent, []byte("loose"))
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(appendFrame(good, frameSeal, seal{seq: 0, off: 1 << 31, count: 1 << 31}.encode()))
	f.Add(append(slices.Clone(good), good...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(segmentName(dir, 1), content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{Dir: dir, Events: 2})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		defer s.Close()
		add(t, s, "fresh")
		got := drain(t, s)
		if len(got) == 0 || got[len(got)-1] != "fresh" {
			t.Fatalf("the new event is missing in %q", got)
		}
	})
}

// syncCounter counts calls of Sync.
type syncCounter struct {
	file
	n *int
}

func (f syncCounter) Sync() error {
	*f.n++
	return f.file.Sync()
}

func TestFsyncWaitsForTheDisk(t *testing.T) {
	for _, on := range []bool{false, true} {
		n := 0
		s := open(t, Options{Dir: t.TempDir(), Fsync: on, openFile: func(name string, flag int) (file, error) {
			f, err := openOSFile(name, flag)
			return syncCounter{f, &n}, err
		}})
		before := n
		add(t, s, "a", "b", "c")
		want := 0
		if on {
			want = 3
		}
		if n-before != want {
			t.Errorf("fsync %v: %d syncs for three events, want %d", on, n-before, want)
		}
	}
}
