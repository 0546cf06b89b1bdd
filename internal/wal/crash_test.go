package wal

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// ledger is the model: what was acknowledged.
type ledger struct {
	mu    sync.Mutex
	acked map[Offset]string
	next  Offset // behind the highest acknowledged offset
}

func newLedger() *ledger { return &ledger{acked: map[Offset]string{}} }

func (g *ledger) ack(first Offset, r *Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := Entry{Entry: stream.Entry{First: first, Count: r.Count, Payload: joined(r), Codec: r.Codec}}
	for off, ev := range e.Events() {
		g.acked[off] = string(ev)
		g.next = max(g.next, off+1)
	}
}

func joined(r *Record) []byte {
	var b []byte
	for _, p := range r.Payload {
		b = append(b, p...)
	}
	return b
}

func (g *ledger) clone() *ledger {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := newLedger()
	out.next = g.next
	maps.Copy(out.acked, g.acked)
	return out
}

// check reads a log and complains about every acknowledged event that is
// missing or different.
func (g *ledger) check(t *testing.T, l *Log) {
	t.Helper()
	got, bad := readAll(t, l, 0)
	if len(bad) != 0 {
		t.Fatalf("bad places in a log that was only crashed: %v", bad)
	}
	for off, ev := range g.acked {
		if got[off] != ev {
			t.Fatalf("acknowledged offset %d: got %q, want %q", off, got[off], ev)
		}
	}
	if next := l.Stat().NextOffset; next < g.next {
		t.Fatalf("log ends at %d, offsets up to %d were given out", next, g.next)
	}
}

// workload appends, rotates, commits a cursor and reopens.
func workload(t *testing.T, sh *shape, o Options, g *ledger) {
	t.Helper()
	for round := range 2 {
		l := openLog(t, o)
		cur, err := l.Cursor("sub", true)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			var wg sync.WaitGroup
			for j := range 3 {
				r := sh.batch(100*round+10*i+j, 1+j, 40+900*(i%3))
				wg.Add(1)
				err := l.Submit(r, func(first Offset, err error) {
					if err == nil {
						g.ack(first, r)
					}
					wg.Done()
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			wg.Wait()
			if i == 1 {
				if err := l.Rotate(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := cur.Commit(l.Stat().NextOffset); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrashBeforeEveryOperation stops the disk before each file-system
// operation of a workload, in four ways, and recovers.
func TestCrashBeforeEveryOperation(t *testing.T) { eachShape(t, 100, testCrashBeforeEveryOperation) }

func testCrashBeforeEveryOperation(t *testing.T, sh *shape) {
	policies := map[string]func(m *memfs.FS, rng *rand.Rand) *memfs.FS{
		"nothing unsynced survives": func(m *memfs.FS, _ *rand.Rand) *memfs.FS { return m.Crash(nil) },
		"a prefix survives": func(m *memfs.FS, rng *rand.Rand) *memfs.FS {
			return m.Crash(func(n int) int { return rng.IntN(n + 1) })
		},
		"random sectors survive": func(m *memfs.FS, rng *rand.Rand) *memfs.FS {
			return m.CrashScattered(func() bool { return rng.IntN(2) == 0 })
		},
		"all survives": func(m *memfs.FS, _ *rand.Rand) *memfs.FS { return m.Clone() },
	}
	for name, crash := range policies {
		for _, ahead := range []int64{0, 1} {
			t.Run(fmt.Sprintf("%s, written ahead %d", name, ahead), func(t *testing.T) { crashBeforeEveryOperation(t, sh, ahead, crash) })
		}
	}
}

func crashBeforeEveryOperation(t *testing.T, sh *shape, ahead int64, crash func(m *memfs.FS, rng *rand.Rand) *memfs.FS) {
	t.Helper()
	type moment struct {
		op    errorfs.Op
		disk  *memfs.FS
		acked *ledger
	}
	inner := memfs.New()
	g := newLedger()
	var moments []moment
	var mu sync.Mutex // a sync and a write may come at once
	rng := rand.New(rand.NewPCG(1, 2))
	fsys := errorfs.Wrap(inner, func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind.Changes() {
			moments = append(moments, moment{op, crash(inner, rng), g.clone()})
		}
		return nil
	})
	o := sh.options(fsys)
	o.SegmentBytes, o.aheadBytes = 8<<10, ahead
	checkpoint := 0
	o.Checkpoint = func() []byte { checkpoint++; return fmt.Appendf(nil, "checkpoint %d", checkpoint) }
	workload(t, sh, o, g)
	for _, m := range moments {
		where := fmt.Sprintf("crash before operation %d, %s %s", m.op.N, m.op.Kind, m.op.Path)
		if _, err := m.disk.Stat(dir); err != nil {
			continue
		}
		if rep := verify(t, m.disk); !rep.OK {
			t.Fatalf("%s: verify before recovery: %+v", where, rep)
		}
		po := options(m.disk)
		po.SegmentBytes = 8 << 10
		replayed := 0
		po.Replay = func(e *Entry) error {
			if replayed == 0 && e.Kind != KindCheckpoint {
				t.Errorf("%s: replay began with %s", where, e.Kind)
			}
			replayed++
			return nil
		}
		l, err := Open(t.Context(), po)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if st := l.Stat(); len(st.Recovery.Damage) != 0 || st.State != StateOK {
			t.Fatalf("%s: %+v", where, st)
		}
		m.acked.check(t, l)
		r := sh.batch(9999, 3, 100)
		m.acked.ack(mustAppend(t, l, r), r)
		m.acked.check(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if rep := verify(t, m.disk); !rep.OK {
			t.Fatalf("%s: verify after recovery: %+v", where, rep)
		}
	}
	t.Logf("%d moments", len(moments))
}

// TestTornAtEveryByte cuts the last record at each byte, in a file that ends
// there and in one whose reserved space goes on.
func TestTornAtEveryByte(t *testing.T) { eachShape(t, 100, testTornAtEveryByte) }

func testTornAtEveryByte(t *testing.T, sh *shape) {
	for _, reserved := range []bool{false, true} {
		t.Run(fmt.Sprintf("reserved=%v", reserved), func(t *testing.T) {
			disk := memfs.New()
			l := openLog(t, sh.options(disk))
			g := newLedger()
			for i := range 3 {
				r := sh.batch(i, 2, 30)
				g.ack(mustAppend(t, l, r), r)
			}
			keep := l.view.Load().end
			mustAppend(t, l, sh.batch(3, 2, 700))
			whole := l.view.Load().end
			name := dir + "/" + segmentName(0)
			crashed := disk.Clone()
			content, err := crashed.Bytes(name)
			if err != nil {
				t.Fatal(err)
			}
			for cut := keep; cut < whole; cut++ {
				torn := content[:cut:cut]
				if reserved {
					torn = append(torn, make([]byte, 64<<10)...)
				}
				d := crashed.Clone()
				if err := d.Put(name, torn); err != nil {
					t.Fatal(err)
				}
				if rep := verify(t, d); !rep.OK || rep.Next != g.next {
					t.Fatalf("cut at %d: verify %+v", cut, rep)
				}
				l, err := Open(t.Context(), sh.options(d))
				if err != nil {
					t.Fatal(err)
				}
				st := l.Stat()
				if st.NextOffset != g.next || len(st.Recovery.Damage) != 0 {
					t.Fatalf("cut at %d: %+v", cut, st)
				}
				if cut > keep+8 && st.Recovery.TornBytes == 0 {
					t.Fatalf("cut at %d: a torn tail was not noticed", cut)
				}
				g.clone().check(t, l)
				if first := mustAppend(t, l, sh.batch(4, 1, 10)); first != g.next {
					t.Fatalf("cut at %d: appended at %d, want %d", cut, first, g.next)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if rep := verify(t, d); !rep.OK {
					t.Fatalf("cut at %d: verify after recovery %+v", cut, rep)
				}
			}
		})
	}
}

// TestKilledWhileWriting opens what a killed process leaves: whole records
// that were written and not yet synced stay.
func TestKilledWhileWriting(t *testing.T) { eachShape(t, 100, testKilledWhileWriting) }

func testKilledWhileWriting(t *testing.T, sh *shape) {
	inner := memfs.New()
	var disk *memfs.FS
	syncs := 0
	fsys := errorfs.Wrap(inner, func(op errorfs.Op) error {
		if op.Kind == errorfs.Datasync && strings.Contains(op.Path, segmentSuffix) {
			if syncs++; syncs == 3 {
				disk = inner.Clone()
			}
		}
		return nil
	})
	l := openLog(t, sh.options(fsys))
	for i := range 4 {
		mustAppend(t, l, sh.batch(i, 1, 600))
	}
	var replayed []uint64
	o := sh.options(disk)
	o.Replay = func(e *Entry) error { replayed = append(replayed, e.Sequence); return nil }
	l2 := openLog(t, o)
	if len(replayed) == 0 || l2.Stat().NextOffset != Offset(len(replayed)) {
		t.Fatalf("replayed %v, log ends at %d", replayed, l2.Stat().NextOffset)
	}
}
