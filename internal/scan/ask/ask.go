// Package ask asks the open ports of hosts that a scan found what listens there, within
// the hours and at the rates of that scan, and concludes what each device is. It is the
// second half of a scan, the same for the command and for the agent.
package ask

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/service"
	"github.com/amoskys/amoskys/internal/scan/stack"
)

// Asker asks ports within the hours and the rates of one scan. Each connection counts as
// a packet. It is safe for concurrent use.
type Asker struct {
	hours scan.Hours
	rate  turns
	host  time.Duration // between connections to one host
	hosts int           // that are asked at once
	ports int           // of one host that are; 0 leaves it to the identifier
}

// New returns the asker of a plan, which asks at most so many hosts at once.
func New(plan scan.Plan, hosts int) *Asker {
	a := &Asker{hours: plan.Hours, hosts: hosts}
	if plan.Rate > 0 {
		a.rate.every = time.Second / time.Duration(plan.Rate)
		a.hosts = max(1, min(hosts, plan.Rate/4)) // a port has its deadline alone
	}
	if plan.HostRate > 0 {
		a.host = time.Second / time.Duration(plan.HostRate)
	}
	switch {
	case a.rate.every > 0 || a.host > 0:
		a.ports = 1
	case plan.Hours != (scan.Hours{}):
		a.ports = 16 // and then it is looked whether the hours are over
	}
	return a
}

// AtOnce is how many hosts are to be asked at once.
func (a *Asker) AtOnce() int { return a.hosts }

// Ask is service.Identifier.IdentifyAll within hours and rates. It returns what was
// learnt until ctx ended.
func (a *Asker) Ask(ctx context.Context, i *service.Identifier, ip netip.Addr, ports []service.Asked, hint service.Hint) ([]*pb.Port, []stack.Clue) {
	d := &pacedDialer{all: &a.rate, host: turns{every: a.host}}
	size := a.ports
	if size == 0 {
		size = len(ports)
	}
	var found []*pb.Port
	var clues []stack.Clue
	for some := range slices.Chunk(ports, max(size, 1)) {
		if a.hours.Wait(ctx) != nil {
			break
		}
		p, c := i.IdentifyAll(ctx, d, ip, some, hint)
		found, clues = append(found, p...), append(clues, c...)
	}
	return found, clues
}

// turns lets one go after the other. The zero value lets all go.
type turns struct {
	every time.Duration
	mu    sync.Mutex
	next  time.Time
}

func (t *turns) wait(ctx context.Context) error {
	if t.every == 0 {
		return nil
	}
	t.mu.Lock()
	now := time.Now()
	at := t.next
	if at.Before(now) {
		at = now
	}
	t.next = at.Add(t.every)
	t.mu.Unlock()
	return scan.Pause(ctx, at.Sub(now))
}

// pacedDialer opens connections to one host no faster than the rates allow.
type pacedDialer struct {
	all  *turns
	host turns
}

// DialContext implements service.Dialer.
func (d *pacedDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := d.host.wait(ctx); err != nil {
		return nil, err
	}
	if err := d.all.wait(ctx); err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}
