package dashboard

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"

	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
)

// eventsMessage carries events, oldest first.
type eventsMessage struct {
	ID     string  `json:"id"`
	Type   string  `json:"type"`
	Events []Event `json:"events" nullable:"false"`
	Next   uint64  `json:"next" doc:"Everything before this offset was looked at."`
	Tail   uint64  `json:"tail" doc:"The end of the log when this was sent."`
	Shown  int     `json:"shown"`
	Of     int     `json:"of" doc:"How many matched since the last message; shown is less where they came too fast."`
}

// gapMessage says that events from one offset up to another will not come.
type gapMessage struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to" doc:"The first offset behind the gap."`
	Reason string `json:"reason"`
}

// eventsTopic follows events that match a query, in the feed that all tabs with
// this query share. If the feed is beyond where the tab left off, the topic first
// reads by itself what is between.
//
// While it catches up it takes no more than the tab reads, so that the tab gets
// every event. At the tail it takes what comes, and a message has most events at
// most: what comes at once is sent over the next second. Only when more waits than
// that it keeps a fair sample and counts the rest.
type eventsTopic struct {
	server *Server
	user   string
	id     string
	query  string
	most   int
	wake   func() // asks for take
	// next is the offset to go on from, known if position is true; they are as the
	// tab said until it catches up.
	next     uint64
	position bool

	mu     sync.Mutex // guards what follows; taken with eventsFeed.mu held, never the other way
	sample []*pb.StoredEvent
	of     int // what sample stands for
	// seenNext and seenTail are told with the next message, news says that they
	// differ from the last one, and told that there was one.
	seenNext, seenTail uint64
	news, told         bool
	gaps               []gapMessage
	// space is signalled when sample has been taken.
	space chan struct{}
}

func newEventsTopic(s *Server, user string, m clientMessage) (topic, *errorMessage) {
	if p := checkQuery(m.Query); p != nil {
		return nil, &errorMessage{Detail: p.Detail, Position: p.QueryPosition}
	}
	query, p := withoutType(m.Query, m.Without)
	if p != nil {
		return nil, &errorMessage{Detail: p.Detail}
	}
	if _, err := liveRequest(query, 0); err != nil {
		return nil, &errorMessage{Detail: status.Convert(err).Message()}
	}
	t := &eventsTopic{
		server: s, user: user, id: m.ID, query: query, most: max(s.o.Config.Live.MaxEvents, 1), wake: func() {}, space: make(chan struct{}, 1),
	}
	switch {
	case m.From != nil:
		t.next, t.position = *m.From, true
	case m.After != nil:
		t.next, t.position = *m.After+1, true
	}
	return t, nil
}

// run follows the feed of its query until ctx ends.
func (t *eventsTopic) run(ctx context.Context, changed func()) error {
	t.wake = changed
	start := func() *eventsFeed { return newEventsFeed(t.server, t.query, t.next, t.position) }
	return follow(ctx, t.server.feeds, t.user, "events\x00"+t.query, start, func(ctx context.Context, f *eventsFeed) error {
		if !f.join(t, changed, false) {
			if err := t.catchUp(ctx, f, changed); err != nil {
				return err
			}
		}
		defer f.forget(t)
		<-ctx.Done()
		return ctx.Err()
	})
}

// catchUp reads by itself until it has joined the feed.
func (t *eventsTopic) catchUp(ctx context.Context, f *eventsFeed, changed func()) error {
	done, err := t.server.feeds.catchUp(ctx, t.user)
	if err != nil {
		return err
	}
	defer done()
	reader := eventReader{
		server: t.server, query: t.query, next: t.next, position: true, sink: &catchUp{topic: t, feed: f, changed: changed},
	}
	if err := reader.run(ctx); !errors.Is(err, errJoined) {
		return err
	}
	return nil
}

// errJoined ends a catchUp.
var errJoined = errors.New("joined the feed")

// catchUp is a topic that reads by itself.
type catchUp struct {
	topic   *eventsTopic
	feed    *eventsFeed
	changed func()
}

func (c *catchUp) begin(next, _ uint64) { c.topic.next = next }

func (c *catchUp) gap(from, to uint64, reason string) {
	c.topic.gap(from, to, reason)
	c.changed()
}

// deliver waits until the tab has room for each event, and joins the feed at the
// end of the log.
func (c *catchUp) deliver(ctx context.Context, b *reader.Batch, _ bool) error {
	t := c.topic
	for i := range b.Events {
		for !t.hasRoom() {
			c.changed()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-t.space:
			}
		}
		t.put(storedEvent(&b.Events[i]), true)
	}
	t.next = max(t.next, b.Next)
	t.reach(t.next, b.Tail, c.changed)
	if t.next < b.Tail {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.feed.started:
	}
	if c.feed.join(t, c.changed, true) {
		return errJoined
	}
	return nil
}

// hasRoom says whether an event can be put without the loss of another.
func (t *eventsTopic) hasRoom() bool { return t.room() > 0 }

// room is how many can be while it catches up.
func (t *eventsTopic) room() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.most - len(t.sample)
}

// messagesOfBurst is how many messages a burst may fill, ten of which go a second.
const messagesOfBurst = 10

// capacity is how many events may wait to be sent at the tail.
func (t *eventsTopic) capacity() int { return messagesOfBurst * t.most }

// put takes one event. Beyond its room it keeps each event with equal chance
// (reservoir sampling). When the topic catches up, take may come before the
// delivery is through, and then tells how far it is.
func (t *eventsTopic) put(e *pb.StoredEvent, catchingUp bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.sample) < t.capacity() {
		t.sample = append(t.sample, e)
	} else if i := rand.IntN(t.of + 1); i < len(t.sample) { //nolint:gosec // a sample, not a secret
		t.sample[i] = e
	}
	t.of++
	if catchingUp {
		t.seenNext, t.news = e.GetOffset()+1, true
		t.seenTail = max(t.seenTail, t.seenNext)
	}
}

// reach notes how far the topic is.
func (t *eventsTopic) reach(next, tail uint64, changed func()) {
	t.mu.Lock()
	if next != t.seenNext || tail != t.seenTail || !t.told {
		t.seenNext, t.seenTail, t.news, t.told = next, tail, true, true
	}
	news := t.news
	t.mu.Unlock()
	if news {
		changed()
	}
}

// maxGaps bounds what a tab that does not read can make us remember.
const maxGaps = 32

func (t *eventsTopic) gap(from, to uint64, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.gaps); n == maxGaps {
		t.gaps[n-1].To = to
		return
	}
	t.gaps = append(t.gaps, gapMessage{t.id, "gap", from, to, reason})
	t.news = true
}

// take returns gaps, then the oldest events that one message has room for. Those
// that are left are next.
func (t *eventsTopic) take() []any {
	t.mu.Lock()
	if !t.news {
		t.mu.Unlock()
		return nil
	}
	slices.SortFunc(t.sample, func(a, b *pb.StoredEvent) int { return cmp.Compare(a.GetOffset(), b.GetOffset()) })
	n := min(len(t.sample), t.most)
	events, gaps := t.sample[:n:n], t.gaps
	message := eventsMessage{ID: t.id, Type: "events", Next: t.seenNext, Tail: t.seenTail, Shown: n, Of: t.of}
	t.sample, t.gaps, t.news = slices.Clone(t.sample[n:]), nil, len(t.sample) > n
	if t.news {
		message.Next = t.sample[0].GetOffset()
		message.Of = t.of * n / (n + len(t.sample))
	}
	t.of -= message.Of
	more := t.news
	t.mu.Unlock()
	select {
	case t.space <- struct{}{}:
	default:
	}
	message.Events = newEvents(events)
	messages := make([]any, 0, len(gaps)+1)
	for _, g := range gaps {
		messages = append(messages, g)
	}
	if more {
		t.wake()
	}
	return append(messages, message)
}
