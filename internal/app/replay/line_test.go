package replay

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/identity"
)

// TestHubThatIsAway: who finds no hub says so once, tries again, and gives up in time.
func TestHubThatIsAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := identity.EnsureLayout(dir, identity.LayoutOptions{Host: "test", Canonical: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	away := 0
	p := NewPublisher(Options{
		Hub: address, Host: "test", Files: identity.FilesFor(dir, "agent"), Path: "a.pcap", Patience: 300 * time.Millisecond,
		Away: func(error) { away++ },
	})
	if err := p.Run(t.Context()); !errors.Is(err, ErrGone) || away != 1 {
		t.Errorf("told %d times that it is away, then: %v", away, err)
	}
	if err := p.add([]byte("x"), false); err != nil {
		t.Fatal(err)
	}
	if err := p.Finish(); !errors.Is(err, errEnded) {
		t.Errorf("goes on without a hub: %v", err)
	}
}

// TestHeld: batches are sent in order, again where they were not answered, later where the
// hub asks for that, and the end comes once all are answered.
func TestHeld(t *testing.T) {
	queue := make(chan *batch, 3)
	h := newHeld(queue)
	for n := range uint64(3) {
		queue <- &batch{sequence: n + 1, events: [][]byte{{1, 2, 3}}}
	}
	close(queue)
	next := func(want uint64) {
		t.Helper()
		b, err := h.Next(t.Context())
		if err != nil || b.Sequence != want || b.Count != 1 {
			t.Errorf("got batch %d, %v, want %d", b.Sequence, err, want)
		}
		if events, err := b.Events(); err != nil || len(events) != 1 || len(events[0]) != 3 {
			t.Errorf("it has %v, %v", events, err)
		}
	}
	next(1)
	next(2)
	if h.Ack(1) != 1 || h.Ack(1) != 0 || h.Holds(1) || !h.Holds(2) {
		t.Error("the wrong batch is gone")
	}
	h.Rewind()
	next(2)
	next(3)
	h.Retry(2, time.Millisecond)
	next(2)
	h.Ack(3)
	h.Ack(2)
	if _, err := h.Next(t.Context()); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("at the end: %v", err)
	}
}
