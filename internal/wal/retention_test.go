package wal

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// clock is a time that a test sets.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(1700000000 * int64(time.Second))
	return c
}

func (c *clock) Now() time.Time { return time.Unix(0, c.ns.Load()) }

func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func TestRotation(t *testing.T) {
	disk := memfs.New()
	c := newClock()
	o := options(disk)
	o.Now = c.Now
	o.SegmentBytes = 10 << 10
	o.SegmentAge = time.Hour
	l := openLog(t, o)
	for i := range 30 {
		mustAppend(t, l, batch(i, 1, 900))
	}
	segs := segments(t, disk)
	if len(segs) != 4 {
		t.Fatalf("30 records of 1 kB made segments %v", segs)
	}
	for _, s := range segs[:3] {
		if n := len(content(t, disk, s)); n > 10<<10 || n < 8<<10 {
			t.Fatalf("segment %s has %d bytes", s, n)
		}
	}
	// By age, but only when it holds events.
	for range 3 {
		c.advance(2 * time.Hour)
		if err := l.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.Stat().Segments; n != 5 {
		t.Fatalf("%d segments after a day, want 5", n)
	}
	// A record larger than a segment gets one of its own.
	mustAppend(t, l, batch(100, 1, 30<<10))
	mustAppend(t, l, batch(101, 1, 10))
	if n := l.Stat().Segments; n != 6 {
		t.Fatalf("%d segments, want 6", n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if rep := verify(t, disk); !rep.OK {
		t.Fatalf("%+v", rep)
	}
}

func TestRetention(t *testing.T) {
	tests := map[string]struct {
		set   func(o *Options)
		later time.Duration
		hold  Offset // 0 for none
		free  bool   // there is room on the disk
		first Offset // afterwards
		loud  bool
	}{
		"nothing is due":           {set: func(o *Options) { o.RetentionAge = 100 * time.Hour }, free: true, first: 0},
		"by age":                   {set: func(o *Options) { o.RetentionAge = 150 * time.Minute }, free: true, first: 20},
		"by age, all but the last": {set: func(o *Options) { o.RetentionAge = time.Hour }, later: 1000 * time.Hour, free: true, first: 50},
		"by size":                  {set: func(o *Options) { o.RetentionBytes = 25 << 10 }, free: true, first: 40},
		"held":                     {set: func(o *Options) { o.RetentionBytes = 25 << 10 }, hold: 15, free: true, first: 10},
		"held, but the disk is full": {
			set: func(o *Options) { o.RetentionBytes = 25 << 10; o.MinFreeBytes = 50 << 10 }, hold: 15, first: 40, loud: true,
		},
		"the disk is full, but nothing is due": {
			set: func(o *Options) { o.MinFreeBytes = 50 << 10 }, first: 0,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			disk := memfs.New()
			c := newClock()
			var logged bytes.Buffer
			o := options(disk)
			o.Now = c.Now
			o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
			o.SegmentBytes = 20 << 10
			l := openLog(t, o)
			for i := range 60 {
				if i > 0 && i%10 == 0 {
					c.advance(time.Hour)
					if err := l.Rotate(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				mustAppend(t, l, batch(i, 1, 900))
			}
			if tt.hold > 0 {
				cur, err := l.Cursor("slow", true)
				if err != nil {
					t.Fatal(err)
				}
				if err := cur.Commit(tt.hold); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			tt.set(&o)
			c.advance(tt.later + time.Minute)
			if !tt.free {
				disk.SetCapacity(disk.Used() + 10<<10)
			}
			l = openLog(t, o)
			if err := l.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			st := l.Stat()
			if st.FirstOffset != tt.first || st.NextOffset != 60 {
				t.Fatalf("the log holds %d to %d, want it to begin at %d", st.FirstOffset, st.NextOffset, tt.first)
			}
			if loud := strings.Contains(logged.String(), "level=ERROR msg=\"log removes events"); loud != tt.loud {
				t.Fatalf("said so loudly: %v\n%s", loud, &logged)
			}
			if name := dir + "/" + segmentName(0); tt.first > 0 {
				if _, err := disk.Stat(name); !vfs.IsNotExist(err) {
					t.Fatalf("%s is still there: %v", name, err)
				}
			}
			if rep := verify(t, disk); !rep.OK {
				t.Fatalf("%+v", rep)
			}
		})
	}
}

// TestReaderMeetsRetention reads on in a removed segment, then is told what it
// missed.
func TestReaderMeetsRetention(t *testing.T) { eachShape(t, 10000, testReaderMeetsRetention) }

func testReaderMeetsRetention(t *testing.T, sh *shape) {
	o := sh.options(memfs.New())
	o.RetentionBytes = 3000
	l := openLog(t, o)
	for i := range 50 {
		mustAppend(t, l, sh.batch(i, 1, 200))
	}
	r, err := l.NewReader(0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if e, err := r.Next(t.Context()); err != nil || e.First != 0 {
		t.Fatal(e, err)
	}
	for i := 50; i < 100; i++ {
		if i%10 == 0 {
			if err := l.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		mustAppend(t, l, sh.batch(i, 1, 200))
	}
	if err := l.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := l.Stat().FirstOffset
	if first != 90 {
		t.Fatalf("first offset %d", first)
	}
	for want := Offset(1); want < 100; want++ {
		if want == 50 {
			want = 90
		}
		e, err := r.Next(t.Context())
		if err != nil || e.First != want {
			t.Fatalf("got %+v, %v, want offset %d", e, err, want)
		}
	}
	if gaps := r.Gaps(); len(gaps) != 1 || gaps[0] != (Gap{50, 90}) {
		t.Fatalf("gaps %v", gaps)
	}
	late, err := l.NewReader(7)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if gaps := late.Gaps(); len(gaps) != 1 || gaps[0] != (Gap{7, 90}) || late.Offset() != 90 {
		t.Fatalf("gaps %v, offset %d", gaps, late.Offset())
	}
}

func TestCursor(t *testing.T) { eachShape(t, 10000, testCursor) }

func testCursor(t *testing.T, sh *shape) {
	disk := memfs.New()
	l := openLog(t, sh.options(disk))
	for i := range 5 {
		mustAppend(t, l, sh.batch(i, 1, 20))
	}
	cur, err := l.Cursor("store", true)
	if err != nil || cur.Offset() != 0 {
		t.Fatal(cur, err)
	}
	if err := cur.Commit(3); err != nil {
		t.Fatal(err)
	}
	if err := cur.Commit(6); !errors.Is(err, fs.ErrInvalid) {
		t.Fatalf("commit behind the end: %v", err)
	}
	for _, name := range []string{"", ".hidden", "a/b", "../x", "a b", "x.tmp", strings.Repeat("x", 200), "a\x00"} {
		if _, err := l.Cursor(name, false); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("cursor %q: %v", name, err)
		}
	}
	// A crash right after Commit keeps it.
	crashed := openLog(t, sh.options(disk.Crash(nil)))
	cur2, err := crashed.Cursor("store", true)
	if err != nil || cur2.Offset() != 3 {
		t.Fatal(cur2.Offset(), err)
	}
	if list := crashed.Cursors(); len(list) != 1 || list[0].Name != "store" || !list[0].Hold {
		t.Fatalf("%+v", list)
	}
	// Every damaged byte is noticed; the subscriber starts at the beginning.
	clean := content(t, disk, "cursors/store")
	for at := range clean {
		d := disk.Clone()
		b := bytes.Clone(clean)
		b[at] ^= 4
		if err := d.Put(dir+"/cursors/store", b); err != nil {
			t.Fatal(err)
		}
		ld := openLog(t, sh.options(d))
		cur, err := ld.Cursor("store", true)
		if err != nil || cur.Offset() != 0 {
			t.Fatalf("byte %d: %d, %v", at, cur.Offset(), err)
		}
		if err := cur.Commit(5); err != nil {
			t.Fatal(err)
		}
		if err := ld.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := crashed.RemoveCursor("store"); err != nil {
		t.Fatal(err)
	}
	if err := crashed.RemoveCursor("store"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := cur2.Commit(4); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := cur2.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTwoWriters(t *testing.T) {
	where := t.TempDir()
	o := Options{Dir: where, Logger: quiet()}
	l := openLog(t, o)
	_, err := Open(t.Context(), o)
	locked, ok := errors.AsType[*vfs.LockedError](err)
	if !ok || locked.PID == 0 || !strings.Contains(err.Error(), "process") {
		t.Fatalf("second writer: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	openLog(t, o)
}

// TestRetentionAfterAWrongClock: segments made while the clock was a year ahead do
// not keep everything for a year.
func TestRetentionAfterAWrongClock(t *testing.T) {
	c := newClock()
	o := options(memfs.New())
	o.Now, o.RetentionAge = c.Now, 24*time.Hour
	l := openLog(t, o)
	add := func(n int) {
		for range n {
			mustAppend(t, l, batch(1, 1, 10))
			if err := l.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	const year = 365 * 24 * time.Hour
	c.advance(year)
	add(3)
	c.advance(-year)
	add(3)
	c.advance(12 * time.Hour)
	add(1)
	if first := l.Stat().FirstOffset; first != 0 {
		t.Fatalf("the log begins at %d after half of the time", first)
	}
	c.advance(18 * time.Hour)
	if err := l.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := l.Stat(); st.FirstOffset != 6 || st.NextOffset != 7 {
		t.Fatalf("the log holds %d to %d", st.FirstOffset, st.NextOffset)
	}
}

// doubtful is a clock that doubts what it is shown: only time that passed counts.
type doubtful struct {
	*clock

	ahead atomic.Int64 // of the time that passed, ns
	known atomic.Int64
}

func (d *doubtful) Age(t time.Time) time.Duration {
	return d.clock.Now().Add(-time.Duration(d.ahead.Load())).Sub(t)
}

func (d *doubtful) Doubt() string {
	if d.ahead.Load() != 0 {
		return "the clock jumped"
	}
	return ""
}

func (d *doubtful) Known(t time.Time) { d.known.Store(t.UnixNano()) }

func (d *doubtful) jump(by time.Duration) { d.advance(by); d.ahead.Add(int64(by)) }

// TestRetentionOfADoubtedClock: a clock that jumps for a minute removes nothing; what
// passes does, and is said; size and a full disk work meanwhile.
func TestRetentionOfADoubtedClock(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name   string
		setUp  func(*Options, *memfs.FS)
		do     func(d *doubtful, disk *memfs.FS)
		first  Offset // of seven segments with an event each, an hour apart
		says   string
		silent string
	}{
		{"30 days ahead", nil, func(d *doubtful, _ *memfs.FS) { d.jump(30 * day) }, 0, "", "removes"},
		{"30 days back", nil, func(d *doubtful, _ *memfs.FS) { d.jump(-30 * day) }, 0, "", "removes"},
		{
			"ahead, and time passes", nil, func(d *doubtful, _ *memfs.FS) { d.jump(30 * day); d.advance(day - 4*time.Hour) }, 2,
			`level=INFO msg="log removes its oldest events" reason="older than retention allows" offset=0 next_offset=2 events=2 segments=2`, "level=WARN",
		},
		{"believed after all", nil, func(d *doubtful, _ *memfs.FS) { d.jump(30 * day); d.ahead.Store(0) }, 7, "events=7", ""},
		{
			"size works meanwhile", func(o *Options, _ *memfs.FS) { o.RetentionBytes = 1500 }, func(d *doubtful, _ *memfs.FS) { d.jump(30 * day) }, 4,
			`level=WARN msg="log removes its oldest events" reason="the log is larger than retention allows, and age is not told while the clock is doubted" offset=0 next_offset=4`, "",
		},
		{"so does a disk that fills up", func(o *Options, _ *memfs.FS) { o.MinFreeBytes = 2000 }, func(d *doubtful, disk *memfs.FS) {
			d.jump(30 * day)
			disk.SetCapacity(disk.Used() + 1700)
		}, 1, "log removes its oldest events although the clock is doubted, the disk is nearly full", ""},
		{"which removes nothing fresh while the clock is believed", func(o *Options, _ *memfs.FS) { o.MinFreeBytes = 2000 }, func(_ *doubtful, disk *memfs.FS) {
			disk.SetCapacity(disk.Used() + 1700)
		}, 0, "", "removes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			disk, said := memfs.New(), &strings.Builder{}
			d := &doubtful{clock: newClock()}
			o := options(disk)
			o.Now, o.Clock, o.RetentionAge = d.Now, d, day
			l := openLog(t, o)
			for i := range 7 {
				mustAppend(t, l, batch(i, 1, 100))
				d.advance(time.Hour)
				if err := l.Rotate(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			o.Logger = slog.New(slog.NewTextHandler(said, nil))
			if tt.setUp != nil {
				tt.setUp(&o, disk)
			}
			tt.do(d, disk)
			l = openLog(t, o)
			if err := l.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			st := l.Stat()
			if err := l.Close(); err != nil { // what it says is ours then
				t.Fatal(err)
			}
			if st.FirstOffset != tt.first || st.NextOffset != 7 {
				t.Errorf("the log holds %d to %d, want it to begin at %d", st.FirstOffset, st.NextOffset, tt.first)
			}
			if !strings.Contains(said.String(), tt.says) || tt.silent != "" && strings.Contains(said.String(), tt.silent) {
				t.Errorf("the log says:\n%s", said)
			}
			if d.known.Load() == 0 {
				t.Error("the clock was not told when the newest event came")
			}
		})
	}
}

// TestRetentionAfterAClockThatWasBack: a segment that begins while the clock is years
// back does not make the fresh one before it years old.
func TestRetentionAfterAClockThatWasBack(t *testing.T) {
	c := newClock()
	o := options(memfs.New())
	o.Now, o.RetentionAge = c.Now, 24*time.Hour
	l := openLog(t, o)
	const year = 365 * 24 * time.Hour
	for range 3 {
		mustAppend(t, l, batch(1, 1, 10))
		c.advance(-10 * year)
		if err := l.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, batch(1, 1, 10))
		c.advance(10*year + time.Hour)
		if err := l.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first := l.Stat().FirstOffset; first != 0 {
		t.Errorf("the log begins at %d", first)
	}
}

// TestFullDiskThatCannotRemove: when removing frees nothing, holds are not given up
// one after the other for nothing.
func TestFullDiskThatCannotRemove(t *testing.T) {
	for _, broken := range []errorfs.Kind{errorfs.Remove, errorfs.OpenRW} { // of a segment, of the head file
		t.Run(string(broken), func(t *testing.T) {
			disk := memfs.New()
			var armed atomic.Bool
			o := options(errorfs.Wrap(disk, func(op errorfs.Op) error {
				if armed.Load() && op.Kind == broken {
					return syscall.EIO
				}
				return nil
			}))
			o.SegmentBytes, o.RetentionBytes = 20<<10, 25<<10
			o.MinFreeBytes = 50 << 10
			l := openLog(t, o)
			if _, err := l.Cursor("slow", true); err != nil {
				t.Fatal(err)
			}
			for i := range 60 {
				if i > 0 && i%10 == 0 {
					if err := l.Rotate(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				mustAppend(t, l, batch(i, 1, 900))
			}
			armed.Store(true)
			disk.SetCapacity(disk.Used() + 10<<10)
			for range 3 {
				if err := l.Maintain(t.Context()); !errors.Is(err, syscall.EIO) {
					t.Fatal(err)
				}
			}
			if first := l.Stat().FirstOffset; first > 10 {
				t.Fatalf("the log begins at %d, and nothing was freed", first)
			}
			armed.Store(false)
			if err := l.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if free, _ := disk.FreeBytes(dir); free < 50<<10 || l.Stat().FirstOffset > 40 {
				t.Fatalf("%d bytes are free, the log begins at %d", free, l.Stat().FirstOffset)
			}
		})
	}
}
