package readertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// within has a consumer that is durable up to the middle of an entry, fail and be
// started again: it gets what follows, and nothing before that.
func within(t *testing.T, s Site) {
	add(t, s, []string{"a", "b", "c", "d"}, []string{"e", "f"})
	o := reader.Options{Cursor: "c", Explicit: true, CommitEvents: 1}
	r := start(t, s, o, nil)
	r.gets("a", "b", "c", "d", "e", "f")
	r.reader.Durable(2)
	until(t, "the commit", func() bool { return s.Log.ListCursors()[0].Offset == 2 })
	r.stop()
	start(t, s, o, nil).gets("c", "d", "e", "f")
	start(t, s, reader.Options{Start: reader.Start{Offset: 3}}, nil).gets("d", "e", "f")

	failed := false
	r = start(t, s, reader.Options{Explicit: true}, func(texts []string) error {
		if slices.Contains(texts, "f") && !failed {
			failed = true
			return errors.New("no")
		}
		return nil
	})
	r.gets("a", "b", "c", "d", "e", "f")
}

// large has entries of more events, and of more bytes, than a batch may have.
func large(t *testing.T, s Site) {
	const entries, events = 3, 300
	want := make([]string, 0, entries*events)
	for i := range entries {
		texts := make([]string, 0, events)
		for j := range events {
			texts = append(texts, fmt.Sprint(i, ".", j, " ", strings.Repeat("x", 1000)))
		}
		add(t, s, texts)
		want = append(want, texts...)
	}
	for _, most := range []int{7, 100_000} {
		r := start(t, s, reader.Options{MaxEvents: most}, nil)
		r.gets(want...)
		if r.most > min(most, 260) {
			t.Errorf("a batch of %d events", r.most)
		}
	}
}

// ends has a reader that does not follow.
func ends(t *testing.T, s Site) {
	add(t, s, []string{"a", "b"}, []string{"c"})
	r := start(t, s, reader.Options{NoFollow: true, Cursor: "c"}, nil)
	<-r.ended
	r.gets("a", "b", "c")
	if list := s.Log.ListCursors(); len(list) != 1 || list[0].Offset != s.Log.Stat().NextOffset {
		t.Errorf("cursors %+v", list)
	}
	again := start(t, s, reader.Options{NoFollow: true, Cursor: "c"}, nil)
	<-again.ended
	if got := again.texts(); len(got) > 0 {
		t.Errorf("got %q again", got)
	}
}

// doesNotUnpack has an entry whose payload the codec did not make, and one that holds
// fewer events than it says.
func doesNotUnpack(t *testing.T, s Site) {
	if s.Codec == codec.None {
		t.Skip("nothing is packed")
	}
	add(t, s, []string{"a", "b"})
	store(t, s, 2, []byte("\x40 is not the codec's"))
	add(t, s, []string{"c"})
	store(t, s, 3, s.Codec.Pack(nil, []byte{3<<3 | 2, 0, 9 << 3, 1}))
	add(t, s, []string{"d"})
	if s.Blocks {
		start(t, s, reader.Options{}, nil).gets("a", "b", "<broken>", "c", "", "<broken>", "d")
	} else {
		start(t, s, reader.Options{}, nil).gets("a", "b", "<damaged>", "c", "", "<damaged>", "d")
	}
	// What is not matched leaves no trace, what might have been does.
	// It cannot be held against a query, and so is a gap for who takes blocks as well.
	start(t, s, reader.Options{Match: cOrD{}}, nil).gets("<damaged>", "c", "<damaged>", "d")
}

// cOrD matches events with one of two messages.
type cOrD struct{}

func (cOrD) Match(encoded []byte, _ string, _ stream.Offset, _ time.Time) bool {
	ev, err := event.Decode(encoded)
	return err == nil && (ev.GetMessage() == "c" || ev.GetMessage() == "d")
}
