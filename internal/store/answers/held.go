package answers

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/limit"
)

// account is what one question holds of Service.Memory: of answers that are still being
// made, and of those that their readers take slowly.
type account struct {
	memory *limit.Budget
	who    string

	mu      sync.Mutex // guards what follows
	bytes   int64
	refused bool // the last that was to be noted
}

// add notes bytes more, or says RESOURCE_EXHAUSTED and notes nothing.
func (a *account) add(bytes int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.memory.Take(a.who, int64(bytes))
	if a.refused = err != nil; a.refused {
		return noRoom(err, a.memory)
	}
	a.bytes += int64(bytes)
	return nil
}

// noRoom says why the memory of answers has no room, and what to do about it.
func noRoom(err error, memory *limit.Budget) error {
	if errors.Is(err, limit.ErrShare) {
		return status.Errorf(codes.ResourceExhausted,
			"answers that you are still reading take more than %d MiB together: read them to their end, or end some", memory.Share()>>20)
	}
	return status.Errorf(codes.ResourceExhausted,
		"answers that are being read take more than %d MiB together: ask again in some seconds, or for less", memory.Size()>>20)
}

// wasRefused reports whether there was no room, and forgets it.
func (a *account) wasRefused() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.refused
	a.refused = false
	return was
}

// release gives back all that is noted, as when an answer, or a part of one, was sent.
func (a *account) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.memory.Release(a.who, a.bytes)
	a.bytes = 0
}

type accountKey struct{}

// withAccount has what is asked with the returned context noted; the caller releases it.
func (s *Service) withAccount(ctx context.Context) (context.Context, *account) {
	a := &account{memory: s.memory, who: s.o.Caller(ctx)}
	return context.WithValue(ctx, accountKey{}, a), a
}

// accountOf is the question's account; one of its own for what the service asks for itself.
func (s *Service) accountOf(ctx context.Context) (a *account, release func()) {
	if a, ok := ctx.Value(accountKey{}).(*account); ok {
		return a, func() {}
	}
	a = &account{memory: s.memory}
	return a, a.release
}

// notedAtOnce is how many bytes of an answer are noted together.
const notedAtOnce = 64 << 10
