package accounts

import (
	"context"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/limit"
)

// How often a password may be tried, and how many are looked at once. A person who
// mistypes never meets these.
const (
	triesKeys     = 10_000
	triesKnownFor = 90 * 24 * time.Hour
	// Passwords of strangers that are checked or wait for it: fewer than the hasher
	// takes, so that it always has room for others.
	strangersAtOnce      = 12
	strangersOfOneAtOnce = 2
)

// tries bounds tries of passwords.
//
//	who tries                             may
//	everybody, each name and network      5 at once, then one in 30 s
//	who has not signed in from there:
//	  each network                        30 at once, then one in 5 s
//	  all of them                         120 at once, then two a second
//	  passwords looked at                 2 at a time of a network, 12 in all
//
// So others can slow down only those who sign in from somewhere new. It is the
// network that is remembered, by name: this is what OWASP calls a device cookie,
// without a cookie.
type tries struct {
	byName, byAddress, overall *limit.Limiter

	known     *limit.Known // names with the networks that they signed in from
	strangers *limit.Slots // by network
}

func newTries() tries {
	return tries{
		byName:    limit.NewLimiter(limit.Rate{Burst: 5, Interval: 30 * time.Second}, triesKeys),
		byAddress: limit.NewLimiter(limit.Rate{Burst: 30, Interval: 5 * time.Second}, triesKeys),
		overall:   limit.NewLimiter(limit.Rate{Burst: 120, Interval: 500 * time.Millisecond}, 1),
		known:     limit.NewKnown(triesKeys, triesKnownFor),
		strangers: limit.NewSlots(limit.SlotOptions{Slots: strangersAtOnce}),
	}
}

func triesKey(name, network string) string { return name + "\x00" + network }

// own counts one try of a name from a network.
func (t *tries) own(name, network string, now time.Time) error {
	if wait, ok := t.byName.Take(triesKey(name, network), now); !ok {
		return errTooMany(wait)
	}
	return nil
}

// stranger counts one try of somebody who never signed in from a network. The
// narrower comes first, so that who has used up its own tries takes nothing from
// others.
func (t *tries) stranger(network string, now time.Time) (done func(), err error) {
	if wait, ok := t.byAddress.Take(network, now); !ok {
		return nil, errTooMany(wait)
	}
	if wait, ok := t.overall.Take("", now); !ok {
		return nil, errTooMany(wait)
	}
	slot, err := t.strangers.Take(limit.Claim{Key: network, Most: strangersOfOneAtOnce})
	if err != nil {
		return nil, errTooMany(time.Second)
	}
	return slot.Release, nil
}

// succeeded notes that a name signed in from a network.
func (t *tries) succeeded(name, network string, now time.Time) {
	t.byName.Forget(triesKey(name, network))
	t.known.Note(triesKey(name, network), now)
}

// admit applies the limits to one login. done must be called when the password has
// been looked at.
func (s *Service) admit(ctx context.Context, name, ip string, now time.Time) (done func(), err error) {
	network := limit.Network(ip)
	if err := s.tries.own(name, network, now); err != nil {
		return nil, err
	}
	if s.tries.known.Has(triesKey(name, network), now) || s.hasSessionFrom(ctx, name, network, now) {
		return func() {}, nil
	}
	return s.tries.stranger(network, now)
}

// hasSessionFrom says whether a user signed in from a network before the hub
// started: there is a session that says so.
func (s *Service) hasSessionFrom(ctx context.Context, name, network string, now time.Time) bool {
	addresses, err := s.o.Store.SignedInFrom(ctx, name)
	if err != nil {
		s.o.Logger.WarnContext(ctx, "addresses of sessions not read", "error", err)
		return false
	}
	if !slices.ContainsFunc(addresses, func(addr string) bool { return limit.Network(addr) == network }) {
		return false
	}
	s.tries.known.Note(triesKey(name, network), now)
	return true
}
