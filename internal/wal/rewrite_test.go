package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// mixedLog makes a log with a segment of version 1 and three of version 2, the last of
// them without events, in which every other record is packed.
func mixedLog(t *testing.T, closed bool) (*memfs.FS, *ledger) {
	t.Helper()
	disk := memfs.New()
	g := newLedger()
	o := options(disk)
	o.Checkpoint = func() []byte { return []byte("state") }
	o.format = version1
	seq := 0
	add := func(l *Log, pack bool) {
		r := batch(seq, 2+40*(seq%3), 60)
		if pack {
			r = packed(r)
		}
		g.ack(mustAppend(t, l, r), r)
		seq++
	}
	l := openLog(t, o)
	for range 3 {
		add(l, false)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o.format = nil
	l = openLog(t, o)
	cur, err := l.Cursor("reader", true)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		for k := range 4 {
			add(l, k%2 == i)
		}
		if err := l.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := cur.Commit(5); err != nil {
		t.Fatal(err)
	}
	if closed {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return disk.Clone(), g
}

// line is a record without what a Rewrite changes.
type line struct {
	Kind      Kind
	First     Offset
	Count     int
	Publisher string
	Producer  [16]byte
	Sequence  uint64
	Received  time.Time
	Fields    string
}

// lines are a log's records, bad places left out, and how many of each codec.
func lines(t *testing.T, disk vfs.FS) (out []line, codecs map[codec.Codec]int) {
	t.Helper()
	codecs = map[codec.Codec]int{}
	err := Scan(t.Context(), disk, dir, "", 0, func(f Found) bool {
		if e := f.Entry; e != nil {
			fields, err := e.Fields()
			if err != nil {
				fields = []byte("unreadable")
			}
			codecs[e.Codec]++
			out = append(out, line{e.Kind, e.First, e.Count, e.Publisher, e.ProducerID, e.Sequence, e.Received, string(fields)})
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, codecs
}

func versions(t *testing.T, disk vfs.FS) (out []uint32) {
	t.Helper()
	found, err := look(t.Context(), disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range found.segs {
		out = append(out, s.header.version)
	}
	return out
}

func mustRewrite(t *testing.T, disk vfs.FS, format int, removeOld bool) RewritePlan {
	t.Helper()
	p, err := Rewrite(t.Context(), RewriteOptions{Dir: dir, FS: disk, Format: format, RemoveOld: removeOld})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRewrite writes logs in format 1 and in format 2 again: what they hold is the same.
func TestRewrite(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) *memfs.FS{
		"closed": func(t *testing.T) *memfs.FS { d, _ := mixedLog(t, true); return d },
		"killed": func(t *testing.T) *memfs.FS { d, _ := mixedLog(t, false); return d },
		"with losses": func(t *testing.T) *memfs.FS {
			d, _ := mixedLog(t, true)
			if err := d.Remove(dir + "/" + segments(t, d)[1]); err != nil {
				t.Fatal(err)
			}
			if err := openLog(t, options(d)).Close(); err != nil {
				t.Fatal(err)
			}
			return d
		},
		"with a torn tail": func(t *testing.T) *memfs.FS {
			d, _ := mixedLog(t, false)
			name := segments(t, d)[2]
			if err := d.Remove(dir + "/" + segments(t, d)[3]); err != nil {
				t.Fatal(err)
			}
			b := content(t, d, name)
			if err := d.Put(dir+"/"+name, append(b, 0xff, 1, 2, 3)); err != nil {
				t.Fatal(err)
			}
			return d
		},
		"with a header that is lost": func(t *testing.T) *memfs.FS {
			d, _ := mixedLog(t, true)
			name := segments(t, d)[2]
			b := content(t, d, name)
			clear(b[:segmentHeaderBytes])
			if err := d.Put(dir+"/"+name, b); err != nil {
				t.Fatal(err)
			}
			return d
		},
		"empty": func(t *testing.T) *memfs.FS {
			d := memfs.New()
			if err := openLog(t, options(d)).Close(); err != nil {
				t.Fatal(err)
			}
			return d
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := make(t)
			want, _ := lines(t, disk)
			before := verify(t, disk)
			known, _, err := readHead(disk, dir)
			if err != nil {
				t.Fatal(err)
			}
			same := func(format int) {
				t.Helper()
				got, codecs := lines(t, disk)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("format %d: %s", format, diff)
				}
				if format == 1 && codecs[codec.S2] > 0 || format == 2 && len(want) > 8 && codecs[codec.S2] < 6 {
					t.Errorf("format %d: %v", format, codecs)
				}
				if vs := versions(t, disk); slices.ContainsFunc(vs, func(v uint32) bool { return v != uint32(format) }) {
					t.Errorf("format %d: segments of versions %v", format, vs)
				}
				rep := verify(t, disk)
				whole := before.OK || name == "with a header that is lost" // it has a new one
				if rep.OK != whole || rep.Events != before.Events || rep.First != before.First || rep.Next != before.Next || len(rep.Losses) != len(before.Losses) {
					t.Errorf("format %d: verify %+v, before %+v", format, rep, before)
				}
				now, faults, err := readHead(disk, dir)
				now.serial, now.chain, now.note.serial = known.serial, known.chain, known.note.serial
				if diff := cmp.Diff(known, now, cmp.AllowUnexported(head{}, note{}, loss{})); diff != "" || err != nil || len(faults) > 0 {
					t.Errorf("format %d: HEAD %s, %v, %v", format, diff, faults, err)
				}
			}
			size := func() (n int) {
				for _, s := range segments(t, disk) {
					n += len(content(t, disk, s))
				}
				return n
			}
			plan := mustRewrite(t, disk, 1, false)
			same(1)
			if plan.Segments > 0 && (plan.Replaced != dir+"/replaced" || size() != int(plan.NewBytes)+keptBytes(t, disk, plan.Kept)) {
				t.Errorf("%+v, the log has %d bytes", plan, size())
			}
			if again := mustRewrite(t, disk, 1, true); again.Segments > 0 || again.Replaced != "" {
				t.Errorf("again: %+v", again)
			}
			unpacked := size()
			mustRewrite(t, disk, 2, true)
			same(2)
			if len(want) > 8 && size() > unpacked/2 {
				t.Errorf("%d bytes became %d", unpacked, size())
			}
			if entries, _ := disk.ReadDir(dir + "/replaced"); len(entries) > 0 {
				t.Errorf("left behind: %v", entries)
			}
			l := openLog(t, options(disk))
			if before.OK {
				mustAppend(t, l, batch(99, 2, 10))
			}
			if len(l.Cursors()) > 0 && l.Cursors()[0].Offset != 5 {
				t.Errorf("cursors %+v", l.Cursors())
			}
		})
	}
}

func keptBytes(t *testing.T, disk *memfs.FS, n int) (sum int) {
	t.Helper()
	for _, s := range segments(t, disk)[:n] {
		sum += len(content(t, disk, s))
	}
	return sum
}

// TestRewriteRefuses: what cannot be done is not begun.
func TestRewriteRefuses(t *testing.T) {
	clean, g := mixedLog(t, true)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	agreed := 0
	for name, tt := range map[string]struct {
		ctx     context.Context //nolint:containedctx // of a case
		prepare func(t *testing.T, disk *memfs.FS)
		options RewriteOptions
		want    error
		words   string
	}{
		"a log that somebody has open": {
			prepare: func(t *testing.T, disk *memfs.FS) { openLog(t, options(disk)) },
			options: RewriteOptions{Format: 1}, words: "locked by",
		},
		"a disk without room": {
			prepare: func(_ *testing.T, disk *memfs.FS) { disk.SetCapacity(disk.Used() + 1<<20 + 5000) },
			options: RewriteOptions{Format: 1}, want: ErrDiskFull, words: fmt.Sprintf("the new segments take %d bytes", spareBytes+unpackedBytes(t, clean)),
		},
		"a format that nobody knows": {options: RewriteOptions{Format: 3}, words: "no format 3"},
		"no format":                  {options: RewriteOptions{}, words: "no format 0"},
		"somebody who says no": {
			options: RewriteOptions{Format: 1, Agree: func(p *RewritePlan) error {
				agreed++
				if p.Segments != 3 || p.Kept != 1 || p.NewBytes < 2*p.OldBytes/3 || p.Events == 0 {
					t.Errorf("plan %+v", *p)
				}
				return errors.New("rather not")
			}}, words: "rather not",
		},
		"a context that has ended": {ctx: stopped, options: RewriteOptions{Format: 1}, want: context.Canceled},
		"what an earlier one replaced": {
			prepare: func(t *testing.T, disk *memfs.FS) {
				if err := errors.Join(disk.MkdirAll(dir+"/replaced", 0o700), disk.Put(dir+"/replaced/"+segmentName(0), nil)); err != nil {
					t.Fatal(err)
				}
			},
			options: RewriteOptions{Format: 1}, words: "--remove-old",
		},
		"a newer log": {
			prepare: func(t *testing.T, disk *memfs.FS) {
				recs := places(t, disk)
				remake(t, disk, recs[len(recs)-2], func(h *header) { h.codec = 77 })
			},
			options: RewriteOptions{Format: 1}, want: ErrNewer, words: "amoskys wal rewrite --format 2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := clean.Clone()
			if tt.prepare != nil {
				tt.prepare(t, disk)
			}
			before := map[string]string{}
			for _, s := range walFiles(disk) {
				before[s] = string(content(t, disk, s))
			}
			o := tt.options
			o.Dir, o.FS = dir, disk
			ctx := tt.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			if _, err := Rewrite(ctx, o); err == nil || !errors.Is(err, tt.want) && tt.want != nil || !strings.Contains(err.Error(), tt.words) {
				t.Fatal(err)
			}
			for _, s := range walFiles(disk) {
				if string(content(t, disk, s)) != before[s] {
					t.Errorf("%s is another", s)
				}
			}
			if n := len(walFiles(disk)); n != len(before) {
				t.Errorf("%d files, there were %d", n, len(before))
			}
			if entries, _ := disk.ReadDir(dir + "/" + rewriteDir); len(entries) > 0 {
				t.Errorf("left behind %v", entries)
			}
			if tt.want == nil && !strings.Contains(name, "open") {
				g.check(t, openLog(t, options(disk)))
			}
		})
	}
	if agreed != 1 {
		t.Errorf("asked %d times", agreed)
	}
}

// unpackedBytes returns how many bytes a mixedLog's rewritten segments have.
func unpackedBytes(t *testing.T, disk *memfs.FS) int {
	t.Helper()
	return int(mustRewrite(t, disk.Clone(), 1, false).NewBytes)
}

// TestRewriteDamaged: what is missing in the old log is missing in the new one, however
// wide the hole that a packed record leaves; and nothing of the old log is removed.
func TestRewriteDamaged(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, disk *memfs.FS, p place){
		"bits flipped": func(t *testing.T, disk *memfs.FS, p place) {
			b := content(t, disk, p.segment)
			b[p.pos+recordHeaderBytes+40] ^= 1
			if err := disk.Put(dir+"/"+p.segment, b); err != nil {
				t.Fatal(err)
			}
		},
		"made wrong": func(t *testing.T, disk *memfs.FS, p place) {
			unmake(t, disk, p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := memfs.New()
			g := newLedger()
			o := options(disk)
			o.Checkpoint = func() []byte { return []byte("state") }
			l := openLog(t, o)
			for _, r := range []*Record{packed(batch(0, 5000, 20)), packed(batch(1, 3, 20)), batch(2, 2, 20)} {
				g.ack(mustAppend(t, l, r), r)
			}
			if err := l.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			r := packed(batch(3, 3, 20))
			g.ack(mustAppend(t, l, r), r)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			victim := places(t, disk)[1]
			if victim.count != 5000 {
				t.Fatal(victim)
			}
			spoil(t, disk, victim)
			before, _ := lines(t, disk)
			before = slices.DeleteFunc(before, func(l line) bool { return l.Fields == "unreadable" })
			plan := mustRewrite(t, disk, 1, true)
			if plan.BadPlaces != 1 || plan.Replaced == "" {
				t.Errorf("%+v", plan)
			}
			after, _ := lines(t, disk)
			if diff := cmp.Diff(before, after); diff != "" {
				t.Error(diff)
			}
			if rep := verify(t, disk); rep.OK || rep.FirstBadOffset != 0 || rep.Events != 8 {
				t.Errorf("verify %+v", rep)
			}
			l = openLog(t, o)
			got, _ := readAll(t, l, 0)
			for off, ev := range g.acked {
				if off >= 5000 && got[off] != ev {
					t.Errorf("offset %d reads %q", off, got[off])
				}
			}
			if told := gaps(t, l); len(told) != 1 || !strings.HasSuffix(told[0], " 0-5000") {
				t.Errorf("readers are told %v", told)
			}
		})
	}
}

// unmake spoils a packed record's payload and makes its checksum and the chain right, as
// a program does that packs wrongly.
func unmake(t *testing.T, disk *memfs.FS, p place) {
	t.Helper()
	b := content(t, disk, p.segment)
	var sh segmentHeader
	if reason, err := sh.parse(b); reason != "" || err != nil {
		t.Fatal(reason, err)
	}
	chain := sh.chain()
	d := newHasher()
	for pos := int64(segmentHeaderBytes); pos < int64(len(b)); {
		var h header
		if h.parse(b[pos:], sh.salt) != "" {
			break
		}
		rec := b[pos : pos+h.size()]
		publisher, payload := h.body(rec)
		if pos == p.pos {
			for i := 8; i < len(payload); i++ {
				payload[i] = 0xfe // copies from before the start
			}
			h.bodyCRC = crcOf(rec[recordHeaderBytes:h.length])
		}
		h.chain = h.link(&chain, d.digest(&h, publisher, payload))
		chain = h.chain
		h.put(rec)
		pos += h.size()
	}
	if err := disk.Put(dir+"/"+p.segment, b); err != nil {
		t.Fatal(err)
	}
}
