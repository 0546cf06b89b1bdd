package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/identify"
	"github.com/amoskys/amoskys/internal/snmp/module"
	"github.com/amoskys/amoskys/internal/snmp/play"
)

// SNMPOptions say which devices are polled, and how.
type SNMPOptions struct {
	Devices int
	Ports   int // interfaces of each
	Cycles  int
	Workers int // devices that are asked at once
	// Target is where devices answer that another process serves; empty is that they
	// are served here, within what is measured.
	Target string
	// PortsOnly reads the columns of interfaces alone, without making readings.
	PortsOnly bool
}

// Check returns what is wrong with the options.
func (o *SNMPOptions) Check() error {
	switch {
	case o.Devices < 1 || o.Devices > 100_000:
		return errors.New("devices must be from 1 to 100000")
	case o.Ports < 0 || o.Ports > 10_000:
		return errors.New("ports must be from 0 to 10000")
	case o.Cycles < 1 || o.Workers < 1 || o.Workers > 10_000:
		return errors.New("cycles and workers must be at least 1, workers at most 10000")
	}
	return nil
}

// SNMPResult is what `amoskys bench snmp --json` prints. Keys are stable.
type SNMPResult struct {
	Bench      string  `json:"bench"`
	Devices    int     `json:"devices"`
	Ports      int     `json:"ports"`
	Cycles     int     `json:"cycles"`
	Workers    int     `json:"workers"`
	Served     bool    `json:"served_here"`   // CPU and memory are those of the devices too
	Longest    float64 `json:"cycle_seconds"` // of the slowest cycle
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	RSSBytes   int64   `json:"rss_bytes"`
	Requests   uint64  `json:"requests"`
	Variables  uint64  `json:"variables"`
	PerSecond  float64 `json:"variables_per_second"`
	Timeouts   uint64  `json:"timeouts"`
	Failed     uint64  `json:"failed"` // polls
}

// Write prints the result for people.
func (r *SNMPResult) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s of %s, %s: the slowest cycle took %.2f s\n%s variables in %s requests, %.0f a second; %.2f s of CPU, %s resident; %s, %s\n",
		cli.Counted(uint64(max(0, r.Devices)), "device", "devices"), cli.Counted(uint64(max(0, r.Ports)), "interface", "interfaces"),
		cli.Counted(uint64(max(0, r.Cycles)), "cycle", "cycles"), r.Longest, cli.Count(r.Variables), cli.Count(r.Requests), r.PerSecond,
		r.CPUSeconds, cli.Bytes(r.RSSBytes), cli.Counted(r.Timeouts, "timeout", "timeouts"), cli.Counted(r.Failed, "poll failed", "polls failed"))
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// ServeSNMP plays the devices at an address until ctx is done. Device n has the
// community device-n. At the address 0.0.0.0 each has an address of loopback instead,
// 127.1.0.0 and on, a name of its own, and the community device.
func ServeSNMP(ctx context.Context, o SNMPOptions, address string, ready func(netip.AddrPort)) error {
	if err := o.Check(); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("serve devices: %w", err)
	}
	record := play.Switch("switch", o.Ports, 1_000_000)
	devices := make([]*play.Device, o.Devices)
	for i := range devices {
		if !at.Addr().IsUnspecified() {
			devices[i] = play.NewDevice(community(i), record)
			continue
		}
		devices[i] = play.NewDevice("device", record.Twin(fmt.Sprintf("switch-%d", i), uint16(i)))
		devices[i].Addr = netip.AddrFrom4([4]byte{127, byte(1 + i>>16), byte(i >> 8), byte(i)})
	}
	r, err := play.New(devices...)
	if err != nil {
		return fmt.Errorf("serve devices: %w", err)
	}
	conn, err := r.Listen(ctx, address)
	if err != nil {
		return fmt.Errorf("serve devices: %w", err)
	}
	if at, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		ready(at.AddrPort())
	}
	return r.Serve(ctx, conn)
}

func community(device int) string { return fmt.Sprintf("device-%d", device) }

// RunSNMP measures how long it takes to poll devices that play switches: who they are
// is asked before, which does not count.
func RunSNMP(ctx context.Context, o SNMPOptions) (*SNMPResult, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	r := &SNMPResult{Bench: "snmp", Devices: o.Devices, Ports: o.Ports, Cycles: o.Cycles, Workers: o.Workers, Served: o.Target == ""}
	if r.Served {
		ready := make(chan netip.AddrPort, 1)
		go func() { served <- ServeSNMP(ctx, o, "127.0.0.1:0", func(at netip.AddrPort) { ready <- at }) }()
		select {
		case at := <-ready:
			o.Target = at.String()
		case err := <-served:
			return nil, err
		}
	}
	err := o.poll(ctx, r)
	stop()
	if r.Served {
		err = errors.Join(err, <-served)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// poller polls devices.
type poller struct {
	at       netip.AddrPort
	prober   *identify.Prober
	identity identify.Identity
	modules  []*module.Module
	only     bool
	requests, variables,
	timeouts, failed atomic.Uint64
}

func (o SNMPOptions) poll(ctx context.Context, r *SNMPResult) error {
	p := &poller{only: o.PortsOnly}
	var err error
	if p.at, err = netip.ParseAddrPort(o.Target); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if p.prober, err = identify.NewBuiltIn(); err != nil {
		return fmt.Errorf("load what is known of devices: %w", err)
	}
	if err := p.identify(ctx); err != nil {
		return err
	}
	cpu, began := cpuSeconds(), time.Now()
	for range o.Cycles {
		cycle := time.Now()
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(o.Workers)
		for device := range o.Devices {
			group.Go(func() error { return p.device(ctx, device) })
		}
		if err := group.Wait(); err != nil {
			return fmt.Errorf("poll devices: %w", err)
		}
		r.Longest = max(r.Longest, time.Since(cycle).Seconds())
	}
	r.Seconds, r.CPUSeconds, r.RSSBytes = time.Since(began).Seconds(), cpuSeconds()-cpu, peakRSS(os.Getpid())
	r.Requests, r.Variables, r.Timeouts, r.Failed = p.requests.Load(), p.variables.Load(), p.timeouts.Load(), p.failed.Load()
	r.PerSecond = float64(r.Variables) / r.Seconds
	return nil
}

func (p *poller) open(ctx context.Context, device int) (*snmp.Client, error) {
	return snmp.Open(ctx, snmp.Target{Addr: p.at, Credential: snmp.Credential{Community: community(device)}, Retries: 2})
}

// identify asks the first device who it is, as all are alike.
func (p *poller) identify(ctx context.Context) error {
	c, err := p.open(ctx, 0)
	if err != nil {
		return err
	}
	defer c.Close()
	if p.identity, err = p.prober.Identify(ctx, c); err != nil {
		return fmt.Errorf("the first device at %s: %w", p.at, err)
	}
	p.modules = p.prober.Modules(p.identity)
	return nil
}

// device polls one. A poll that fails is counted.
func (p *poller) device(ctx context.Context, device int) error {
	c, err := p.open(ctx, device)
	if err != nil {
		return err
	}
	defer c.Close()
	if p.only {
		err = c.WalkColumns(ctx, play.Ports(), func(snmp.Variable) error { return nil })
	} else {
		identity := p.identity
		_, err = p.prober.Read(ctx, c, &identity, p.modules, module.Options{NoSlow: true})
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		p.failed.Add(1)
	}
	n := c.Counts()
	p.requests.Add(n.Requests)
	p.variables.Add(n.Variables)
	p.timeouts.Add(n.Timeouts)
	return nil
}
