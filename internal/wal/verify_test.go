package wal

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/vfs"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// TestVerifyLiveLog verifies, describes and dumps a log on disk while it is
// written, rotated and shortened: nothing may look wrong.
func TestVerifyLiveLog(t *testing.T) { eachShape(t, 10000, testVerifyLiveLog) }

func testVerifyLiveLog(t *testing.T, sh *shape) {
	o := Options{Dir: filepath.Join(t.TempDir(), "wal"), Logger: quiet(), SegmentBytes: 256 << 10, RetentionBytes: 1 << 20}
	l := openLog(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if _, err := l.Append(ctx, sh.batch(w, 1+i%9, 10+i%5000)); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	cur, err := l.Cursor("follower", false)
	if err != nil {
		t.Fatal(err)
	}
	checks := 0
	for ctx.Err() == nil {
		if err := cur.Commit(l.Stat().NextOffset); err != nil {
			t.Fatal(err)
		}
		rep, err := Verify(t.Context(), vfs.OS{}, o.Dir, nil)
		if err != nil || !rep.OK {
			t.Fatalf("check %d: %+v, %v", checks, rep, err)
		}
		if _, err := Inspect(t.Context(), vfs.OS{}, o.Dir); err != nil {
			t.Fatal(err)
		}
		if err := Scan(t.Context(), vfs.OS{}, o.Dir, "", cur.Offset(), func(f Found) bool {
			if f.Bad != nil {
				t.Errorf("check %d: %v", checks, f.Bad)
			}
			return true
		}); err != nil && !vfs.IsNotExist(err) { // removed between listing and opening
			t.Fatal(err)
		}
		checks++
	}
	wg.Wait()
	t.Logf("%d checks, the log begins at %d and ends at %d", checks, l.Stat().FirstOffset, l.Stat().NextOffset)
}

func TestVerifyProgressAndCancel(t *testing.T) {
	disk := memfs.New()
	o := options(disk)
	o.SegmentBytes = 4 << 20
	l := openLog(t, o)
	for i := range 5 {
		mustAppend(t, l, batch(i, 1, 1<<20))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var last, calls int64
	rep, err := Verify(t.Context(), disk, dir, func(done, total int64) {
		if done < last || done > total {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
		calls++
	})
	if err != nil || !rep.OK || calls < 5 || last < rep.Bytes {
		t.Fatalf("%+v, %v, %d calls, last %d", rep, err, calls, last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, disk, dir, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), disk, "/nowhere", nil); !vfs.IsNotExist(err) {
		t.Fatal(err)
	}
	// A log whose HEAD file is gone is read all the same.
	if err := disk.Remove(dir + "/" + headName); err != nil {
		t.Fatal(err)
	}
	if rep := verify(t, disk); !rep.OK || len(rep.Notes) != 1 {
		t.Fatalf("%+v", rep)
	}
	openLog(t, options(disk))
	if rep := verify(t, disk); !rep.OK || len(rep.Notes) != 0 {
		t.Fatalf("HEAD was not made again: %+v", rep)
	}
}
