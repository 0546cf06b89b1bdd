package admit_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/amoskys/amoskys/internal/hub/admit"
)

func key(n int) (k [16]byte) {
	copy(k[:], fmt.Sprintf("%016d", n))
	return k
}

func TestClaim(t *testing.T) {
	type step struct {
		do   string // claim, store, fail
		seq  uint64
		want admit.Verdict
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"in order", []step{{"claim", 1, admit.New}, {"claim", 2, admit.New}, {"claim", 1, admit.Duplicate}}},
		{"out of order", []step{{"claim", 5, admit.New}, {"claim", 3, admit.New}, {"claim", 3, admit.Duplicate}}},
		{"a failed one may come again", []step{{"claim", 1, admit.New}, {"fail", 1, 0}, {"claim", 1, admit.New}, {"store", 1, 0}, {"claim", 1, admit.Duplicate}}},
		{"the edge of the window", []step{{"claim", 1024, admit.New}, {"claim", 1, admit.New}, {"claim", 1025, admit.New}, {"claim", 1, admit.Stale}, {"claim", 2, admit.New}}},
		{"a jump forgets", []step{{"claim", 10, admit.New}, {"store", 10, 0}, {"claim", 1 << 60, admit.New}, {"claim", 10, admit.Stale}}},
		{"a jump within the window keeps", []step{{"claim", 10, admit.New}, {"claim", 1000, admit.New}, {"claim", 10, admit.Duplicate}, {"claim", 500, admit.New}}},
		{"up to the highest number", []step{{"claim", ^uint64(0) - 1, admit.New}, {"claim", ^uint64(0), admit.New}, {"claim", ^uint64(0) - 1, admit.Duplicate}}},
		{"the highest number", []step{{"claim", ^uint64(0), admit.New}, {"claim", ^uint64(0), admit.Duplicate}, {"claim", ^uint64(0) - 1023, admit.New}, {"claim", ^uint64(0) - 1024, admit.Stale}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := admit.NewLedger(admit.LedgerOptions{})
			for i, s := range tt.steps {
				switch s.do {
				case "claim":
					if got := l.Claim("p", key(1), s.seq, now); got != s.want {
						t.Fatalf("step %d, claim %d: %d, want %d", i, s.seq, got, s.want)
					}
				case "store":
					l.Stored("p", key(1), s.seq)
				case "fail":
					l.Failed("p", key(1), s.seq)
				}
			}
		})
	}
}

func TestHasKnowsTheWindow(t *testing.T) {
	l := admit.NewLedger(admit.LedgerOptions{})
	for _, seq := range []uint64{1, 1 + admit.WindowSize} {
		if got := l.Claim("p", key(1), seq, now); got != admit.New {
			t.Fatalf("claim %d: %d", seq, got)
		}
	}
	l.Failed("p", key(1), 1)
	l.Stored("p", key(1), 1+admit.WindowSize)
	if l.Has("p", key(1), 1) {
		t.Error("a batch that failed counts as stored because of one a window ahead")
	}
}

func TestProducersOfOthersAreApart(t *testing.T) {
	l := admit.NewLedger(admit.LedgerOptions{})
	for _, publisher := range []string{"a", "b"} {
		for n := range 2 {
			if got := l.Claim(publisher, key(n), 1, now); got != admit.New {
				t.Errorf("producer %d of %s: %d", n, publisher, got)
			}
		}
	}
}

// TestOnePublisherForgetsItsOwn: who invents producer ids must not make the
// ledger forget what others sent, or their retries would be stored twice.
func TestOnePublisherForgetsItsOwn(t *testing.T) {
	l := admit.NewLedger(admit.LedgerOptions{Producers: 8})
	for n := range 4 {
		l.Claim("honest", key(n), 1, now)
		l.Stored("honest", key(n), 1)
	}
	for n := range 100 {
		l.Claim("hostile", key(1000+n), 1, now.Add(time.Duration(n)))
		l.Stored("hostile", key(1000+n), 1)
	}
	for n := range 4 {
		if !l.Has("honest", key(n), 1) {
			t.Errorf("producer %d was forgotten", n)
		}
	}
	if n := l.Producers(); n != 8 {
		t.Errorf("%d producers, want 8", n)
	}
	restored := admit.NewLedger(admit.LedgerOptions{Producers: 8})
	if err := restored.Restore(l.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		if !restored.Has("honest", key(n), 1) {
			t.Errorf("producer %d is not in the checkpoint", n)
		}
	}
}

// TestNoClockMakesTheLedgerForget: a clock that is a month ahead for a while must not
// make a batch count twice.
func TestNoClockMakesTheLedgerForget(t *testing.T) {
	l := admit.NewLedger(admit.LedgerOptions{})
	l.Claim("p", key(1), 1, now)
	l.Stored("p", key(1), 1)
	for _, off := range []time.Duration{31 * 24 * time.Hour, -31 * 24 * time.Hour, 400 * 24 * time.Hour} {
		for n := range 10 {
			l.Claim("q", key(100+n), 1, now.Add(off))
			l.Stored("q", key(100+n), 1)
		}
		if got := l.Claim("p", key(1), 1, now); got != admit.Duplicate {
			t.Errorf("with the clock %s off the batch is %d, want a duplicate", off, got)
		}
	}
	if got := l.Forgotten(); got.Count != 0 {
		t.Errorf("forgot %+v", got)
	}
}

// TestLedgerMakesRoomFairly: those who have most make room, each forgets its own, and
// what is forgotten while the log holds its records is counted.
func TestLedgerMakesRoomFairly(t *testing.T) {
	held := now
	l := admit.NewLedger(admit.LedgerOptions{Producers: 12, PerPublisher: 10, Holds: func(at time.Time) bool { return !at.Before(held) }})
	add := func(publisher string, n int, at time.Time) {
		l.Claim(publisher, key(n), 1, at)
		l.Stored(publisher, key(n), 1)
	}
	for n := range 10 {
		add("many", n, now.Add(time.Duration(n)))
	}
	add("many", 10, now.Add(time.Hour)) // beyond its share
	if got := l.Forgotten(); got.Count != 1 || got.Publisher != "many" || !got.Time.Equal(now.Add(time.Hour)) || l.Has("many", key(0), 1) {
		t.Errorf("forgot %+v, not the oldest of many", got)
	}
	for n := range 6 {
		add("few", 100+n, now)
	}
	for n := range 6 {
		if !l.Has("few", key(100+n), 1) {
			t.Errorf("producer %d of few was forgotten", n)
		}
	}
	if n := l.Producers(); n != 12 {
		t.Errorf("%d producers, want 12", n)
	}
	count := l.Forgotten().Count
	held = now.Add(time.Hour) // retention has removed the records
	add("few", 200, now.Add(time.Hour))
	if got := l.Forgotten().Count; got != count || l.Producers() != 12 {
		t.Errorf("counts %d of which the log holds nothing", got-count)
	}
}

// TestSingleEventsBeyondTheirShare: whoever sends very many forgets its own ids, and a
// checkpoint holds what the ledger does.
func TestSingleEventsBeyondTheirShare(t *testing.T) {
	l := admit.NewLedger(admit.LedgerOptions{Events: 64})
	store := func(publisher string, n int) {
		l.ClaimEvent(publisher, key(n))
		l.EventStored(publisher, key(n))
	}
	for n := range 16 {
		store("honest", n)
	}
	for n := range 1000 {
		store("hostile", n)
	}
	for n := range 16 {
		store("late", n)
	}
	back := admit.NewLedger(admit.LedgerOptions{Events: 64})
	if err := back.Restore(l.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]*admit.Ledger{"ledger": l, "restored": back} {
		for n := range 16 {
			if !l.HasEvent("honest", key(n)) || !l.HasEvent("late", key(n)) {
				t.Errorf("%s: event %d was forgotten", name, n)
			}
		}
		if !l.HasEvent("hostile", key(999)) || l.HasEvent("hostile", key(900)) {
			t.Errorf("%s: not the oldest of hostile were forgotten", name)
		}
	}
}

func TestLedgerIsBounded(t *testing.T) {
	l := admit.NewLedger(admit.LedgerOptions{Producers: 3, PerPublisher: 3, Events: 6})
	l.Claim("p", key(0), 1, now) // never settled: stays
	for n := 1; n < 10; n++ {
		l.Claim("p", key(n), 1, now.Add(time.Duration(n)))
		l.Stored("p", key(n), 1)
	}
	if n := l.Producers(); n != 3 {
		t.Errorf("%d producers, want 3", n)
	}
	if got := l.Claim("p", key(0), 1, now); got != admit.Duplicate {
		t.Errorf("a batch under way was forgotten: %d", got)
	}
	if !l.Has("p", key(9), 1) || l.Has("p", key(2), 1) {
		t.Error("not the producer that was idle longest was forgotten")
	}
	for n := range 5 {
		l.ClaimEvent("p", key(n))
	}
	if l.ClaimEvent("p", key(4)) != admit.Duplicate || l.ClaimEvent("p", key(0)) != admit.New {
		t.Error("not the oldest events were forgotten")
	}
}

func TestClaimEvent(t *testing.T) {
	l := admit.NewLedger(admit.LedgerOptions{})
	if got := l.ClaimEvent("p", key(1)); got != admit.New {
		t.Errorf("first: %d", got)
	}
	if got := l.ClaimEvent("p", key(1)); got != admit.Duplicate || l.HasEvent("p", key(1)) {
		t.Errorf("under way: %d, stored %t", got, l.HasEvent("p", key(1)))
	}
	l.EventFailed("p", key(1))
	if got := l.ClaimEvent("p", key(1)); got != admit.New {
		t.Errorf("after a failure: %d", got)
	}
	l.EventStored("p", key(1))
	if got := l.ClaimEvent("p", key(1)); got != admit.Duplicate || !l.HasEvent("p", key(1)) {
		t.Errorf("stored: %d, %t", got, l.HasEvent("p", key(1)))
	}
	if got := l.ClaimEvent("other", key(1)); got != admit.New {
		t.Errorf("the same id from another: %d", got)
	}
}

// TestCheckpointHoldsOnlyWhatIsStored guards against the worst: a batch that was
// under way when the hub died must be taken when it comes again.
func TestCheckpointHoldsOnlyWhatIsStored(t *testing.T) {
	l := admit.NewLedger(admit.LedgerOptions{})
	for seq := uint64(1); seq <= 5; seq++ {
		l.Claim("p", key(1), seq, now)
	}
	l.Stored("p", key(1), 1)
	l.Stored("p", key(1), 3)
	l.ClaimEvent("p", key(7))
	l.ClaimEvent("p", key(8))
	l.EventStored("p", key(8))

	back := admit.NewLedger(admit.LedgerOptions{})
	if err := back.Restore(l.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	want := map[uint64]admit.Verdict{1: admit.Duplicate, 2: admit.New, 3: admit.Duplicate, 4: admit.New, 5: admit.New, 6: admit.New}
	for seq, verdict := range want {
		if got := back.Claim("p", key(1), seq, now); got != verdict {
			t.Errorf("sequence %d: %d, want %d", seq, got, verdict)
		}
	}
	if back.ClaimEvent("p", key(7)) != admit.New || back.ClaimEvent("p", key(8)) != admit.Duplicate {
		t.Error("events: the one under way must be new, the stored one a duplicate")
	}
}

// TestLedgerAgainstModel plays random histories with crashes against sets.
func TestLedgerAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := admit.NewLedger(admit.LedgerOptions{})
		type batch struct {
			producer int
			seq      uint64
		}
		stored, pending := map[batch]bool{}, map[batch]bool{}
		top := map[int]uint64{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			b := batch{rapid.IntRange(0, 2).Draw(t, "producer"), rapid.Uint64Range(1, 3000).Draw(t, "seq")}
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				top[b.producer] = max(top[b.producer], b.seq)
				want := admit.New
				switch {
				case top[b.producer]-b.seq >= admit.WindowSize:
					want = admit.Stale
				case stored[b] || pending[b]:
					want = admit.Duplicate
				}
				if got := l.Claim("p", key(b.producer), b.seq, now); got != want {
					t.Fatalf("claim %v: %d, want %d", b, got, want)
				}
				if want == admit.New {
					pending[b] = true
				}
			case 2:
				for b := range pending {
					if rapid.Bool().Draw(t, "durable") {
						l.Stored("p", key(b.producer), b.seq)
						stored[b] = true
					} else {
						l.Failed("p", key(b.producer), b.seq)
					}
					delete(pending, b)
				}
			case 3: // crash
				text := l.Checkpoint()
				l = admit.NewLedger(admit.LedgerOptions{})
				if err := l.Restore(text); err != nil {
					t.Fatal(err)
				}
				if again := l.Checkpoint(); !bytes.Equal(text, again) {
					t.Fatalf("checkpoint changes: %x then %x", text, again)
				}
				clear(pending)
			}
		}
	})
}

func TestRestoreRefusesWhatIsCutOff(t *testing.T) {
	l := admit.NewLedger(admit.LedgerOptions{})
	l.Replay("publisher", key(1), 5, now)
	l.ReplayEvent("publisher", key(2))
	text := l.Checkpoint()
	for n := range text {
		if err := admit.NewLedger(admit.LedgerOptions{}).Restore(text[:n]); !errors.Is(err, admit.ErrCheckpoint) {
			t.Errorf("first %d bytes: %v", n, err)
		}
	}
	if err := admit.NewLedger(admit.LedgerOptions{}).Restore(append(text, 0)); !errors.Is(err, admit.ErrCheckpoint) {
		t.Errorf("one byte more: %v", err)
	}
}

func FuzzRestore(f *testing.F) {
	l := admit.NewLedger(admit.LedgerOptions{})
	l.Replay("publisher", key(1), 5, now)
	l.Replay("publisher", key(2), 1, now)
	l.ReplayEvent("other", key(2))
	f.Add(l.Checkpoint())
	f.Add([]byte("AMLG\x01\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := admit.NewLedger(admit.LedgerOptions{Producers: 1000})
		if l.Restore(b) != nil {
			return
		}
		if err := admit.NewLedger(admit.LedgerOptions{}).Restore(l.Checkpoint()); err != nil {
			t.Fatalf("what was restored cannot be restored again: %v", err)
		}
	})
}

// TestNewerCheckpoint: a downgrade that cannot be is told why, and what to do.
func TestNewerCheckpoint(t *testing.T) {
	b := admit.NewLedger(admit.LedgerOptions{}).Checkpoint()
	b[len("AMLG")]++
	err := admit.NewLedger(admit.LedgerOptions{}).Restore(b)
	if !errors.Is(err, admit.ErrNewer) || !strings.Contains(err.Error(), "version 2, this program reads 1") || !strings.Contains(err.Error(), "run that version") {
		t.Error(err)
	}
}
