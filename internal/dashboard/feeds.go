package dashboard

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Bounds on what is followed at the hub.
const (
	// maxFeeds is how many different things all tabs together follow.
	maxFeeds = 320
	// maxFeedsOfOne is how many different things the tabs of one user follow.
	maxFeedsOfOne = 64
	// maxCatchUps is how many subscriptions at a time read what they missed, and
	// maxCatchUpsOfOne how many of one user. Others wait for their turn.
	maxCatchUps      = 64
	maxCatchUpsOfOne = 4
)

// feed is what subscriptions to the same thing follow together: one stream of
// the hub, or one question a second, however many tabs there are.
type feed interface {
	// run gathers until ctx ends, or returns what makes going on senseless.
	run(ctx context.Context) error
}

// feeds are those that somebody follows. A feed runs from the first follower to
// the last.
type feeds struct {
	mu   sync.Mutex // guards what follows
	open map[string]*openFeed
	// users counts the followers of each feed by user.
	users map[string]map[string]int
	// catchUps counts those under way by user; waiting is closed and replaced when
	// one ends.
	catchUps map[string]int
	total    int
	waiting  chan struct{}

	running sync.WaitGroup
}

type openFeed struct {
	key       string
	feed      feed
	followers int
	cancel    context.CancelFunc
	// ended ends when the feed does, with what it failed with.
	ended context.Context //nolint:containedctx // the life of the feed, for those who follow it
}

func newFeeds() *feeds {
	return &feeds{
		open: map[string]*openFeed{}, users: map[string]map[string]int{},
		catchUps: map[string]int{}, waiting: make(chan struct{}),
	}
}

// follow makes a user one more follower of the feed of a key, starts it if he is
// the first, and calls listen, whose context ends with the feed. It returns what
// listen or the feed failed with.
func follow[F feed](ctx context.Context, all *feeds, user, key string, start func() F, listen func(context.Context, F) error) error {
	one, err := all.enter(ctx, user, key, func() feed { return start() })
	if err != nil {
		return err
	}
	defer all.leave(user, one)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	unlink := context.AfterFunc(one.ended, func() { cancel(context.Cause(one.ended)) }) //nolint:contextcheck // the feed's life, not the caller's
	defer unlink()
	err = listen(ctx, one.feed.(F)) //nolint:forcetypeassert // a key belongs to one kind of feed
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (f *feeds) enter(ctx context.Context, user, key string, start func() feed) (*openFeed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.open[key]
	switch {
	case f.users[user][key] == 0 && len(f.users[user]) >= maxFeedsOfOne:
		return nil, status.Errorf(codes.ResourceExhausted, "your tabs follow %d different things, which is the most: close some", maxFeedsOfOne)
	case one == nil && len(f.open) >= maxFeeds:
		return nil, status.Errorf(codes.ResourceExhausted, "all tabs together follow %d different things, which is the most", maxFeeds)
	case one == nil:
		one = f.launch(ctx, key, start())
	}
	if f.users[user] == nil {
		f.users[user] = map[string]int{}
	}
	f.users[user][key]++
	one.followers++
	return one, nil
}

// launch starts a feed, which outlives the ctx of its first follower. The caller
// holds mu.
func (f *feeds) launch(ctx context.Context, key string, source feed) *openFeed {
	ended, end := context.WithCancelCause(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	one := &openFeed{key: key, feed: source, cancel: cancel, ended: ended}
	f.open[key] = one
	f.running.Go(func() {
		defer cancel()
		err := source.run(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.open[key] == one {
			delete(f.open, key)
		}
		end(err)
	})
	return one
}

func (f *feeds) leave(user string, one *openFeed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users[user][one.key]--; f.users[user][one.key] == 0 {
		delete(f.users[user], one.key)
	}
	if len(f.users[user]) == 0 {
		delete(f.users, user)
	}
	if one.followers--; one.followers > 0 {
		return
	}
	one.cancel()
	if f.open[one.key] == one {
		delete(f.open, one.key)
	}
}

// catchUp waits until a user may read what a subscription missed.
func (f *feeds) catchUp(ctx context.Context, user string) (done func(), err error) {
	for {
		f.mu.Lock()
		if f.total < maxCatchUps && f.catchUps[user] < maxCatchUpsOfOne {
			f.total++
			f.catchUps[user]++
			f.mu.Unlock()
			return func() { f.caughtUp(user) }, nil
		}
		waiting := f.waiting
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait to catch up: %w", ctx.Err())
		case <-waiting:
		}
	}
}

func (f *feeds) caughtUp(user string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total--
	if f.catchUps[user]--; f.catchUps[user] == 0 {
		delete(f.catchUps, user)
	}
	close(f.waiting)
	f.waiting = make(chan struct{})
}

// wait returns when every feed has ended. All followers must have left.
func (f *feeds) wait() { f.running.Wait() }
