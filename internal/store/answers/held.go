package answers

import (
	"context"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// held bounds what all answers hold in memory together: those that are still being made,
// and those that their readers take slowly. One caller may have Limits.HeldOfCaller of it.
type held struct {
	limits Limits

	mu  sync.Mutex // guards what follows, and account.bytes
	all int
	of  map[string]int // of each caller that holds something
}

func newHeld(l Limits) *held { return &held{limits: l, of: map[string]int{}} }

// account is what one question holds.
type account struct {
	held    *held
	who     string
	bytes   int
	refused bool // the last that was to be noted
}

// add notes bytes more, or says RESOURCE_EXHAUSTED and notes nothing.
func (a *account) add(bytes int) error {
	h := a.held
	h.mu.Lock()
	defer h.mu.Unlock()
	a.refused = true
	switch {
	case h.of[a.who]+bytes > h.limits.HeldOfCaller:
		return status.Errorf(codes.ResourceExhausted,
			"answers that you are still reading take more than %d MiB together: read them to their end, or end some", h.limits.HeldOfCaller>>20)
	case h.all+bytes > h.limits.Held:
		return status.Errorf(codes.ResourceExhausted,
			"answers that are being read take more than %d MiB together: ask again in some seconds, or for less", h.limits.Held>>20)
	}
	a.bytes, a.refused = a.bytes+bytes, false
	h.all += bytes
	h.of[a.who] += bytes
	return nil
}

// wasRefused reports whether there was no room, and forgets it.
func (a *account) wasRefused() bool {
	a.held.mu.Lock()
	defer a.held.mu.Unlock()
	was := a.refused
	a.refused = false
	return was
}

// release gives back all that is noted, as when an answer, or a part of one, was sent.
func (a *account) release() {
	h := a.held
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all -= a.bytes
	if h.of[a.who] -= a.bytes; h.of[a.who] == 0 {
		delete(h.of, a.who)
	}
	a.bytes = 0
}

type accountKey struct{}

// withAccount has what is asked with the returned context noted; the caller releases it.
func (s *Service) withAccount(ctx context.Context) (context.Context, *account) {
	a := &account{held: s.held, who: s.o.Caller(ctx)}
	return context.WithValue(ctx, accountKey{}, a), a
}

// accountOf is the question's account; one of its own for what the service asks for itself.
func (s *Service) accountOf(ctx context.Context) (a *account, release func()) {
	if a, ok := ctx.Value(accountKey{}).(*account); ok {
		return a, func() {}
	}
	a = &account{held: s.held}
	return a, a.release
}

// notedAtOnce is how many bytes of an answer are noted together.
const notedAtOnce = 64 << 10
