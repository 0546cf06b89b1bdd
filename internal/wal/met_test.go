package wal

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// flip spoils the body of the record at p.
func flip(t *testing.T, disk *memfs.FS, p place) {
	t.Helper()
	b := content(t, disk, p.segment)
	b[p.end-10] ^= 0x40
	if err := disk.Put(dir+"/"+p.segment, b); err != nil {
		t.Fatal(err)
	}
}

// TestStatNamesWhatReadersMeet: damage that comes while the log is open is on
// record once, however often it is read, until retention removes its segment.
func TestStatNamesWhatReadersMeet(t *testing.T) { eachShape(t, 3, testStatNamesWhatReadersMeet) }

func testStatNamesWhatReadersMeet(t *testing.T, sh *shape) {
	disk, _ := smallLog(t, sh, true)
	recs := places(t, disk)
	o := sh.options(disk)
	l := openLog(t, o)
	if got := l.Stat().Met; len(got) != 0 {
		t.Fatalf("a sound log says %v", got)
	}
	bad := recs[1]
	flip(t, disk, bad)
	for range 3 {
		if _, met := readAll(t, l, 0); len(met) != 1 {
			t.Fatalf("read %v", met)
		}
	}
	got := l.Stat().Met
	if len(got) != 1 || got[0].Reason == "" {
		t.Fatalf("met %v", got)
	}
	got[0].Reason = ""
	want := []Damage{{Segment: bad.segment, Position: bad.pos, FirstBad: bad.first}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	l.opts.RetentionBytes = 1
	if err := l.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := l.Stat(); len(s.Met) != 0 || s.FirstOffset <= bad.first {
		t.Errorf("after retention %v, log from %d on", s.Met, s.FirstOffset)
	}
}

// TestStatDoesNotNameTwice: what opening found is not said again when a reader
// meets it.
func TestStatDoesNotNameTwice(t *testing.T) { eachShape(t, 3, testStatDoesNotNameTwice) }

func testStatDoesNotNameTwice(t *testing.T, sh *shape) {
	disk, _ := smallLog(t, sh, true)
	recs := places(t, disk)
	flip(t, disk, recs[len(recs)-2])
	l := openLog(t, sh.options(disk))
	if _, met := readAll(t, l, 0); len(met) == 0 {
		t.Fatal("nothing was met")
	}
	if s := l.Stat(); len(s.Recovery.Damage) == 0 || len(s.Met) != 0 {
		t.Errorf("opening found %v, readers %v", s.Recovery.Damage, s.Met)
	}
}

func TestStatBoundsWhatReadersMeet(t *testing.T) { eachShape(t, 3, testStatBoundsWhatReadersMeet) }

func testStatBoundsWhatReadersMeet(t *testing.T, sh *shape) {
	disk, _ := smallLog(t, sh, true)
	l := openLog(t, sh.options(disk))
	segment := segments(t, disk)[0]
	for i := range 3 * MaxMet {
		l.meet(&CorruptionError{Segment: segment, Position: int64(i), First: Offset(i), Reason: fmt.Sprint(i)})
	}
	if got := l.Stat().Met; len(got) != MaxMet || got[0].Position != 0 {
		t.Errorf("%d places, the first %+v", len(got), got[0])
	}
}

// TestStatNamesWhatTheDiskCannotRead: a bad sector is damage too.
func TestStatNamesWhatTheDiskCannotRead(t *testing.T) {
	eachShape(t, 3, testStatNamesWhatTheDiskCannotRead)
}

func testStatNamesWhatTheDiskCannotRead(t *testing.T, sh *shape) {
	disk, _ := smallLog(t, sh, true)
	var bad atomic.Bool
	l := openLog(t, sh.options(errorfs.Wrap(disk, func(op errorfs.Op) error {
		if op.Kind == errorfs.Read && bad.Load() {
			return syscall.EIO
		}
		return nil
	})))
	r, err := l.NewReader(0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	bad.Store(true)
	if _, _, err := r.TryNext(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if met := l.Stat().Met; len(met) != 1 || met[0].Segment != segments(t, disk)[0] || met[0].FirstBad != 0 {
		t.Errorf("met %v", met)
	}
}
