package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/inventory/oui"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/ask"
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
	load := sync.OnceValues(func() (*ask.Experts, error) { return ask.Load(0) })
	asks := ask.New(plan, askedAtOnce)
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
	for range asks.AtOnce() {
		g.Go(func() error {
			for h := range found {
				d := report.Of(&h)
				d.Vendor = oui.Vendor(h.MAC)
				if !s.noServices {
					e, err := load()
					if err != nil {
						return err
					}
					conclude(ctx, e, asks, &h, &d)
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

// conclude asks the open ports of a host what listens there, and adds what they, its
// stack and its maker say that it is.
func conclude(ctx context.Context, e *ask.Experts, asks *ask.Asker, h *scan.Host, d *report.Device) {
	known := &pb.DeviceInventory{Ip: []string{d.IP}, Hostname: d.Hostname, Names: d.Names, Vendor: d.Vendor}
	if d.MAC != "" {
		known.Mac = []string{d.MAC}
	}
	var clues []stack.Clue
	if len(h.Ports) > 0 {
		ports := make([]service.Asked, 0, len(h.Ports))
		for _, p := range h.Ports {
			ports = append(ports, service.Asked{Port: p.Port, Protocol: p.Protocol})
		}
		known.Ports, clues = asks.Ask(ctx, e.Services, h.Address(), ports, service.Hint{Name: d.Hostname})
	}
	for i, p := range known.GetPorts()[:min(len(known.GetPorts()), len(d.Ports))] {
		d.Ports[i] = portOf(p)
	}
	is := e.Judge.Device(known, h.Stack, clues)
	d.OS, d.Class = strings.TrimSpace(is.GetOsName()+" "+is.GetOsVersion()), is.GetDeviceClass()
	d.Vendor, d.CPE = cmp.Or(is.GetVendor(), d.Vendor), is.GetCpe()
	for _, name := range is.GetNames() {
		if !slices.Contains(d.Names, name) {
			d.Names = append(d.Names, name)
		}
	}
	if d.Hostname == "" && len(d.Names) > 0 {
		d.Hostname = d.Names[0]
	}
}

func portOf(p *pb.Port) report.Port {
	return report.Port{
		Port: uint16(p.GetPort()), Protocol: p.GetProtocol(), Service: p.GetService(), Product: p.GetProduct(), Version: p.GetVersion(),
		CPE: p.GetCpe(), Remarks: p.GetRemarks(), Title: p.GetTitle(),
	}
}
