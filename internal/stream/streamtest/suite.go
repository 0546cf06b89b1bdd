package streamtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/stream"
)

// Subject is a log to test.
type Subject struct {
	Log stream.Log
	// Trim removes what lies before an offset, as retention does; a log may keep
	// more. Nil: it cannot be made to.
	Trim func(t *testing.T, before stream.Offset)
	// Reopen closes the log and opens it again. Nil: nothing of it is durable.
	Reopen func(t *testing.T) stream.Log
}

// Run checks that logs do what package stream promises. open makes a new, empty log
// that is closed when the test ends.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for name, check := range map[string]func(*testing.T, Subject){
		"entries come back as they were stored": entriesComeBack,
		"a reader begins anywhere":              readerBeginsAnywhere,
		"a reader waits at the tail":            readerWaits,
		"offsets grow and a barrier is passed":  barrier,
		"bad records are refused":               badRecords,
		"a time has an offset":                  times,
		"cursors":                               cursors,
		"a removed cursor stays removed":        removedCursor,
		"what is removed is a gap":              removedIsAGap,
		"a closed log says so":                  closedLog,
		"nothing is lost of a new log":          nothingLost,
		"what was acknowledged is durable":      durable,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

// Record makes a record of n events that say what they are, received at second i. Those
// of an odd i are packed.
func Record(i, n int) *stream.Record {
	var payload []byte
	for k := range n {
		body := fmt.Sprintf("event %d of batch %d", k, i)
		payload = append(payload, 3<<3|2)
		payload = binary.AppendUvarint(payload, uint64(len(body)))
		payload = append(payload, body...)
	}
	packing := codec.Known()[0]
	if i%2 == 0 {
		packing = codec.None
	}
	payload = packing.Pack(nil, payload)
	half := len(payload) / 2
	return &stream.Record{
		Publisher: fmt.Sprintf("spiffe://test/agent/host-%d", i%3), ProducerID: [16]byte{byte(i + 1)}, Sequence: uint64(i + 1),
		Received: time.Unix(1_700_000_000+int64(i), 5), Count: n, Payload: [][]byte{payload[:half], payload[half:]}, Codec: packing,
	}
}

func add(t *testing.T, l stream.Log, i, n int) stream.Offset {
	t.Helper()
	first, err := stream.Append(t.Context(), l, Record(i, n))
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func newReader(t *testing.T, l stream.Log, from stream.Offset) stream.Reader {
	t.Helper()
	r, err := l.NewReader(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// read returns what there is up to the tail: copies of entries, and gaps.
func read(t *testing.T, r stream.Reader) (entries []stream.Entry, gaps []stream.Gap) {
	t.Helper()
	for {
		e, ok, err := r.TryNext()
		gap, gone := errors.AsType[*stream.Gap](err)
		switch {
		case gone:
			gaps = append(gaps, *gap)
		case err != nil:
			t.Fatal(err)
		case !ok:
			return entries, gaps
		default:
			entries = append(entries, *e)
			entries[len(entries)-1].Payload = slices.Clone(e.Payload)
		}
	}
}

func entriesComeBack(t *testing.T, s Subject) {
	want := make([]stream.Entry, 0, 20)
	for i := range 20 {
		r := Record(i, 1+i%4)
		want = append(want, stream.Entry{
			First: add(t, s.Log, i, 1+i%4), Count: r.Count, Publisher: r.Publisher, ProducerID: r.ProducerID, Sequence: r.Sequence,
			Received: r.Received.UTC(), Payload: slices.Concat(r.Payload...), Codec: r.Codec,
		})
	}
	r := newReader(t, s.Log, 0)
	got, gaps := read(t, r)
	if len(gaps) > 0 {
		t.Errorf("gaps %v", gaps)
	}
	for i := range got {
		n := 0
		for off, ev := range got[i].Events() {
			if want := fmt.Sprintf("event %d of batch %d", n, i); off != got[i].First+stream.Offset(n) || string(ev) != want {
				t.Errorf("entry %d, %s: event %q at %d, want %q", i, got[i].Codec, ev, off, want)
			}
			n++
		}
		if n != got[i].Count {
			t.Errorf("entry %d, %s: %d events of %d", i, got[i].Codec, n, got[i].Count)
		}
		if next := got[i].Next; next < got[i].First+stream.Offset(got[i].Count) || i+1 < len(got) && next > got[i+1].First {
			t.Errorf("entry %d of %d events at %d says to go on at %d", i, got[i].Count, got[i].First, next)
		}
		got[i].Next, got[i].From = 0, 0
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(stream.Entry{})); diff != "" {
		t.Error(diff)
	}
	if end := s.Log.Stat().NextOffset; r.Offset() < end {
		t.Errorf("the reader goes on at %d, the log ends at %d", r.Offset(), end)
	}
}

func readerBeginsAnywhere(t *testing.T, s Subject) {
	offsets := make([]stream.Offset, 0, 15)
	for i := range 5 {
		first := add(t, s.Log, i, 3)
		offsets = append(offsets, first, first+1, first+2)
	}
	for i, from := range append(offsets, s.Log.Stat().NextOffset) {
		var got []stream.Offset
		entries, gaps := read(t, newReader(t, s.Log, from))
		for _, e := range entries {
			for off := range e.Events() {
				got = append(got, off)
			}
		}
		if !slices.Equal(got, offsets[i:]) || len(gaps) > 0 {
			t.Errorf("from %d: events %v and gaps %v, want %v", from, got, gaps, offsets[i:])
		}
	}
	if _, err := s.Log.NewReader(t.Context(), s.Log.Stat().NextOffset+1); err == nil {
		t.Error("a reader begins behind the end")
	}
}

func readerWaits(t *testing.T, s Subject) {
	r := newReader(t, s.Log, s.Log.Stat().NextOffset)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader whose context has ended: %v", err)
	}
	got := make(chan stream.Offset, 3)
	go func() {
		defer close(got)
		for range 3 {
			e, err := r.Next(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			got <- e.First
		}
	}()
	for i := range 3 {
		if want, first := add(t, s.Log, i, 2), <-got; first != want {
			t.Errorf("woken for %d, want %d", first, want)
		}
	}
}

func barrier(t *testing.T, s Subject) {
	const n = 50
	firsts := make(chan stream.Offset, n)
	for i := range n {
		if err := s.Log.Submit(Record(i, 1+i%3), func(first stream.Offset, err error) {
			if err != nil {
				t.Error(err)
			}
			firsts <- first
		}); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	if err := s.Log.Barrier(func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || len(firsts) != n {
		t.Fatalf("the barrier was passed with %v after %d of %d records", err, len(firsts), n)
	}
	for last, i := <-firsts, 1; i < n; i++ {
		first := <-firsts
		if first < last+1 {
			t.Fatalf("offset %d follows %d", first, last)
		}
		last = first
	}
}

func badRecords(t *testing.T, s Subject) {
	many := Record(0, 1)
	many.Count = stream.MaxEvents + 1
	many.Payload = [][]byte{make([]byte, 2*stream.MaxEvents)}
	long := Record(0, 1)
	long.Publisher = string(make([]byte, stream.MaxPublisherBytes+1))
	none := Record(0, 1)
	none.Count = 0
	unknown, empty, bomb, few := Record(1, 1), Record(1, 1), Record(1, 1), Record(1, 1)
	unknown.Codec = 250
	empty.Payload = nil
	bomb.Payload = [][]byte{{0xff}, {0xff, 0xff, 0x7f}, {0, 0, 0}}
	few.Count = 1000
	for name, r := range map[string]*stream.Record{
		"too many events": many, "a long publisher": long, "no event": none, "packed, no bytes": empty,
		"a codec that nobody knows": unknown, "packed, and says to be of a gigabyte": bomb, "packed, more events than bytes": few,
	} {
		if err := s.Log.Submit(r, func(stream.Offset, error) { t.Errorf("%s: done was called", name) }); !errors.Is(err, stream.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func times(t *testing.T, s Subject) {
	firsts := make([]stream.Offset, 0, 30)
	for i := range 30 {
		firsts = append(firsts, add(t, s.Log, i, 2))
	}
	for _, i := range []int{0, 1, 17, 29} {
		for _, before := range []time.Duration{0, time.Second / 2} {
			got, err := s.Log.OffsetAt(t.Context(), Record(i, 1).Received.Add(-before))
			if err != nil || got != firsts[i] {
				t.Errorf("%v before batch %d: %d, %v; want %d", before, i, got, err, firsts[i])
			}
		}
	}
	if got, err := s.Log.OffsetAt(t.Context(), Record(30, 1).Received); err != nil || got != s.Log.Stat().NextOffset {
		t.Errorf("behind the last: %d, %v", got, err)
	}
}

func cursors(t *testing.T, s Subject) {
	second := stream.Offset(0)
	for i := range 3 {
		if first := add(t, s.Log, i, 2); i == 1 {
			second = first
		}
	}
	end := s.Log.Stat().NextOffset
	at, err := s.Log.OpenCursor(t.Context(), "store@x", true)
	if err != nil || at != s.Log.Stat().FirstOffset {
		t.Fatalf("%v, a new cursor stands at %d", err, at)
	}
	for _, off := range []stream.Offset{end, second, second} {
		if err := s.Log.CommitCursor(t.Context(), "store@x", off); err != nil || s.Log.ListCursors()[0].Offset != off {
			t.Errorf("commit %d: %v, stands at %v", off, err, s.Log.ListCursors())
		}
	}
	if err := s.Log.CommitCursor(t.Context(), "store@x", end+1); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("commit behind the end: %v", err)
	}
	again, err := s.Log.OpenCursor(t.Context(), "store@x", true)
	if err != nil || again != second {
		t.Errorf("opened again: %v, %d", err, again)
	}
	if _, err := s.Log.OpenCursor(t.Context(), "a", false); err != nil {
		t.Error(err)
	}
	list := s.Log.ListCursors()
	if len(list) != 2 || list[0].Name != "a" || list[0].Hold || list[1].Name != "store@x" || !list[1].Hold || list[1].Offset != second || list[1].Updated.IsZero() {
		t.Errorf("list %+v", list)
	}
	for _, name := range []string{"", "a/b", "../a", ".a", "a b"} {
		if _, err := s.Log.OpenCursor(t.Context(), name, false); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("cursor %q: %v", name, err)
		}
	}
}

func removedCursor(t *testing.T, s Subject) {
	add(t, s.Log, 0, 2)
	if _, err := s.Log.OpenCursor(t.Context(), "gone", true); err != nil {
		t.Fatal(err)
	}
	if err := s.Log.RemoveCursor(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	if err := s.Log.CommitCursor(t.Context(), "gone", s.Log.Stat().NextOffset); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("commit of a removed cursor: %v", err)
	}
	if err := s.Log.RemoveCursor(t.Context(), "gone"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
	if list := s.Log.ListCursors(); len(list) > 0 {
		t.Errorf("list %v", list)
	}
}

func removedIsAGap(t *testing.T, s Subject) {
	if s.Trim == nil {
		t.Skip("this log cannot be made to remove anything")
	}
	firsts := make([]stream.Offset, 0, 10)
	for i := range 10 {
		firsts = append(firsts, add(t, s.Log, i, 2))
	}
	at := newReader(t, s.Log, firsts[6])
	old := newReader(t, s.Log, firsts[1])
	s.Trim(t, firsts[6])
	kept := s.Log.Stat().FirstOffset
	if kept == firsts[0] || kept > firsts[6] {
		t.Fatalf("the log begins at %d, should have been cut at %d", kept, firsts[6])
	}
	for name, r := range map[string]stream.Reader{"open meanwhile": old, "opened later": newReader(t, s.Log, firsts[1])} {
		entries, gaps := read(t, r)
		switch {
		case len(entries) > 0 && entries[0].First == firsts[1]: // it held what was removed
		case len(gaps) != 1 || gaps[0].From != firsts[1] || gaps[0].To != kept || gaps[0].Cause != stream.CauseRemoved || gaps[0].Reason == "":
			t.Errorf("%s: gaps %+v, the log begins at %d", name, gaps, kept)
		case len(entries) == 0 || entries[0].First != kept:
			t.Errorf("%s: goes on with %+v", name, entries)
		}
	}
	if entries, gaps := read(t, at); len(gaps) > 0 || len(entries) != 4 {
		t.Errorf("a reader of what was kept: %d entries, gaps %v", len(entries), gaps)
	}
}

func closedLog(t *testing.T, s Subject) {
	add(t, s.Log, 0, 1)
	r := newReader(t, s.Log, 0)
	waiting := newReader(t, s.Log, s.Log.Stat().NextOffset)
	woken := make(chan error, 1)
	go func() {
		_, err := waiting.Next(context.WithoutCancel(t.Context()))
		woken <- err
	}()
	for range 2 {
		if err := s.Log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-woken; !errors.Is(err, stream.ErrClosed) {
		t.Errorf("a waiting reader: %v", err)
	}
	if e, ok, err := r.TryNext(); !ok || e.First != 0 {
		t.Errorf("what was stored: %v", err)
	}
	if _, _, err := r.TryNext(); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("the end: %v", err)
	}
	never := func(stream.Offset, error) { t.Error("done was called") }
	if err := s.Log.Submit(Record(1, 1), never); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("submit: %v", err)
	}
	if err := s.Log.Barrier(func(error) { t.Error("done was called") }); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("barrier: %v", err)
	}
}

func durable(t *testing.T, s Subject) {
	if s.Reopen == nil {
		t.Skip("nothing of this log is durable")
	}
	for i := range 5 {
		add(t, s.Log, i, 2)
	}
	if _, err := s.Log.OpenCursor(t.Context(), "x", true); err != nil {
		t.Fatal(err)
	}
	at := s.Log.Stat().NextOffset
	if err := s.Log.CommitCursor(t.Context(), "x", at); err != nil {
		t.Fatal(err)
	}
	l := s.Reopen(t)
	if entries, gaps := read(t, newReader(t, l, 0)); len(entries) != 5 || len(gaps) > 0 {
		t.Errorf("%d entries, gaps %v", len(entries), gaps)
	}
	if list := l.ListCursors(); len(list) != 1 || list[0].Offset != at || !list[0].Hold {
		t.Errorf("cursors %+v", list)
	}
	if first := add(t, l, 5, 1); first < at {
		t.Errorf("offset %d is given out again, the log ended at %d", first, at)
	}
}

func nothingLost(t *testing.T, s Subject) {
	add(t, s.Log, 0, 1)
	if losses := s.Log.Stat().Losses; len(losses) > 0 {
		t.Errorf("losses %v", losses)
	}
	if accepted, err := s.Log.AcceptLosses(t.Context(), nil); err != nil || len(accepted) > 0 {
		t.Errorf("accepted %v, %v", accepted, err)
	}
	if _, err := s.Log.AcceptLosses(t.Context(), []uint64{7}); !errors.Is(err, stream.ErrNoLoss) {
		t.Errorf("accepted what is not there: %v", err)
	}
}
