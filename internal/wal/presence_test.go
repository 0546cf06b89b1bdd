package wal

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// TestActiveTakenAway: while the log is in use its active segment is removed, moved,
// replaced or cut. Nothing is acknowledged into a file that nobody will find.
func TestActiveTakenAway(t *testing.T) { eachShape(t, 10000, testActiveTakenAway) }

func testActiveTakenAway(t *testing.T, sh *shape) {
	path := dir + "/" + segmentName(2)
	other := func(t *testing.T, disk *memfs.FS) {
		if err := disk.Put(dir+"/other", []byte("other")); err != nil {
			t.Fatal(err)
		}
		if err := disk.Rename(dir+"/other", path); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		take  func(t *testing.T, disk *memfs.FS)
		stuck bool // no file can be made again
		lost  string
	}{
		"removed":            {take: func(_ *testing.T, disk *memfs.FS) { _ = disk.Remove(path) }},
		"moved":              {take: func(_ *testing.T, disk *memfs.FS) { _ = disk.Rename(path, "/elsewhere") }},
		"replaced":           {take: other},
		"removed, and stuck": {take: func(_ *testing.T, disk *memfs.FS) { _ = disk.Remove(path) }, stuck: true, lost: "1: 2-5"},
		"cut": {take: func(t *testing.T, disk *memfs.FS) {
			f, err := disk.OpenRW(path)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Truncate(segmentHeaderBytes + 200)
			_ = f.Close()
		}, lost: "1: 3-5"},
		"cut to nothing": {take: func(t *testing.T, disk *memfs.FS) {
			f, err := disk.OpenRW(path)
			if err != nil {
				t.Fatal(err)
			}
			_ = f.Truncate(0)
			_ = f.Close()
		}, lost: "1: 2-5"},
	}
	for name, tt := range tests {
		for _, idle := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, idle %v", name, idle), func(t *testing.T) {
				disk := memfs.New()
				stuck := 0
				fsys := errorfs.Wrap(disk, func(op errorfs.Op) error {
					if op.Kind == errorfs.Create && stuck > 0 && strings.Contains(op.Path, segmentSuffix) {
						stuck--
						return syscall.EIO
					}
					return nil
				})
				l := openLog(t, sh.options(fsys))
				g := newLedger()
				write := func(seq int) {
					r := sh.batch(seq, 1, 20)
					g.ack(mustAppend(t, l, r), r)
				}
				write(0)
				write(1)
				if err := l.Rotate(t.Context()); err != nil {
					t.Fatal(err)
				}
				for i := range 3 {
					write(2 + i)
				}
				follower, err := Stream(l).NewReader(t.Context(), 4)
				if err != nil {
					t.Fatal(err)
				}
				defer follower.Close()
				if e, ok, err := follower.TryNext(); !ok || err != nil || e.First != 4 {
					t.Fatal(e, ok, err)
				}
				tt.take(t, disk)
				if tt.stuck {
					stuck = 1
				}
				if idle {
					if err := l.control(t.Context(), func() error { l.tick(); return nil }); err != nil {
						t.Fatal(err)
					}
				}
				write(5)
				if e, ok, err := follower.TryNext(); !ok || err != nil || e.First != 5 {
					t.Errorf("who follows the tail reads %+v, %v, %v", e, ok, err)
				}
				check := func(when string, l *Log) {
					t.Helper()
					if got := describeLosses(l.Stat().Losses); got != tt.lost {
						t.Errorf("%s: lost %q, want %q", when, got, tt.lost)
					}
					got, _ := readAll(t, l, 0)
					for off := range g.acked {
						inLoss := len(uncovered(l.onRecord(), off, off+1)) == 0
						if got[off] == "" != inLoss {
							t.Errorf("%s: offset %d is read as %q, on record as lost: %v", when, off, got[off], inLoss)
						}
					}
				}
				check("at once", l)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if rep := verify(t, disk); rep.OK != (tt.lost == "") {
					t.Errorf("%+v", rep)
				}
				check("opened again", openLog(t, sh.options(disk)))
			})
		}
	}
}

// TestSealedTakenAway: while the log is in use a sealed segment is removed: it is on
// record, and readers are told.
func TestSealedTakenAway(t *testing.T) { eachShape(t, 10000, testSealedTakenAway) }

func testSealedTakenAway(t *testing.T, sh *shape) {
	disk := memfs.New()
	l := openLog(t, sh.options(disk))
	for i := range 4 {
		mustAppend(t, l, sh.batch(i, 2, 20))
		if err := l.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.Remove(dir + "/" + segmentName(2)); err != nil {
		t.Fatal(err)
	}
	if err := l.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := describeLosses(l.Stat().Losses); got != "1: 2-4" {
		t.Fatalf("lost %q", got)
	}
	if got := gaps(t, l); !slices.Equal(got, []string{"lost 2-4"}) {
		t.Fatalf("readers are told %v", got)
	}
	if rep := verify(t, disk); rep.OK || rep.FirstBadOffset != 2 {
		t.Fatalf("%+v", rep)
	}
}
