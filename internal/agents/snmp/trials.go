package snmp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/snmp"
)

// maxTrials bounds the devices of which refusals are remembered.
const maxTrials = 10_000

// errResting says that a device has refused a credential, and that it is not sent yet.
var errResting = errors.New("the device has refused a user or community")

// trials remembers which credentials devices have refused, so that nobody is locked out,
// however often devices are polled and searched for: snmp.Attempts has the rules. It is
// safe for concurrent use.
type trials struct {
	names       []string // of the credentials
	credentials []snmp.Credential
	refused     atomic.Uint64 // how often a device has refused one

	mu sync.Mutex                        // guards what follows
	at map[netip.AddrPort]*snmp.Attempts // of devices that have refused something
}

func newTrials(list []credential) *trials {
	t := &trials{at: map[netip.AddrPort]*snmp.Attempts{}}
	for _, c := range list {
		t.names = append(t.names, c.name)
		t.credentials = append(t.credentials, c.Credential)
	}
	return t
}

// due is when a credential may be tried at a device.
func (t *trials) due(at netip.AddrPort, name string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, i := t.at[at], slices.Index(t.names, name)
	if a == nil || i < 0 {
		return time.Time{}
	}
	return a.Due(i)
}

// rests says whether a credential may not be tried yet.
func (t *trials) rests(at netip.AddrPort, name string, now time.Time) bool {
	return t.due(at, name).After(now)
}

// note records what came of a credential: err is nil where it opened the device.
func (t *trials) note(at netip.AddrPort, name string, err error, now time.Time) {
	refused := snmp.Refused(err)
	if err != nil && !refused {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.names, name)
	a := t.at[at]
	switch {
	case i < 0:
	case !refused && a != nil:
		if a.Opened(i); len(a.Refusals()) == 0 {
			delete(t.at, at)
		}
	case refused:
		t.refused.Add(1)
		if a == nil {
			if len(t.at) >= maxTrials {
				return // and how often it is asked is as polls and searches have it
			}
			a = snmp.NewAttempts(t.credentials)
			t.at[at] = a
		}
		a.Refused(now, i)
	}
}

// forgive has the credentials of a device tried again as soon as nobody is locked out by
// it: a person wants it.
func (t *trials) forgive(at netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.at[at]; a != nil {
		a.Forgive()
	}
}

// kept is what outlasts a restart, in order.
func (t *trials) kept() []wrong {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []wrong
	for at, a := range t.at {
		for _, r := range a.Refusals() {
			out = append(out, wrong{Addr: at.String(), Credential: t.names[r.Credential], Tries: r.Times, Last: r.Last, Until: r.Next})
		}
	}
	slices.SortFunc(out, func(x, y wrong) int {
		return slices.Compare([]string{x.Addr, x.Credential}, []string{y.Addr, y.Credential})
	})
	return out
}

// restore takes over what was kept, but for the rests: whoever starts the agent anew may
// have mended a password, and that no device meets too many wrong users at a time, Attempts
// sees to by itself. A refusal in the future, by a clock that was wrong, is one of now.
func (t *trials) restore(list []wrong, now time.Time) {
	refusals := map[netip.AddrPort][]snmp.Refusal{}
	for _, w := range list {
		at, err := netip.ParseAddrPort(w.Addr)
		i := slices.Index(t.names, w.Credential)
		if w.Last.After(now) {
			w.Last = now
		}
		if err == nil && i >= 0 && w.Tries > 0 && (refusals[at] != nil || len(refusals) < maxTrials) {
			refusals[at] = append(refusals[at], snmp.Refusal{Credential: i, Times: w.Tries, Last: w.Last, Next: w.Until})
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for at, list := range refusals {
		a := snmp.NewAttempts(t.credentials, list...)
		a.Forgive()
		t.at[at] = a
	}
}

// order is that in which credentials are tried at a device: that of the configuration, but
// those last that it has refused most often. Else two wrong users that are due again
// whenever it is asked would keep all behind them from being tried.
func (t *trials) order(at netip.AddrPort) []int {
	order, times := make([]int, len(t.names)), make([]int, len(t.names))
	t.mu.Lock()
	if a := t.at[at]; a != nil {
		for _, r := range a.Refusals() {
			times[r.Credential] = r.Times
		}
	}
	t.mu.Unlock()
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return times[x] - times[y] })
	return order
}

// try asks a device with each credential but one, in order, until one is taken. Those that
// have to rest are left out.
func (s *search) try(ctx context.Context, at netip.AddrPort, but string, now time.Time) (credential, error) {
	err := fmt.Errorf("%w to any of the credentials", snmp.ErrTimeout)
	for _, i := range s.trials.order(at) {
		c := s.a.credentials[i]
		if c.name == but || s.trials.rests(at, c.name, now) {
			continue
		}
		tryErr := s.knock(ctx, at, c)
		if ctx.Err() != nil {
			return credential{}, tryErr
		}
		s.trials.note(at, c.name, tryErr, now)
		switch {
		case tryErr == nil:
			return c, nil
		case snmp.Refused(tryErr):
			err = tryErr
		case errors.Is(tryErr, snmp.ErrRefused), errors.Is(tryErr, snmp.ErrUnreachable):
			return credential{}, tryErr // another credential changes nothing
		}
	}
	return credential{}, err
}
