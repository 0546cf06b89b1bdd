package wal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// badSectors makes ranges of files unreadable.
type badSectors struct{ list atomic.Pointer[[]sector] }

// sector is a range of a file whose name ends in file; "" is every file.
type sector struct {
	file     string
	from, to int64
}

func (b *badSectors) set(list ...sector) { b.list.Store(&list) }

func (b *badSectors) inject(op errorfs.Op) error {
	list := b.list.Load()
	if list == nil {
		return nil
	}
	for _, s := range *list {
		if strings.HasSuffix(op.Path, s.file) && op.Hits(s.from, s.to) {
			return syscall.EIO
		}
	}
	return nil
}

// pageEnd rounds a position up to whole pages, which is how systems read disks.
func pageEnd(pos int64) int64 { return (pos + pageBytes - 1) &^ (pageBytes - 1) }

const wholeFile = int64(1) << 40

// readOn reads to the end as a follower does: what cannot be read is skipped.
func readOn(t *testing.T, r stream.Reader) (events []Offset, gaps []stream.Gap, stuck error) {
	t.Helper()
	for range 10_000 {
		e, ok, err := r.TryNext()
		gap, isGap := errors.AsType[*stream.Gap](err)
		switch {
		case isGap:
			gaps = append(gaps, *gap)
		case errors.Is(err, syscall.EIO):
			if err := r.Skip(t.Context()); err != nil {
				return events, gaps, err
			}
		case err != nil:
			t.Fatal(err)
		case !ok:
			return events, gaps, nil
		default:
			for off := range e.Events() {
				events = append(events, off)
			}
		}
	}
	t.Fatal("the reader does not get to the end")
	return nil, nil, nil
}

// TestSkipLosesNoMoreThanWhatIsBad: of a log with bad sectors a reader gets each
// record that lies outside of them, and is told which offsets it did not get.
func TestSkipLosesNoMoreThanWhatIsBad(t *testing.T) {
	eachShape(t, 10000, testSkipLosesNoMoreThanWhatIsBad)
}

func testSkipLosesNoMoreThanWhatIsBad(t *testing.T, sh *shape) {
	var bad badSectors
	disk := memfs.New()
	o := sh.options(errorfs.Wrap(disk, bad.inject))
	o.SegmentBytes = 1 << 20
	log := openLog(t, o)
	for seq := range 60 {
		if seq == 20 || seq == 40 {
			if err := log.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		mustAppend(t, log, sh.batch(seq, 3, 100+1500*(seq%7)))
	}
	records, names := places(t, disk), segments(t, disk)
	tests := map[string][]sector{"none": nil, "two": {{names[0], 4096, 8192}, {names[1], 40960, 45056}}}
	for i, p := range records {
		page := p.pos &^ (pageBytes - 1)
		tests[fmt.Sprintf("header of record %d", i)] = []sector{{p.segment, page, page + pageBytes}}
		tests[fmt.Sprintf("end of record %d", i)] = []sector{{p.segment, (p.end - 1) &^ (pageBytes - 1), pageEnd(p.end)}}
		tests[fmt.Sprintf("from record %d on", i)] = []sector{{p.segment, page, page + 12*pageBytes}}
	}
	tests["first segment"] = []sector{{names[0], 0, wholeFile}}
	tests["first two segments"] = []sector{{names[0], 0, wholeFile}, {names[1], 0, wholeFile}}
	for name, list := range tests {
		t.Run(name, func(t *testing.T) {
			bad.set()
			r, err := Stream(log).NewReader(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			bad.set(list...)
			got, gaps, stuck := readOn(t, r)
			var want []Offset
			behind, whole := Offset(0), Offset(0)
			for _, p := range records {
				lost := slices.ContainsFunc(list, func(s sector) bool { return s.file == p.segment && p.pos < s.to && p.end > s.from })
				for off := p.first; off < p.first+Offset(p.count); off++ {
					if !lost {
						want = append(want, off)
						whole = off + 1
					}
					behind = off + 1
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("got %v\nwant %v", got, want)
			}
			end := behind
			if stuck != nil {
				end = whole // the tail is bad: the reader waits there for what comes behind
			}
			if told := gapsFit(got, gaps, end); told != "" {
				t.Errorf("%s: %+v", told, gaps)
			}
		})
	}
}

// gapsFit holds gaps against the offsets read below end.
func gapsFit(got []Offset, gaps []stream.Gap, end Offset) string {
	seen := map[Offset]bool{}
	for _, off := range got {
		seen[off] = true
	}
	for _, g := range gaps {
		if g.Cause != stream.CauseUnreadable {
			return "gap of cause " + string(g.Cause)
		}
		for off := g.From; off < g.To; off++ {
			if seen[off] {
				return fmt.Sprintf("offset %d is read, or in two gaps", off)
			}
			seen[off] = true
		}
	}
	for off := range end {
		if !seen[off] {
			return fmt.Sprintf("offset %d is neither read nor in a gap", off)
		}
	}
	return ""
}

// TestSkipStaysWhenNothingCanBeRead: a disk that is away is not a bad sector. The
// reader goes on where it was when the disk is back, and passes a bad place at the
// tail once something follows.
func TestSkipStaysWhenNothingCanBeRead(t *testing.T) {
	eachShape(t, 10000, testSkipStaysWhenNothingCanBeRead)
}

func testSkipStaysWhenNothingCanBeRead(t *testing.T, sh *shape) {
	var bad badSectors
	disk := memfs.New()
	log := openLog(t, sh.options(errorfs.Wrap(disk, bad.inject)))
	for seq := range 6 {
		if seq == 3 {
			if err := log.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		mustAppend(t, log, sh.batch(seq, 1, 5000))
	}
	r, err := Stream(log).NewReader(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	bad.set(sector{segmentSuffix, 0, wholeFile})
	for range 3 {
		if got, gaps, stuck := readOn(t, r); stuck == nil || got != nil || gaps != nil || r.Offset() != 0 {
			t.Fatalf("%v, %v, %v, offset %d", got, gaps, stuck, r.Offset())
		}
	}
	last := places(t, disk)[5]
	bad.set(sector{last.segment, last.pos &^ (pageBytes - 1), pageEnd(last.end)})
	got, gaps, stuck := readOn(t, r)
	if stuck == nil || !slices.Equal(got, []Offset{0, 1, 2, 3}) || gaps != nil {
		t.Fatalf("%v, %v, %v", got, gaps, stuck)
	}
	for seq := range 2 { // the first begins in the last bad page
		mustAppend(t, log, sh.batch(6+seq, 1, 5000))
	}
	got, gaps, stuck = readOn(t, r)
	if stuck != nil || !slices.Equal(got, []Offset{7}) || len(gaps) != 1 || gaps[0].From != 4 || gaps[0].To != 7 {
		t.Fatalf("%v, %v, %v", got, gaps, stuck)
	}
}
