// Package readertest holds what a reader's runtime must do over every source: the log
// in its own process and a hub by gRPC.
package readertest

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// Site is a log and a source that reads it.
type Site struct {
	Log    stream.Log
	Source reader.Source
	// Cursor is what the log calls the cursor that the source calls by a name.
	Cursor func(name string) string
	// Block makes bytes [from, to) of each file of the log unreadable.
	Block func(from, to int64)
	// Trim has retention keep the last megabytes alone.
	Trim func(t *testing.T)
	// Cut breaks the connection under what is open. Nil: there is none.
	Cut func()
	// Blocks has the consumers ask for blocks, and Codec packs what is appended.
	Blocks bool
	Codec  codec.Codec
}

// Run checks readers over the sites that open makes, each with a new log.
func Run(t *testing.T, open func(t *testing.T) Site) {
	for name, check := range map[string]func(*testing.T, Site){
		"all events in order, then those to come": inOrder,
		"it begins where it is told":              begins,
		"a filter, and how far was looked":        filtered,
		"a cursor goes on behind what is durable": resumes,
		"an explicit commit and none before":      explicit,
		"a place of its own moves the cursor":     ownPlace,
		"a consumer that fails":                   func(t *testing.T, s Site) { recovers(t, s, func() error { return errors.New("no") }) },
		"a consumer that panics":                  func(t *testing.T, s Site) { recovers(t, s, func() error { panic("no") }) },
		"a bad sector is a gap":                   badSector,
		"the disk is away for a while":            diskAway,
		"what retention removed is a gap":         removed,
		"a source that cannot be opened":          cannotOpen,
		"a removed cursor is not brought back":    cursorRemoved,
		"a connection that breaks":                cut,
		"a place within an entry":                 within,
		"an entry that is cut":                    large,
		"the end at the tail":                     ends,
		"an entry that does not unpack is a gap":  doesNotUnpack,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

// add appends one entry for each list of texts.
func add(t *testing.T, s Site, entries ...[]string) {
	t.Helper()
	for _, texts := range entries {
		var payload []byte
		for _, text := range texts {
			kind, _, _ := strings.Cut(text, " ")
			b, err := proto.Marshal(&pb.Event{Id: []byte("0123456789abcdef"), Time: timestamppb.Now(), Type: "test." + kind, Message: text})
			if err != nil {
				t.Fatal(err)
			}
			payload = append(binary.AppendUvarint(append(payload, 3<<3|2), uint64(len(b))), b...)
		}
		store(t, s, len(texts), s.Codec.Pack(nil, payload))
	}
}

// noise is text of so many bytes that no codec packs by much.
func noise(n int) string {
	b := make([]byte, n*3/4)
	for i := range b {
		b[i] = byte(rand.Uint32()) //nolint:gosec // filler
	}
	return base64.StdEncoding.EncodeToString(b)
}

// store appends an entry that says to hold count events.
func store(t *testing.T, s Site, count int, packed []byte) {
	t.Helper()
	r := &stream.Record{
		Publisher: "spiffe://amoskys.local/agent/h", Received: time.Now(), Count: count, Codec: s.Codec, Payload: [][]byte{packed},
	}
	if _, err := stream.Append(t.Context(), s.Log, r); err != nil {
		t.Fatal(err)
	}
}

// run is one reader at work and what its consumer got.
type run struct {
	t      *testing.T
	reader *reader.Reader
	blocks bool
	stop   func()
	ended  <-chan struct{}

	mu     sync.Mutex
	got    []string // texts, and gaps as "<cause>"
	most   int      // events of one batch
	next   stream.Offset
	pauses []time.Duration
	fail   func(texts []string) error // asked before a batch is taken
}

// start runs a reader until the test ends or stop is called.
func start(t *testing.T, s Site, o reader.Options, fail func([]string) error) *run {
	t.Helper()
	r := &run{t: t, blocks: s.Blocks, fail: fail}
	o.Name, o.Source, o.Logger, o.Consumer, o.Blocks = "test", s.Source, obs.Discard(), r, s.Blocks
	o.Wait = func(ctx context.Context, d time.Duration) error {
		r.mu.Lock()
		r.pauses = append(r.pauses, d)
		r.mu.Unlock()
		return stream.Wait(ctx, time.Millisecond)
	}
	var err error
	if r.reader, err = reader.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := r.reader.Run(ctx); err != nil {
			t.Errorf("the reader ended with %v", err)
		}
	}()
	r.ended = ended
	r.stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(r.stop)
	return r
}

// textsOf are the texts of a batch's events, or of its blocks' events, with
// "<broken>" for a block that does not give all of its own.
func (r *run) textsOf(b *reader.Batch) (texts []string, err error) {
	if len(b.Events) > 0 && r.blocks || len(b.Blocks) > 0 && !r.blocks {
		r.t.Errorf("a batch of %d events and %d blocks", len(b.Events), len(b.Blocks))
	}
	one := func(e *reader.Event) {
		var ev pb.Event
		err = errors.Join(err, proto.Unmarshal(e.Encoded, &ev))
		if e.Publisher == "" || e.Logged.IsZero() || e.Offset >= b.Next || b.Next > b.Tail {
			r.t.Errorf("event %+v of a batch up to %d, tail %d", e, b.Next, b.Tail)
		}
		texts = append(texts, ev.GetMessage())
	}
	for i := range b.Events {
		one(&b.Events[i])
	}
	for i := range b.Blocks {
		e := &b.Blocks[i]
		next := stream.Offset(0)
		for off, encoded := range e.Events() {
			one(&reader.Event{Offset: off, Logged: e.Received, Publisher: e.Publisher, Encoded: encoded})
			next = off + 1
		}
		if gap := e.Missing(next); gap != nil {
			texts = append(texts, "<broken>")
		}
	}
	return texts, err
}

// Consume implements reader.Consumer.
func (r *run) Consume(_ context.Context, b *reader.Batch) error {
	texts, err := r.textsOf(b)
	if err != nil {
		return err
	}
	if g := b.Gap; g != nil {
		if len(texts) > 0 || g.From >= g.To || g.To > b.Next || g.Reason == "" {
			r.t.Errorf("gap %+v with %d events up to %d", g, len(texts), b.Next)
		}
		texts = append(texts, "<"+string(g.Cause)+">")
	}
	if r.fail != nil {
		if err := r.fail(texts); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got, r.most, r.next = append(r.got, texts...), max(r.most, len(b.Events)), b.Next
	return nil
}

func (r *run) texts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// until polls until ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// gets waits for what the consumer gets.
func (r *run) gets(want ...string) {
	r.t.Helper()
	until(r.t, fmt.Sprintf("%q", want), func() bool { return len(r.texts()) >= len(want) })
	if got := r.texts(); !slices.Equal(got, want) {
		r.t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func (r *run) state(want stream.ReaderState) {
	r.t.Helper()
	until(r.t, "the reader is "+string(want), func() bool { return r.reader.Status().State == want })
}

func inOrder(t *testing.T, s Site) {
	add(t, s, []string{"a", "b", "c", "d", "e"}, []string{"f"})
	r := start(t, s, reader.Options{MaxEvents: 3, Registerer: prometheus.NewRegistry()}, nil)
	r.gets("a", "b", "c", "d", "e", "f")
	add(t, s, []string{"g"}, []string{"h"})
	r.gets("a", "b", "c", "d", "e", "f", "g", "h")
	if r.most > 3 {
		t.Errorf("a batch of %d events", r.most)
	}
	r.state(stream.ReaderOK)
	until(t, "no lag", func() bool { return r.reader.Status().Lag == 0 })
	if st := r.reader.Status(); st.Offset != s.Log.Stat().NextOffset || st.Name != "test" || st.Seen.IsZero() || st.Reason != "" {
		t.Errorf("status %+v", st)
	}
	r.stop()
	if st := r.reader.Status(); st.State != stream.ReaderStopped {
		t.Errorf("status %+v", st)
	}
}

func begins(t *testing.T, s Site) {
	add(t, s, []string{"a", "b"}, []string{"c"})
	at := s.Log.Stat().NextOffset
	add(t, s, []string{"d"})
	r := start(t, s, reader.Options{Start: reader.Start{Offset: at}}, nil)
	r.gets("d")
	all := start(t, s, reader.Options{Start: reader.Start{Time: time.Now().Add(-time.Hour)}}, nil)
	all.gets("a", "b", "c", "d")
	tail := start(t, s, reader.Options{Start: reader.Start{Tail: true}}, nil)
	until(t, "the reader at the tail reads", func() bool {
		return !tail.reader.Status().Seen.IsZero() && tail.reader.Status().State == stream.ReaderOK
	})
	for n := 0; len(tail.texts()) == 0; n++ { // by gRPC, when the tail was is not known here
		add(t, s, []string{fmt.Sprint("e", n)})
		_ = stream.Wait(t.Context(), 10*time.Millisecond)
	}
	if got := tail.texts()[0]; !strings.HasPrefix(got, "e") {
		t.Errorf("from the tail: %q", got)
	}
}

func filtered(t *testing.T, s Site) {
	add(t, s, []string{"x 1", "y 2"}, []string{"y 3"}, []string{"x 4", "y 5"})
	r := start(t, s, reader.Options{Filter: &pb.Filter{Types: []string{"test.x"}}, Cursor: "c", CommitEvents: 1}, nil)
	r.gets("x 1", "x 4")
	until(t, "what did not match is committed too", func() bool {
		list := s.Log.ListCursors()
		return len(list) == 1 && list[0].Name == s.Cursor("c") && list[0].Offset == s.Log.Stat().NextOffset
	})
}

func resumes(t *testing.T, s Site) {
	add(t, s, []string{"a", "b"}, []string{"c"})
	r := start(t, s, reader.Options{Cursor: "c", Hold: true}, nil)
	r.gets("a", "b", "c")
	r.stop() // commits
	if list := s.Log.ListCursors(); len(list) != 1 || list[0].Offset != s.Log.Stat().NextOffset || !list[0].Hold {
		t.Fatalf("cursors %+v", list)
	}
	add(t, s, []string{"d"})
	start(t, s, reader.Options{Cursor: "c", Hold: true}, nil).gets("d")
}

// ownPlace has consumers that know their places: the cursor is behind them, before them,
// and not there yet.
func ownPlace(t *testing.T, s Site) {
	add(t, s, []string{"a"}, []string{"b"}, []string{"c"})
	own := func(at stream.Offset, want ...string) {
		t.Helper()
		r := start(t, s, reader.Options{Cursor: "c", Explicit: true, OwnPlace: true, Start: reader.Start{Offset: at}}, nil)
		r.gets(want...)
		if list := s.Log.ListCursors(); len(list) != 1 || list[0].Name != s.Cursor("c") || list[0].Offset != at {
			t.Fatalf("the cursor of a reader at %d: %+v", at, list)
		}
		r.stop()
	}
	own(1, "b", "c")
	own(0, "a", "b", "c")
	own(2, "c")
	start(t, s, reader.Options{Cursor: "c"}, nil).gets("c")
}

func explicit(t *testing.T, s Site) {
	add(t, s, []string{"a"}, []string{"b"}, []string{"c"})
	o := reader.Options{Cursor: "c", Explicit: true, CommitEvents: 1, MaxEvents: 1}
	r := start(t, s, o, nil)
	r.gets("a", "b", "c")
	r.stop()
	if list := s.Log.ListCursors(); len(list) != 1 || list[0].Offset != 0 {
		t.Fatalf("cursors %+v", list)
	}
	r = start(t, s, o, nil)
	r.gets("a", "b", "c")
	r.reader.Durable(2)
	until(t, "the commit", func() bool { return s.Log.ListCursors()[0].Offset == 2 })
	r.reader.Durable(1_000_000) // no more than was given
	until(t, "the commit", func() bool { return s.Log.ListCursors()[0].Offset == 3 })
	r.stop()
	add(t, s, []string{"d"})
	start(t, s, o, nil).gets("d")
}

// recovers has the consumer fail three times at one place: it gets that again, each
// time, and nothing before it.
func recovers(t *testing.T, s Site, failure func() error) {
	add(t, s, []string{"a"}, []string{"b"}, []string{"c"})
	var mu sync.Mutex
	left, seen := 3, []string{}
	r := start(t, s, reader.Options{MaxEvents: 1, Pause: time.Second, MaxPause: 3 * time.Second}, func(texts []string) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, texts...)
		if texts[0] == "b" && left > 0 {
			left--
			return failure()
		}
		return nil
	})
	r.gets("a", "b", "c")
	r.state(stream.ReaderOK)
	if want := []string{"a", "b", "b", "b", "b", "c"}; !slices.Equal(seen, want) {
		t.Errorf("asked for %q, want %q", seen, want)
	}
	if want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(r.pauses, want) {
		t.Errorf("pauses %v, want %v", r.pauses, want)
	}
}

func badSector(t *testing.T, s Site) {
	want := make([]string, 0, 12)
	for i := range 12 {
		text := fmt.Sprintf("%d %s", i, noise(10_000))
		add(t, s, []string{text})
		want = append(want, text)
	}
	s.Block(50<<10, 60<<10)
	r := start(t, s, reader.Options{}, nil)
	until(t, "the last event", func() bool { got := r.texts(); return len(got) > 0 && got[len(got)-1] == want[11] })
	got := r.texts()
	at := slices.Index(got, "<unreadable>")
	if at < 3 || len(got) < 10 || !slices.Equal(got[:at], want[:at]) || !slices.Equal(got[at+1:], want[12-len(got)+at+1:]) {
		t.Errorf("%d texts, the gap at %d", len(got), at)
	}
	r.state(stream.ReaderOK)
}

func diskAway(t *testing.T, s Site) {
	add(t, s, []string{"a"}, []string{"b"})
	s.Block(0, 1<<40)
	r := start(t, s, reader.Options{Cursor: "c"}, nil)
	until(t, "the lag is seen, or the trouble", func() bool {
		return r.reader.Status().State != stream.ReaderOK || r.reader.Status().Lag >= 2 || s.Cut != nil
	})
	s.Block(0, 0)
	r.gets("a", "b")
	r.state(stream.ReaderOK)
}

func removed(t *testing.T, s Site) {
	for i := range 40 {
		add(t, s, []string{fmt.Sprint(i, " ", noise(200_000))})
	}
	s.Trim(t)
	last := s.Log.Stat()
	if last.FirstOffset <= 1 {
		t.Fatalf("the log begins at %d", last.FirstOffset)
	}
	r := start(t, s, reader.Options{Start: reader.Start{Offset: 1}}, nil)
	until(t, "the gap", func() bool { return len(r.texts()) > 1 })
	if got := r.texts(); got[0] != "<removed>" || strings.HasPrefix(got[1], "<") {
		t.Errorf("got %.20q", got[:2])
	}
	oldest := start(t, s, reader.Options{}, nil)
	until(t, "the oldest event", func() bool { return len(oldest.texts()) > 0 })
	if got := oldest.texts()[0]; got == "<removed>" {
		t.Error("whoever begins at the oldest event is told of a gap")
	}
}

func cannotOpen(t *testing.T, s Site) {
	add(t, s, []string{"a"})
	r := start(t, s, reader.Options{Filter: &pb.Filter{Query: "(("}, Pause: time.Second, MaxPause: time.Minute}, nil)
	r.state(stream.ReaderWaiting)
	until(t, "longer pauses", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.pauses) > 8 && r.pauses[8] == time.Minute })
	if st := r.reader.Status(); !strings.Contains(st.Reason, "query") {
		t.Errorf("status %+v", st)
	}
}

func cursorRemoved(t *testing.T, s Site) {
	add(t, s, []string{"a"})
	r := start(t, s, reader.Options{Cursor: "c", Explicit: true, CommitEvents: 1}, nil)
	r.gets("a")
	if err := s.Log.RemoveCursor(t.Context(), s.Cursor("c")); err != nil {
		t.Fatal(err)
	}
	r.reader.Durable(1)
	r.state(stream.ReaderWaiting)
	add(t, s, []string{"b"})
	r.gets("a", "b")
	r.stop()
	if list := s.Log.ListCursors(); len(list) > 0 {
		t.Errorf("cursors %+v", list)
	}
}

func cut(t *testing.T, s Site) {
	if s.Cut == nil {
		t.Skip("there is no connection")
	}
	add(t, s, []string{"a"}, []string{"b"})
	for _, o := range []reader.Options{{}, {Cursor: "c", CommitEvents: 1}, {Cursor: "d"}} {
		r := start(t, s, o, nil)
		r.gets("a", "b")
		s.Cut()
		until(t, "a new attempt", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.pauses) > 0 })
		r.state(stream.ReaderOK)
		r.gets("a", "b")
		r.stop()
	}
}
