package main

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/inventory/oui"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/report"
	"github.com/amoskys/amoskys/internal/scan/service"
	"github.com/amoskys/amoskys/internal/scan/stack"
)

// askedAtOnce is of how many hosts services are asked at once.
const askedAtOnce = 32

// identified scans, and adds to each host what is known of its services, system and
// maker. Hosts are asked while others are still looked for.
func (s *scanCommand) identified(ctx context.Context, plan scan.Plan, progress func(scan.Progress)) error {
	var known sync.Mutex // guards add
	add := func(d report.Device) {
		known.Lock()
		defer known.Unlock()
		s.add(d)
	}
	load := sync.OnceValues(func() (*service.Identifier, error) { return service.New(service.Options{}) })
	if !s.noServices {
		go func() { _, _ = load() }() // while hosts are looked for; who needs it waits and sees the error
	}
	g, ctx := errgroup.WithContext(ctx)
	found := make(chan scan.Host, askedAtOnce)
	g.Go(func() error {
		defer close(found)
		return scan.Run(ctx, plan, func(h scan.Host) {
			select {
			case found <- h:
			case <-ctx.Done():
			}
		}, progress)
	})
	for range askedAtOnce {
		g.Go(func() error {
			for h := range found {
				d := report.Of(&h)
				d.Vendor = oui.Vendor(h.MAC)
				if !s.noServices {
					identifier, err := load()
					if err != nil {
						return err
					}
					asked(ctx, identifier, &h, &d)
				}
				if ctx.Err() == nil {
					add(d)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// asked adds what services of a host say of themselves and of it.
func asked(ctx context.Context, identifier *service.Identifier, h *scan.Host, d *report.Device) {
	ports := make([]service.Asked, 0, len(h.Ports))
	for _, p := range h.Ports {
		ports = append(ports, service.Asked{Port: p.Port, Protocol: p.Protocol})
	}
	if len(ports) == 0 {
		return
	}
	told, clues := identifier.IdentifyAll(ctx, &net.Dialer{}, h.IP, ports, service.Hint{Name: d.Hostname})
	for i, p := range told[:min(len(told), len(d.Ports))] {
		d.Ports[i] = portOf(p)
	}
	judge(d, h, told, clues)
}

func portOf(p *pb.Port) report.Port {
	return report.Port{
		Port: uint16(p.GetPort()), Protocol: p.GetProtocol(), Service: p.GetService(), Product: p.GetProduct(), Version: p.GetVersion(),
		CPE: p.GetCpe(), Title: p.GetTitle(),
	}
}

// judge adds what clues say of the host itself, the first word of each kind.
func judge(d *report.Device, _ *scan.Host, _ []*pb.Port, clues []stack.Clue) {
	for _, c := range clues {
		if d.OS == "" && c.OS != "" {
			d.OS = c.OS
			if c.OSVersion != "" {
				d.OS += " " + c.OSVersion
			}
		}
		d.Class, d.Vendor = cmp.Or(d.Class, c.Class), cmp.Or(d.Vendor, c.Vendor)
		if c.Name == "" || slices.Contains(d.Names, c.Name) {
			continue
		}
		if _, err := netip.ParseAddr(c.Name); err != nil {
			d.Names = append(d.Names, c.Name)
			d.Hostname = cmp.Or(d.Hostname, c.Name)
		}
	}
}
