package wal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// packed packs a record's events.
func packed(r *Record) *Record {
	r.Codec = codec.S2
	r.Payload = [][]byte{r.Codec.Pack(nil, joined(r))}
	return r
}

// TestOlderSegmentEnds: a log whose last segment is of version 1 is opened as it is, and
// goes on in a segment of version 2 with the first record, not before.
func TestOlderSegmentEnds(t *testing.T) {
	for name, closed := range map[string]bool{"closed": true, "killed": false} {
		t.Run(name, func(t *testing.T) {
			disk := memfs.New()
			o := options(disk)
			o.format = version1
			o.Checkpoint = func() []byte { return []byte("state") }
			l := openLog(t, o)
			g := newLedger()
			for i := range 5 {
				r := batch(i, 2, 100)
				g.ack(mustAppend(t, l, r), r)
			}
			if closed {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			disk = disk.Clone()
			o = options(disk)
			o.Checkpoint = func() []byte { return []byte("state") }
			before := content(t, disk, segmentName(0))
			l = openLog(t, o)
			if got := walFiles(disk); len(got) != 1 {
				t.Fatalf("opening it began %v", got)
			}
			r := packed(batch(5, 300, 40))
			g.ack(mustAppend(t, l, r), r)
			r = packed(batch(6, 2, 40))
			g.ack(mustAppend(t, l, r), r)
			after := content(t, disk, segmentName(0))
			if !strings.HasPrefix(string(before), string(after)) || strings.Trim(string(before[len(after):]), "\x00") != "" {
				t.Error("the old segment is another")
			}
			if got := walFiles(disk); !slices.Equal(got, []string{segmentName(0), segmentName(10)}) {
				t.Fatalf("segments %v", got)
			}
			g.check(t, l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if rep := verify(t, disk); !rep.OK || rep.Events != 312 || len(rep.Notes) != 0 {
				t.Errorf("%+v", rep)
			}
			if got := shown(t, disk); !maps.Equal(got, g.acked) {
				t.Errorf("dump shows %d events of %d", len(got), len(g.acked))
			}
			g.check(t, openLog(t, options(disk)))
		})
	}
}

// TestReplacedSegmentSaysWhatIsVoid: an empty segment of version 1 whose place a new one
// takes may say that behind the one before lies what is left of a failed write. So does
// the new one.
func TestReplacedSegmentSaysWhatIsVoid(t *testing.T) {
	disk := memfs.New()
	var broken atomic.Bool
	o := options(errorfs.Wrap(disk, func(op errorfs.Op) error {
		if broken.Load() && op.Kind.Changes() {
			return syscall.ENOSPC
		}
		return nil
	}))
	o.format = version1
	l := openLog(t, o)
	mustAppend(t, l, batch(1, 1, 1))
	broken.Store(true)
	if _, err := l.Append(t.Context(), batch(2, 1, 3000)); !errors.Is(err, ErrDiskFull) {
		t.Fatal(err)
	}
	broken.Store(false)
	if err := l.Maintain(t.Context()); err != nil || len(walFiles(disk)) != 2 {
		t.Fatal(err, walFiles(disk))
	}
	disk = disk.Clone()
	v := &victim{t: t, disk: disk}
	v.put(segmentName(0), append(v.content(segmentName(0)), 42)) // comes back in a crash
	l = openLog(t, options(disk))
	mustAppend(t, l, packed(batch(3, 2, 10)))
	if got := versions(t, disk); !slices.Equal(got, []uint32{1, 2}) {
		t.Errorf("versions %v", got)
	}
	if rep := verify(t, disk); !rep.OK || rep.Events != 3 {
		t.Errorf("verify %+v", rep)
	}
}

// TestRetentionBySizeOfPacked: what counts is the bytes on the disk, so that more events
// are kept when they are packed; and segments of version 1 leave as others do.
func TestRetentionBySizeOfPacked(t *testing.T) {
	kept := map[bool]uint64{}
	for _, pack := range []bool{false, true} {
		disk := memfs.New()
		o := options(disk)
		o.SegmentBytes, o.RetentionBytes, o.format = 8<<10, 64<<10, version1
		l := openLog(t, o)
		mustAppend(t, l, batch(0, 30, 200))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		o.format = nil
		l = openLog(t, o)
		for i := range 200 {
			r := batch(i, 30, 200)
			if pack {
				r = packed(r)
			}
			mustAppend(t, l, r)
		}
		if err := l.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		st := l.Stat()
		if st.FirstOffset < 30 || st.Bytes > 80<<10 || st.Bytes < 32<<10 || slices.Contains(versions(t, disk), 1) {
			t.Errorf("packed %v: from offset %d on, %d bytes in %d segments", pack, st.FirstOffset, st.Bytes, st.Segments)
		}
		kept[pack] = st.NextOffset - st.FirstOffset
		if rep := verify(t, disk); !rep.OK || rep.Events != kept[pack] {
			t.Errorf("packed %v: %+v", pack, rep)
		}
	}
	if kept[true] < 3*kept[false] {
		t.Errorf("%d events are kept packed, %d as they are", kept[true], kept[false])
	}
}

// TestUnknownCodec: a whole record that is packed in a way that this program does not
// know was written by a newer one. Its bytes are never taken for events.
func TestUnknownCodec(t *testing.T) {
	for name, mark := range map[string]func(h *header){
		"codec":    func(h *header) { h.codec = 9 },
		"reserved": func(h *header) { h.reserved = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			disk, g := smallLog(t, newest(), true)
			recs := places(t, disk)
			for _, i := range []int{2, len(recs) - 1} {
				p, d := recs[i], disk.Clone()
				remake(t, d, p, mark)
				before := content(t, d, p.segment)
				if _, err := Verify(t.Context(), d, dir, nil); !errors.Is(err, ErrNewer) {
					t.Errorf("record %d: verify: %v", i, err)
				}
				err := Scan(t.Context(), d, dir, "", 0, func(Found) bool { return true })
				if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), p.segment) {
					t.Errorf("record %d: scan: %v", i, err)
				}
				l, err := Open(t.Context(), options(d))
				if i == len(recs)-1 {
					if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), p.segment) || !slices.Equal(content(t, d, p.segment), before) {
						t.Errorf("opened: %v", err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				want := fmt.Sprintf("%s %d-%d", stream.CauseUnreadable, p.first, p.first+Offset(p.count))
				if told := gaps(t, l); !slices.Equal(told, []string{want}) {
					t.Errorf("readers are told %v, want %s", told, want)
				}
				got, bad := readAll(t, l, 0)
				for off, ev := range g.acked {
					if _, there := got[off]; there == (off >= p.first && off < p.first+Offset(p.count)) || there && got[off] != ev {
						t.Errorf("offset %d reads %q", off, got[off])
					}
				}
				if len(bad) != 1 || !errors.Is(bad[0], ErrNewer) {
					t.Errorf("bad places %v", bad)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestPackedInVersion1: version 1 has no packed records. Whatever says to be one was not
// written by any build, and is damage.
func TestPackedInVersion1(t *testing.T) {
	disk := memfs.New()
	o := options(disk)
	o.format = version1
	l := openLog(t, o)
	for i := range 3 {
		mustAppend(t, l, batch(i, 1, 20))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	remake(t, disk, places(t, disk)[1], func(h *header) { h.codec = codec.S2 })
	if rep := verify(t, disk); rep.OK || rep.FirstBadOffset != 1 {
		t.Errorf("%+v", rep)
	}
	l = openLog(t, options(disk))
	if got, bad := readAll(t, l, 0); len(got) != 2 || len(bad) != 1 || bad[0].First != 1 || bad[0].Next != 2 || errors.Is(bad[0], ErrNewer) {
		t.Errorf("events %v, bad places %v", got, bad)
	}
}

// remake changes a record's header and makes its checksum right.
func remake(t *testing.T, disk *memfs.FS, p place, change func(h *header)) {
	t.Helper()
	b := content(t, disk, p.segment)
	var h header
	if reason := h.parse(b[p.pos:], saltOf(b[p.pos:])); reason != "" {
		t.Fatal(reason)
	}
	change(&h)
	h.put(b[p.pos:])
	if err := disk.Put(dir+"/"+p.segment, b); err != nil {
		t.Fatal(err)
	}
}
