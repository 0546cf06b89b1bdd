package hub

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/stream"
)

// Bounds on cursors, which outlive their subscriptions: each costs a file, and
// one with a hold keeps the log from shrinking.
const (
	maxCursors        = 4096
	maxCursorsOfOne   = 64
	maxCursorNameSize = 64
)

// subscription is one open Subscribe call, for the status page.
type subscription struct {
	identity string
	cursor   string // full name, empty without one
	hold     bool
	from     stream.Offset
	since    time.Time

	next    atomic.Uint64          // everything before it has been sent
	count   atomic.Uint64          // events sent
	seen    atomic.Int64           // when something was sent last, ns since 1970
	trouble atomic.Pointer[string] // why the log cannot be read for it now, nil when it can
}

func (s *subscription) delivered(next stream.Offset, events int, now time.Time) {
	s.next.Store(next)
	s.count.Add(uint64(events))
	s.seen.Store(now.UnixNano())
}

// reading says how the subscription does.
func (s *subscription) reading(tail stream.Offset) stream.Reading {
	r := stream.Reading{Next: s.next.Load(), Tail: tail, Seen: s.since}
	if seen := s.seen.Load(); seen != 0 {
		r.Seen = time.Unix(0, seen)
	}
	if why := s.trouble.Load(); why != nil {
		r.Trouble = *why
	}
	return r
}

// subscriptions is the set of open ones.
type subscriptions struct {
	opening sync.Mutex // held while a cursor is opened

	mu   sync.Mutex // guards open
	open map[*subscription]struct{}
}

func newSubscriptions() *subscriptions {
	return &subscriptions{open: map[*subscription]struct{}{}}
}

func (s *subscriptions) add(one *subscription) *subscription {
	one.next.Store(one.from)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[one] = struct{}{}
	return one
}

func (s *subscriptions) remove(one *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, one)
}

// reads reports whether somebody reads in the name of a cursor.
func (s *subscriptions) reads(cursor string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.open {
		if one.cursor == cursor {
			return true
		}
	}
	return false
}

func (s *subscriptions) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// SubscriberStatus is one cursor, one open subscription without a cursor, or one
// reader inside the hub's own process.
type SubscriberStatus struct {
	Name      string `json:"name"`
	Offset    uint64 `json:"offset"` // confirmed, or sent where there is no cursor
	LagEvents uint64 `json:"lag_events"`
	Hold      bool   `json:"hold"`
	Connected bool   `json:"connected"`

	State  stream.ReaderState `json:"state"`
	Reason string             `json:"reason,omitempty"`  // why the state is not ok
	SeenAt *time.Time         `json:"seen_at,omitempty"` // when it was last seen to read
}

// describeReader returns the status of a reader that is there.
func describeReader(name string, hold bool, r *stream.Reading) SubscriberStatus {
	s := SubscriberStatus{Name: name, Offset: r.Next, LagEvents: r.Lag(), Hold: hold, Connected: true}
	s.State, s.Reason = r.Judge()
	s.see(r.Seen)
	return s
}

func (s *SubscriberStatus) see(at time.Time) {
	if !at.IsZero() {
		at = at.UTC()
		s.SeenAt = &at
	}
}

// list merges the cursors of the log with what is open, cursors first, and with the
// readers of the hub's own process, which come last.
func (s *subscriptions) list(cursors []stream.CursorInfo, tail stream.Offset, own []SubscriberStatus) []SubscriberStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]SubscriberStatus, 0, len(cursors)+len(s.open)+len(own))
	connected := map[string]stream.Reading{}
	for one := range s.open {
		r := one.reading(tail)
		if one.cursor == "" {
			out = append(out, describeReader(one.identity, false, &r))
		} else if old, known := connected[one.cursor]; !known || old.Next < r.Next {
			connected[one.cursor] = r
		}
	}
	slices.SortFunc(out, func(a, b SubscriberStatus) int { return strings.Compare(a.Name, b.Name) })
	all := make([]SubscriberStatus, 0, cap(out))
	for _, c := range cursors {
		if slices.ContainsFunc(own, func(r SubscriberStatus) bool { return r.Name == c.Name }) {
			continue
		}
		r, there := connected[c.Name]
		one := SubscriberStatus{State: stream.ReaderStopped, Reason: "not connected"}
		if there {
			one = describeReader(c.Name, c.Hold, &r)
		} else {
			one.see(c.Updated)
		}
		// What counts of a cursor is what is confirmed, not what was sent.
		one.Name, one.Offset, one.LagEvents, one.Hold = c.Name, c.Offset, tail-min(c.Offset, tail), c.Hold
		all = append(all, one)
	}
	return append(append(all, out...), own...)
}

// mayOpen bounds how many cursors there are, over all and of one identity.
func (s *subscriptions) mayOpen(name string, cursors []stream.CursorInfo) error {
	owner := name[:strings.LastIndexByte(name, '@')+1]
	mine := 0
	for _, c := range cursors {
		if c.Name == name {
			return nil
		}
		if strings.HasPrefix(c.Name, owner) {
			mine++
		}
	}
	if mine >= maxCursorsOfOne || len(cursors) >= maxCursors {
		return status.Errorf(codes.ResourceExhausted,
			"there are %d cursors, %d of them of this certificate: at most %d and %d are allowed",
			len(cursors), mine, maxCursors, maxCursorsOfOne)
	}
	return nil
}

// cursorName is the name under which the log keeps a cursor: ROLE@NAME@CURSOR, so
// that nobody can move the cursor of another.
func cursorName(id identity.ID, cursor string) (string, error) {
	if len(cursor) > maxCursorNameSize || !plain(cursor) || cursor[0] == '.' {
		return "", fmt.Errorf("cursor %.80q is not a name: use up to %d letters, digits, '.', '_' and '-', not starting with '.'",
			cursor, maxCursorNameSize)
	}
	// A name's parts are of what cursors are of, with a slash between, so that no
	// two names become one.
	owner := strings.ReplaceAll(id.Name, "/", "@")
	return string(id.Role) + "@" + owner + "@" + cursor, nil
}

func plain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("-_.", r)
	})
}
