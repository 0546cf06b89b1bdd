package scanner

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/service"
	"github.com/amoskys/amoskys/internal/scan/stack"
)

// asker asks the open ports of one scan what they are, within the hours and the rates
// that are configured. Each connection counts as a packet.
type asker struct {
	plan  scan.Plan
	rate  turns
	host  time.Duration // between connections to one host
	hosts int           // that are asked at once
	ports int           // of one host that are; 0 leaves it to the identifier
}

func newAsker(d *Discovery, plan scan.Plan) *asker {
	k := &asker{plan: plan, hosts: identifying}
	if d.RatePerSecond > 0 {
		k.rate.every = time.Second / time.Duration(d.RatePerSecond)
		k.hosts = max(1, min(identifying, d.RatePerSecond/4)) // a port has timeout_seconds alone
	}
	if d.HostRatePerSecond > 0 {
		k.host = time.Second / time.Duration(d.HostRatePerSecond)
	}
	switch {
	case k.rate.every > 0 || k.host > 0:
		k.ports = 1
	case plan.Hours != (scan.Hours{}):
		k.ports = 16 // and then it is looked whether the hours are over
	}
	return k
}

// identify is service.Identifier.IdentifyAll within hours and rates.
func (k *asker) identify(ctx context.Context, i *service.Identifier, ip netip.Addr, ports []service.Asked, hint service.Hint) ([]*pb.Port, []stack.Clue) {
	d := &pacedDialer{all: &k.rate, host: turns{every: k.host}}
	size := k.ports
	if size == 0 {
		size = len(ports)
	}
	var found []*pb.Port
	var clues []stack.Clue
	for some := range slices.Chunk(ports, size) {
		if within(ctx, k.plan.Hours) != nil {
			break
		}
		p, c := i.IdentifyAll(ctx, d, ip, some, hint)
		found, clues = append(found, p...), append(clues, c...)
	}
	return found, clues
}

// within waits until hours allow to send.
func within(ctx context.Context, hours scan.Hours) error {
	for {
		now := time.Now()
		next := hours.Next(now)
		if !next.After(now) {
			return ctx.Err()
		}
		if err := pause(ctx, min(next.Sub(now), time.Minute)); err != nil { // clocks may be set
			return err
		}
	}
}

func pause(ctx context.Context, long time.Duration) error {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
	return pause(ctx, at.Sub(now))
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

// identify asks open ports what they are, unless that was done lately.
func (a *Agent) identify(ctx context.Context, h *scan.Host, d *pb.DeviceInventory, asks *asker, anew bool) {
	var ask []service.Asked
	for _, p := range h.Ports {
		d.Ports = append(d.Ports, &pb.Port{Port: uint32(p.Port), Protocol: p.Protocol})
		if a.cfg.Discovery.Methods.Fingerprinting && a.due(h, p, anew) {
			ask = append(ask, service.Asked{Port: p.Port, Protocol: p.Protocol})
		}
	}
	if len(ask) == 0 {
		return
	}
	hint := service.Hint{}
	if len(h.Names) > 0 {
		hint.Name = h.Names[0].Name
	}
	e, err := a.experts()
	if err != nil {
		return // Run has said so
	}
	ports, clues := asks.identify(ctx, e.services, h.IP, ask, hint)
	if ctx.Err() != nil {
		return // some were not asked
	}
	a.noteAsked(h, ask)
	for _, p := range ports {
		at := slices.IndexFunc(d.GetPorts(), func(q *pb.Port) bool { return q.GetPort() == p.GetPort() && q.GetProtocol() == p.GetProtocol() })
		if at >= 0 {
			d.Ports[at] = p
		}
		d.Sources = append(d.Sources, provedBy(p)...)
	}
	slices.Sort(d.Sources)
	d.Sources = slices.Compact(d.Sources)
	a.conclude(e, d, h.Stack, clues)
}

// provedBy are the sources that a port adds.
func provedBy(p *pb.Port) []string {
	var s []string
	if p.GetHostKey() != "" {
		s = append(s, "ssh")
	}
	if p.GetCertificateSha256() != "" {
		s = append(s, "tls")
	}
	return s
}

// askedKey names a port of a host.
func askedKey(h *scan.Host, protocol string, port uint16) string {
	return strings.Join([]string{h.IP.String(), h.MAC.String(), protocol, strconv.Itoa(int(port))}, " ")
}

// due reports whether an open port is to be asked what it is.
func (a *Agent) due(h *scan.Host, p scan.Open, anew bool) bool {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	last, is := a.asked[askedKey(h, p.Protocol, p.Port)]
	return !is || anew || now.Sub(last) >= time.Duration(a.cfg.Discovery.IdentifyHours*float64(time.Hour)) || now.Before(last)
}

// noteAsked notes that ports were asked what they are.
func (a *Agent) noteAsked(h *scan.Host, ports []service.Asked) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.asked)+len(ports) > maxAsked {
		clear(a.asked)
	}
	for _, p := range ports {
		a.asked[askedKey(h, p.Protocol, p.Port)] = now
	}
}
