package spool

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// olderFiles are a spool that an older build has left: three batches acknowledged, one
// that the hub has and whose answer was lost, two that were not sent, and a loose event.
func olderFiles(t *testing.T) (files map[string][]byte, h *hubOf, appended []string) {
	t.Helper()
	files = map[string][]byte{}
	for _, name := range []string{"producer", "cursor", "0000000000000001.spool"} {
		content, err := os.ReadFile(filepath.Join("legacy", "testdata", "crashed", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = content
	}
	h = &hubOf{batches: map[string][]string{}}
	for i := range 13 {
		appended = append(appended, fmt.Sprintf("event-%02d-", i))
		if i%2 == 1 && i < 8 {
			h.batches[fmt.Sprintf("%x/%d", files["producer"][8:24], i/2+1)] = appended[i-1 : i+1]
		}
	}
	return files, h, appended
}

func writeOlder(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// sendAll sends what waits to the hub.
func sendAll(t *testing.T, s *Spool, h *hubOf) {
	t.Helper()
	s.Flush()
	for s.Stats().Events > 0 {
		b, events := next(t, s)
		h.take(b, events)
		s.Ack(b.Sequence)
	}
}

func wantStoredOnce(t *testing.T, h *hubOf, events []string) {
	t.Helper()
	stored := h.stored()
	for _, e := range events {
		if stored[e] != 1 {
			t.Errorf("%s is stored %d times", e, stored[e])
		}
	}
	if h.fault != "" || len(stored) != len(events) {
		t.Errorf("%d stored, want %d; %s", len(stored), len(events), h.fault)
	}
}

// noOlderFiles wants nothing in the folder but what this build makes.
func noOlderFiles(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != homeName && e.Name() != "lock" {
			t.Errorf("%s is left", e.Name())
		}
	}
	if _, err := os.Stat(filepath.Join(dir, homeName, upgradedName)); err == nil {
		t.Error("the list of files that went is left")
	}
}

// TestUpgrade: what an older build has left arrives once, under its numbers where it
// had some.
func TestUpgrade(t *testing.T) {
	for _, boot := range []string{"b", "another"} {
		files, h, appended := olderFiles(t)
		dir := t.TempDir()
		writeOlder(t, dir, files)
		s := open(t, Options{Dir: dir, Events: 2, BootID: boot})
		if st := s.Stats(); st.Events != 7 || st.Dropped() > 0 || st.AtLeast || st.DamagedBytes > 0 {
			t.Errorf("%+v", st)
		}
		noOlderFiles(t, dir)
		b, events := next(t, s)
		if b.Sequence != 4 || string(b.Producer[:]) != string(files["producer"][8:24]) {
			t.Errorf("batch %x/%d", b.Producer, b.Sequence)
		}
		h.take(b, events)
		crash(s) // and the next process goes on
		s = open(t, Options{Dir: dir, Events: 2, BootID: boot})
		add(t, s, "new")
		sendAll(t, s, h)
		wantStoredOnce(t, h, append(appended, "new"))
	}
}

// TestUpgradeGoesOn: after an orderly stop the older build's producer id and numbers go
// on, even on another day.
func TestUpgradeGoesOn(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("legacy", "testdata", "closed"))); err != nil {
		t.Fatal(err)
	}
	producer, _ := os.ReadFile(filepath.Join(dir, "producer"))
	s := open(t, Options{Dir: dir, Events: 2, BootID: "another"})
	add(t, s, "new1", "new2")
	for i, want := range []string{"[cccc dddd]", "[eeee]", "[new1 new2]"} {
		b, events := next(t, s)
		if fmt.Sprint(events) != want || b.Sequence != uint64(i+2) || string(b.Producer[:]) != string(producer[8:24]) {
			t.Errorf("%x/%d %v, want %s", b.Producer, b.Sequence, events, want)
		}
	}
}

// TestUpgradeIsCutShort: wherever it ends, the next try begins with all events or goes
// on with them.
func TestUpgradeIsCutShort(t *testing.T) {
	for fail := range 12 {
		files, h, appended := olderFiles(t)
		dir := t.TempDir()
		writeOlder(t, dir, files)
		left := fail
		failed := Options{Dir: dir, Events: 2, BootID: "b", openFile: func(name string, flag int) (file, error) {
			if left--; left < 0 {
				return nil, syscall.ENOSPC
			}
			return openOSFile(name, flag)
		}}
		if s, err := Open(failed); err == nil {
			crash(s)
		} else if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		s := open(t, Options{Dir: dir, Events: 2, BootID: "b"})
		noOlderFiles(t, dir)
		sendAll(t, s, h)
		wantStoredOnce(t, h, appended)
	}

	// It ended between the new folder's name and the removal of the files.
	files, h, appended := olderFiles(t)
	dir := t.TempDir()
	writeOlder(t, dir, files)
	crash(open(t, Options{Dir: dir, Events: 2, BootID: "b"}))
	writeOlder(t, dir, files)
	var list strings.Builder
	for name, content := range files {
		fmt.Fprintf(&list, "%d %s\n", len(content), name)
	}
	if err := os.WriteFile(filepath.Join(dir, homeName, upgradedName), []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Options{Dir: dir, Events: 2, BootID: "b"})
	noOlderFiles(t, dir)
	sendAll(t, s, h)
	wantStoredOnce(t, h, appended)
}

// TestThereAndBack: somebody went back to the older build for a while, which does not
// see this one's files: what both left arrives.
func TestThereAndBack(t *testing.T) {
	files, h, appended := olderFiles(t)
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Events: 2, BootID: "b"})
	add(t, s, "one", "two", "three")
	crash(s)
	writeOlder(t, dir, files)
	for range 2 { // a second start finds nothing more to take over
		s = open(t, Options{Dir: dir, Events: 2, BootID: "b"})
		noOlderFiles(t, dir)
		if st := s.Stats(); st.Events != 10 || st.Dropped() > 0 || st.AtLeast {
			t.Errorf("%+v", st)
		}
		crash(s)
	}
	s = open(t, Options{Dir: dir, Events: 2, BootID: "b"})
	sendAll(t, s, h)
	stored := h.stored()
	for _, e := range append(appended, "one", "two", "three") {
		if n := stored[e]; n == 0 || n > 1 && !slices.Contains(appended[6:8], e) { // those were on their way
			t.Errorf("%s is stored %d times", e, n)
		}
	}
}

// TestUpgradeOfDamaged: damage to the older build's files costs what it would have
// cost that build.
func TestUpgradeOfDamaged(t *testing.T) {
	memory := "/dev/shm"
	if _, err := os.Stat(memory); err != nil {
		memory = t.TempDir()
	}
	files, h, appended := olderFiles(t)
	for name, content := range files {
		for at := 0; at < len(content); at += 3 {
			for what, damage := range map[string]func(b []byte) []byte{
				"flipped": func(b []byte) []byte { b[at] ^= 0x41; return b },
				"cut":     func(b []byte) []byte { return b[:at] },
				"zero":    func(b []byte) []byte { clear(b[at:min(at+64, len(b))]); return b },
			} {
				damaged := maps.Clone(files)
				damaged[name] = damage(slices.Clone(content))
				write := func(dir string) { writeOlder(t, dir, damaged) }
				for _, boot := range []string{"b", "another"} {
					if fault := recoverFrom(t, memory, write, h, appended, boot); fault != "" {
						t.Errorf("%s %s at %d, boot %s: %s", name, what, at, boot, fault)
					}
				}
			}
		}
	}
}
