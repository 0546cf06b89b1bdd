package scanner

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/inventory"
	"github.com/amoskys/amoskys/internal/inventory/oui"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan"
	"github.com/amoskys/amoskys/internal/scan/ask"
)

const (
	// conditionScan is the name of the condition that a scan failed.
	conditionScan = "scan"
	// identifying is how many hosts are asked at once what their ports are.
	identifying = 8
	// maxAsked bounds what is remembered of ports that were asked.
	maxAsked = 200_000
)

// errBusy is the answer while another scan runs.
var errBusy = errors.New("another scan runs: try again when it has ended")

// rounds scans the subnets each interval.
func (a *Agent) rounds(ctx context.Context) {
	tick := time.NewTicker(a.o.Interval)
	defer tick.Stop()
	for {
		plan, err := a.cfg.Discovery.plan()
		if err == nil && plan.Hours.Wait(ctx) == nil { // tasks may be asked for meanwhile
			err = a.scan(ctx, plan, false, nil, nil)
		}
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, errBusy) {
			a.o.Condition(conditionScan, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// scan runs a plan and folds in what it finds. each is told the state of every host
// found. anew asks every port what it is, whenever that was done.
func (a *Agent) scan(ctx context.Context, plan scan.Plan, anew bool, each func(*pb.DeviceInventory), progress func(scan.Progress)) error {
	select {
	case <-a.scanning:
	default:
		return errBusy
	}
	defer func() { a.scanning <- struct{}{} }()
	began := time.Now()
	if progress == nil {
		progress = func(scan.Progress) {}
	}
	r := &round{plan: plan, asks: ask.New(plan, identifying), anew: anew, told: map[[2]netip.Addr]bool{}}
	free := make(chan struct{}, r.asks.AtOnce())
	var hosts sync.WaitGroup
	var telling sync.Mutex
	err := scan.Run(ctx, plan, func(h scan.Host) {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return
		}
		hosts.Go(func() {
			defer func() { <-free }()
			d := a.found(ctx, r, &h)
			if d != nil && each != nil {
				telling.Lock()
				defer telling.Unlock()
				each(d)
			}
		})
	}, progress)
	hosts.Wait()
	a.metrics.scanned(err, time.Since(began))
	return err
}

// round is one scan.
type round struct {
	plan scan.Plan
	asks *ask.Asker
	anew bool // every port is asked what it is, whenever that was done

	mu   sync.Mutex             // guards told
	told map[[2]netip.Addr]bool // routers that were told, and who is before them
}

// found identifies a host and gives it to the keeper; it returns the state of the device.
func (a *Agent) found(ctx context.Context, r *round, h *scan.Host) *pb.DeviceInventory {
	d := a.describe(h)
	if h.AllOpen {
		d.Evidence = append(d.Evidence, "accepts connections on every port, so that its ports say nothing")
	} else {
		a.identify(ctx, r, h, d)
	}
	if ctx.Err() != nil {
		return nil // half of it would close ports that are open
	}
	looked := func(protocol string, port uint32) bool {
		if h.AllOpen || port > 65535 {
			return false
		}
		if protocol == "udp" {
			return slices.Contains(r.plan.UDP, uint16(port))
		}
		_, is := slices.BinarySearch(r.plan.Ports, uint16(port))
		return is
	}
	for _, n := range append(namesOf(h), a.hopsOf(r, h)...) {
		a.give(ctx, seen{at: a.now(), device: n})
	}
	done := make(chan []inventory.Change, 1)
	if !a.give(ctx, seen{at: a.now(), device: d, looked: looked, done: done}) {
		return nil
	}
	select {
	case <-done:
	case <-ctx.Done():
		return nil
	}
	return a.stateOf(d)
}

// give waits until the keeper takes an observation.
func (a *Agent) give(ctx context.Context, s seen) bool {
	select {
	case a.heard <- s:
		return true
	case <-ctx.Done():
		return false
	}
}

// describe makes an observation of a host.
func (a *Agent) describe(h *scan.Host) *pb.DeviceInventory {
	d := &pb.DeviceInventory{Ip: []string{h.IP.String()}}
	if h.MAC != nil {
		d.Mac = []string{h.MAC.String()}
		d.Vendor = oui.Vendor(h.MAC)
	}
	for _, how := range h.How {
		if how != "self" {
			d.Sources = append(d.Sources, how)
		}
	}
	if len(d.GetSources()) == 0 {
		d.Sources = []string{"tcp"}
	}
	d.Subnet = a.subnetOf(h.IP)
	d.Links = a.linksOf(h)
	return d
}

// namesOf are observations of the names of a host, each from its own source.
func namesOf(h *scan.Host) []*pb.DeviceInventory {
	out := make([]*pb.DeviceInventory, 0, len(h.Names))
	for _, n := range h.Names {
		d := &pb.DeviceInventory{Ip: []string{h.IP.String()}, Names: []string{n.Name}, Sources: []string{n.Source}}
		if h.MAC != nil {
			d.Mac = []string{h.MAC.String()}
		}
		out = append(out, d)
	}
	return out
}

// subnetOf is the network of an address: the configured one, or that of the segment.
func (a *Agent) subnetOf(ip netip.Addr) string {
	for _, text := range a.cfg.Discovery.Subnets {
		if p, err := netip.ParsePrefix(text); err == nil && p.Contains(ip) {
			return p.Masked().String()
		}
	}
	for _, p := range a.segments() {
		if p.Contains(ip) {
			return p.String()
		}
	}
	return ""
}
