package wal

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/amoskys/amoskys/internal/vfs/errorfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// TestTwoGroupsEveryOperation fails each operation that follows when two groups are
// under way, once and for good, with what disks say, whether the first group's sync
// fails as well or not.
func TestTwoGroupsEveryOperation(t *testing.T) {
	failures := 0
	for _, first := range []error{nil, syscall.EIO} {
		for _, cause := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EROFS} {
			for _, lasts := range []int64{1, 2, 3, 1 << 30} {
				for n := int64(1); ; n++ {
					d := newDuo(t)
					d.fly()
					var seen atomic.Int64
					var hit atomic.Bool
					d.fail(cause, func(op errorfs.Op) bool {
						if !op.Kind.Changes() && op.Kind != errorfs.Size && op.Kind != errorfs.Close {
							return false
						}
						at := seen.Add(1)
						if at == n {
							hit.Store(true)
						}
						return at >= n && at-n < lasts
					})
					d.land(first)
					if err := d.log.control(t.Context(), func() error { return nil }); err != nil { // nothing is under way
						t.Fatal(err)
					}
					d.outcome()
					d.check()
					if !hit.Load() {
						break
					}
					failures++
				}
			}
		}
	}
	t.Logf("%d failures", failures)
}

// TestTwoGroupsCrash stops the disk at every operation while two groups are under way,
// and recovers what may be left: of what was written nothing, all, a prefix or any
// sectors, so also the second group without the first.
func TestTwoGroupsCrash(t *testing.T) {
	type moment struct {
		where string
		disk  *memfs.FS
		acked int64
	}
	for _, first := range []error{nil, syscall.EIO} {
		for seed := range uint64(20) {
			d := newDuo(t)
			rng := rand.New(rand.NewPCG(seed, 1))
			var moments []moment
			var mu sync.Mutex // the log does things beside the test
			take := func(where string) {
				mu.Lock()
				defer mu.Unlock()
				for range 3 {
					moments = append(moments,
						moment{where, d.disk.CrashScattered(func() bool { return rng.IntN(2) == 0 }), d.acked.Load()},
						moment{where, d.disk.Crash(func(n int) int { return rng.IntN(n + 1) }), d.acked.Load()})
				}
				moments = append(moments, moment{where, d.disk.Crash(nil), d.acked.Load()}, moment{where, d.disk.Clone(), d.acked.Load()})
			}
			d.fly()
			take("two groups under way")
			d.fail(nil, func(op errorfs.Op) bool {
				if op.Kind.Changes() {
					take(fmt.Sprintf("before %s %s", op.Kind, op.Path))
				}
				return false
			})
			d.land(first)
			d.heal()
			take("both answered")
			if err := d.log.control(t.Context(), func() error { return nil }); err != nil { // nothing takes any more
				t.Fatal(err)
			}
			for _, m := range moments {
				rep := verify(t, m.disk)
				if !rep.OK {
					t.Fatalf("seed %d, %s: verify before recovery: %+v", seed, m.where, rep)
				}
				l, err := Open(t.Context(), options(m.disk))
				if err != nil {
					t.Fatal(err)
				}
				st := l.Stat()
				got, bad := readAll(t, l, 0)
				if len(st.Recovery.Damage) > 0 || len(st.Losses) > 0 || len(bad) > 0 || st.NextOffset < Offset(m.acked) || len(got) != int(st.NextOffset) {
					t.Fatalf("seed %d, %s, %d acknowledged: %+v, %v", seed, m.where, m.acked, st, bad)
				}
				for off, ev := range got {
					if !strings.HasPrefix(ev, fmt.Sprintf("batch %d event 0 ", off)) {
						t.Fatalf("seed %d, %s: offset %d reads %q", seed, m.where, off, ev)
					}
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			d.check()
		}
	}
}
