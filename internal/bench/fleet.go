package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
)

// FleetOptions is what RunFleet does. Each host has a node and agents, each with a
// connection of its own over mutual TLS, as a real host has.
type FleetOptions struct {
	Hosts  int
	Agents int // of each host
	// Dir is the folder under which the hub's files are made.
	Dir string
	// Command runs `amoskys hub`: the program and arguments to which --home and a
	// folder are appended.
	Command []string
	// Timeout bounds how long the fleet may take to be there, or back.
	Timeout time.Duration
}

// Check returns what is wrong with the options.
func (o *FleetOptions) Check() error {
	switch {
	case o.Hosts < 1 || o.Hosts > 20_000:
		return errors.New("hosts must be from 1 to 20000")
	case o.Agents < 1 || o.Agents > 30:
		return errors.New("agents must be from 1 to 30")
	case o.Timeout <= 0:
		return errors.New("timeout must be above 0")
	}
	return nil
}

// FleetResult is what `amoskys bench fleet --json` prints. Keys are stable.
type FleetResult struct {
	Bench       string `json:"bench"`
	Hosts       int    `json:"hosts"`
	Connections int    `json:"connections"`
	// ConnectSeconds is from the first try of all at once until all are connected,
	// ReturnSeconds from the restarted hub's first open port until all are back.
	ConnectSeconds float64 `json:"connect_seconds"`
	ReturnSeconds  float64 `json:"return_seconds"`
	// AwaySeconds is how long the hub was away.
	AwaySeconds float64 `json:"away_seconds"`
	// HubCPUSeconds is what the hub used for their return.
	HubCPUSeconds float64 `json:"hub_cpu_seconds"`
	// ConnectionBytes is the hub's resident memory for an idle connection.
	ConnectionBytes int64 `json:"connection_bytes"`
	RSSBytes        int64 `json:"rss_bytes"`
	// Tries are how often clients tried while the hub was away and until all were
	// back.
	Tries uint64 `json:"tries"`
	CPUs  int    `json:"cpus"`
}

// Write prints the result for people.
func (r *FleetResult) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d hosts of %d connections on %d CPUs, clients included\n"+
		"  first connected    %.1f s\n"+
		"  back after restart %.1f s from its first open port, %.1f s of the hub's CPU time, %d tries\n"+
		"  idle connection    %.1f KiB of the hub's memory, %.0f MiB in all\n",
		r.Hosts, r.Connections/r.Hosts, r.CPUs, r.ConnectSeconds, r.ReturnSeconds, r.HubCPUSeconds, r.Tries,
		float64(r.ConnectionBytes)/1024, float64(r.RSSBytes)/(1<<20))
	return err
}

// fleetHub is the hub's process of a fleet run, which can be killed and started
// again on the same ports.
type fleetHub struct {
	command      []string
	home         config.Home
	addr, scrape string
	cmd          *exec.Cmd
}

// newFleetHub makes a home with certificates and configuration.
func newFleetHub(ctx context.Context, o *FleetOptions, dir string) (*fleetHub, error) {
	h := &fleetHub{command: o.Command, home: config.Home(filepath.Join(dir, "home"))}
	if err := h.home.Ensure(); err != nil {
		return nil, err
	}
	if _, err := identity.EnsureLayout(h.home.Certs(), identity.LayoutOptions{
		Hosts: []string{"127.0.0.1"}, Canonical: func(string) string { return "" },
	}); err != nil {
		return nil, err
	}
	for _, addr := range []*string{&h.addr, &h.scrape} {
		l, err := listenLoopback(ctx)
		if err != nil {
			return nil, err
		}
		*addr = l.Addr().String()
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	_, port, _ := net.SplitHostPort(h.addr)
	_, scrape, _ := net.SplitHostPort(h.scrape)
	text := fmt.Sprintf("server: {host: 127.0.0.1, port: %s, max_connections: %d}\nmetrics: {host: 127.0.0.1, port: %s}\n",
		port, o.Hosts*(o.Agents+1)+64, scrape)
	return h, os.WriteFile(h.home.HubConfig(), []byte(text), 0o600)
}

// start runs the hub and waits until its port is open.
func (h *fleetHub) start(ctx context.Context) error {
	args := append(append([]string(nil), h.command[1:]...), "--home", string(h.home))
	h.cmd = exec.CommandContext(ctx, h.command[0], args...) //nolint:gosec // our own program
	// What it says is in its log, under home.
	if err := h.cmd.Start(); err != nil {
		return fmt.Errorf("start the hub: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return errors.Join(opened(ctx, h.addr), opened(ctx, h.scrape))
}

// opened waits until somebody listens at addr.
func opened(ctx context.Context, addr string) error {
	for {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr); err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the hub does not open %s: %w", addr, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// kill ends the hub at once, as a crash or a power cut does.
func (h *fleetHub) kill() {
	if h.cmd != nil && h.cmd.Process != nil {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
		h.cmd = nil
	}
}

// reading reads the hub's own metrics.
func (h *fleetHub) reading(ctx context.Context) (hubReading, error) {
	c := hubChild{ready: childReady{Metrics: h.scrape}}
	return c.read(ctx)
}

// RunFleet lets a fleet connect to a hub, kills the hub, starts it again, and
// measures until all are back. Clients wait between tries as nodes and agents do.
func RunFleet(ctx context.Context, o FleetOptions) (_ *FleetResult, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Dir, "amoskys-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	hub, err := newFleetHub(ctx, &o, dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	defer hub.kill()
	f, err := newFleetClients(&o, hub, filepath.Join(dir, "hosts"))
	if err != nil {
		return nil, err
	}
	if err := hub.start(ctx); err != nil {
		return nil, err
	}
	return f.measure(ctx, hub, &running)
}

func (f *fleetClients) measure(ctx context.Context, hub *fleetHub, running *sync.WaitGroup) (*FleetResult, error) {
	r := &FleetResult{Bench: "fleet", Hosts: f.o.Hosts, Connections: f.o.Hosts * (f.o.Agents + 1), CPUs: runtime.NumCPU()}
	before, err := hub.reading(ctx)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	f.run(ctx, running)
	if err := f.await(ctx, r.Connections); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	r.ConnectSeconds = time.Since(begun).Seconds()
	settle(ctx)
	idle, err := hub.reading(ctx)
	if err != nil {
		return nil, err
	}
	r.RSSBytes = int64(idle.rssBytes)
	r.ConnectionBytes = int64(idle.rssBytes-before.rssBytes) / int64(r.Connections)
	away := time.Now()
	hub.kill()
	if err := f.await(ctx, 0); err != nil {
		return nil, fmt.Errorf("notice the loss: %w", err)
	}
	f.tries.Store(0)
	if err := hub.start(ctx); err != nil {
		return nil, err
	}
	back := time.Now()
	r.AwaySeconds = back.Sub(away).Seconds()
	if err := f.await(ctx, r.Connections); err != nil {
		return nil, fmt.Errorf("come back: %w", err)
	}
	r.ReturnSeconds, r.Tries = time.Since(back).Seconds(), f.tries.Load()
	if err := f.known(ctx, hub); err != nil {
		return nil, err
	}
	after, err := hub.reading(ctx)
	r.HubCPUSeconds = after.cpuSeconds
	return r, err
}

// settle lets what a handshake used go back before memory is read.
func settle(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(3 * time.Second):
	}
}
