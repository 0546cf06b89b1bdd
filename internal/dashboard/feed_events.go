package dashboard

import (
	"context"
	"slices"
	"sync"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
)

// eventsFeed is the tail of the log for one query. It begins where its first
// follower does, and keeps the newest events, so that those who follow a moment
// later from a moment earlier join at once.
type eventsFeed struct {
	reader eventReader
	// first is where it begins, if atOffset is set, and else at the end of the log.
	first    uint64
	atOffset bool
	most     int

	mu        sync.Mutex // guards what follows
	listeners map[*eventsTopic]*eventsListener
	// started is closed once the offsets are known: everything before next has
	// been delivered, and tail is the end of the log as far as is known.
	started    chan struct{}
	next, tail uint64
	// recent are all matches from since up to next.
	recent []*pb.StoredEvent
	since  uint64
}

// eventsListener is a follower of an eventsFeed.
type eventsListener struct {
	changed func()
	// from is the first offset that it is to get. atEnd asks for the end of the
	// log, whatever that is once it is known.
	from  uint64
	atEnd bool
	// slow: it did not read while the feed caught up, so nobody waits for it.
	slow bool
}

func newEventsFeed(s *Server, query string, next uint64, position bool) *eventsFeed {
	f := &eventsFeed{
		first: next, atOffset: position, most: max(s.o.Config.Live.MaxEvents, 1),
		listeners: map[*eventsTopic]*eventsListener{}, started: make(chan struct{}),
	}
	f.reader = eventReader{server: s, query: query, sink: f, next: next, position: position}
	return f
}

func (f *eventsFeed) run(ctx context.Context) error { return f.reader.run(ctx) }

func (f *eventsFeed) hasStarted() bool {
	select {
	case <-f.started:
		return true
	default:
		return false
	}
}

// join lets a topic follow from an offset, or from the end of the log. It returns
// false when the topic has to catch up first. A topic that has done so has proven
// that its offset is one of this log.
//
//	the topic wants          | the feed     | so
//	-------------------------+--------------+-----------------------------------
//	the end                  | not started  | gets what comes after the end, once known
//	the end                  | started      | gets what comes after the end known
//	the feed's first offset  | not started  | gets what comes
//	another offset           | not started  | catches up
//	an offset since..next    | started      | gets what is kept, then what comes; catches up
//	                         |              | when that is more than it has room for
//	an offset next..tail     | started      | gets what comes from that offset
//	an offset before since   | started      | catches up
//	an offset beyond tail    | started      | gets what comes if proven, else catches up
func (f *eventsFeed) join(t *eventsTopic, changed func(), proven bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := &eventsListener{changed: changed, from: t.next, atEnd: !t.position}
	switch {
	case !f.hasStarted():
		if t.position && (!f.atOffset || f.first != t.next) {
			return false
		}
	case one.atEnd:
		one.from, one.atEnd = f.tail, false
		t.reach(f.tail, f.tail, changed)
	case t.next < f.since || t.next > f.tail && !proven:
		return false
	default:
		missed := slices.DeleteFunc(slices.Clone(f.recent), func(e *pb.StoredEvent) bool { return !one.wants(e) })
		if len(missed) > t.room() {
			return false
		}
		for _, e := range missed {
			t.put(e, false)
		}
		t.reach(max(f.next, one.from), max(f.tail, one.from), changed)
	}
	f.listeners[t] = one
	return true
}

func (f *eventsFeed) forget(t *eventsTopic) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.listeners, t)
}

// begin places those who wait for the end of the log. Nobody stays beyond it: if
// the log was replaced, offsets begin anew.
func (f *eventsFeed) begin(next, tail uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.hasStarted() {
		close(f.started)
		f.since = next
	} else if next != f.next {
		f.recent, f.since = nil, next
	}
	f.next, f.tail = next, tail
	for _, one := range f.listeners {
		if one.atEnd || one.from > tail {
			one.from, one.atEnd = tail, false
		}
	}
}

func (f *eventsFeed) gap(from, to uint64, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for t, one := range f.listeners {
		if !one.atEnd && (to > one.from || from == to) {
			t.gap(min(max(from, one.from), to), to, reason)
			one.changed()
		}
	}
}

// slowest is how long a feed that catches up waits for tabs that do not read.
// After that they get a sample, as at the tail.
const slowest = 2 * time.Second

func (f *eventsFeed) deliver(ctx context.Context, b *reader.Batch, catchingUp bool) error {
	for i := range b.Events {
		e := storedEvent(&b.Events[i])
		for full := f.offer(e, catchingUp); full != nil; full = f.offer(e, catchingUp) {
			if err := f.await(ctx, full); err != nil {
				return err
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next, f.tail = max(f.next, b.Next), max(f.tail, b.Tail)
	for t, one := range f.listeners {
		one.slow = one.slow && catchingUp
		if !one.atEnd {
			t.reach(max(f.next, one.from), max(f.tail, one.from), one.changed)
		}
	}
	return nil
}

// offer gives an event to all who are to have it, and keeps it. When every is set
// and somebody who is not slow has no room, it does nothing and returns him.
func (f *eventsFeed) offer(e *pb.StoredEvent, every bool) *eventsTopic {
	f.mu.Lock()
	defer f.mu.Unlock()
	var full *eventsTopic
	if every {
		for t, one := range f.listeners {
			if one.wants(e) && !one.slow && !t.hasRoom() {
				full = t
				one.changed()
			}
		}
	}
	if full != nil {
		return full
	}
	for t, one := range f.listeners {
		if one.wants(e) {
			t.put(e, every && !one.slow)
		}
	}
	f.next = max(f.next, e.GetOffset()+1)
	f.tail = max(f.tail, f.next)
	f.recent = append(f.recent, e)
	if len(f.recent) >= 2*f.most {
		drop := len(f.recent) - f.most
		f.since = f.recent[drop-1].GetOffset() + 1
		f.recent = append([]*pb.StoredEvent(nil), f.recent[drop:]...)
	}
	return nil
}

// await waits until a tab has read. When it does not, all that have no room now
// are slow.
func (f *eventsFeed) await(ctx context.Context, full *eventsTopic) error {
	timer := time.NewTimer(slowest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-full.space:
		return nil
	case <-timer.C:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for t, one := range f.listeners {
		one.slow = one.slow || !t.hasRoom()
	}
	return nil
}

func (l *eventsListener) wants(e *pb.StoredEvent) bool { return !l.atEnd && e.GetOffset() >= l.from }
