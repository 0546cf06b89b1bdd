package dashboard_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/dashboard"
)

// TestManyTabsLeaveRoomForALogin: what tabs follow must not use up what the
// hub allows one connection, whose calls would then wait for ever.
func TestManyTabsLeaveRoomForALogin(t *testing.T) {
	s := newSite(t)
	viewer := s.signedIn(t, "viewer")
	for n := range 9 {
		b := viewer.tab(t)
		for i := range 16 {
			// Each different from all others, as from nine people who look for
			// different things.
			b.say(`{"op":"subscribe","id":"%d","topic":"events","query":"process.pid:%d"}`, i, 16*n+i)
		}
		for range 16 {
			b.until("an answer", func(m *message) bool { return m.Type == "events" || m.Type == "error" })
		}
	}
	began := time.Now()
	s.signedIn(t, "admin")
	if took := time.Since(began); took > time.Second {
		t.Errorf("a login took %v", took)
	}
}

// TestTabsShareWhatIsEqual: however many tabs follow the same, the hub is asked
// once, and each tab gets all of it.
func TestTabsShareWhatIsEqual(t *testing.T) {
	s := newSite(t)
	s.hub.node(t, "h1")
	viewer := s.signedIn(t, "viewer")
	eventually(t, "the node's stream", func() bool { return s.hub.streams.Load() == 1 })
	before := s.hub.begun.Load()
	const tabs = 64
	var all []*tab
	for range tabs {
		b := viewer.tab(t)
		b.say(`{"op":"subscribe","id":"1","topic":"events","query":"process.name:nginx"}`)
		b.say(`{"op":"subscribe","id":"2","topic":"agents"}`)
		all = append(all, b)
	}
	for _, b := range all {
		position, agents := false, false
		b.until("position and agents", func(m *message) bool {
			position = position || m.Type == "events"
			agents = agents || m.Snapshot && len(m.agents()) == 1
			return position && agents
		})
	}
	s.hub.bus.publish(append(samples("nginx", 3), samples("other", 2)...)...)
	for _, b := range all {
		var got []string
		b.until("all events", func(m *message) bool {
			for _, e := range m.Events {
				got = append(got, fmt.Sprint(e.Offset))
			}
			return m.Type == "events" && m.Next == 5
		})
		if fmt.Sprint(got) != "[0 1 2]" {
			t.Fatalf("events %v", got)
		}
	}
	if n := s.hub.begun.Load() - before; n != 2 {
		t.Errorf("%d streams from the hub for two topics", n)
	}
	for _, b := range all {
		b.ws.CloseNow()
	}
	eventually(t, "the last has gone", func() bool { return s.hub.streams.Load() == 1 })
}

// TestEachUserHasAShare: one user cannot use up what all tabs together may follow.
func TestEachUserHasAShare(t *testing.T) {
	s := newSite(t)
	viewer := s.signedIn(t, "viewer")
	refused := 0
	for n := range 5 {
		b := viewer.tab(t)
		for i := range 16 {
			b.say(`{"op":"subscribe","id":"%d","topic":"events","query":"process.pid:%d"}`, i, 16*n+i)
		}
		for range 16 {
			m := b.until("an answer", func(m *message) bool { return m.Type == "events" || m.Type == "error" })
			if m.Type == "error" {
				refused++
				if m.Detail != "your tabs follow 64 different things, which is the most: close some" {
					t.Error(m.Detail)
				}
			}
		}
	}
	if refused != 16 {
		t.Errorf("%d of 80 refused", refused)
	}
	b := s.signedIn(t, "analyst").tab(t)
	b.say(`{"op":"subscribe","id":"1","topic":"events","query":""}`)
	if m := b.answer(); m.Type != "events" {
		t.Errorf("another user: %+v", m)
	}
}

// TestTabsJoinAtAnyOffset: whatever offset a tab goes on from, and whatever others
// follow meanwhile, it gets each event behind that offset once and in order.
func TestTabsJoinAtAnyOffset(t *testing.T) {
	s := newSite(t, func(o *dashboard.Options) { o.Config.Live.MaxEvents = 5_000 }) // no sample
	viewer := s.signedIn(t, "viewer")
	const total, step = 3_000, 50
	s.hub.bus.publish(samples("nginx", step)...)
	var group sync.WaitGroup
	published := make(chan struct{})
	for _, after := range []int{0, 10, 49, 49, 700, 1_500, 2_999} {
		b := viewer.tab(t)
		group.Go(func() {
			if after >= step {
				<-published
			}
			b.say(`{"op":"subscribe","id":"1","topic":"events","query":"process.name:nginx","after":%d}`, after)
			want := uint64(after + 1)
			for want < total {
				m, err := b.read()
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range m.Events {
					if e.Offset != want {
						t.Errorf("after %d: event %d, want %d (%d of %d)", after, e.Offset, want, m.Shown, m.Of)
						return
					}
					want++
				}
			}
		})
	}
	for n := step; n < total; n += step {
		s.hub.bus.publish(samples("nginx", step)...)
	}
	close(published)
	group.Wait()
}
