package wal

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// plainVerifier checks a log the plain way, one record after the other to the end. It is
// what Verify is compared with.
type plainVerifier struct {
	verifier

	sum      *hasher
	entry    stream.Entry
	progress func(done, total int64)
	done     int64
	all      []*CorruptionError // every bad place, in the order met
}

func plainVerify(ctx context.Context, fsys vfs.FS, dir string, o VerifyOptions) (Report, error) {
	v := &plainVerifier{verifier: verifier{fs: fsys, dir: dir, unpack: o.Unpack}, sum: newHasher(), progress: o.Progress}
	err := v.run(ctx)
	v.report.BadPlaces = len(v.all)
	for _, e := range v.all {
		if v.report.Err == nil || e.First < v.report.FirstBadOffset {
			v.report.FirstBadOffset, v.report.Segment, v.report.Position, v.report.Err = e.First, e.Segment, e.Position, e
		}
	}
	if err != nil {
		return v.report, fmt.Errorf("verify log %s: %w", dir, err)
	}
	v.judgeLosses()
	v.report.OK = v.report.BadPlaces == 0 && v.report.Err == nil
	return v.report, nil
}

func (v *plainVerifier) run(ctx context.Context) error {
	cursorEnd, who, err := v.readKnown()
	if err != nil {
		return err
	}
	found, err := look(ctx, v.fs, v.dir)
	if err != nil {
		return err
	}
	for _, odd := range found.strangers {
		v.bad(odd.name, 0, odd.first, odd.first, odd.reason)
		v.done += odd.size
	}
	if err := v.begins(&found); err != nil {
		return err
	}
	v.takeTally()
	for i := range found.segs {
		if err := v.segment(ctx, &found, i); err != nil {
			return err
		}
	}
	v.report.Next = v.next
	v.tally.places = len(v.all)
	v.ends(&found, cursorEnd, who)
	v.takeTally()
	return nil
}

// takeTally adds what the shared parts have found, one place at most.
func (v *plainVerifier) takeTally() {
	if v.tally.lowest != nil {
		v.all = append(v.all, v.tally.lowest)
	}
	v.tally = tally{}
}

func (v *plainVerifier) bad(segment string, pos int64, from, to Offset, reason string) {
	if !isAccepted(v.head.note.losses, from, to) {
		v.all = append(v.all, &CorruptionError{Segment: segment, Position: pos, First: from, Next: to, Reason: reason})
	}
}

// segment checks one file.
func (v *plainVerifier) segment(ctx context.Context, found *survey, i int) error {
	s := &found.segs[i]
	switch {
	case s.reason != "":
		v.bad(s.name, 0, s.first, s.first, s.reason)
	case v.linked && s.header.prev != v.chain:
		v.bad(s.name, 0, s.first, s.first, "segment does not carry on the hash chain of the one before")
	}
	if v.report.Segments == 0 {
		v.report.First = s.first
	}
	v.report.Segments++
	v.next, v.chain = s.first, s.header.chain()
	v.linked = s.reason == "" // the header could be read, so the chain is known
	v.passHead()
	v.report.Bytes += segmentHeaderBytes
	met := false
	err := openWalk(v.fs, v.dir, found, i, func(w *walk) error {
		met = true
		w.live, w.known = true, v.head.next
		return v.records(ctx, s, w, found.bytes)
	})
	if err != nil {
		return fmt.Errorf("read segment %s: %w", s.name, err)
	}
	if !met {
		v.report.Notes = append(v.report.Notes, "segment "+s.name+" was removed meanwhile")
		v.linked, v.next = false, found.until(i)
	}
	v.done += s.size
	v.progress(v.done, max(found.bytes, v.done))
	return nil
}

// passHead notes when the walk is where the head file says the log once was.
func (v *plainVerifier) passHead() {
	if v.next == v.head.next && v.chain == v.head.chain {
		v.headSeen = true
	}
}

// records checks a segment's records.
func (v *plainVerifier) records(ctx context.Context, s *laid, w *walk, total int64) error {
	told := int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var st step
		if err := w.step(&st); err != nil {
			return err
		}
		switch st.kind {
		case stepRecord:
			v.record(s, &st.rec)
			if w.scan.pos-told >= 1<<20 {
				told = w.scan.pos
				v.progress(v.done+told, max(total, v.done+told))
			}
		case stepHole:
			v.bad(s.name, st.hole.pos, st.hole.from, st.hole.to, st.hole.reason)
			v.next, v.linked, v.openEnd = w.next, false, st.hole.open
			if st.hole.absent && len(uncovered(v.head.note.losses, st.hole.from, st.hole.to)) > 0 {
				v.report.Gaps++
			}
		case stepTorn:
			v.report.TornBytes = st.used - st.rec.pos
			v.report.Notes = append(v.report.Notes,
				obs.Counted(v.report.TornBytes, "byte at the end is", "bytes at the end are")+" of a record that was never finished")
			return nil
		case stepEnd:
			return nil
		}
	}
}

// record checks that a record carries on the chain of the one before.
func (v *plainVerifier) record(s *laid, rec *scanned) {
	h := &rec.header
	if v.linked && !h.follows(&v.chain, v.sum, rec.bytes) {
		v.bad(s.name, rec.pos, h.first, h.first, "record breaks the hash chain")
	}
	if reason := rec.eventsWrong(&v.entry, v.unpack); reason != "" {
		v.bad(s.name, rec.pos, h.first, h.behind(), reason)
	}
	v.next, v.chain, v.linked = h.behind(), h.chain, true
	v.passHead()
	v.report.Records++
	v.report.Events += uint64(h.count)
	v.report.Bytes += h.size()
}

// sameReport verifies a disk the plain way and side by side, and complains about any
// difference: in the report, in the error, in what progress is told.
func sameReport(t *testing.T, where string, fsys vfs.FS, unpack bool) Report {
	t.Helper()
	type told struct{ done, total int64 }
	var plain []told
	want, wantErr := plainVerify(t.Context(), fsys, dir, VerifyOptions{
		Unpack: unpack, Progress: func(done, total int64) { plain = append(plain, told{done, total}) },
	})
	for _, atOnce := range []int{1, 2, 5} {
		var steps []told
		got, err := VerifyWith(t.Context(), fsys, dir, VerifyOptions{
			Unpack: unpack, Progress: func(done, total int64) { steps = append(steps, told{done, total}) }, atOnce: atOnce,
		})
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%s: %d at once: the error is %v, not %v", where, atOnce, err, wantErr)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(CorruptionError{})); diff != "" {
			t.Fatalf("%s: %d at once (-plain +side by side):\n%s", where, atOnce, diff)
		}
		if err != nil {
			continue
		}
		if len(steps) != len(plain) {
			t.Fatalf("%s: %d at once: progress was told %d times, not %d", where, atOnce, len(steps), len(plain))
		}
		if len(steps) > 0 && steps[len(steps)-1] != plain[len(plain)-1] {
			t.Fatalf("%s: %d at once: progress ends with %v, not %v", where, atOnce, steps[len(steps)-1], plain[len(plain)-1])
		}
		if atOnce == 1 && !slices.Equal(steps, plain) {
			t.Fatalf("%s: progress was told %v, not %v", where, steps, plain)
		}
		if !slices.IsSortedFunc(steps, func(a, b told) int { return int(a.done - b.done) }) {
			t.Fatalf("%s: progress goes back: %v", where, steps)
		}
	}
	return want
}

// TestVerifySideBySideMatrix: over the whole damage matrix, the report does not depend on
// how many segments are checked at once.
func TestVerifySideBySideMatrix(t *testing.T) { eachShape(t, 3, testVerifySideBySideMatrix) }

func testVerifySideBySideMatrix(t *testing.T, sh *shape) {
	n := 0
	for _, so := range []sampleOptions{
		{segments: 4},
		{segments: 4, killed: true},
		{segments: 4, retention: true},
		{segments: 1, killed: true},
		{segments: 3, emptyLast: true, killed: true},
	} {
		s := newSample(t, sh, so)
		ways := s.ways(t)
		for i, a := range ways {
			disk := s.disk.Clone()
			a.do(t, disk)
			sameReport(t, a.name, disk, false)
			n++
			for _, b := range ways[i+1:] {
				if a.file == b.file || !a.pairs() || !b.pairs() {
					continue
				}
				both := disk.Clone()
				b.do(t, both)
				sameReport(t, a.name+" and "+b.name, both, true)
				n++
			}
		}
	}
	t.Logf("%d damages", n)
}

// TestVerifySideBySideRandom is the same over random damages: bytes changed, cut out,
// put in and copied from elsewhere, in up to four files, of logs with torn tails, failed
// writes and losses on record.
func TestVerifySideBySideRandom(t *testing.T) { eachShape(t, 20, testVerifySideBySideRandom) }

func testVerifySideBySideRandom(t *testing.T, sh *shape) {
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	bad, places := 0, 0
	base, twin := manySegments(t, sh), manySegments(t, sh)
	for round := range rounds {
		rng := rand.New(rand.NewPCG(uint64(round), 7))
		disk := base.Clone()
		names := segments(t, disk)
		var did []string
		for range 1 + rng.IntN(4) {
			name := dir + "/" + names[rng.IntN(len(names))]
			if rng.IntN(12) == 0 {
				name = headPaths(dir)[rng.IntN(2)]
			}
			b, err := disk.Bytes(name)
			if err != nil || len(b) == 0 {
				continue
			}
			what, changed := mangle(rng, b)
			if other, err := twin.Bytes(name); err == nil && rng.IntN(6) == 0 {
				what, changed = "put another log's in place of", other // sound, but for the chain
			}
			did = append(did, what+" "+name)
			if err := disk.Put(name, changed); err != nil {
				t.Fatal(err)
			}
		}
		rep := sameReport(t, fmt.Sprintf("round %d, %s", round, strings.Join(did, ", ")), disk, round%2 == 0)
		if !rep.OK {
			bad++
		}
		places += rep.BadPlaces
	}
	if bad < rounds/2 {
		t.Errorf("only %d of %d damages were noticed", bad, rounds)
	}
	t.Logf("%d damages, %d noticed, %d bad places", rounds, bad, places)
}

// manySegments is a log of a dozen segments, with a loss on record and a torn tail.
func manySegments(t *testing.T, sh *shape) *memfs.FS {
	t.Helper()
	disk := memfs.New()
	o := sampleLog(disk)
	o.format = sh.format
	l := openLog(t, o)
	seq := 0
	for range 12 {
		for range 2 + seq%5 {
			mustAppend(t, l, sh.batch(seq, 1+seq%3, 20+37*(seq%20)))
			seq++
		}
		if err := l.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := disk.Remove(dir + "/" + segments(t, disk)[3]); err != nil {
		t.Fatal(err)
	}
	if err := l.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AcceptLosses(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		mustAppend(t, l, sh.batch(seq, 2, 300))
		seq++
	}
	disk = disk.Clone()
	last := dir + "/" + segments(t, disk)[len(segments(t, disk))-1]
	b, err := disk.Bytes(last)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.TrimRight(b, "\x00")
	if err := disk.Put(last, append(b[:len(b)-100], make([]byte, 8<<10)...)); err != nil {
		t.Fatal(err)
	}
	if rep := sameReport(t, "undamaged", disk, true); !rep.OK || rep.TornBytes == 0 || len(rep.Losses) != 1 {
		t.Fatalf("%+v", rep)
	}
	return disk
}

// mangle damages a file's content at random.
func mangle(rng *rand.Rand, b []byte) (what string, out []byte) {
	at := rng.IntN(len(b))
	n := min(len(b)-at, 1+rng.IntN(200))
	switch rng.IntN(7) {
	case 0:
		b[at] ^= 1 << rng.IntN(8)
		return fmt.Sprintf("change byte %d of", at), b
	case 1:
		clear(b[at : at+n])
		return fmt.Sprintf("clear %d bytes at %d of", n, at), b
	case 2:
		return fmt.Sprintf("cut %d bytes at %d out of", n, at), slices.Delete(b, at, at+n)
	case 3:
		return fmt.Sprintf("cut at %d", at), b[:at]
	case 4:
		from := rng.IntN(len(b) - n + 1)
		return fmt.Sprintf("copy %d bytes from %d to %d of", n, from, at), append(b[:at:at], append(slices.Clone(b[from:from+n]), b[at+n:]...)...)
	case 5:
		// A whole record is taken out, or comes twice, and all checksums are right.
		from := segmentHeaderBytes + (at &^ 7)
		return fmt.Sprintf("take 360 bytes at %d out of", from), slices.Delete(b, min(from, len(b)), min(from+360, len(b)))
	default:
		return fmt.Sprintf("put %d bytes at %d into", n, at), slices.Insert(b, at, slices.Clone(b[:n])...)
	}
}

// TestVerifySideBySideUnreadable: what the disk cannot read ends Verify with the same
// error and the same report of what comes before, whichever segment it is in.
func TestVerifySideBySideUnreadable(t *testing.T) {
	disk := manySegments(t, newest())
	for _, name := range segments(t, disk) {
		var reads atomic.Int64
		fsys := errorfs.Wrap(disk, func(op errorfs.Op) error {
			if op.Kind == errorfs.Read && filepath.Base(op.Path) == name && op.Hits(200, 300) {
				reads.Add(1)
				return syscall.EIO
			}
			return nil
		})
		sameReport(t, "unreadable "+name, fsys, true)
		if reads.Load() == 0 {
			t.Errorf("%s was never read", name)
		}
	}
}
