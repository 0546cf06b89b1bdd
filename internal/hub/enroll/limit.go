package enroll

import (
	"context"
	"errors"
	"time"

	"github.com/amoskys/amoskys/internal/limit"
)

// How many requests are answered in full and audited. Who has a token that works is
// held to the token's limit alone, so that no stranger can keep a host from joining;
// a secret of 256 bits needs no limit, the disk and the processor do. A person who
// mistypes meets none.
const (
	perNetwork   = 20  // in a minute, of a network without a token that works
	perMinute    = 120 // of all such
	perToken     = 240 // of a token that works, which a fleet may join by
	concurrently = 4
	limitKeys    = 10_000
	turnPatience = 5 * time.Second
)

var errTooMany = errors.New("too many requests: try again in a minute")

// limits bounds requests, and holds the few that may run at a time.
type limits struct {
	running                      chan struct{}
	byNetwork, overall, byBearer *limit.Limiter
}

func newLimits() *limits {
	perMinuteOf := func(n int) limit.Rate { return limit.Rate{Burst: n, Interval: time.Minute / time.Duration(n)} }
	return &limits{
		running:   make(chan struct{}, concurrently),
		byNetwork: limit.NewLimiter(perMinuteOf(perNetwork), limitKeys),
		overall:   limit.NewLimiter(perMinuteOf(perMinute), 1),
		byBearer:  limit.NewLimiter(perMinuteOf(perToken), limitKeys),
	}
}

// stranger counts a request from addr that shows no token which works. It reports
// false when there were too many: such are not even audited.
func (l *limits) stranger(addr string, now time.Time) bool {
	if _, ok := l.byNetwork.Take(limit.Network(addr), now); !ok {
		return false
	}
	_, ok := l.overall.Take("", now)
	return ok
}

// bearer counts a request with a token that works.
func (l *limits) bearer(token string, now time.Time) bool {
	_, ok := l.byBearer.Take(token, now)
	return ok
}

// turn waits a little for one of the few places at work.
func (l *limits) turn(ctx context.Context) (end func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, turnPatience)
	defer cancel()
	select {
	case l.running <- struct{}{}:
		return func() { <-l.running }, true
	case <-ctx.Done():
		return nil, false
	}
}
