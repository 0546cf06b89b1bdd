package scanner

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/service"
)

// identify asks open ports what they are, unless that was done lately.
func (a *Agent) identify(ctx context.Context, r *round, h *scan.Host, d *pb.DeviceInventory) {
	var ports []service.Asked
	for _, p := range h.Ports {
		d.Ports = append(d.Ports, &pb.Port{Port: uint32(p.Port), Protocol: p.Protocol})
		if a.cfg.Discovery.Methods.Fingerprinting && a.due(h, p, r.anew) {
			ports = append(ports, service.Asked{Port: p.Port, Protocol: p.Protocol})
		}
	}
	if len(ports) == 0 {
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
	found, clues := r.asks.Ask(ctx, e.Services, h.Address(), ports, hint)
	if ctx.Err() != nil {
		return // some were not asked
	}
	a.noteAsked(h, ports)
	for _, p := range found {
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
