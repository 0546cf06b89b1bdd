package dashboard

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// pollFeed asks the same question again and again, and gives what is new to all
// who follow.
type pollFeed[M any] struct {
	// ask returns the present answer, and whether it is another than the last.
	ask   func(ctx context.Context) (now M, news bool, err error)
	every func() time.Duration

	mu        sync.Mutex // guards what follows
	last      *M
	listeners map[*pollTopic[M]]func()
}

func newPollFeed[M any](every func() time.Duration, ask func(context.Context) (M, bool, error)) *pollFeed[M] {
	return &pollFeed[M]{ask: ask, every: every, listeners: map[*pollTopic[M]]func(){}}
}

func (f *pollFeed[M]) run(ctx context.Context) error {
	for {
		now, news, err := f.ask(ctx)
		if code := status.Code(err); code == codes.InvalidArgument || code == codes.PermissionDenied {
			return err
		}
		if err == nil && news {
			f.tell(now)
		}
		timer := time.NewTimer(f.every())
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func (f *pollFeed[M]) tell(now M) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = &now
	for t, changed := range f.listeners {
		t.put(now)
		changed()
	}
}

// listen gives the last answer, and those to come, to t until ctx ends.
func (f *pollFeed[M]) listen(ctx context.Context, t *pollTopic[M], changed func()) error {
	f.mu.Lock()
	if f.last != nil {
		t.put(*f.last)
		changed()
	}
	f.listeners[t] = changed
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.listeners, t)
	return ctx.Err()
}

// pollTopic follows a pollFeed. It holds the newest answer alone.
type pollTopic[M any] struct {
	feeds *feeds
	user  string
	// key names the feed, start makes it.
	key   string
	start func() *pollFeed[M]
	// message makes what the tab is sent.
	message func(M) any

	mu  sync.Mutex // guards due; taken with pollFeed.mu held, never the other way
	due *M
}

func (t *pollTopic[M]) run(ctx context.Context, changed func()) error {
	return follow(ctx, t.feeds, t.user, t.key, t.start, func(ctx context.Context, f *pollFeed[M]) error {
		return f.listen(ctx, t, changed)
	})
}

func (t *pollTopic[M]) put(now M) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due = &now
}

func (t *pollTopic[M]) take() []any {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.due == nil {
		return nil
	}
	message := t.message(*t.due)
	t.due = nil
	return []any{message}
}
