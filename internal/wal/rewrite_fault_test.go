package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// TestRewriteInterrupted kills a Rewrite, or cuts the power, before each operation that
// changes the disk: no build takes what is left for a log that it is not, and the next
// Rewrite brings it to an end.
func TestRewriteInterrupted(t *testing.T) {
	clean, g := mixedLog(t, true)
	want, _ := lines(t, clean)
	rng := rand.New(rand.NewPCG(5, 6))
	for name, crash := range map[string]func(m *memfs.FS) *memfs.FS{
		"killed":                      func(m *memfs.FS) *memfs.FS { return m.Clone() },
		"nothing unsynced survives":   func(m *memfs.FS) *memfs.FS { return m.Crash(nil) },
		"a prefix of it survives":     func(m *memfs.FS) *memfs.FS { return m.Crash(func(n int) int { return rng.IntN(n + 1) }) },
		"some sectors of it survive":  func(m *memfs.FS) *memfs.FS { return m.CrashScattered(func() bool { return rng.IntN(2) == 0 }) },
		"all but the last name of it": func(m *memfs.FS) *memfs.FS { return m.Crash(func(n int) int { return max(n-1, 0) }) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, removeOld := range []bool{false, true} {
				inner := clean.Clone()
				type moment struct {
					op   errorfs.Op
					disk *memfs.FS
				}
				var moments []moment
				mustRewrite(t, errorfs.Wrap(inner, func(op errorfs.Op) error {
					if op.Kind.Changes() {
						moments = append(moments, moment{op, crash(inner)})
					}
					return nil
				}), 1, removeOld)
				guarded := 0
				for _, m := range moments {
					where := fmt.Sprintf("before operation %d, %s %s", m.op.N, m.op.Kind, m.op.Path)
					if _, err := m.disk.Stat(dir + "/" + rewriteGuard); err == nil {
						guarded++
						if _, err := Open(t.Context(), options(m.disk)); !errors.Is(err, ErrRewriting) {
							t.Fatalf("%s: opened: %v", where, err)
						}
						var h segmentHeader
						if reason, err := h.parse(content(t, m.disk, rewriteGuard)); !errors.Is(err, ErrNewer) {
							t.Fatalf("%s: the guard keeps no build away: %s, %v", where, reason, err)
						}
					} else {
						g.check(t, openClone(t, m.disk))
						if rep := verify(t, m.disk); !rep.OK || rep.Events != uint64(len(g.acked)) {
							t.Fatalf("%s: %+v", where, rep)
						}
					}
					mustRewrite(t, m.disk, 1, removeOld)
					if rep := verify(t, m.disk); !rep.OK {
						t.Fatalf("%s: finished: %+v", where, rep)
					}
					if got, codecs := lines(t, m.disk); cmp.Diff(want, got) != "" || codecs[codec.S2] > 0 {
						t.Fatalf("%s: finished: %s", where, cmp.Diff(want, got))
					}
					if entries, _ := m.disk.ReadDir(dir + "/" + rewriteDir); len(entries) > 0 {
						t.Fatalf("%s: left behind %v", where, entries)
					}
					if entries, _ := m.disk.ReadDir(dir + "/" + replacedDir); removeOld == (len(entries) > 0) {
						t.Fatalf("%s: replaced: %v", where, entries)
					}
				}
				if guarded < 5 {
					t.Errorf("%d moments of %d are guarded", guarded, len(moments))
				}
				t.Logf("%d moments, %d guarded", len(moments), guarded)
			}
		})
	}
}

func openClone(t *testing.T, disk *memfs.FS) *Log {
	t.Helper()
	return openLog(t, options(disk.Clone()))
}

// TestRewriteFails fails each operation of a Rewrite in turn: the log stays what it was,
// or can be brought to what it should be.
func TestRewriteFails(t *testing.T) {
	clean, g := mixedLog(t, true)
	count := errorfs.Wrap(clean.Clone(), func(errorfs.Op) error { return nil })
	mustRewrite(t, count, 1, false)
	for n := range count.Ops() {
		disk := clean.Clone()
		var failed errorfs.Op
		var over atomic.Bool
		_, err := Rewrite(t.Context(), RewriteOptions{Dir: dir, Format: 1, FS: errorfs.Wrap(disk, func(op errorfs.Op) error {
			if op.N == n+1 && !over.Load() {
				failed = op
				return syscall.EIO
			}
			return nil
		})})
		over.Store(true)
		where := fmt.Sprintf("operation %d, %s %s", n+1, failed.Kind, failed.Path)
		if _, guard := disk.Stat(dir + "/" + rewriteGuard); guard != nil {
			g.check(t, openClone(t, disk))
		} else if err == nil {
			t.Fatalf("%s: done, and the guard is there", where)
		}
		mustRewrite(t, disk, 1, false)
		if rep := verify(t, disk); !rep.OK || rep.Events != uint64(len(g.acked)) {
			t.Fatalf("%s: %+v", where, rep)
		}
		g.check(t, openClone(t, disk))
	}
}

// TestRewriteOfKilledAndDamaged: only opening such a log decides where it goes on, so it
// has to be opened first; then the loss is on record, and stays there.
func TestRewriteOfKilledAndDamaged(t *testing.T) {
	disk, g := smallLog(t, newest(), false)
	recs := places(t, disk)
	last := recs[len(recs)-1]
	b := content(t, disk, last.segment)
	b[last.end-recordTrailerBytes-9] ^= 1
	if err := disk.Put(dir+"/"+last.segment, b); err != nil {
		t.Fatal(err)
	}
	o := RewriteOptions{Dir: dir, FS: disk, Format: 1}
	if _, err := Rewrite(t.Context(), o); !errors.Is(err, errNotSettled) {
		t.Fatal(err)
	}
	l := openLog(t, options(disk))
	next := l.Stat().NextOffset
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	losses := verify(t, disk).Losses
	if plan := mustRewrite(t, disk, 1, true); plan.BadPlaces != 1 || plan.Replaced == "" {
		t.Errorf("plan %+v", plan)
	}
	if rep := verify(t, disk); rep.OK || cmp.Diff(losses, rep.Losses) != "" || len(losses) != 1 {
		t.Errorf("verify %+v, losses were %v", rep, losses)
	}
	l = openLog(t, options(disk))
	if first := mustAppend(t, l, batch(50, 1, 10)); first < next || first < g.next {
		t.Errorf("offset %d is given out again, the log had reached %d", first, next)
	}
}

// TestRewriteKeepsWhatItCouldNotRead: old segments that could not be read in full are
// removed by no Rewrite, also not by the next one, whenever the first is interrupted.
func TestRewriteKeepsWhatItCouldNotRead(t *testing.T) {
	inner, _ := mixedLog(t, true)
	recs := places(t, inner)
	victim := recs[len(recs)/2]
	b := content(t, inner, victim.segment)
	b[victim.pos+recordHeaderBytes+40] ^= 1
	if err := inner.Put(dir+"/"+victim.segment, b); err != nil {
		t.Fatal(err)
	}
	var moments []*memfs.FS
	plan := mustRewrite(t, errorfs.Wrap(inner, func(op errorfs.Op) error {
		if op.Kind.Changes() {
			moments = append(moments, inner.Clone(), inner.Crash(nil))
		}
		return nil
	}), 1, true)
	if plan.BadPlaces != 1 || len(moments) < 20 {
		t.Fatalf("%+v, %d moments", plan, len(moments))
	}
	for i, disk := range append(moments, inner) {
		for range 2 {
			plan := mustRewrite(t, disk, 1, true)
			old, err := disk.Stat(dir + "/" + replacedDir + "/" + victim.segment)
			if plan.Replaced == "" || err != nil || old.Size() != int64(len(b)) {
				t.Fatalf("moment %d of %d: %+v, the old segment: %v, %v", i, len(moments), plan, old, err)
			}
		}
		if _, err := Rewrite(t.Context(), RewriteOptions{Dir: dir, FS: disk, Format: 2, RemoveOld: true}); !errors.Is(err, errKept) {
			t.Fatalf("moment %d: into another format: %v", i, err)
		}
		if rep := verify(t, disk); rep.BadPlaces != 1 {
			t.Fatalf("moment %d: %+v", i, rep)
		}
	}
}
