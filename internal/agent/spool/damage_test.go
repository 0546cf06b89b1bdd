package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/codec"
)

// segmentFile is the only segment of a spool folder.
func segmentFile(t *testing.T, dir string) string {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, homeName, "*.spool"))
	if len(names) != 1 {
		t.Fatalf("segments %v, want one", names)
	}
	return names[0]
}

// drain acknowledges all that comes out, until nothing waits.
func drain(t *testing.T, s *Spool) []string {
	t.Helper()
	s.Flush()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	empty := s.Empty()
	go func() {
		select {
		case <-empty:
			cancel()
		case <-ctx.Done():
		}
	}()
	var out []string
	for {
		b, err := s.Next(ctx)
		if ctx.Err() != nil {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		events, err := b.Events()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			out = append(out, string(e))
		}
		s.Ack(b.Sequence)
	}
}

// TestTornJournal: what a killed process was writing is cut off, and what the disk has
// lost of the open batch is counted.
func TestTornJournal(t *testing.T) {
	for cut := int64(1); cut < 2*(headBytes+4); cut++ {
		dir := t.TempDir()
		s := open(t, Options{Dir: dir, Events: 3, BootID: "b"})
		add(t, s, "aaaa", "bbbb", "cccc", "dddd", "eeee")
		crash(s)
		name := filepath.Join(dir, homeName, journalName)
		info, _ := os.Stat(name)
		if err := os.Truncate(name, info.Size()-cut); err != nil {
			t.Fatal(err)
		}
		s = open(t, Options{Dir: dir, Events: 3, BootID: "b"})
		got := drain(t, s)
		if len(got) < 3 || got[2] != "cccc" {
			t.Fatalf("cut by %d: %v", cut, got)
		}
		if st := s.Stats(); st.DamagedEvents != uint64(5-len(got)) || st.AtLeast {
			t.Fatalf("cut by %d: %d of 5 events are left, %d counted as lost", cut, len(got), st.DamagedEvents)
		}
	}
}

// TestTornSeal: a process that is killed while it writes a batch to the segment has
// its events in the journal still, and the batch comes under its number.
func TestTornSeal(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Events: 2, BootID: "b"})
	add(t, s, "aaaa")
	journal, err := os.ReadFile(filepath.Join(dir, homeName, journalName))
	if err != nil {
		t.Fatal(err)
	}
	journal = appendFrame(journal, head{typ: frameEvent, seq: 1, count: 1}, []byte("bbbb"))
	add(t, s, "bbbb")
	want, _ := next(t, s)
	crash(s)
	segment, err := os.ReadFile(segmentFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	files := readFolder(t, dir)
	for n := headerBytes; n <= len(segment); n++ {
		again := t.TempDir()
		files[filepath.Base(segmentFile(t, dir))] = segment[:n]
		files[journalName] = journal
		writeFolder(t, again, files)
		s = open(t, quickly(Options{Dir: again, Events: 2, BootID: "b"}))
		b, got := next(t, s)
		wantEvents(t, got, "aaaa", "bbbb")
		if b.Producer != want.Producer || b.Sequence != want.Sequence {
			t.Fatalf("with %d bytes of the segment the batch is another", n)
		}
		if st := s.Stats(); st.Dropped() != 0 || st.DamagedBytes != 0 || st.Events != 2 {
			t.Fatalf("with %d bytes of the segment: %+v", n, st)
		}
		crash(s)
	}
}

func TestCorruptionIsSkippedAndCounted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Events: 2, BootID: "b"})
	add(t, s, "aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files := readFolder(t, dir)
	name := filepath.Base(segmentFile(t, dir))
	content := files[name]
	delete(files, "cursor")
	for i := headerBytes; i < len(content); i++ {
		again := t.TempDir()
		files[name] = slices.Clone(content)
		files[name][i] ^= 0x40
		writeFolder(t, again, files)
		s := open(t, quickly(Options{Dir: again, Events: 2, BootID: "b"}))
		got := drain(t, s)
		if len(got) != 4 {
			t.Fatalf("byte %d: %v is left", i, got)
		}
		if st := s.Stats(); st.DamagedEvents == 0 || st.DamagedEvents > 2 || !st.AtLeast || st.DamagedBytes == 0 {
			t.Fatalf("byte %d: %+v", i, st)
		}
		crash(s)
	}
}

// TestMissingFileIsSaid: a producer or cursor file that is gone where there are batches
// is damage, and in a new spool it is not.
func TestMissingFileIsSaid(t *testing.T) {
	for _, name := range []string{"producer", "cursor"} {
		for _, emptied := range []bool{false, true} {
			dir := t.TempDir()
			s := open(t, Options{Dir: dir, BootID: "b"})
			if st := s.Stats(); st.AtLeast {
				t.Fatalf("a new spool is damaged: %+v", st)
			}
			add(t, s, "aaaa")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, homeName, name)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if emptied {
				if err := os.WriteFile(file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s = open(t, Options{Dir: dir, BootID: "b"})
			if st := s.Stats(); !st.AtLeast {
				t.Errorf("%s emptied %v: %+v", name, emptied, st)
			}
			wantEvents(t, drain(t, s), "aaaa")
		}
	}
}

func TestUnreadableSegmentIsSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Events: 1, BootID: "b"})
	add(t, s, "a")
	crash(s)
	name := segmentFile(t, dir)
	content, _ := os.ReadFile(name)
	clear(content)
	_ = os.WriteFile(name, content, 0o600)
	s = open(t, Options{Dir: dir, BootID: "b"})
	if st := s.Stats(); st.DamagedBytes != int64(len(content)) || st.DamagedEvents != 1 {
		t.Errorf("%d bytes and %d events damaged, want %d and 1", st.DamagedBytes, st.DamagedEvents, len(content))
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
	content = []byte(strings.Replace(string(content), "cccc", "XXXX", 1))
	_ = os.WriteFile(name, content, 0o600)
	add(t, s, "eeee")
	wantEvents(t, drain(t, s), "aaaa", "bbbb", "eeee")
	if st := s.Stats(); st.DamagedEvents != 2 || st.Events != 0 {
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

// fullForSeals fails a number of writes of sealed batches alone.
type fullForSeals struct {
	file
	left *int
}

func (f fullForSeals) WriteAt(b []byte, off int64) (int, error) {
	if h, ok := decodeHead(b); ok && h.typ == frameBatch && *f.left > 0 {
		*f.left--
		return 0, syscall.ENOSPC
	}
	return f.file.WriteAt(b, off)
}

// stubborn cannot be cut.
type stubborn struct{ file }

func (stubborn) Truncate(int64) error { return syscall.EIO }

// TestJournalThatCannotBeEmptied: what is in a segment is not taken from the journal
// again, and what is not is.
func TestJournalThatCannotBeEmptied(t *testing.T) {
	o := Options{Dir: t.TempDir(), Events: 2, BootID: "b", openFile: func(name string, flag int) (file, error) {
		f, err := openOSFile(name, flag)
		return stubborn{f}, err
	}}
	s := open(t, o)
	add(t, s, "a", "b", "c", "d", "e")
	if st := s.Stats(); st.Events != 5 {
		t.Errorf("%+v", st)
	}
	crash(s)
	o.openFile = nil
	s = open(t, o)
	if st := s.Stats(); st.Events != 5 || st.Dropped() != 0 || st.AtLeast {
		t.Errorf("%+v", st)
	}
	wantEvents(t, drain(t, s), "a", "b", "c", "d", "e")
}

// TestOwedBatchIsAcknowledged: on a disk that stays full, a batch that the hub has
// stored frees the journal, also when an older one is still on its way.
func TestOwedBatchIsAcknowledged(t *testing.T) {
	dir, failing := t.TempDir(), 0
	o := Options{Dir: dir, Events: 2, BootID: "b", openFile: func(name string, flag int) (file, error) {
		f, err := openOSFile(name, flag)
		return fullForSeals{f, &failing}, err
	}}
	s := open(t, o)
	add(t, s, "a", "b")
	failing = 1 << 30
	add(t, s, "c", "d")
	one, _ := next(t, s)
	two, got := next(t, s)
	wantEvents(t, got, "c", "d")
	s.Ack(two.Sequence)
	if err := s.Append([]byte("lost")); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("its number is not safe yet, and an event was taken: %v", err)
	}
	s.Ack(one.Sequence)
	add(t, s, "e")
	crash(s)
	failing = 0
	s = open(t, o)
	b, got := next(t, s)
	wantEvents(t, got, "e")
	if b.Producer == two.Producer && b.Sequence <= two.Sequence {
		t.Errorf("number %d again", b.Sequence)
	}
}

// TestFullSpoolOpensAgain: a spool that is full to its limit when the agent is
// killed opens, and what is in it goes out.
func TestFullSpoolOpensAgain(t *testing.T) {
	o := Options{Dir: t.TempDir(), Policy: DropNewest, MaxBytes: 1 << 20, Events: 10, BootID: "b"}
	s := open(t, o)
	n := 0
	for s.Append([]byte(noise(10_000))) == nil {
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

// seedFiles are a segment with a packed and an unpacked batch, and a journal behind it.
func seedFiles() (segment, journal []byte) {
	segment = segmentHeader{ordinal: 1, first: 1}.encode()
	segment = packFrame(segment, 1, 1, codec.AppendEvent(nil, []byte("event")))
	long := strings.Repeat("event", 20)
	segment = packFrame(segment, 2, 2, codec.AppendEvent(codec.AppendEvent(nil, []byte(long)), []byte(long)))
	journal = appendFrame(nil, head{typ: frameEvent, seq: 3}, []byte("open"))
	return segment, appendFrame(journal, head{typ: frameEvent, seq: 3, count: 1}, []byte("more"))
}

// FuzzRecover: whatever the files of a spool hold, it opens, and goes on.
func FuzzRecover(f *testing.F) {
	segment, journal := seedFiles()
	f.Add(segment, journal)
	f.Add(segment[:len(segment)-3], journal[:len(journal)-1])
	f.Add(append(slices.Clone(segment), segment...), append(slices.Clone(journal), journal...))
	f.Add(appendFrame(slices.Clone(segment), head{typ: frameBatch, codec: 1, seq: 3, count: 1 << 31}, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}), []byte{})
	f.Add(appendFrame(slices.Clone(segment), head{typ: frameBatch, codec: 9, seq: maxSequence - 1, count: 1}, nil), journal)
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, segment, journal []byte) {
		dir := t.TempDir()
		writeFolder(t, dir, map[string][]byte{filepath.Base(segmentName(dir, 1)): segment, journalName: journal})
		s, err := Open(quickly(Options{Dir: dir, Events: 2}))
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
