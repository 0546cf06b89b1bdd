package wal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// TestDamageMatrix takes every file of small logs away in every way, one and two at a
// time, and opens, reads and closes what is left twice. What holds whatever was done: a
// log from which an event is gone is never ok, neither to Verify nor to health, until
// somebody accepts the loss; readers are told of each range; and a log from which
// nothing is gone is ok.
func TestDamageMatrix(t *testing.T) { eachShape(t, 3, testDamageMatrix) }

func testDamageMatrix(t *testing.T, sh *shape) {
	for name, make := range map[string]func(*testing.T) *sample{
		"closed":                 func(t *testing.T) *sample { return newSample(t, sh, sampleOptions{segments: 4}) },
		"killed":                 func(t *testing.T) *sample { return newSample(t, sh, sampleOptions{segments: 4, killed: true}) },
		"closed after retention": func(t *testing.T) *sample { return newSample(t, sh, sampleOptions{segments: 4, retention: true}) },
		"killed after retention": func(t *testing.T) *sample {
			return newSample(t, sh, sampleOptions{segments: 4, retention: true, killed: true})
		},
		"closed with one segment": func(t *testing.T) *sample { return newSample(t, sh, sampleOptions{segments: 1}) },
		"killed with one segment": func(t *testing.T) *sample { return newSample(t, sh, sampleOptions{segments: 1, killed: true}) },
		"killed with an empty last": func(t *testing.T) *sample {
			return newSample(t, sh, sampleOptions{segments: 3, emptyLast: true, killed: true})
		},
		"closed with an empty last": func(t *testing.T) *sample { return newSample(t, sh, sampleOptions{segments: 3, emptyLast: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := make(t)
			ways := s.ways(t)
			s.check(t, "nothing", nil)
			n := 0
			for i, a := range ways {
				s.check(t, a.name, []way{a})
				for _, b := range ways[i+1:] {
					if a.file != b.file && a.pairs() && b.pairs() {
						s.check(t, a.name+" and "+b.name, []way{a, b})
						n++
					}
				}
			}
			all := slices.DeleteFunc(slices.Clone(ways), func(w way) bool {
				return !strings.HasPrefix(w.name, "remove") || !strings.HasSuffix(w.name, segmentSuffix)
			})
			s.check(t, "remove all segments", all)
			t.Logf("%d ways, %d pairs", len(ways), n)
		})
	}
}

// sample is a small log and what was acknowledged of it.
type sample struct {
	disk  *memfs.FS
	acked *ledger
	first Offset // retention removed what is below
}

type sampleOptions struct {
	segments                     int
	killed, retention, emptyLast bool
}

func sampleLog(disk *memfs.FS) Options {
	o := options(disk)
	o.SegmentBytes = 4 << 10
	o.Checkpoint = func() []byte { return []byte("state") }
	return o
}

func newSample(t *testing.T, sh *shape, so sampleOptions) *sample {
	t.Helper()
	s := &sample{disk: memfs.New(), acked: newLedger()}
	o := sampleLog(s.disk)
	o.format = sh.format
	c := newClock()
	o.Now = c.Now
	if so.retention {
		o.RetentionAge = time.Hour
	}
	l := openLog(t, o)
	cur, err := l.Cursor("reader", false)
	if err != nil {
		t.Fatal(err)
	}
	seq := 0
	for i := range so.segments {
		if i > 0 {
			if so.retention && i == 2 {
				c.advance(2 * time.Hour)
			}
			if err := l.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if so.emptyLast && i == so.segments-1 {
			break
		}
		for range 3 {
			r := sh.batch(seq, 1+seq%2, 300)
			seq++
			s.acked.ack(mustAppend(t, l, r), r)
		}
		if i == 0 {
			if err := cur.Commit(2); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.first = l.Stat().FirstOffset
	if so.retention != (s.first > 0) {
		t.Fatalf("the log begins at %d", s.first)
	}
	if !so.killed {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s.disk = s.disk.Clone()
	maps.DeleteFunc(s.acked.acked, func(off Offset, _ string) bool { return off < s.first })
	return s
}

// way is one thing that can happen to a file.
type way struct {
	name, file string
	do         func(t *testing.T, disk *memfs.FS)
	segment    bool
	harmless   bool // the other copy has it
	stays      bool // it is not a loss, or not alone, and cannot be accepted
}

// pairs reports whether the way is tried together with others; the rest would take
// long and go the same way through the code as those that are.
func (w *way) pairs() bool {
	return slices.ContainsFunc([]string{"remove", "empty", "halve", "append", "spoil"}, func(s string) bool { return strings.HasPrefix(w.name, s) })
}

func (s *sample) ways(t *testing.T) []way {
	t.Helper()
	var out []way
	bytesOf := func(t *testing.T, disk *memfs.FS, file string) []byte {
		b, err := disk.Bytes(file)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	put := func(t *testing.T, disk *memfs.FS, file string, b []byte) {
		if err := disk.Put(file, b); err != nil {
			t.Fatal(err)
		}
	}
	rename := func(to string) func(t *testing.T, disk *memfs.FS, file string) {
		return func(t *testing.T, disk *memfs.FS, file string) {
			if err := disk.Rename(file, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	common := map[string]func(t *testing.T, disk *memfs.FS, file string){
		"remove": func(t *testing.T, disk *memfs.FS, file string) {
			if err := disk.Remove(file); err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(t *testing.T, disk *memfs.FS, file string) { put(t, disk, file, nil) },
		"zero": func(t *testing.T, disk *memfs.FS, file string) {
			put(t, disk, file, make([]byte, len(bytesOf(t, disk, file))))
		},
		"overwrite": func(t *testing.T, disk *memfs.FS, file string) {
			b := bytesOf(t, disk, file)
			for i := range b {
				b[i] = byte(i*7 + 3)
			}
			put(t, disk, file, b)
		},
		"halve": func(t *testing.T, disk *memfs.FS, file string) {
			b := bytesOf(t, disk, file)
			put(t, disk, file, b[:len(b)/2])
		},
	}
	add := func(name, file string, segment, harmless bool, f func(t *testing.T, disk *memfs.FS, file string)) {
		out = append(out, way{name + " " + file, file, func(t *testing.T, disk *memfs.FS) { f(t, disk, file) }, segment, harmless, strings.HasPrefix(name, "append") || strings.HasPrefix(name, "lose")})
	}
	for _, seg := range segments(t, s.disk) {
		file := dir + "/" + seg
		for name, f := range common {
			add(name, file, true, false, f)
		}
		add("rename up", file, true, false, rename(dir+"/"+segmentName(5000)))
		add("rename away", file, true, false, rename(file+".bak"))
		add("rename down", file, true, false, rename(dir+"/"+segmentName(1)))
		add("lose the first sector of", file, true, false, func(t *testing.T, disk *memfs.FS, file string) {
			b := bytesOf(t, disk, file)
			clear(b[:min(len(b), sectorBytes)])
			put(t, disk, file, b)
		})
		add("append to", file, true, false, func(t *testing.T, disk *memfs.FS, file string) {
			b := bytesOf(t, disk, file)
			for i := range 600 {
				b = append(b, byte(i*11+5))
			}
			put(t, disk, file, b)
		})
	}
	for _, file := range headPaths(dir) {
		for name, f := range common {
			add(name, file, false, true, f)
		}
		for slot := range 2 {
			add(fmt.Sprintf("spoil slot %d of", slot), file, false, true, func(t *testing.T, disk *memfs.FS, file string) {
				b := bytesOf(t, disk, file)
				b[slot*headSlotEvery+24] ^= 1
				put(t, disk, file, b)
			})
		}
	}
	for name, f := range common {
		add(name, dir+"/"+cursorDir+"/reader", false, false, f)
	}
	slices.SortFunc(out, func(a, b way) int { return strings.Compare(a.name, b.name) })
	return out
}

// missing returns the events that cannot be read, and checks that readers are told of
// each, and that what they read is what was written.
func (s *sample) missing(t *testing.T, l *Log, where string) (gone []Offset) {
	t.Helper()
	got := map[Offset]string{}
	told := map[Offset]stream.Cause{}
	r, err := Stream(l).NewReader(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		e, ok, err := r.TryNext()
		if gap, is := errors.AsType[*stream.Gap](err); is {
			for off := gap.From; off < min(gap.To, s.acked.next); off++ {
				told[off] = gap.Cause
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: read: %v", where, err)
		}
		if !ok {
			break
		}
		for off, ev := range e.Events() {
			got[off] = string(ev)
		}
	}
	for off, ev := range s.acked.acked {
		switch text, there := got[off]; {
		case there && text != ev:
			t.Fatalf("%s: offset %d reads %q, it was %q", where, off, text, ev)
		case !there:
			gone = append(gone, off)
			if told[off] != stream.CauseLost && told[off] != stream.CauseDamaged {
				t.Fatalf("%s: readers are told that offset %d is %q", where, off, told[off])
			}
		}
	}
	for off := range s.first {
		if told[off] != stream.CauseRemoved && told[off] != stream.CauseLost {
			t.Fatalf("%s: readers are told that offset %d is %q", where, off, told[off])
		}
	}
	return gone
}

func healthy(st Stat) bool {
	return st.State == StateOK && len(st.Losses) == 0 && len(st.Recovery.Damage) == 0 && len(st.Met) == 0 && len(st.Quarantined) == 0
}

func (s *sample) check(t *testing.T, where string, ways []way) {
	t.Helper()
	disk := s.disk.Clone()
	segment, harmless := false, 0
	headCopies := map[string]bool{}
	cursor := false
	for _, w := range ways {
		w.do(t, disk)
		segment = segment || w.segment
		switch {
		case w.harmless:
			harmless++
			headCopies[w.file] = true
		case !w.segment:
			cursor = true
		}
	}
	whole := !segment && len(headCopies) < 2 // nothing is gone of the log
	says := func(when string, gone []Offset, ok bool, what any) {
		t.Helper()
		if len(gone) > 0 && ok {
			t.Fatalf("%s: %s: ok, and offsets %v are gone", where, when, gone)
		}
		if whole && !ok {
			t.Fatalf("%s: %s: not ok, and nothing is gone: %+v", where, when, what)
		}
	}
	before, err := Verify(t.Context(), disk, dir, nil)
	if err != nil {
		t.Fatalf("%s: verify: %v", where, err)
	}
	var gone []Offset
	for round := range 2 {
		l, err := Open(t.Context(), sampleLog(disk))
		if err != nil {
			t.Fatalf("%s: open: %v", where, err)
		}
		if round == 0 {
			health := healthy(l.Stat())
			gone = s.missing(t, l, where)
			says("verify at first", gone, before.OK, before)
			says("health at first", gone, health || cursor && whole, l.Stat())
		} else if again := s.missing(t, l, where); !slices.Equal(slices.Sorted(slices.Values(again)), slices.Sorted(slices.Values(gone))) {
			t.Fatalf("%s: gone %v, then %v", where, gone, again)
		}
		if next := l.Stat().NextOffset; next < s.acked.next {
			t.Fatalf("%s: the log goes on at %d, offsets up to %d were given out", where, next, s.acked.next)
		}
		st := l.Stat()
		says(fmt.Sprintf("health in round %d", round), gone, healthy(st) || cursor && whole, st)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		rep := verify(t, disk)
		says(fmt.Sprintf("verify after round %d", round), gone, rep.OK, rep)
	}
	s.accept(t, disk, where, len(gone) > 0 && !slices.ContainsFunc(ways, func(w way) bool { return w.stays }))
}

// accept takes note of what is gone: then all is well, and stays well.
func (s *sample) accept(t *testing.T, disk *memfs.FS, where string, well bool) {
	t.Helper()
	for round := range 2 {
		l, err := Open(t.Context(), sampleLog(disk))
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if _, err := l.AcceptLosses(t.Context(), nil); err != nil {
				t.Fatalf("%s: accept: %v", where, err)
			}
		}
		s.missing(t, l, where)
		if st := l.Stat(); well && !healthy(st) {
			t.Fatalf("%s: accepted, and in round %d health says %+v", where, round, st)
		}
		mustAppend(t, l, batch(99, 1, 10))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if rep := verify(t, disk); well && !rep.OK {
			t.Fatalf("%s: accepted, and after round %d verify says %+v", where, round, rep)
		}
	}
}
