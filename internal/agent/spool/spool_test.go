package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, o Options) *Spool {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// crash releases what the process held, as the kernel does at its end, and
// nothing more.
func crash(s *Spool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	_ = s.release()
}

// noise is text of n bytes that does not pack.
func noise(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('!' + rand.IntN(94))
	}
	return string(b)
}

func add(t *testing.T, s *Spool, events ...string) {
	t.Helper()
	for _, e := range events {
		if err := s.Append([]byte(e)); err != nil {
			t.Fatalf("append %q: %v", e, err)
		}
	}
}

func next(t *testing.T, s *Spool) (Batch, []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	b, err := s.Next(ctx)
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	events, err := b.Events()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = string(e)
	}
	return b, out
}

func wantEvents(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("events (-want +got):\n%s", diff)
	}
}

func TestBatchesCloseByCountBytesAndAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Dir: t.TempDir(), Events: 3, Bytes: 100, Age: time.Second, Quiet: time.Second})
		add(t, s, "a", "b", "c", "d")
		b, got := next(t, s)
		wantEvents(t, got, "a", "b", "c")
		if b.Sequence != 1 {
			t.Errorf("first sequence %d, want 1", b.Sequence)
		}
		start := time.Now()
		_, got = next(t, s)
		wantEvents(t, got, "d")
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("a lone event waited %v, want 1s", waited)
		}
		long := strings.Repeat("x", 60)
		add(t, s, long, long)
		start = time.Now()
		_, got = next(t, s)
		wantEvents(t, got, long)
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a full batch waited %v", waited)
		}
		s.Flush()
		_, got = next(t, s)
		wantEvents(t, got, long)
	})
}

func TestSameBatchAfterCrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Events: 2, BootID: "boot"})
	add(t, s, "a", "b", "c", "d", "e")
	first, _ := next(t, s)
	second, _ := next(t, s)
	s.Ack(first.Sequence)
	crash(s)

	s = open(t, Options{Dir: dir, Events: 2, BootID: "boot"})
	again, got := next(t, s)
	wantEvents(t, got, "c", "d")
	if again.Sequence != second.Sequence || again.Producer != second.Producer {
		t.Errorf("the batch came again as %x/%d, was %x/%d", again.Producer, again.Sequence, second.Producer, second.Sequence)
	}
	// "e" was never handed out, so its number may differ, but never repeats one.
	last, got := next(t, s)
	wantEvents(t, got, "e")
	if last.Producer == second.Producer && last.Sequence <= second.Sequence {
		t.Errorf("sequence %d given out twice", last.Sequence)
	}
	if n := s.Stats().Events; n != 3 {
		t.Errorf("%d events wait, want 3", n)
	}
	s.Ack(again.Sequence)
	s.Ack(last.Sequence)
	if st := s.Stats(); st.Events != 0 || st.Dropped() != 0 {
		t.Errorf("after all acks: %+v", st)
	}
}

func TestProducerIDFollowsWhatIsKnown(t *testing.T) {
	type end func(t *testing.T, s *Spool, dir string)
	closed := func(t *testing.T, s *Spool, _ string) {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		boot string
		end  end
		same bool
	}{
		{"closed in order", "one", closed, true},
		{"closed in order before a reboot", "two", closed, true},
		{"crash of the agent", "one", func(_ *testing.T, s *Spool, _ string) { crash(s) }, true},
		{"crash of the machine", "two", func(_ *testing.T, s *Spool, _ string) { crash(s) }, false},
		{"crash on an unknown system", "", func(_ *testing.T, s *Spool, _ string) { crash(s) }, false},
		{"cursor lost", "one", func(t *testing.T, s *Spool, dir string) {
			closed(t, s, dir)
			_ = os.Remove(filepath.Join(dir, homeName, "cursor"))
		}, false},
		{"producer damaged", "one", func(t *testing.T, s *Spool, dir string) {
			closed(t, s, dir)
			_ = os.WriteFile(filepath.Join(dir, homeName, "producer"), []byte("junk"), 0o600)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, Options{Dir: dir, Events: 1, BootID: "one"})
			add(t, s, "a")
			b, _ := next(t, s)
			s.Ack(b.Sequence)
			tt.end(t, s, dir)
			s = open(t, Options{Dir: dir, Events: 1, BootID: tt.boot})
			add(t, s, "b")
			again, got := next(t, s)
			for got[0] == "a" { // the hub knows it as a repeat
				again, got = next(t, s)
			}
			wantEvents(t, got, "b")
			if same := again.Producer == b.Producer; same != tt.same {
				t.Errorf("same producer: %v, want %v", same, tt.same)
			}
			if again.Producer == b.Producer && again.Sequence <= b.Sequence {
				t.Errorf("sequence %d used twice", again.Sequence)
			}
		})
	}
}

func TestRewindAndRetryResendInOrder(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), Events: 1})
	add(t, s, "a", "b", "c", "d")
	var seqs []uint64
	for range 3 {
		b, _ := next(t, s)
		seqs = append(seqs, b.Sequence)
	}
	s.Ack(seqs[1])
	s.Rewind()
	var got []string
	for range 3 {
		_, e := next(t, s)
		got = append(got, e...)
	}
	wantEvents(t, got, "a", "c", "d")
	s.Ack(seqs[2])
	s.Retry(seqs[0], time.Millisecond)
	b, e := next(t, s)
	wantEvents(t, e, "a")
	s.Ack(b.Sequence)
	s.Ack(b.Sequence)
	if st := s.Stats(); st.Acked != 3 || st.Events != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestWindowStopsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{Dir: t.TempDir(), Events: 1})
		for i := range Window + 5 {
			add(t, s, fmt.Sprint(i))
		}
		for range Window {
			next(t, s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("batch %d was handed out beyond the window: %v", b.Sequence, err)
		}
		s.Ack(1)
		b, _ := next(t, s)
		if b.Sequence != Window+1 {
			t.Errorf("after the first ack came batch %d, want %d", b.Sequence, Window+1)
		}
	})
}

func TestDropPolicies(t *testing.T) {
	const n = 200 // 2 MB into 1 MB
	for _, policy := range []Policy{DropOldest, DropNewest} {
		t.Run(string(policy), func(t *testing.T) {
			s := open(t, Options{Dir: t.TempDir(), MaxBytes: 1 << 20, Events: 5, Policy: policy})
			refused := 0
			for i := range n {
				if err := s.Append(fmt.Appendf(nil, "%03d%s", i, noise(10_000))); errors.Is(err, ErrFull) {
					refused++
				} else if err != nil {
					t.Fatal(err)
				}
				if b := s.Stats().Bytes; b > 1<<20 {
					t.Fatalf("spool has %d bytes after event %d", b, i)
				}
			}
			st := s.Stats()
			if st.DroppedFull == 0 || st.Events+st.DroppedFull != n {
				t.Fatalf("%d wait and %d dropped, want %d together", st.Events, st.DroppedFull, n)
			}
			s.Flush()
			seen := map[string]bool{}
			for s.Stats().Events > 0 {
				b, events := next(t, s)
				for _, e := range events {
					seen[e[:3]] = true
				}
				s.Ack(b.Sequence)
			}
			if uint64(len(seen)) != n-st.DroppedFull {
				t.Errorf("%d events came out, want %d", len(seen), n-st.DroppedFull)
			}
			first, last := seen["000"], seen[fmt.Sprintf("%03d", n-1)]
			if policy == DropOldest && (first || !last || refused > 0) || policy == DropNewest && (!first || last || refused == 0) {
				t.Errorf("kept first %v, last %v, refused %d", first, last, refused)
			}
		})
	}
}

func TestDroppedInFlightCountsOnce(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), MaxBytes: 1 << 20, Events: 1})
	payload := noise(50_000)
	add(t, s, payload, payload)
	one, _ := next(t, s)
	next(t, s)
	for range 30 {
		add(t, s, payload)
	}
	st := s.Stats()
	s.Ack(one.Sequence)
	if got := s.Stats(); got.DroppedFull != st.DroppedFull || got.Acked != 1 {
		t.Errorf("a late ack: %+v", got)
	}
	s.Rewind()
	if got := s.Stats(); got.DroppedFull != st.DroppedFull+1 {
		t.Errorf("dropped %d after the connection ended, want %d", got.DroppedFull, st.DroppedFull+1)
	}
}

func TestDailyUseStaysSmall(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), Events: 10})
	payload := noise(40_000)
	for range 200 {
		add(t, s, payload)
		s.Flush()
		b, _ := next(t, s)
		s.Ack(b.Sequence)
	}
	if b := s.Stats().Bytes; b > 2<<20 {
		t.Errorf("spool with nothing to send holds %d bytes", b)
	}
}

func TestTwiceRunning(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{Dir: dir})
	_, err := Open(Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Errorf("error %v does not name the holder", err)
	}
}

func TestLimits(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	if err := s.Append(make([]byte, MaxEventBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if err := s.Append(make([]byte, MaxEventBytes)); err != nil {
		t.Errorf("largest: %v", err)
	}
	b, events := next(t, s)
	if len(events) != 1 || len(events[0]) != MaxEventBytes {
		t.Error("largest event did not come back")
	}
	select {
	case <-s.Empty():
		t.Error("empty before the ack")
	default:
	}
	s.Ack(b.Sequence)
	<-s.Empty()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append([]byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("next after close: %v", err)
	}
}
