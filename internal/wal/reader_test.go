package wal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/vfs/memfs"
)

// TestReadersFollow lets several readers follow writers across rotations: each
// sees every offset once and in order, and only what is durable.
func TestReadersFollow(t *testing.T) { eachShape(t, 10000, testReadersFollow) }

func testReadersFollow(t *testing.T, sh *shape) {
	o := sh.options(memfs.New())
	o.SegmentBytes = 16 << 10
	l := openLog(t, o)
	const writers, each, readers = 4, 100, 4
	total := Offset(writers * each * 3)
	var wg sync.WaitGroup
	for range readers {
		r, err := l.NewReader(0)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer r.Close()
			for next := Offset(0); next < total; {
				e, err := r.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if durable := l.Stat().NextOffset; e.First+Offset(e.Count) > durable {
					t.Errorf("read offset %d, durable are those below %d", e.First, durable)
				}
				for off, ev := range e.Events() {
					if off != next || len(ev) == 0 {
						t.Errorf("offset %d, want %d", off, next)
						return
					}
					next++
				}
			}
		})
	}
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := l.Append(t.Context(), sh.batch(w*each+i, 3, 60+i%200)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestReaderWaits checks waiting, waking, cancelling and closing in a world
// without real time.
func TestReaderWaits(t *testing.T) { eachShape(t, 10000, testReaderWaits) }

func testReaderWaits(t *testing.T, sh *shape) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(t.Context(), sh.options(memfs.New()))
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.NewReader(0)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 10)
		ended := make(chan error, 1)
		go func() {
			for {
				e, err := r.Next(t.Context())
				if err != nil {
					ended <- err
					return
				}
				for _, ev := range e.Events() {
					got <- string(ev)
				}
			}
		}()
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("an event from nowhere")
		}
		mustAppend(t, l, sh.record("a", 1, "hello"))
		if ev := <-got; ev != "hello" {
			t.Fatal(ev)
		}
		synctest.Wait()
		if r.scan.buf != nil {
			t.Error("a waiting reader holds a buffer")
		}
		// An hour passes: nothing is due, nothing happens.
		time.Sleep(time.Hour) //nolint:forbidigo // the fake clock of synctest
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		other, err := l.NewReader(1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := other.TryNext(); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), sh.batch(1, 1, 1)); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		if _, err := l.NewReader(0); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		if _, err := l.Cursor("x", false); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		if err := l.Barrier(func(error) {}); !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestOrder submits from several goroutines and checks that each one's records
// keep their order, and that a barrier comes after what was submitted before.
func TestOrder(t *testing.T) { eachShape(t, 10000, testOrder) }

func testOrder(t *testing.T, sh *shape) {
	l := openLog(t, sh.options(memfs.New()))
	var mu sync.Mutex
	answered := map[int][]uint64{}
	var wg, all sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := range 200 {
				all.Add(1)
				seq := uint64(i)
				err := l.Submit(sh.record(fmt.Sprint(w), seq, "x"), func(_ Offset, err error) {
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						t.Error(err)
					}
					answered[w] = append(answered[w], seq)
					all.Done()
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	done := make(chan error, 1)
	if err := l.Barrier(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if n := len(answered[0]) + len(answered[1]) + len(answered[2]); n != 600 {
			t.Errorf("the barrier came after %d of 600 records", n)
		}
		done <- err
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	all.Wait()
	for w, list := range answered {
		for i, seq := range list {
			if seq != uint64(i) {
				t.Fatalf("publisher %d: record %d was answered in place %d", w, seq, i)
			}
		}
	}
}

func TestInvalidRecords(t *testing.T) {
	l := openLog(t, options(memfs.New()))
	long := make([]byte, 300)
	for name, r := range map[string]*Record{
		"no events":       {Count: 0, Payload: [][]byte{payload("x")}},
		"negative":        {Count: -1, Payload: [][]byte{payload("x")}},
		"no payload":      {Count: 1},
		"too many events": {Count: 100, Payload: [][]byte{payload("x")}},
		"long name":       {Count: 1, Publisher: string(long), Payload: [][]byte{payload("x")}},
		"too big":         {Count: 1, Payload: [][]byte{make([]byte, MaxRecordBytes)}},
		"too many":        {Count: stream.MaxEvents + 1, Payload: [][]byte{make([]byte, stream.MaxEvents+1)}},
	} {
		if _, err := l.Append(t.Context(), r); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(t.Context(), Options{}); err == nil {
		t.Error("a log without a folder was opened")
	}
}

// TestCheckpointAndReplay checks what a program gets back after a restart.
func TestCheckpointAndReplay(t *testing.T) { eachShape(t, 10000, testCheckpointAndReplay) }

func testCheckpointAndReplay(t *testing.T, sh *shape) {
	disk := memfs.New()
	o := sh.options(disk)
	state := 0
	o.Checkpoint = func() []byte { return fmt.Appendf(nil, "%d records", state) }
	var replayed []string
	o.Replay = func(e *Entry) error {
		if e.Kind == KindCheckpoint {
			replayed = append(replayed, string(e.Payload))
			return nil
		}
		replayed = append(replayed, fmt.Sprintf("%s/%d", e.Publisher, e.Sequence))
		return nil
	}
	l := openLog(t, o)
	appendOne := func(seq uint64) {
		t.Helper()
		mustAppend(t, l, sh.record("p", seq, "x"))
		state++
	}
	appendOne(1)
	appendOne(2)
	if err := l.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendOne(3)
	reopen := func(want ...string) {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		replayed = nil
		l = openLog(t, o)
		if fmt.Sprint(replayed) != fmt.Sprint(want) {
			t.Fatalf("replayed %q, want %q", replayed, want)
		}
	}
	reopen("2 records", "p/3")
	appendOne(4)
	reopen("2 records", "p/3", "p/4")
	// With its checkpoint damaged, replay starts at the segment before.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := segments(t, disk)[1]
	b := content(t, disk, name)
	b[segmentHeaderBytes+recordHeaderBytes] ^= 1
	if err := disk.Put(dir+"/"+name, b); err != nil {
		t.Fatal(err)
	}
	reopen("0 records", "p/1", "p/2", "p/3", "p/4")
	o.Replay = func(*Entry) error { return errors.New("no") }
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); err == nil {
		t.Fatal("an error of Replay was ignored")
	}
}
