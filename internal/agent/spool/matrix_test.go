package spool

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// quick is a file that claims to be durable, so that the matrix takes seconds.
type quick struct{ file }

func (quick) Sync() error { return nil }

func quickly(o Options) Options {
	o.openFile = func(name string, flag int) (file, error) {
		f, err := openOSFile(name, flag)
		return quick{f}, err
	}
	return o
}

// hubOf stores batches as a hub does: a number of a producer once.
type hubOf struct {
	batches map[string][]string
	fault   string // what a hub would take for a repeat, and is none
}

func (h *hubOf) take(b Batch, events []string) {
	h.takeAs(fmt.Sprintf("%x/%d", b.Producer, b.Sequence), events)
}

// takeAs is take for a batch that is named producer/sequence.
func (h *hubOf) takeAs(key string, events []string) {
	if before, known := h.batches[key]; known {
		for _, e := range events {
			if !slices.Contains(before, e) {
				h.fault = fmt.Sprintf("%q comes as a repeat of %q", events, before)
			}
		}
		return
	}
	h.batches[key] = events
}

// stored is how often each event is stored.
func (h *hubOf) stored() map[string]int {
	n := map[string]int{}
	for _, events := range h.batches {
		for _, e := range events {
			n[e]++
		}
	}
	return n
}

// crashed is a spool as a crash leaves it: three batches acknowledged, one that the
// hub has and whose answer was lost, two that were not sent, and a loose event.
func crashed(t *testing.T, pad int) (files map[string][]byte, h *hubOf, appended []string) {
	t.Helper()
	dir := t.TempDir()
	h = &hubOf{batches: map[string][]string{}}
	s := open(t, quickly(Options{Dir: dir, Events: 2, BootID: "b", MaxBytes: 1 << 20}))
	for i := range 13 {
		appended = append(appended, fmt.Sprintf("event-%02d-%s", i, noise(pad)))
		add(t, s, appended[i])
		if i%2 == 1 && i < 8 {
			b, events := next(t, s)
			h.take(b, events)
			if i < 6 {
				s.Ack(b.Sequence)
			}
		}
	}
	crash(s)
	return readFolder(t, dir), h, appended
}

// readFolder returns the files of a spool, but the lock.
func readFolder(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	dir = filepath.Join(dir, homeName)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// writeFolder makes a spool of files that readFolder returned.
func writeFolder(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, homeName), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, homeName, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamageMatrix damages each file of a spool in every way that a disk has, and
// sees that the rest arrives once, that what was lost is counted, exactly where the
// cursor tells, and as at least so much otherwise, and that the spool goes on.
func TestDamageMatrix(t *testing.T) {
	memory := "/dev/shm" // thousands of spools are made
	if _, err := os.Stat(memory); err != nil {
		memory = t.TempDir()
	}
	for _, shape := range []struct {
		name string
		pad  int
		step int // of the places where a file is damaged
	}{{"one segment", 0, 5}, {"several segments", 45_000, 29_999}} {
		files, h, appended := crashed(t, shape.pad)
		for name, content := range files {
			damages := map[string]func(map[string][]byte){
				"removed": func(m map[string][]byte) { delete(m, name) },
				"empty":   func(m map[string][]byte) { m[name] = nil },
				"zeroed":  func(m map[string][]byte) { m[name] = make([]byte, len(content)) },
				"zeros behind it": func(m map[string][]byte) {
					m[name] = append(slices.Clone(content), make([]byte, 4096)...)
				},
				"twice in it": func(m map[string][]byte) { m[name] = append(slices.Clone(content), content...) },
			}
			if strings.HasSuffix(name, ".spool") {
				damages["renamed"] = func(m map[string][]byte) {
					delete(m, name)
					m["00000000000000ff.spool"] = content
				}
				damages["copied"] = func(m map[string][]byte) { m["00000000000000ff.spool"] = content }
				damages["renamed away"] = func(m map[string][]byte) {
					delete(m, name)
					m[name+".bak"] = content
				}
			}
			for at := 0; at < len(content); at += shape.step {
				damages[fmt.Sprintf("byte %d flipped", at)] = func(m map[string][]byte) {
					m[name] = slices.Clone(content)
					m[name][at] ^= 0x41
				}
				damages[fmt.Sprintf("cut at %d", at)] = func(m map[string][]byte) { m[name] = content[:at] }
				damages[fmt.Sprintf("zero at %d", at)] = func(m map[string][]byte) {
					m[name] = slices.Clone(content)
					clear(m[name][at:min(at+64, len(content))])
				}
			}
			for what, damage := range damages {
				for _, boot := range []string{"b", "another"} {
					damaged := maps.Clone(files)
					damage(damaged)
					if fault := recoverFrom(t, memory, func(dir string) { writeFolder(t, dir, damaged) }, h, appended, boot); fault != "" {
						t.Errorf("%s: %s %s, boot %s: %s", shape.name, name, what, boot, fault)
					}
				}
			}
		}
	}
}

// recoverFrom opens a spool that write has made, sends what is in it to a hub that knows
// what h does, and says what is wrong.
func recoverFrom(t *testing.T, memory string, write func(dir string), h *hubOf, appended []string, boot string) string {
	t.Helper()
	dir, err := os.MkdirTemp(memory, "amoskys-spool-") //nolint:usetesting // the disk would take minutes
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	write(dir)
	s, err := Open(quickly(Options{Dir: dir, Events: 2, BootID: boot}))
	if err != nil {
		return "not opened: " + err.Error()
	}
	defer crash(s)
	to := &hubOf{batches: maps.Clone(h.batches)}
	fresh := "event-of-the-next-process"
	add(t, s, fresh)
	s.Flush()
	for s.Stats().Events > 0 {
		b, events := next(t, s)
		to.take(b, events)
		s.Ack(b.Sequence)
	}
	st, stored := s.Stats(), to.stored()
	lost := uint64(0)
	for _, e := range append(slices.Clone(appended), fresh) {
		switch n := stored[e]; {
		case n == 0:
			lost++
		case n > 1 && boot == "b" && !slices.Contains(appended[6:8], e):
			// Those two are of the batch that the hub has and the spool does not know to
			// be safe: without its seal they are sent anew.
			return fmt.Sprintf("%.8s is stored %d times", e, n)
		}
	}
	switch {
	case to.fault != "":
		return to.fault
	case len(stored) > len(appended)+1:
		return "there are events that nobody appended"
	case stored[fresh] != 1:
		return "the new event is lost"
	case !st.AtLeast && (st.DamagedEvents < lost || st.DamagedEvents > lost+unanswered):
		return fmt.Sprintf("%d lost, %d counted", lost, st.DamagedEvents)
	case st.AtLeast && st.DamagedEvents > lost+unanswered:
		return fmt.Sprintf("%d lost, at least %d counted", lost, st.DamagedEvents)
	case lost > 0 && st.DamagedEvents == 0 && !st.AtLeast:
		return fmt.Sprintf("%d lost in silence", lost)
	}
	return ""
}

// unanswered are the events of the one batch that the hub has and the spool does not
// know to be safe: where the damage takes it, the spool counts it as lost.
const unanswered = 2

// FuzzScan: frames and damage cover the bytes up to the tail, each once.
func FuzzScan(f *testing.F) {
	segment, journal := seedFiles()
	good := append(segment[headerBytes:], journal...)
	f.Add(good)
	f.Add(bytes.Repeat(good, 3)[5:])
	f.Add(append(slices.Clone(good[:20]), good...))
	f.Fuzz(func(t *testing.T, b []byte) {
		covered := int64(0)
		tail := scan(b, 0, func(fr frame) {
			if fr.off != covered || fr.end-fr.off != int64(headBytes+len(fr.payload)) || fr.size != len(fr.payload) {
				t.Fatalf("frame %d to %d behind %d", fr.off, fr.end, covered)
			}
			covered = fr.end
			out := Batch{Sequence: fr.seq, Count: int(fr.count), Codec: fr.codec, Packed: fr.payload}
			if events, err := out.Events(); err == nil && len(events) != out.Count {
				t.Fatalf("%d events, not %d", len(events), out.Count)
			}
		}, func(damaged []byte) {
			if len(damaged) == 0 {
				t.Fatalf("no damage at %d", covered)
			}
			covered += int64(len(damaged))
		})
		if tail != covered {
			t.Fatalf("tail %d, covered %d", tail, covered)
		}
	})
}
