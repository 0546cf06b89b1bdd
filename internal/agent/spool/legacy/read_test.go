package legacy

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read reads a spool and words its batches.
func read(t *testing.T, dir, boot string) (*Spool, []string) {
	t.Helper()
	files, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	var batches []string
	s, err := Read(dir, files, boot, func(b Batch) error {
		batches = append(batches, fmt.Sprintf("%d %s", b.Sequence, b.Events))
		if b.Producer == [16]byte{} {
			t.Error("a batch without producer id")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, batches
}

// TestRead reads spools that a build of that time has left.
func TestRead(t *testing.T) {
	s, batches := read(t, filepath.Join("testdata", "crashed"), "b")
	want := []string{"4 [event-06- event-07-]", "5 [event-08- event-09-]", "6 [event-10- event-11-]"}
	if diff := cmp.Diff(want, batches); diff != "" {
		t.Error(diff)
	}
	if len(s.Loose) != 1 || string(s.Loose[0]) != "event-12-" || s.Acked != 3 || s.Highest != 6 || s.Held != 7 || s.Lost > 0 || s.AtLeast || s.Sure {
		t.Errorf("%+v", s)
	}
	if s, _ := read(t, filepath.Join("testdata", "crashed"), "another"); s.Lost > 0 || s.AtLeast || s.Sure {
		t.Errorf("after a restart of the machine: %+v", s)
	}
	s, batches = read(t, filepath.Join("testdata", "closed"), "another")
	want = []string{"2 [cccc dddd]", "3 [eeee]"}
	if diff := cmp.Diff(want, batches); diff != "" {
		t.Error(diff)
	}
	if !s.Sure || s.Acked != 1 || s.Highest != 3 || len(s.Loose) > 0 || len(s.Files) != 3 {
		t.Errorf("%+v", s)
	}
}

func TestNoSpool(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"lock", "damaged.bad", "packed"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := Find(dir); err != nil || len(files) > 0 {
		t.Errorf("%v, %v", files, err)
	}
	if _, err := Find(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a folder that is not there has no files")
	}
}

func TestUnreadableIsNamed(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "crashed"))); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "0000000000000001.spool")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "00000000000000ff.spool"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, batches := read(t, dir, "b")
	if !slices.Equal(s.Unreadable, []string{"00000000000000ff.spool"}) || len(batches) != 3 || s.Lost > 0 {
		t.Errorf("a copy: %+v, %v", s, batches)
	}
	if err := os.WriteFile(name, make([]byte, len(content)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "00000000000000ff.spool")); err != nil {
		t.Fatal(err)
	}
	s, batches = read(t, dir, "b")
	if len(s.Unreadable) != 1 || len(batches) > 0 || s.Lost != 7 || s.AtLeast || s.DamagedBytes != int64(len(content)) {
		t.Errorf("zeros: %+v, %v", s, batches)
	}
}

// FuzzRead: whatever a segment holds, it can be read, and numbers ascend.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"crashed", "closed"} {
		content, err := os.ReadFile(filepath.Join("testdata", name, "0000000000000001.spool"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
		f.Add(content[:len(content)-3])
		f.Add(slices.Concat(content, content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "0000000000000001.spool"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := Find(dir)
		if err != nil {
			t.Fatal(err)
		}
		last, held := uint64(0), 0
		s, err := Read(dir, files, "b", func(b Batch) error {
			if b.Sequence <= last || len(b.Events) == 0 {
				t.Fatalf("batch %d with %d events behind %d", b.Sequence, len(b.Events), last)
			}
			last = b.Sequence
			held += len(b.Events)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if held+len(s.Loose) != s.Held || s.Sure || last > s.Highest {
			t.Fatalf("%d in batches, %+v", held, s)
		}
	})
}
