package dashboard

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
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

// maxBehind is how many events a resumed stream catches up with. A tab that was
// away for longer gets a gap, and reads the rest by search.
const maxBehind = 50_000

// Pauses between tries to reach the hub again.
const (
	firstPause   = 300 * time.Millisecond
	longestPause = 5 * time.Second
)

// eventsTopic follows events that match a query.
//
// While it catches up with the tail after a break, it takes no more than the tab
// reads, so that the tab gets every event. At the tail it takes what comes, and
// when more comes than the tab can show it keeps a fair sample and counts the
// rest.
type eventsTopic struct {
	server *Server
	id     string
	query  string
	most   int
	// next is the offset to go on from, known once position is true; only run
	// uses them.
	next     uint64
	position bool

	mu     sync.Mutex // guards what follows
	sample []*pb.StoredEvent
	of     int
	// seenNext and seenTail are told with the next message, news says that they
	// differ from the last one, and told that there was one.
	seenNext, seenTail uint64
	news, told         bool
	gaps               []gapMessage
	// space is signalled when sample has been taken.
	space chan struct{}
}

func newEventsTopic(s *Server, id, query string, after *uint64) *eventsTopic {
	t := &eventsTopic{
		server: s, id: id, query: query, most: max(s.o.Config.Live.MaxEvents, 1), space: make(chan struct{}, 1),
	}
	if after != nil {
		t.next, t.position = *after+1, true
	}
	return t
}

// run subscribes at the hub, again after each break, from where it was.
func (t *eventsTopic) run(ctx context.Context, changed func()) error {
	pause := firstPause
	for {
		began := t.next
		err := t.follow(ctx, changed)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch status.Code(err) {
		case codes.InvalidArgument, codes.PermissionDenied, codes.Unimplemented:
			return err
		case codes.OutOfRange:
			// The log has begun anew: its end is before where we were.
			t.gap(t.next, t.next, "the log was replaced; what follows is from its end")
			t.position = false
		}
		if t.next != began {
			pause = firstPause
		}
		if !wait(ctx, t.server.hub, pause) {
			return ctx.Err()
		}
		pause = min(pause*2, longestPause)
	}
}

// wait waits for a pause, or for the hub to be back; false when ctx ends.
func wait(ctx context.Context, h *hub, pause time.Duration) bool {
	connected, _, changed := h.state()
	if connected {
		changed = nil // nothing to wait for but time
	}
	timer := time.NewTimer(time.Duration(float64(pause) * (0.75 + rand.Float64()/2))) //nolint:gosec // spreads load
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-timer.C:
	}
	return true
}

// follow subscribes once and takes what comes until the stream ends.
func (t *eventsTopic) follow(ctx context.Context, changed func()) error {
	tail, err := t.tail(ctx)
	if err != nil {
		return err
	}
	switch {
	case !t.position:
		t.next, t.position = tail, true
	case t.next > tail:
		return status.Error(codes.OutOfRange, "beyond the end of the log")
	case tail-t.next > maxBehind:
		from := t.next
		t.next = tail - maxBehind/2
		t.gap(from, t.next, fmt.Sprintf("%d events behind is too far to catch up; search finds them", tail-from))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := t.server.hub.bus.Subscribe(ctx, &pb.SubscribeRequest{
		Start: &pb.SubscribeRequest_FromOffset{FromOffset: t.next}, Filter: &pb.Filter{Query: t.query},
	})
	if err != nil {
		return err
	}
	catchingUp := true
	for {
		delivery, err := stream.Recv()
		if err != nil {
			return err
		}
		if gap := delivery.GetGap(); gap != nil {
			t.gap(gap.GetFromOffset(), gap.GetToOffset(), gap.GetReason())
		}
		if err := t.add(ctx, delivery, catchingUp, changed); err != nil {
			return err
		}
		t.next = max(t.next, delivery.GetNextOffset())
		catchingUp = catchingUp && delivery.GetNextOffset() < delivery.GetTailOffset()
	}
}

// tail is the end of the log.
func (t *eventsTopic) tail(ctx context.Context) (uint64, error) {
	ctx, cancel := t.server.hub.call(ctx)
	defer cancel()
	state, err := t.server.hub.query.Status(ctx, &pb.StatusRequest{})
	return state.GetLog().GetNextOffset(), err
}

// add takes the events of a delivery. When every is set it waits until there is
// room for each; otherwise it samples.
func (t *eventsTopic) add(ctx context.Context, d *pb.Delivery, every bool, changed func()) error {
	for _, e := range d.GetEvents() {
		for !t.put(e, every) {
			changed()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-t.space:
			}
		}
	}
	t.mu.Lock()
	if d.GetNextOffset() != t.seenNext || d.GetTailOffset() != t.seenTail || !t.told {
		t.seenNext, t.seenTail, t.news, t.told = d.GetNextOffset(), d.GetTailOffset(), true, true
	}
	news := t.news
	t.mu.Unlock()
	if news {
		changed()
	}
	return nil
}

// put takes one event; false when it must not be lost and there is no room.
// Beyond its room it keeps each event with equal chance (reservoir sampling).
func (t *eventsTopic) put(e *pb.StoredEvent, every bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.sample) < t.most {
		t.sample = append(t.sample, e)
	} else if every {
		return false
	} else if i := rand.IntN(t.of + 1); i < t.most { //nolint:gosec // a sample, not a secret
		t.sample[i] = e
	}
	t.of++
	if every {
		// take may come before the delivery is through: tell it how far we are.
		t.seenNext, t.news = e.GetOffset()+1, true
		t.seenTail = max(t.seenTail, t.seenNext)
	}
	return true
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

// take returns gaps, then the events.
func (t *eventsTopic) take() []any {
	t.mu.Lock()
	if !t.news {
		t.mu.Unlock()
		return nil
	}
	sample, gaps := t.sample, t.gaps
	message := eventsMessage{ID: t.id, Type: "events", Next: t.seenNext, Tail: t.seenTail, Shown: len(sample), Of: t.of}
	t.sample, t.gaps, t.of, t.news = nil, nil, 0, false
	t.mu.Unlock()
	select {
	case t.space <- struct{}{}:
	default:
	}
	slices.SortFunc(sample, func(a, b *pb.StoredEvent) int { return cmp.Compare(a.GetOffset(), b.GetOffset()) })
	message.Events = newEvents(sample)
	messages := make([]any, 0, len(gaps)+1)
	for _, g := range gaps {
		messages = append(messages, g)
	}
	return append(messages, message)
}
