package wal

import (
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// machine compares a log with a slice under random operations.
type machine struct {
	t      *testing.T
	disk   *memfs.FS
	broken atomic.Int64 // errno that every change of the disk fails with now, 0 for none
	o      Options
	log    *Log
	model  []string // the events acknowledged, by offset
	first  Offset   // of the oldest event kept, after the last step
	cursor map[string]Offset
	seq    int

	refused bool // records were refused since the log was opened
}

func (m *machine) open(rt *rapid.T) {
	l, err := Open(m.t.Context(), m.o)
	if err != nil {
		rt.Fatalf("open: %v", err)
	}
	m.log = l
	st := l.Stat()
	if len(st.Recovery.Damage) != 0 {
		rt.Fatalf("damage: %+v", st.Recovery)
	}
	if st.NextOffset < Offset(len(m.model)) {
		rt.Fatalf("the log ends at %d, %d events were acknowledged", st.NextOffset, len(m.model))
	}
	// A record that was refused because the disk failed may be there all the
	// same, if the disk did not even let it be taken back.
	extra, bad := readAll(m.t, l, Offset(len(m.model)))
	if len(bad) != 0 || len(extra) > 0 && !m.refused {
		rt.Fatalf("%d events from nowhere, bad places %v", len(extra), bad)
	}
	for range extra {
		ev := extra[Offset(len(m.model))]
		if !strings.HasPrefix(ev, "batch ") {
			rt.Fatalf("event %q from nowhere", ev)
		}
		m.model = append(m.model, ev)
	}
	m.refused = false
}

func (m *machine) use(disk *memfs.FS) {
	m.disk = disk
	m.o.FS = errorfs.Wrap(disk, func(op errorfs.Op) error {
		if errno := m.broken.Load(); errno != 0 && op.Kind.Changes() {
			return syscall.Errno(errno)
		}
		return nil
	})
}

// Append writes a few records, some of which may share a group.
func (m *machine) Append(rt *rapid.T) {
	n := rapid.IntRange(1, 4).Draw(rt, "records")
	type result struct {
		first Offset
		err   error
	}
	var recs []*Record
	results := make(chan result, n)
	for range n {
		m.seq++
		r := batch(m.seq, rapid.IntRange(1, 4).Draw(rt, "events"), rapid.SampledFrom([]int{1, 50, 700, 3000}).Draw(rt, "size"))
		if m.o.format == nil && rapid.Bool().Draw(rt, "packed") {
			r = packed(r)
		}
		if len(r.Payload[0]) > 10 && rapid.Bool().Draw(rt, "split") {
			p := r.Payload[0]
			r.Payload = [][]byte{p[:7], nil, p[7:]}
		}
		if err := m.log.Submit(r, func(first Offset, err error) { results <- result{first, err} }); err != nil {
			rt.Fatalf("submit: %v", err)
		}
		recs = append(recs, r)
	}
	for _, r := range recs {
		res := <-results
		if m.broken.Load() != 0 {
			if res.err == nil {
				rt.Fatalf("acknowledged on a broken disk")
			}
			m.refused = true
			continue
		}
		if res.err != nil {
			rt.Fatalf("append: %v", res.err)
		}
		if res.first != Offset(len(m.model)) {
			rt.Fatalf("offset %d, want %d", res.first, len(m.model))
		}
		e := Entry{Entry: stream.Entry{First: res.first, Count: r.Count, Payload: joined(r), Codec: r.Codec}}
		for _, ev := range e.Events() {
			m.model = append(m.model, string(ev))
		}
	}
}

// Rotate ends the segment.
func (m *machine) Rotate(rt *rapid.T) {
	if err := m.log.Rotate(m.t.Context()); err != nil && m.broken.Load() == 0 {
		rt.Fatalf("rotate: %v", err)
	}
}

// Break makes the disk refuse changes; Heal ends that.
func (m *machine) Break(rt *rapid.T) {
	m.broken.Store(int64(rapid.SampledFrom([]syscall.Errno{syscall.ENOSPC, syscall.EROFS, syscall.EIO}).Draw(rt, "errno")))
}

// Heal repairs the disk.
func (m *machine) Heal(*rapid.T) { m.broken.Store(0) }

// Reopen closes and opens the log.
func (m *machine) Reopen(rt *rapid.T) {
	err := m.log.Close()
	if err != nil && m.broken.Load() == 0 {
		rt.Fatalf("close: %v", err)
	}
	m.broken.Store(0)
	m.o.format = nil
	m.open(rt)
}

// Rewrite closes the log, writes it in another format, and opens it again.
func (m *machine) Rewrite(rt *rapid.T) {
	m.broken.Store(0)
	_ = m.log.Close() // it may have given up a file while the disk was broken
	m.o.format = nil
	format := rapid.IntRange(1, segmentVersion).Draw(rt, "format")
	if _, err := Rewrite(m.t.Context(), RewriteOptions{Dir: dir, FS: m.disk, Format: format, RemoveOld: true}); err != nil {
		rt.Fatalf("rewrite: %v", err)
	}
	for _, v := range versions(m.t, m.disk) {
		if v != uint32(format) {
			rt.Fatalf("a segment of version %d, not %d", v, format)
		}
	}
	m.open(rt)
}

// Crash cuts the power; what was not synced survives in part.
func (m *machine) Crash(rt *rapid.T) {
	old := m.log
	disk := m.disk.Crash(func(n int) int {
		if n == 0 {
			return 0
		}
		return rapid.IntRange(0, n).Draw(rt, "surviving")
	})
	_ = old.Close()
	m.broken.Store(0)
	m.use(disk)
	m.o.format = nil
	m.open(rt)
}

// Read compares the log with the model from a random offset on.
func (m *machine) Read(rt *rapid.T) {
	from := Offset(rapid.IntRange(0, len(m.model)).Draw(rt, "from"))
	r, err := m.log.NewReader(from)
	if err != nil {
		rt.Fatalf("read: %v", err)
	}
	defer r.Close()
	next := max(from, m.log.Stat().FirstOffset)
	for {
		e, ok, err := r.TryNext()
		if err != nil {
			rt.Fatalf("read at %d: %v", next, err)
		}
		if !ok {
			break
		}
		for off, ev := range e.Events() {
			if off != next || m.model[off] != string(ev) {
				rt.Fatalf("offset %d (want %d) reads %q", off, next, ev)
			}
			next++
		}
	}
	if next != Offset(len(m.model)) {
		rt.Fatalf("reading ended at %d of %d", next, len(m.model))
	}
}

// Commit moves a cursor.
func (m *machine) Commit(rt *rapid.T) {
	name := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "cursor")
	c, err := m.log.Cursor(name, name == "a")
	if err != nil {
		if m.broken.Load() == 0 {
			rt.Fatalf("cursor: %v", err)
		}
		return
	}
	if want, ok := m.cursor[name]; ok && c.Offset() != want {
		rt.Fatalf("cursor %s stands at %d, want %d", name, c.Offset(), want)
	}
	m.cursor[name] = c.Offset()
	off := Offset(rapid.IntRange(0, len(m.model)).Draw(rt, "to"))
	if err := c.Commit(off); err == nil {
		m.cursor[name] = off
	} else if m.broken.Load() == 0 {
		rt.Fatalf("commit: %v", err)
	}
}

// Retain removes old segments down to a size, now and then.
func (m *machine) Retain(*rapid.T) {
	_ = m.log.Maintain(m.t.Context())
}

// Check runs after every step.
func (m *machine) Check(rt *rapid.T) {
	st := m.log.Stat()
	if st.NextOffset != Offset(len(m.model)) || st.QueuedBytes != 0 {
		rt.Fatalf("stat %+v, %d events were acknowledged", st, len(m.model))
	}
	if hold, ok := m.cursor["a"]; ok && st.FirstOffset > max(hold, m.first) {
		rt.Fatalf("the log begins at %d, it began at %d and a cursor holds %d", st.FirstOffset, m.first, hold)
	}
	m.first = st.FirstOffset
	rep, err := Verify(m.t.Context(), m.disk, dir, nil)
	if err != nil || !rep.OK || rep.Next < st.NextOffset {
		rt.Fatalf("verify: %+v, %v", rep, err)
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{t: t, cursor: map[string]Offset{}}
		m.o = options(nil)
		m.o.SegmentBytes = 6 << 10
		if rapid.Bool().Draw(rt, "begun by an older build") {
			m.o.format = version1 // until it is opened again
		}
		m.o.aheadBytes = rapid.SampledFrom([]int64{0, 1}).Draw(rt, "written ahead") // not, and always
		m.o.RetentionBytes = int64(rapid.SampledFrom([]int{0, 20 << 10}).Draw(rt, "retention"))
		if rapid.Bool().Draw(rt, "checkpoints") {
			n := 0 // used by the log's goroutine, and by Open before it starts
			m.o.Checkpoint = func() []byte { n++; return slices.Repeat([]byte("c"), n%100) }
		}
		m.use(memfs.New())
		m.open(rt)
		defer func() { _ = m.log.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.Append, "append again": m.Append, "rotate": m.Rotate, "break": m.Break, "heal": m.Heal,
			"reopen": m.Reopen, "rewrite": m.Rewrite, "crash": m.Crash, "read": m.Read, "commit": m.Commit, "retain": m.Retain, "": m.Check,
		})
	})
}
