package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/stream"
)

// gaps reads a log from its beginning and returns what it is told of as
// "cause from-to".
func gaps(t *testing.T, l *Log) []string {
	t.Helper()
	r, err := Stream(l).NewReader(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []string
	for {
		_, ok, err := r.TryNext()
		gap, is := errors.AsType[*stream.Gap](err)
		switch {
		case is:
			out = append(out, fmt.Sprintf("%s %d-%d", gap.Cause, gap.From, gap.To))
		case err != nil:
			t.Fatal(err)
		case !ok:
			return out
		}
	}
}

func describeLosses(losses []stream.Loss) string {
	var out []string
	for _, l := range losses {
		text := fmt.Sprintf("%d: %d-%d", l.ID, l.From, l.To)
		if l.Unknown {
			text = fmt.Sprintf("%d: %d-?", l.ID, l.From)
		}
		if !l.Accepted.IsZero() {
			text += " accepted"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// TestLostBeginning is the life of a loss: noticed, told by all until it is accepted,
// told by readers for ever, also when retention has removed what came behind it.
func TestLostBeginning(t *testing.T) { eachShape(t, 3, testLostBeginning) }

func testLostBeginning(t *testing.T, sh *shape) {
	disk, _ := smallLog(t, sh, true)
	if err := disk.Remove(dir + "/" + segmentName(0)); err != nil {
		t.Fatal(err)
	}
	c := newClock()
	o := sh.options(disk)
	o.Now = c.Now
	for round := range 3 {
		l := openLog(t, o)
		st := l.Stat()
		if got := describeLosses(st.Losses); got != "1: 0-4" || st.Losses[0].Noticed != c.Now().UTC() || st.Losses[0].Reason != lostBeginning.String() {
			t.Fatalf("round %d: %s, %+v", round, got, st.Losses)
		}
		if got := gaps(t, l); !slices.Equal(got, []string{"lost 0-4"}) {
			t.Fatalf("round %d: readers are told %v", round, got)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if rep := verify(t, disk); rep.OK || rep.FirstBadOffset != 0 || describeLosses(rep.Losses) != "1: 0-4" {
			t.Fatalf("round %d: %+v", round, rep)
		}
	}
	l := openLog(t, o)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // whoever does not wait for the answer leaves nothing behind
		if accepted, err := l.AcceptLosses(gone, []uint64{1, 2}); err == nil || accepted != nil {
			t.Fatal(accepted, err)
		}
	}
	if _, err := l.AcceptLosses(t.Context(), []uint64{1, 2}); !errors.Is(err, stream.ErrNoLoss) || len(l.Stat().Losses) != 1 {
		t.Fatalf("accepted one that is not there: %v", err)
	}
	accepted, err := l.AcceptLosses(t.Context(), []uint64{1})
	if err != nil || describeLosses(accepted) != "1: 0-4 accepted" {
		t.Fatal(accepted, err)
	}
	if again, err := l.AcceptLosses(t.Context(), nil); err != nil || len(again) != 0 {
		t.Fatal(again, err)
	}
	if st := l.Stat(); !healthy(st) {
		t.Fatalf("%+v", st)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if rep := verify(t, disk); !rep.OK || describeLosses(rep.Losses) != "1: 0-4 accepted" {
		t.Fatalf("%+v", rep)
	}
	o.RetentionBytes = 1
	l = openLog(t, o)
	if err := l.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := l.Stat().FirstOffset
	if got := gaps(t, l); first <= 4 || !slices.Equal(got, []string{"lost 0-4", fmt.Sprintf("removed 4-%d", first)}) {
		t.Fatalf("begins at %d, readers are told %v", first, got)
	}
	if rep := verify(t, disk); !rep.OK || rep.Removed != first || rep.RemovedAt.IsZero() {
		t.Fatalf("%+v", rep)
	}
}

// TestPreviousBuildsHead: what previous builds wrote and write into HEAD makes no loss,
// and takes none away.
func TestPreviousBuildsHead(t *testing.T) {
	s := newSample(t, newest(), sampleOptions{segments: 4, retention: true})
	old := func(serial uint64, oldest, next Offset, chain [chainBytes]byte) {
		t.Helper()
		h := head{serial: serial, removed: oldest, next: next, chain: chain}
		b, err := s.disk.Bytes(dir + "/" + headName)
		if err != nil {
			t.Fatal(err)
		}
		copy(b[serial%2*headSlotEvery:], h.encode()[:headSlotBytes])
		if err := s.disk.Put(dir+"/"+headName, b); err != nil {
			t.Fatal(err)
		}
	}
	h, _, err := readHead(s.disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	// A log of theirs: no copy, no notes, one slot or two.
	if err := s.disk.Remove(dir + headSuffix); err != nil {
		t.Fatal(err)
	}
	if err := s.disk.Put(dir+"/"+headName, make([]byte, headFileBytes)); err != nil {
		t.Fatal(err)
	}
	old(h.serial, h.removed, h.next, h.chain)
	if rep := verify(t, s.disk); !rep.OK || len(rep.Notes) > 0 {
		t.Fatalf("%+v", rep)
	}
	l := openLog(t, sampleLog(s.disk))
	if st := l.Stat(); !healthy(st) {
		t.Fatalf("%+v", st)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// With a loss on record they write on, as if nothing were missing.
	first := segments(t, s.disk)[0]
	if err := s.disk.Remove(dir + "/" + first); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, sampleLog(s.disk))
	want := describeLosses(l.Stat().Losses)
	if err := l.Close(); err != nil || want == "" {
		t.Fatal(want, err)
	}
	h, _, err = readHead(s.disk, dir)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := parseSegmentName(segments(t, s.disk)[0])
	for i := range uint64(3) {
		old(h.serial+1+i, second, h.next, h.chain)
	}
	if got := describeLosses(openLog(t, sampleLog(s.disk)).Stat().Losses); got != want {
		t.Fatalf("%s on record, was %s", got, want)
	}
}

// TestNewestSegmentOfKilledLog: how much was in it is not known, so the log goes on above
// all that can have been, and that is no further loss the next time.
func TestNewestSegmentOfKilledLog(t *testing.T) { eachShape(t, 3, testNewestSegmentOfKilledLog) }

func testNewestSegmentOfKilledLog(t *testing.T, sh *shape) {
	disk, g := smallLog(t, sh, false)
	segs := segments(t, disk)
	if err := disk.Remove(dir + "/" + segs[2]); err != nil {
		t.Fatal(err)
	}
	if rep := verify(t, disk); rep.OK || rep.FirstBadOffset != 9 {
		t.Fatalf("%+v", rep)
	}
	for range 2 {
		l := openLog(t, sh.options(disk))
		first := mustAppend(t, l, sh.batch(50, 1, 20))
		if got := describeLosses(l.Stat().Losses); got != "1: 9-?" || first < g.next {
			t.Fatalf("lost %s, goes on at %d", got, first)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestManyLosses: the table has a bound; what is merged says too much, not too little.
func TestManyLosses(t *testing.T) {
	var n note
	for i := range Offset(maxLosses + 20) {
		accepted := time.Time{}
		if i < 10 {
			accepted = time.Unix(1, 0)
		}
		n.add(loss{id: i + 1, from: i * 100, to: i*100 + 10, accepted: accepted})
	}
	if len(n.losses) != maxLosses {
		t.Fatalf("%d losses", len(n.losses))
	}
	for i := range Offset(maxLosses + 20) {
		if covered := len(uncovered(n.losses, i*100, i*100+10)) == 0; covered != (i >= 10) {
			t.Errorf("loss %d on record: %v", i+1, covered)
		}
	}
	if len((&head{note: n}).encode()) != headSlotEvery {
		t.Error("it does not fit into a slot")
	}
}
