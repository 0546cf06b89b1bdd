package ingest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// TestUnread: while the hub cannot be read that is told, and since when, although nothing
// is known to be missing.
func TestUnread(t *testing.T) {
	t.Parallel()
	l := newLogged(4)
	l.appendMany(t, 50)
	hub := &leaving{Source: &reader.Local{Log: l.log}}
	hub.leave()
	r := startFeed(t, l, t.TempDir(), func(o *Options) { o.Source = hub })
	unread := func(want string, everRead bool) func() bool {
		return func() bool {
			why, since := r.Unread()
			return strings.Contains(why, want) && (want != "") == (why != "") && !since.IsZero() == everRead
		}
	}
	until(t, "it is told that the hub was never read", unread("the hub is away", false))
	hub.come()
	r.settled(t, l)
	until(t, "it is read", unread("", false))
	hub.leave()
	until(t, "it is told that the hub is away", unread("the hub is away", true))
	hub.come()
	l.appendMany(t, 1)
	until(t, "it is read again", unread("", false))
	r.settled(t, l)
}

// leaving is a source that goes away and comes again.
type leaving struct {
	reader.Source

	mu   sync.Mutex
	away bool
	cut  []context.CancelFunc
}

var errHubAway = errors.New("the hub is away")

func (s *leaving) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = true
	for _, cut := range s.cut {
		cut()
	}
	s.cut = nil
}

func (s *leaving) come() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = false
}

func (s *leaving) Open(ctx context.Context, r reader.Request) (reader.Feed, stream.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, 0, errHubAway
	}
	f, from, err := s.Source.Open(ctx, r)
	own, cut := context.WithCancel(ctx)
	s.cut = append(s.cut, cut)
	return &leavingFeed{f, own}, from, err
}

type leavingFeed struct {
	reader.Feed
	own context.Context //nolint:containedctx // its end is what the test wants
}

func (f *leavingFeed) Next(ctx context.Context) (*reader.Batch, error) {
	b, err := f.Feed.Next(f.own) //nolint:contextcheck // it is of the one that opened
	if f.own.Err() != nil && ctx.Err() == nil {
		return nil, errHubAway
	}
	return b, err
}
