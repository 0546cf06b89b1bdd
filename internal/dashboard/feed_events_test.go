package dashboard

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amoskys/amoskys/internal/reader"
)

func batch(from, to uint64) *reader.Batch {
	b := &reader.Batch{Next: to, Tail: to}
	for ; from < to; from++ {
		b.Events = append(b.Events, reader.Event{Offset: from})
	}
	return b
}

// TestJoinLeavesNothingOut: a tab that comes back gets every event that it missed, so
// it joins with no more of them than it holds.
func TestJoinLeavesNothingOut(t *testing.T) {
	config := DefaultConfig()
	config.Live.MaxEvents = 3
	s := &Server{o: Options{Config: config}}
	f := newEventsFeed(s, "", 0, true)
	f.begin(0, 0)
	if err := f.deliver(t.Context(), batch(0, 5), false); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[uint64]bool{0: false, 1: false, 2: true, 5: true} {
		one, _ := newEventsTopic(s, "ada", clientMessage{ID: "1", From: &from})
		topic := one.(*eventsTopic)
		if joined := f.join(topic, func() {}, false); joined != want {
			t.Errorf("from %d: joined is %t", from, joined)
		}
		for _, m := range topic.take() {
			if e := m.(eventsMessage); e.Shown != e.Of || e.Shown != int(5-from) {
				t.Errorf("from %d: %d of %d", from, e.Shown, e.Of)
			}
		}
	}
}

// TestSlowTabDoesNotHoldUpOthers: while a feed catches up it waits for those who
// read, so that they get every event, and gives up on those who do not.
func TestSlowTabDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := DefaultConfig()
		config.Live.MaxEvents = 3
		s := &Server{o: Options{Config: config}}
		f := newEventsFeed(s, "", 0, true)
		topics := map[string]*eventsTopic{}
		var got []uint64
		var group sync.WaitGroup
		wake := make(chan struct{}, 1)
		ended := make(chan struct{})
		for _, name := range []string{"reads", "does not"} {
			after := clientMessage{ID: name}
			one, _ := newEventsTopic(s, "ada", after)
			topics[name] = one.(*eventsTopic)
			topics[name].position = true
			changed := func() {}
			if name == "reads" {
				changed = func() {
					select {
					case wake <- struct{}{}:
					default:
					}
				}
			}
			if !f.join(topics[name], changed, false) {
				t.Fatal("did not join")
			}
		}
		read := func() {
			for _, m := range topics["reads"].take() {
				for _, e := range m.(eventsMessage).Events {
					got = append(got, e.Offset)
				}
			}
		}
		group.Go(func() {
			for {
				select {
				case <-wake:
					read()
				case <-ended:
					read()
					return
				}
			}
		})
		began := time.Now()
		f.begin(0, 60)
		for from := uint64(0); from < 60; from += 10 {
			if err := f.deliver(t.Context(), batch(from, from+10), true); err != nil {
				t.Fatal(err)
			}
		}
		close(ended)
		group.Wait()
		if took := time.Since(began); took != slowest {
			t.Errorf("took %v", took)
		}
		for i, offset := range got {
			if offset != uint64(i) {
				t.Fatalf("got %v", got)
			}
		}
		if len(got) != 60 {
			t.Errorf("got %d of 60", len(got))
		}
		shown, of := drain(t, topics["does not"], 3)
		if shown != 30 || of != 60 {
			t.Errorf("the slow one: %d of %d", shown, of)
		}
	})
}

// drain takes all messages that are due, and returns what they show and stand for.
func drain(t *testing.T, topic *eventsTopic, most int) (shown, of int) {
	t.Helper()
	var next uint64
	for messages := topic.take(); messages != nil; messages = topic.take() {
		m := messages[len(messages)-1].(eventsMessage)
		if m.Shown > most {
			t.Errorf("%d events in a message", m.Shown)
		}
		for _, e := range m.Events {
			if e.Offset < next {
				t.Errorf("offset %d again, or out of order", e.Offset)
			}
			next = e.Offset + 1
		}
		if m.Next < next {
			t.Errorf("a tab that comes back goes on from %d, and has seen %d", m.Next, next)
		}
		shown += m.Shown
		of += m.Of
	}
	return shown, of
}

// TestBurstIsNotSampled: a thousand events a second that come at once, as agents that
// report at the full second send them, are all shown; a flood is sampled and says so.
func TestBurstIsNotSampled(t *testing.T) {
	s := &Server{o: Options{Config: DefaultConfig()}}
	most := s.o.Config.Live.MaxEvents
	for burst, sampled := range map[uint64]bool{260: false, 1_000: false, 2_000: false, 20_000: true} {
		f := newEventsFeed(s, "", 0, true)
		one, _ := newEventsTopic(s, "ada", clientMessage{ID: "1"})
		topic := one.(*eventsTopic)
		topic.position = true
		if !f.join(topic, func() {}, false) {
			t.Fatal("did not join")
		}
		f.begin(0, 0)
		if err := f.deliver(t.Context(), batch(0, burst), false); err != nil {
			t.Fatal(err)
		}
		shown, of := drain(t, topic, most)
		if of != int(burst) || (shown < of) != sampled {
			t.Errorf("a burst of %d: shown %d of %d", burst, shown, of)
		}
	}
}
