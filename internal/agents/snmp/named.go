package snmp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/obs"
)

// When the names of targets are looked up. The resolver does not say how long an answer
// holds, so that all are looked up again after a time that most answers have.
//
//	the name                           | is looked up again after
//	-----------------------------------+-------------------------
//	was not found, or is excluded      | lookupFailed
//	its device does not answer         | lookupFailed
//	its device answers                 | lookupWell
const (
	lookupWell   = 5 * time.Minute
	lookupFailed = time.Minute
	// lookupTime is how long one may take, and lookupsAtOnce how many run at a time.
	lookupTime    = 10 * time.Second
	lookupsAtOnce = 8
)

// namedTarget is a target that the configuration names by a host's name.
type namedTarget struct {
	host string
	port uint16

	// Of the one goroutine that looks up.
	at     netip.AddrPort // where its device is polled; zero where that is not known
	looked time.Time
	fault  error
}

// due is when it is looked up next.
func (n *namedTarget) due(silent bool) time.Time {
	switch {
	case n.looked.IsZero():
		return time.Time{}
	case silent || n.fault != nil:
		return n.looked.Add(lookupFailed)
	default:
		return n.looked.Add(lookupWell)
	}
}

// resolving looks names up when their time has come, until ctx ends. It waits for no search,
// which may take an hour.
func (s *search) resolving(ctx context.Context) {
	if len(s.names) == 0 {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(min(s.resolve(ctx), lookupFailed)) // a device may have fallen silent meanwhile
		}
	}
}

// resolve looks up the names of targets whose time has come, has devices polled where they
// are now, and says how long it is until the next time.
func (s *search) resolve(ctx context.Context) time.Duration {
	now := s.a.o.Now()
	targets := slices.Sorted(maps.Keys(s.names))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(lookupsAtOnce)
	for _, target := range targets {
		if n := s.names[target]; !n.due(s.isAway(n.at)).After(now) {
			group.Go(func() error { s.look(inner, target, n); return nil })
		}
	}
	_ = group.Wait() // nobody fails
	if ctx.Err() != nil {
		return lookupFailed
	}
	var faults []error
	wait, after := lookupWell, s.a.o.Now()
	for _, target := range targets {
		n := s.names[target]
		if n.fault != nil {
			faults = append(faults, n.fault)
		}
		wait = min(wait, max(n.due(s.isAway(n.at)).Sub(after), time.Second))
	}
	s.a.o.Condition("targets", errors.Join(faults...))
	return wait
}

// isAway says that a device does not answer.
func (s *search) isAway(at netip.AddrPort) bool {
	d := s.a.book.at(at)
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failures > 0
}

// look looks one name up. While the name has the address that is polled, that stays, as a
// name may have several in any order; a name that is not found any more keeps its address.
func (s *search) look(ctx context.Context, target string, n *namedTarget) {
	bounded, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	found, err := s.lookup(bounded, n.host)
	if ctx.Err() != nil {
		return
	}
	n.looked, n.fault = s.a.o.Now(), nil
	var allowed []netip.AddrPort
	for _, addr := range found {
		if !s.excludes(addr) {
			allowed = append(allowed, netip.AddrPortFrom(addr.Unmap(), n.port))
		}
	}
	switch {
	case (err != nil || len(found) == 0) && n.at.IsValid():
	case err != nil:
		n.fault = fmt.Errorf("target %s: its address is not found: %w", target, err)
	case len(found) == 0:
		n.fault = fmt.Errorf("target %s: it has no address", target)
	case len(allowed) == 0:
		n.fault = fmt.Errorf("target %s: its address %s is in snmp.exclude", target, found[0])
		s.a.book.remove(n.at)
		n.at = netip.AddrPort{}
	case slices.Contains(allowed, n.at):
	default:
		if n.at.IsValid() {
			s.a.o.Logger.Info("a target has another address", obs.KeyHost, target, obs.KeyAddr, allowed[0].String())
		}
		if !s.a.book.move(n.at, allowed[0], target, s.covers(n.at) || s.fixed[n.at]) {
			s.a.o.Logger.Warn("a target has no room", obs.KeyHost, target, obs.KeyReason, "polling.max_devices")
			return
		}
		n.at = allowed[0]
	}
}

// move has a target polled at another address. What is known of its device goes along; the
// one at the old address is dropped, unless keep. It reports false where there is no room.
func (b *book) move(from, to netip.AddrPort, target string, keep bool) bool {
	old := b.at(from)
	if old != nil && !keep {
		b.remove(from)
	}
	d, fresh := b.add(to, target)
	if d == nil || !fresh || old == nil {
		return d != nil
	}
	old.mu.Lock()
	known, told, toldAt, toldMACs := old.kept, old.told, old.toldAt, old.toldMACs
	old.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.LastSeen.IsZero() { // else it was polled there before the agent started
		known.Addr = d.Addr
		d.moved = true
		d.kept, d.told, d.toldAt, d.toldMACs = known, told, toldAt, toldMACs
	}
	return true
}

// remove drops a device. A poll of it that runs is its last.
func (b *book) remove(at netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.byAddr[at]
	if d == nil {
		return
	}
	delete(b.byAddr, at)
	b.list = slices.DeleteFunc(b.list, func(x *device) bool { return x == d })
}
