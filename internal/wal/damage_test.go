package wal

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// smallLog makes a log of three segments with a few small records each, and
// returns its disk and what it holds. Closed says whether it was closed or its
// program killed.
func smallLog(t *testing.T, sh *shape, closed bool) (*memfs.FS, *ledger) {
	t.Helper()
	disk := memfs.New()
	g := newLedger()
	o := sh.options(disk)
	o.SegmentBytes = 2 << 10
	o.Checkpoint = func() []byte { return []byte("state") }
	l := openLog(t, o)
	for i := range 9 {
		if i == 3 || i == 6 {
			if err := l.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r := sh.batch(i, 1+i%2, 20)
		g.ack(mustAppend(t, l, r), r)
	}
	if closed {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return disk.Clone(), g
}

// place is where a record lies.
type place struct {
	segment string
	pos     int64
	end     int64
	first   Offset
	count   int
}

func places(t *testing.T, disk vfs.FS) []place {
	t.Helper()
	var out []place
	err := Scan(t.Context(), disk, dir, "", 0, func(f Found) bool {
		if f.Bad != nil {
			t.Fatal(f.Bad)
		}
		out = append(out, place{f.Segment, f.Position, f.Position + f.Bytes, f.Entry.First, f.Entry.Count})
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func segments(t *testing.T, disk *memfs.FS) []string {
	t.Helper()
	found, err := look(t.Context(), disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range found.segs {
		out = append(out, s.name)
	}
	return out
}

func content(t *testing.T, disk *memfs.FS, name string) []byte {
	t.Helper()
	b, err := disk.Bytes(dir + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// reopenDamaged opens a damaged log and checks what must hold whatever was
// damaged: it takes records, at offsets never given out, and everything before
// and behind the damage can be read. Without lost, nothing is said about the
// old events.
func reopenDamaged(t *testing.T, disk *memfs.FS, g *ledger, lost func(Offset) bool, where string) *Log {
	t.Helper()
	l, err := Open(t.Context(), options(disk))
	if err != nil {
		t.Fatalf("%s: open: %v", where, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r := batch(777, 2, 33)
	first := mustAppend(t, l, r)
	if first < g.next {
		t.Fatalf("%s: offset %d was given out again", where, first)
	}
	got, _ := readAll(t, l, 0)
	for off, ev := range g.acked {
		if lost == nil {
			continue
		}
		if lost(off) {
			if e, ok := got[off]; ok && e != ev {
				t.Fatalf("%s: offset %d reads %q, it was %q", where, off, e, ev)
			}
			continue
		}
		if got[off] != ev {
			t.Fatalf("%s: offset %d reads %q, want %q", where, off, got[off], ev)
		}
	}
	if got[first] == "" {
		t.Fatalf("%s: the new record cannot be read", where)
	}
	return l
}

// TestBitFlips flips one bit of each byte of a small log.
func TestBitFlips(t *testing.T) { eachShape(t, 3, testBitFlips) }

func testBitFlips(t *testing.T, sh *shape) {
	disk, g := smallLog(t, sh, true)
	recs := places(t, disk)
	flips := 0
	for _, name := range segments(t, disk) {
		clean := content(t, disk, name)
		first, _ := parseSegmentName(name)
		for at := range clean {
			d := disk.Clone()
			b := slices.Clone(clean)
			b[at] ^= 1 << (at % 8)
			if err := d.Put(dir+"/"+name, b); err != nil {
				t.Fatal(err)
			}
			flips++
			where := fmt.Sprintf("bit %d of byte %d of %s", at%8, at, name)
			// The record hit, and the offset that verify may name at most.
			limit, hit := first, place{first: first}
			for _, p := range recs {
				if p.segment == name && int64(at) >= p.pos && int64(at) < p.end {
					limit, hit = p.first, p
				}
			}
			rep := verify(t, d)
			if rep.OK || rep.FirstBadOffset > limit || rep.Err == nil {
				t.Fatalf("%s: verify says %+v, the record at %d was hit", where, rep, limit)
			}
			lost := func(off Offset) bool { return off >= hit.first && off < hit.first+Offset(hit.count) }
			l := reopenDamaged(t, d, g, lost, where)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if name == segments(t, disk)[2] && len(l.Stat().Recovery.Damage) == 0 {
				t.Fatalf("%s: recovery did not report the damage", where)
			}
		}
	}
	t.Logf("%d flips", flips)
}

// TestFlipInLastRecordOfKilledLog damages the newest record of a log that was
// not closed: it must not pass for a torn tail.
func TestFlipInLastRecordOfKilledLog(t *testing.T) { eachShape(t, 3, testFlipInLastRecordOfKilledLog) }

func testFlipInLastRecordOfKilledLog(t *testing.T, sh *shape) {
	disk, g := smallLog(t, sh, false)
	recs := places(t, disk)
	last := recs[len(recs)-1]
	clean := content(t, disk, last.segment)
	for at := last.pos; at < last.end; at++ {
		if at >= last.pos && at < last.pos+4 {
			continue // a length of zero is the end; other lengths are tested below
		}
		d := disk.Clone()
		b := slices.Clone(clean)
		b[at] ^= 0x10
		if err := d.Put(dir+"/"+last.segment, b); err != nil {
			t.Fatal(err)
		}
		where := fmt.Sprintf("byte %d", at)
		if rep := verify(t, d); rep.OK || rep.FirstBadOffset != last.first {
			t.Fatalf("%s: verify says %+v", where, rep)
		}
		l := reopenDamaged(t, d, g, func(off Offset) bool { return off >= last.first }, where)
		st := l.Stat()
		if len(st.Recovery.Damage) != 1 || len(st.Quarantined) != 1 || !strings.Contains(st.Quarantined[0], "/quarantine/") {
			t.Fatalf("%s: %+v", where, st)
		}
		d0 := st.Recovery.Damage[0]
		if d0.Segment != last.segment || d0.Position != last.pos || d0.FirstBad != last.first {
			t.Fatalf("%s: %+v, want the record at %d in %s", where, d0, last.pos, last.segment)
		}
		copied, err := d.Bytes(d0.Copy)
		if err != nil || !slices.Equal(copied, b) {
			t.Fatalf("%s: the quarantined copy differs: %v", where, err)
		}
	}
}

// TestDamageInTheMiddle checks what readers see of a hole, and that what lies
// behind it is not lost.
func TestDamageInTheMiddle(t *testing.T) { eachShape(t, 3, testDamageInTheMiddle) }

func testDamageInTheMiddle(t *testing.T, sh *shape) {
	disk, g := smallLog(t, sh, false)
	recs := places(t, disk)
	for _, i := range []int{1, 2, 5, len(recs) - 2} {
		p := recs[i]
		if p.count == 0 {
			continue
		}
		d := disk.Clone()
		b := content(t, d, p.segment)
		for at := p.pos; at < p.end; at++ {
			b[at] ^= 0xa5
		}
		if err := d.Put(dir+"/"+p.segment, b); err != nil {
			t.Fatal(err)
		}
		where := fmt.Sprintf("record %d", i)
		l := reopenDamaged(t, d, g, func(off Offset) bool { return off >= p.first && off < p.first+Offset(p.count) }, where)
		_, bad := readAll(t, l, 0)
		if len(bad) != 1 || bad[0].First != p.first || bad[0].Segment != p.segment || bad[0].Position != p.pos {
			t.Fatalf("%s: readers saw %v", where, bad)
		}
		if bad[0].Next != p.first+Offset(p.count) {
			t.Fatalf("%s: the hole ends at %d", where, bad[0].Next)
		}
		// A reader that starts behind it does not hear of it.
		if _, bad := readAll(t, l, p.first+Offset(p.count)); len(bad) != 0 {
			t.Fatalf("%s: a reader behind the hole saw %v", where, bad)
		}
		rep := verify(t, d)
		if rep.OK || rep.FirstBadOffset != p.first {
			t.Fatalf("%s: %+v", where, rep)
		}
	}
}

// victim is a small log for a test to damage.
type victim struct {
	t    *testing.T
	disk *memfs.FS
	segs []string
	recs []place
}

func (v *victim) content(name string) []byte { return content(v.t, v.disk, name) }

func (v *victim) put(name string, b []byte) {
	if err := v.disk.Put(dir+"/"+name, b); err != nil {
		v.t.Fatal(err)
	}
}

func (v *victim) remove(i int) {
	if err := v.disk.Remove(dir + "/" + v.segs[i]); err != nil {
		v.t.Fatal(err)
	}
}

// TestManipulation cuts, drops, reorders and forges.
func TestManipulation(t *testing.T) { eachShape(t, 3, testManipulation) }

func testManipulation(t *testing.T, sh *shape) {
	tests := map[string]struct {
		change   func(v *victim)
		firstBad func(segs []string, recs []place) Offset
	}{
		"oldest segment dropped": {
			func(v *victim) { v.remove(0) },
			func([]string, []place) Offset { return 0 },
		},
		"middle segment dropped": {
			func(v *victim) { v.remove(1) },
			func(segs []string, _ []place) Offset { f, _ := parseSegmentName(segs[1]); return f },
		},
		"newest segment dropped": {
			func(v *victim) { v.remove(2) },
			func(segs []string, _ []place) Offset { f, _ := parseSegmentName(segs[2]); return f },
		},
		"all segments dropped": {
			func(v *victim) {
				for i := range v.segs {
					v.remove(i)
				}
			},
			func([]string, []place) Offset { return 0 },
		},
		"newest record cut off": {
			func(v *victim) {
				v.put(v.segs[2], v.content(v.segs[2])[:v.recs[len(v.recs)-1].pos])
			},
			func(_ []string, recs []place) Offset { return recs[len(recs)-1].first },
		},
		"record cut out of the middle": {
			func(v *victim) {
				b := v.content(v.segs[0])
				v.put(v.segs[0], slices.Concat(b[:v.recs[2].pos], b[v.recs[2].end:]))
			},
			func(_ []string, recs []place) Offset { return recs[2].first },
		},
		"end of an old segment cut off": {
			func(v *victim) {
				v.put(v.segs[0], v.content(v.segs[0])[:v.recs[3].pos])
			},
			func(_ []string, recs []place) Offset { return recs[3].first },
		},
		"two records exchanged": {
			func(v *victim) {
				b := v.content(v.segs[0])
				one, two := b[v.recs[1].pos:v.recs[1].end], b[v.recs[2].pos:v.recs[2].end]
				v.put(v.segs[0], slices.Concat(b[:v.recs[1].pos], two, one, b[v.recs[2].end:]))
			},
			func(_ []string, recs []place) Offset { return recs[1].first },
		},
		"two segments exchanged": {
			func(v *victim) {
				a, b := v.content(v.segs[0]), v.content(v.segs[1])
				v.put(v.segs[0], b)
				v.put(v.segs[1], a)
			},
			func([]string, []place) Offset { return 0 },
		},
		"segment replaced by another log's": {
			func(v *victim) {
				other, _ := smallLog(v.t, sh, true)
				v.put(v.segs[1], content(v.t, other, v.segs[1]))
			},
			func(segs []string, _ []place) Offset { f, _ := parseSegmentName(segs[1]); return f },
		},
		"payload altered with its checksums made right": {
			func(v *victim) {
				v.put(v.segs[0], forge(v.t, v.content(v.segs[0]), v.recs[2]))
			},
			func(_ []string, recs []place) Offset { return recs[2].first },
		},
		"segment of garbage": {
			func(v *victim) {
				v.put(v.segs[1], []byte(strings.Repeat("garbage ", 100)))
			},
			func(segs []string, _ []place) Offset { f, _ := parseSegmentName(segs[1]); return f },
		},
		"empty segment": {
			func(v *victim) { v.put(v.segs[2], nil) },
			func(segs []string, _ []place) Offset { f, _ := parseSegmentName(segs[2]); return f },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, g := smallLog(t, sh, true)
			segs, recs := segments(t, d), places(t, d)
			want := tt.firstBad(segs, recs)
			tt.change(&victim{t, d, segs, recs})
			rep := verify(t, d)
			if rep.OK || rep.FirstBadOffset != want {
				t.Fatalf("verify says %+v, want the first bad offset %d", rep, want)
			}
			// What was lost differs; what is read must be what was written,
			// but for what was forged: readers check sums, not the chain.
			lost := func(Offset) bool { return true }
			if strings.HasPrefix(name, "payload altered") {
				lost = nil
			}
			l := reopenDamaged(t, d, g, lost, name)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// forge alters a record's last payload byte and repairs both checksums, as
// somebody would who knows the format but cannot redo the chain behind it.
func forge(t *testing.T, b []byte, p place) []byte {
	t.Helper()
	b = slices.Clone(b)
	var h header
	rec := b[p.pos:p.end]
	var seg segmentHeader
	if reason, _ := seg.parse(b); reason != "" {
		t.Fatal(reason)
	}
	if reason := h.parse(rec, seg.salt); reason != "" {
		t.Fatal(reason)
	}
	rec[h.length-1] ^= 1
	h.bodyCRC = crcOf(rec[recordHeaderBytes:h.length])
	h.put(rec)
	return b
}

// TestReplayKnowsWhatIsVoid: a record that failed and could not be taken back, so
// that the next segment begins at its offset, is not replayed where an unreadable
// checkpoint sends recovery back to its segment.
func TestReplayKnowsWhatIsVoid(t *testing.T) { eachShape(t, 100, testReplayKnowsWhatIsVoid) }

func testReplayKnowsWhatIsVoid(t *testing.T, sh *shape) {
	disk := memfs.New()
	o := sh.options(disk)
	o.Checkpoint = func() []byte { return []byte("state") }
	l := openLog(t, o)
	mustAppend(t, l, sh.batch(1, 1, 20))
	before := disk.Clone()
	mustAppend(t, l, sh.batch(7, 1, 20)) // failed, as far as anybody knows
	old := segmentName(0)
	withVoid := content(t, disk, old)

	o.FS = before
	l = openLog(t, o)
	if err := l.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, sh.batch(3, 1, 20))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	v := &victim{t: t, disk: before}
	v.put(old, withVoid)
	newest := v.content(segmentName(1))
	newest[segmentHeaderBytes+recordHeaderBytes] ^= 1 // in the checkpoint
	v.put(segmentName(1), newest)

	var replayed []uint64
	o.Replay = func(e *Entry) error {
		if e.Kind == KindEvents {
			replayed = append(replayed, e.Sequence)
		}
		return nil
	}
	openLog(t, o)
	if !slices.Equal(replayed, []uint64{1, 3}) {
		t.Fatalf("replayed %v", replayed)
	}
}

// TestEmbeddedRecord checks that a publisher cannot smuggle a record in by
// sending bytes that look like one.
func TestEmbeddedRecord(t *testing.T) { eachShape(t, 100, testEmbeddedRecord) }

func testEmbeddedRecord(t *testing.T, sh *shape) {
	disk, _ := smallLog(t, sh, true)
	recs := places(t, disk)
	stolen := content(t, disk, recs[1].segment)[recs[1].pos:recs[1].end]

	d := memfs.New()
	l := openLog(t, sh.options(d))
	mustAppend(t, l, sh.record("agent/a", 1, "before"))
	var evil []byte
	for range 8 { // at every alignment
		evil = append(append(evil, stolen...), 0)
	}
	mustAppend(t, l, sh.record("agent/evil", 2, string(evil)))
	mustAppend(t, l, sh.record("agent/a", 3, "behind"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ps := places(t, d)
	b := content(t, d, ps[1].segment)
	b[ps[1].pos+atLength] ^= 0xff // the header cannot be believed any more
	if err := d.Put(dir+"/"+ps[1].segment, b); err != nil {
		t.Fatal(err)
	}
	l2 := openLog(t, sh.options(d))
	got, bad := readAll(t, l2, 0)
	if len(got) != 2 || got[0] != "before" || got[2] != "behind" || len(bad) != 1 {
		t.Fatalf("got %v, bad places %v", got, bad)
	}
}
