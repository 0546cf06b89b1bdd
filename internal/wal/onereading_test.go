package wal

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// TestOneReading spoils the files of a log at random: what Scan shows, Verify counts and
// readers get must be the same events, whatever was done, and each as it was written.
func TestOneReading(t *testing.T) {
	samples, closed := []*sample{}, map[*sample]bool{}
	for _, sh := range allShapes(3) {
		made := []*sample{
			newSample(t, &sh, sampleOptions{segments: 3}), newSample(t, &sh, sampleOptions{segments: 3, killed: true}),
			newSample(t, &sh, sampleOptions{segments: 4, retention: true, killed: true}),
		}
		samples, closed[made[0]] = append(samples, made...), true
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := samples[rapid.IntRange(0, len(samples)-1).Draw(rt, "sample")]
		disk := s.disk.Clone()
		done := spoil(t, rt, disk)
		scanned := shown(t, disk)
		rep, err := Verify(t.Context(), disk, dir, nil)
		if err != nil {
			rt.Fatal(err)
		}
		l, err := Open(t.Context(), sampleLog(disk))
		if err != nil {
			rt.Fatal(err)
		}
		defer l.Close()
		read, _ := readAll(t, l, 0)
		if !maps.Equal(scanned, read) || rep.Events != uint64(len(read)) {
			rt.Fatalf("%s: Scan shows %d events, Verify counts %d, readers get %d", done, len(scanned), rep.Events, len(read))
		}
		for off, ev := range read {
			if s.acked.acked[off] != ev {
				rt.Fatalf("%s: offset %d reads %q, it was %q", done, off, ev, s.acked.acked[off])
			}
		}
		// How far a killed log reached is not known in full: its end may look torn.
		if gone := len(s.acked.acked) - len(read); gone > 0 && closed[s] && (rep.OK || healthy(l.Stat())) {
			rt.Fatalf("%s: %d events are gone, verify %+v, health %+v", done, gone, rep, l.Stat())
		}
	})
}

// spoil changes the segments of a log at random, and says what it did.
func spoil(t *testing.T, rt *rapid.T, disk *memfs.FS) string {
	t.Helper()
	names := segments(t, disk)
	done := ""
	for range rapid.IntRange(1, 3).Draw(rt, "times") {
		name := rapid.SampledFrom(names).Draw(rt, "segment")
		b := content(t, disk, name)
		if len(b) == 0 {
			continue
		}
		at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
		n := rapid.SampledFrom([]int{1, 4, 8, 100, 512, 600}).Draw(rt, "bytes")
		end := min(at+n, len(b))
		how := rapid.SampledFrom([]string{"flip", "zero", "zero sectors", "cut", "take out", "overwrite", "append"}).Draw(rt, "how")
		switch how {
		case "flip":
			b[at] ^= byte(1 << (n % 8))
		case "zero":
			clear(b[at:end])
		case "zero sectors":
			at = at / sectorBytes * sectorBytes
			clear(b[at:min(at+sectorBytes, len(b))])
		case "cut":
			b = b[:at]
		case "take out":
			b = append(b[:at:at], b[end:]...)
		case "overwrite":
			copy(b[at:end], rapid.SliceOfN(rapid.Byte(), end-at, end-at).Draw(rt, "with"))
		case "append":
			b = append(b, rapid.SliceOfN(rapid.Byte(), n, n).Draw(rt, "what")...)
		}
		if err := disk.Put(dir+"/"+name, b); err != nil {
			rt.Fatal(err)
		}
		done += fmt.Sprintf(" %s %d at %d of %s;", how, n, at, name)
	}
	return done
}

// TestRewriteOfSpoiled spoils the files of a log at random and rewrites it: what could be
// read before can be read after, in either format, and what was not well is not well.
func TestRewriteOfSpoiled(t *testing.T) {
	samples, clean := []*sample{}, map[*sample]bool{}
	for _, sh := range allShapes(3) {
		closed := newSample(t, &sh, sampleOptions{segments: 4})
		samples, clean[closed] = append(samples, closed, newSample(t, &sh, sampleOptions{segments: 4, killed: true})), true
	}
	rapid.Check(t, func(rt *rapid.T) {
		s := samples[rapid.IntRange(0, len(samples)-1).Draw(rt, "sample")]
		disk := s.disk.Clone()
		done := ""
		if rapid.Bool().Draw(rt, "bytes are spoiled") {
			done = spoil(t, rt, disk)
		}
		if ways := s.ways(t); rapid.Bool().Draw(rt, "a file is spoiled") {
			w := ways[rapid.IntRange(0, len(ways)-1).Draw(rt, "way")]
			w.do(t, disk)
			done += w.name
		}
		before, _ := lines(t, disk)
		was, err := Verify(t.Context(), disk, dir, nil)
		if err != nil {
			rt.Fatal(err)
		}
		format := rapid.IntRange(1, segmentVersion).Draw(rt, "format")
		plan, err := Rewrite(t.Context(), RewriteOptions{Dir: dir, FS: disk, Format: format})
		if errors.Is(err, errNotSettled) {
			if _, closed := clean[s]; closed {
				rt.Fatalf("%s: format %d: %v", done, format, err)
			}
			return
		}
		if err != nil {
			rt.Fatalf("%s: format %d: %v", done, format, err)
		}
		if after, _ := lines(t, disk); cmp.Diff(before, after) != "" {
			rt.Fatalf("%s: format %d: %s", done, format, cmp.Diff(before, after))
		}
		is, err := Verify(t.Context(), disk, dir, nil)
		if err != nil || is.Events != was.Events || is.OK && is.Events < uint64(len(s.acked.acked)) && !was.OK {
			rt.Fatalf("%s: format %d: verify says %+v, %v; it said %+v, plan %+v", done, format, is, err, was, plan)
		}
		l, err := Open(t.Context(), sampleLog(disk))
		if err != nil {
			rt.Fatalf("%s: format %d: %v", done, format, err)
		}
		defer l.Close()
		gone := s.missing(t, l, done)
		if next := l.Stat().NextOffset; next < s.acked.next {
			rt.Fatalf("%s: format %d: the log goes on at %d, offsets up to %d were given out", done, format, next, s.acked.next)
		}
		if len(gone) > 0 && is.OK && healthy(l.Stat()) {
			rt.Fatalf("%s: format %d: offsets %v are gone and nothing says so", done, format, gone)
		}
	})
}
