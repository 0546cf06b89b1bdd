package snmp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/snmp"
)

// search looks for devices in the subnets, at a bounded rate, and remembers which
// credentials were refused.
//
// An address that is silent is asked again after an hour, then two, four … at most a day.
// How often a credential is tried that a device refuses, trials says.
type search struct {
	a         *Agent
	addresses []netip.Addr
	networks  []netip.Prefix
	without   []netip.Prefix
	pace      *pace
	probes    atomic.Uint64 // requests sent
	trials    *trials

	// Of targets, which do not change: those that are addresses, and those that are names.
	fixed  map[netip.AddrPort]bool
	names  map[string]*namedTarget
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	running chan struct{} // has room for one search

	mu     sync.Mutex // guards what follows
	silent map[netip.Addr]silence
}

// silence is an address that did not answer.
type silence struct {
	times uint8
	until int64 // Unix seconds
}

// Bounds and waits of the search.
const (
	silentFirst = time.Hour
	silentMost  = 24 * time.Hour
	maxAtOnce   = 256
)

func newSearch(a *Agent) (*search, error) {
	list, err := addresses(a.cfg.SNMP.ScanSubnets, a.cfg.SNMP.Exclude, a.cfg.Discovery.MaxAddresses)
	if err != nil {
		return nil, fmt.Errorf("snmp.scan_subnets: %w", err)
	}
	s := &search{
		a: a, running: make(chan struct{}, 1), addresses: list, pace: newPace(a.cfg.Discovery.RatePerSecond),
		trials: newTrials(a.credentials), silent: map[netip.Addr]silence{},
		fixed: map[netip.AddrPort]bool{}, names: map[string]*namedTarget{},
		lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
	}
	s.networks, s.without = prefixes(a.cfg.SNMP.ScanSubnets), prefixes(a.cfg.SNMP.Exclude)
	return s, nil
}

func prefixes(texts []string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		if p, err := config.ParseNetwork(text); err == nil { // Validate has seen to it
			out = append(out, p)
		}
	}
	return out
}

// covers says whether the configuration, as it is now, lets an address be asked because
// of its subnets. Targets are added on their own.
func (s *search) covers(at netip.AddrPort) bool {
	in := func(p netip.Prefix) bool { return p.Contains(at.Addr()) }
	return slices.ContainsFunc(s.networks, in) && !slices.ContainsFunc(s.without, in)
}

// excludes says that the configuration has an address left alone, whoever names it.
func (s *search) excludes(addr netip.Addr) bool {
	return slices.ContainsFunc(s.without, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// addTarget adds a device that the configuration names, if its name can be found now.
func (s *search) addTarget(target string) {
	host, port, err := splitTarget(target, s.a.cfg.SNMP.Port)
	if err != nil {
		return // Validate has seen to it
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		s.names[target] = &namedTarget{host: host, port: port}
		return
	}
	if s.excludes(addr) {
		s.a.o.Logger.Warn("a target is not asked", obs.KeyHost, target, obs.KeyReason, "snmp.exclude")
		return
	}
	s.fixed[netip.AddrPortFrom(addr.Unmap(), port)] = true
	if d, _ := s.a.book.add(netip.AddrPortFrom(addr, port), target); d == nil {
		s.a.o.Logger.Warn("a target has no room", obs.KeyHost, target, obs.KeyReason, "polling.max_devices")
	}
}

// run searches now and then until ctx ends.
func (s *search) run(ctx context.Context) {
	next := s.a.o.Now()
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wait := lookupWell
		if now := s.a.o.Now(); len(s.addresses) > 0 && !now.Before(next) {
			s.sweep(ctx, s.addresses, false, nil, nil)
			next = now.Add(seconds(s.a.cfg.Discovery.IntervalSeconds))
		}
		if len(s.addresses) > 0 {
			wait = min(wait, max(next.Sub(s.a.o.Now()), time.Second))
		}
		tick.Reset(wait)
	}
}

// sweep asks each of a list of addresses, those that were silent only where eager or when
// their time has come. progress is told how far it is, found each device; both may be nil.
func (s *search) sweep(ctx context.Context, list []netip.Addr, eager bool, progress func(done, found int), found func(*device)) {
	select {
	case <-ctx.Done():
		return
	case s.running <- struct{}{}:
		defer func() { <-s.running }()
	}
	began := s.a.o.Now()
	atOnce := min(max(int(s.a.cfg.Discovery.RatePerSecond*s.a.cfg.Discovery.TimeoutSeconds), 1), maxAtOnce)
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	var done, devices atomic.Int64
	for _, addr := range list {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if d := s.visit(inner, addr, eager, began); d != nil {
				devices.Add(1)
				if found != nil {
					found(d)
				}
			}
			if n := done.Add(1); progress != nil {
				progress(int(n), int(devices.Load()))
			}
			return nil
		})
	}
	_ = group.Wait() // nobody fails
	if n := devices.Load(); n > 0 {
		s.a.o.Logger.Info("devices were found", obs.KeyCount, n, obs.KeyDuration, s.a.o.Now().Sub(began).String())
	}
}

// visit asks one address, and returns the device if it is new.
func (s *search) visit(ctx context.Context, addr netip.Addr, eager bool, now time.Time) *device {
	at := netip.AddrPortFrom(addr.Unmap(), uint16(s.a.cfg.SNMP.Port))
	if s.a.book.at(at) != nil || !eager && s.isSilent(at.Addr(), now) {
		return nil
	}
	c, err := s.try(ctx, at, "", now)
	if ctx.Err() != nil {
		return nil
	}
	s.note(at.Addr(), err == nil, now)
	if err != nil {
		return nil
	}
	d, fresh := s.a.book.add(at, "")
	if d == nil || !fresh {
		return nil
	}
	d.mu.Lock()
	d.Credential = c.name
	d.mu.Unlock()
	return d
}

func (s *search) isSilent(addr netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.silent[addr].until - now.Unix()
	return left > 0 && left <= int64(silentMost/time.Second) // further ahead, the clock was set back
}

// note remembers whether an address answered.
func (s *search) note(addr netip.Addr, answered bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answered {
		delete(s.silent, addr)
		return
	}
	was := s.silent[addr]
	wait := min(silentFirst<<min(was.times, 8), silentMost)
	s.silent[addr] = silence{times: min(was.times+1, 8), until: now.Add(wait).Unix()}
}

// knock asks for sysObjectID with one credential. Each packet takes its turn.
func (s *search) knock(ctx context.Context, at netip.AddrPort, c credential) error {
	client, err := snmp.Open(ctx, snmp.Target{Addr: at, Credential: c.Credential, Timeout: seconds(s.a.cfg.Discovery.TimeoutSeconds)})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer client.Close()
	packets := 1
	if c.Version == snmp.V3 {
		packets = 2 // the engine is asked for first
	}
	for range 1 + s.a.cfg.Discovery.Retries {
		if waitErr := s.pace.wait(ctx, packets); waitErr != nil {
			return waitErr
		}
		s.probes.Add(1)
		if _, err = client.Get(ctx, oidSysObjectID); !errors.Is(err, snmp.ErrTimeout) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	return nil
}
