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
	"github.com/amoskys/amoskys/internal/wal"
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
	from     wal.Offset
	since    time.Time

	next  atomic.Uint64 // everything before it has been sent
	count atomic.Uint64 // events sent
}

func (s *subscription) delivered(next wal.Offset, events int) {
	s.next.Store(next)
	s.count.Add(uint64(events))
}

// subscriptions is the set of open ones.
type subscriptions struct {
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

func (s *subscriptions) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// SubscriberStatus is one cursor, or one open subscription without a cursor.
type SubscriberStatus struct {
	Name      string `json:"name"`
	Offset    uint64 `json:"offset"` // confirmed, or sent where there is no cursor
	LagEvents uint64 `json:"lag_events"`
	Hold      bool   `json:"hold"`
	Connected bool   `json:"connected"`
}

// list merges the cursors of the log with what is open, cursors first.
func (s *subscriptions) list(cursors []wal.CursorInfo, tail wal.Offset) []SubscriberStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]SubscriberStatus, 0, len(cursors)+len(s.open))
	connected := map[string]bool{}
	for one := range s.open {
		if one.cursor != "" {
			connected[one.cursor] = true
			continue
		}
		next := one.next.Load()
		out = append(out, SubscriberStatus{
			Name: one.identity, Offset: next, LagEvents: tail - min(next, tail), Connected: true,
		})
	}
	slices.SortFunc(out, func(a, b SubscriberStatus) int { return strings.Compare(a.Name, b.Name) })
	all := make([]SubscriberStatus, 0, cap(out))
	for _, c := range cursors {
		all = append(all, SubscriberStatus{
			Name: c.Name, Offset: c.Offset, LagEvents: tail - min(c.Offset, tail),
			Hold: c.Hold, Connected: connected[c.Name],
		})
	}
	return append(all, out...)
}

// mayOpen bounds how many cursors there are, over all and of one identity.
func (s *subscriptions) mayOpen(name string, cursors []wal.CursorInfo) error {
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
