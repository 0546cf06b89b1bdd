package wal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// TestLostSectorAtStart: a lost header costs no record that is whole, in whichever
// segment, and the damage is said.
func TestLostSectorAtStart(t *testing.T) { eachShape(t, 3, testLostSectorAtStart) }

func testLostSectorAtStart(t *testing.T, sh *shape) {
	for i := range 3 {
		disk := memfs.New()
		g := newLedger()
		o := sh.options(disk)
		o.Checkpoint = func() []byte { return []byte(strings.Repeat("state ", 100)) }
		l := openLog(t, o)
		evil := evilPayload(t, sh)
		for k := range 9 {
			if k == 3 || k == 6 {
				if err := l.Rotate(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			r := sh.record("agent/evil", uint64(k), evil, "event")
			g.ack(mustAppend(t, l, r), r)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		name := segments(t, disk)[i]
		b := content(t, disk, name)
		clear(b[:sectorBytes])
		if err := disk.Put(dir+"/"+name, b); err != nil {
			t.Fatal(err)
		}
		if rep := verify(t, disk); rep.OK || rep.Segment != name || rep.Events != uint64(len(g.acked)) {
			t.Fatalf("segment %d: %+v", i, rep)
		}
		if got := shown(t, disk); len(got) != len(g.acked) {
			t.Fatalf("segment %d: dump shows %d events of %d", i, len(got), len(g.acked))
		}
		l = openLog(t, o)
		got, _ := readAll(t, l, 0)
		if len(got) != len(g.acked) || len(gaps(t, l)) != 0 {
			t.Fatalf("segment %d: %d events of %d, gaps %v", i, len(got), len(g.acked), gaps(t, l))
		}
		if st := l.Stat(); len(st.Losses) != 0 || len(st.Recovery.Damage) == 0 {
			t.Fatalf("segment %d: %+v", i, st)
		}
	}
}

// evilPayload looks like records of another segment, at every alignment.
func evilPayload(t *testing.T, sh *shape) string {
	t.Helper()
	disk, _ := smallLog(t, sh, true)
	recs := places(t, disk)
	stolen := content(t, disk, recs[1].segment)[recs[1].pos:recs[2].end]
	var evil []byte
	for range 8 {
		evil = append(append(evil, stolen...), 0)
	}
	return string(evil)
}

// shown returns what Scan shows, and fails for an event shown twice.
func shown(t *testing.T, disk *memfs.FS) map[Offset]string {
	t.Helper()
	got := map[Offset]string{}
	if err := Scan(t.Context(), disk, dir, "", 0, func(f Found) bool {
		if f.Entry != nil {
			for off, ev := range f.Entry.Events() {
				if _, twice := got[off]; twice {
					t.Errorf("offset %d is shown twice", off)
				}
				got[off] = string(ev)
			}
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestVoidIsNotShown: what lies behind where the next segment begins is void, to all
// that read.
func TestVoidIsNotShown(t *testing.T) { eachShape(t, 100, testVoidIsNotShown) }

func testVoidIsNotShown(t *testing.T, sh *shape) {
	disk := memfs.New()
	l := openLog(t, sh.options(disk))
	mustAppend(t, l, sh.batch(1, 1, 20))
	before := disk.Clone()
	for i := range 5 {
		mustAppend(t, l, sh.batch(7+i, 2, 20)) // failed, as far as anybody knows
	}
	withVoid := content(t, disk, segmentName(0))
	o := sh.options(before)
	l = openLog(t, o)
	if err := l.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, sh.batch(3, 3, 20))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for cut := len(withVoid); cut > len(withVoid)-2000; cut -= 200 { // whole, and torn
		if err := before.Put(dir+"/"+segmentName(0), withVoid[:cut]); err != nil {
			t.Fatal(err)
		}
		for _, p := range places(t, before) { // fails for a bad place
			if p.first > 1 {
				t.Errorf("cut at %d: shows %+v", cut, p)
			}
		}
		if rep := verify(t, before); !rep.OK || rep.Events != 4 || len(shown(t, before)) != 4 {
			t.Fatalf("cut at %d: %+v", cut, rep)
		}
		d := before.Clone()
		if st := openLog(t, sh.options(d)).Stat(); !healthy(st) {
			t.Fatalf("cut at %d: %+v", cut, st)
		}
	}
}

// TestBytesBehindSealedEnd: whatever is put behind a segment's last record is found, and
// costs no event.
func TestBytesBehindSealedEnd(t *testing.T) { eachShape(t, 3, testBytesBehindSealedEnd) }

func testBytesBehindSealedEnd(t *testing.T, sh *shape) {
	clean, g := smallLog(t, sh, true)
	for _, n := range []int{1, 7, 8, 23, 104, 600, 5000} {
		disk := clean.Clone()
		name := segments(t, disk)[0]
		b := content(t, disk, name)
		end := int64(len(b))
		for i := range n {
			b = append(b, byte(i*131+7)|1)
		}
		if err := disk.Put(dir+"/"+name, b); err != nil {
			t.Fatal(err)
		}
		if rep := verify(t, disk); rep.OK || rep.Segment != name || rep.Position != end || rep.Events != uint64(len(g.acked)) {
			t.Errorf("%d bytes: %+v", n, rep)
		}
		l := openLog(t, sh.options(disk))
		st := l.Stat()
		if got, _ := readAll(t, l, 0); len(got) != len(g.acked) || len(st.Losses) != 0 || len(st.Recovery.Damage) != 1 || st.Recovery.Damage[0].Position != end {
			t.Errorf("%d bytes: %d events of %d, %+v", n, len(got), len(g.acked), st)
		}
	}
}

// TestGarbageBehindTheEnd: random bytes behind the last record were never acknowledged,
// and are cut off as any torn tail.
func TestGarbageBehindTheEnd(t *testing.T) { eachShape(t, 3, testGarbageBehindTheEnd) }

func testGarbageBehindTheEnd(t *testing.T, sh *shape) {
	for _, closed := range []bool{false, true} {
		clean, g := smallLog(t, sh, closed)
		segs := segments(t, clean)
		for _, n := range []int{1, 8, 100, 104, 512, 5000} {
			disk := clean.Clone()
			b := content(t, disk, segs[2])
			recs := places(t, disk)
			b = b[:recs[len(recs)-1].end]
			for i := range n {
				b = append(b, byte(i*131+7)|1)
			}
			if err := disk.Put(dir+"/"+segs[2], b); err != nil {
				t.Fatal(err)
			}
			where := fmt.Sprintf("%d bytes, closed %v", n, closed)
			if rep := verify(t, disk); !rep.OK || rep.TornBytes != int64(n) {
				t.Fatalf("%s: %+v", where, rep)
			}
			l := openLog(t, sh.options(disk))
			if st := l.Stat(); !healthy(st) || st.Recovery.TornBytes != int64(n) || st.NextOffset != g.next {
				t.Fatalf("%s: %+v", where, st)
			}
			mustAppend(t, l, sh.batch(70, 1, 20))
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if rep := verify(t, disk); !rep.OK || len(rep.Notes) != 0 {
				t.Fatalf("%s: %+v", where, rep)
			}
		}
	}
}

// TestNewerSegment: a log that a newer build wrote is left as it is.
func TestNewerSegment(t *testing.T) { eachShape(t, 3, testNewerSegment) }

func testNewerSegment(t *testing.T, sh *shape) {
	disk, _ := smallLog(t, sh, true)
	name := segments(t, disk)[1]
	b := content(t, disk, name)
	b[8] = segmentVersion + 1
	b = append(repair(b[:segmentHeaderBytes], segmentCRCAt), b[segmentHeaderBytes:]...)
	if err := disk.Put(dir+"/"+name, b); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), sh.options(disk)); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), name) {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), disk, dir, nil); !errors.Is(err, ErrNewer) {
		t.Fatal(err)
	}
	if n := len(walFiles(disk)); n != 3 {
		t.Errorf("%d segments are left", n)
	}
}

func walFiles(disk *memfs.FS) []string {
	entries, _ := disk.ReadDir(dir)
	var out []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segmentSuffix) {
			out = append(out, e.Name())
		}
	}
	return out
}

// TestRestOfFailedWrite: a write that failed was taken back, and a crash brings some bytes
// of it back: the next segment says that they are void, however few they are.
func TestRestOfFailedWrite(t *testing.T) { eachShape(t, 100, testRestOfFailedWrite) }

func testRestOfFailedWrite(t *testing.T, sh *shape) {
	disk := memfs.New()
	failing := false
	fsys := errorfs.Wrap(disk, func(op errorfs.Op) error {
		if failing && op.Kind == errorfs.Datasync && strings.HasSuffix(op.Path, segmentName(0)) {
			return syscall.EIO
		}
		return nil
	})
	l := openLog(t, sh.options(fsys))
	mustAppend(t, l, sh.batch(1, 2, 20))
	failing = true
	mustAppend(t, l, sh.batch(2, 2, 20)) // in a new segment
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := segmentName(0)
	clean := content(t, disk, name)
	for n := range 20 {
		if err := disk.Put(dir+"/"+name, append(slices.Clip(clean), strings.Repeat("x", n)...)); err != nil {
			t.Fatal(err)
		}
		if rep := verify(t, disk); !rep.OK || rep.Events != 4 {
			t.Fatalf("%d bytes: %+v", n, rep)
		}
		d := disk.Clone()
		if st := openLog(t, sh.options(d)).Stat(); !healthy(st) {
			t.Fatalf("%d bytes: %+v", n, st)
		}
	}
}
