package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
)

// HubOptions says what load to put on a hub.
type HubOptions struct {
	Agents int // clients, each with a connection of its own
	Batch  int // events of a batch
	// Size, above 0, sends synthetic events of so many bytes, which differ only by their
	// ids. 0 sends the recorded ones of package corpus.
	Size     int
	InFlight int           // batches each client sends ahead of their acks
	Unary    bool          // PublishEvent one at a time instead of batches
	Duration time.Duration // of the measurement
	Warmup   time.Duration // before it, not counted
	// Codec packs the batches, as agents do.
	Codec codec.Codec
	// KeepReadings has no reading marked as one for the metrics alone.
	KeepReadings bool
	// Packed makes the batches, packed or not, before the measurement, as for a hub whose
	// agents run elsewhere: what a client has made goes round and round, and only
	// sequences are new.
	Packed bool
	// Target is the hub's address. Empty starts a hub for the run in a new folder
	// under Dir, as a process of its own, and removes it afterwards.
	Target string
	Dir    string
	// Home has the certificates for Target; not used without one.
	Home config.Home
	// Command runs a hub for the run: the program and arguments to which the home
	// folder is appended. It must end in RunHubChild. Not used with Target.
	Command []string
	// Profile, when set, is a file to which the hub's CPU profile is written.
	Profile string
}

// Check returns what is wrong with the options.
func (o *HubOptions) Check() error {
	for _, rule := range []struct {
		ok   bool
		text string
	}{
		{o.Agents >= 1 && o.Agents <= 10_000, "agents must be from 1 to 10000"},
		{o.Batch >= 1, "batch must be at least 1"},
		{o.Size >= 0 && o.Size <= 1<<20, "size must be from 1 to 1048576"},
		{o.Batch <= o.mostOfBatch(), fmt.Sprintf("batch must be at most %d, since the events of a batch may take 1 MiB", o.mostOfBatch())},
		{o.Codec == codec.None || o.Size == 0, "synthetic events differ only by their ids and pack to nothing: --size goes with --compress none"},
		{o.Codec == codec.None || !o.Unary, "single events are not packed: --unary goes with --compress none"},
		{!o.Packed || !o.Unary, "--precompressed is for batches, not for --unary"},
		{o.InFlight >= 1 && o.InFlight <= 64, "inflight must be from 1 to 64"},
		{o.Duration > 0, "duration must be above 0"},
		{o.Warmup >= 0, "warmup must not be negative"},
	} {
		if !rule.ok {
			return errors.New(rule.text)
		}
	}
	if o.Size == 0 {
		return nil
	}
	_, err := newEvent("bench-00000", agentName(0), o.Size, time.Now())
	return err
}

// mostOfBatch is how many events a batch may have.
func (o *HubOptions) mostOfBatch() int { return (1 << 20) / max(o.Size, recordedBytes) }

// recordedBytes is a little more than a recorded event has on average.
const recordedBytes = 640

// RunHub puts the load on a hub and returns what was measured. progress, which
// may be nil, is called about once a second with events acknowledged so far.
func RunHub(ctx context.Context, o HubOptions, progress func(elapsed time.Duration, events uint64)) (*HubResult, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	var child *hubChild
	if o.Target == "" {
		var err error
		if child, err = startChild(ctx, &o); err != nil {
			return nil, fmt.Errorf("start a hub to measure: %w", err)
		}
		defer child.kill()
		o.Target, o.Home = child.ready.Addr, child.home
	}
	result, err := drive(ctx, &o, child, progress)
	if child != nil {
		err = errors.Join(err, child.stop())
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// drive runs the clients.
func drive(ctx context.Context, o *HubOptions, child *hubChild, progress func(time.Duration, uint64)) (*HubResult, error) {
	host, _, err := net.SplitHostPort(o.Target)
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", o.Target, err)
	}
	who, err := newHosts(o, host)
	if err != nil {
		return nil, err
	}
	defer who.remove()
	var p phase
	clients, err := newClients(o, who, &p)
	if err != nil {
		return nil, err
	}
	for _, c := range clients {
		defer func() { _ = c.conn.Close() }()
	}
	stop := make(chan struct{})
	group, running := errgroup.WithContext(ctx)
	for _, c := range clients {
		group.Go(func() error { return c.run(running, stop) })
	}
	m := &measurement{o: o, clients: clients, phase: &p, child: child, progress: progress}
	measured := m.run(running)
	close(stop)
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if measured != nil {
		return nil, measured
	}
	return m.result()
}

// newClients makes the clients, which connect later, and what they send, as far as that
// is made before.
func newClients(o *HubOptions, who *hosts, p *phase) ([]*client, error) {
	clients := make([]*client, o.Agents)
	var loads *loads
	group := errgroup.Group{}
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range clients {
		name, cfg, err := who.next()
		if err == nil && loads == nil {
			loads, err = newLoads(o, name)
		}
		var load load
		if err == nil {
			load, err = loads.next(name, agentName(i), i)
		}
		if err == nil {
			clients[i], err = newClient(i, o, cfg, load, p)
		}
		if err != nil {
			return nil, errors.Join(err, group.Wait())
		}
		clients[i].host = name
		if o.Packed {
			group.Go(func() error { clients[i].makeBatches(); return nil })
		}
	}
	return clients, group.Wait()
}

// hosts gives each client a certificate of its own, as hosts of a fleet have: what
// one certificate may use is bounded. Without the authority's key all have the
// home's agent.crt.
type hosts struct {
	authority *issuer // nil without its key
	server    string
	dir       string // for what is issued
	made      int
	shared    *tls.Config
	name      string
}

func newHosts(o *HubOptions, server string) (*hosts, error) {
	files := identity.FilesFor(o.Home.Certs(), "agent")
	if _, err := os.Stat(identity.FilesFor(o.Home.Certs(), "ca").Key); err == nil {
		authority, err := newIssuer(o.Home.Certs())
		if err != nil {
			return nil, err
		}
		dir, err := os.MkdirTemp("", "amoskys-bench-hosts-")
		if err != nil {
			return nil, fmt.Errorf("make a folder for certificates: %w", err)
		}
		return &hosts{authority: authority, server: server, dir: dir}, nil
	}
	cfg, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: server})
	if err != nil {
		return nil, err
	}
	holder, err := identity.ReadHolder(files.Cert)
	if err != nil {
		return nil, err
	}
	return &hosts{shared: cfg, name: holder.ID.Host()}, nil
}

// next returns the name and the configuration of one more client.
func (h *hosts) next() (string, *tls.Config, error) {
	if h.shared != nil {
		return h.name, h.shared, nil
	}
	name := fmt.Sprintf("bench-%05d", h.made)
	h.made++
	home := config.Home(filepath.Join(h.dir, name))
	if err := h.authority.issue(home, name, identity.RoleAgent); err != nil {
		return "", nil, err
	}
	cfg, err := clientOf(home, identity.RoleAgent, h.server)
	return name, cfg, err
}

func (h *hosts) remove() {
	if h.dir != "" {
		_ = os.RemoveAll(h.dir) // of the system's temporary files
	}
}

// measurement takes readings before and after the interval.
type measurement struct {
	o             *HubOptions
	clients       []*client
	phase         *phase
	child         *hubChild
	progress      func(time.Duration, uint64)
	before, after reading
}

// reading is the state of everything at one moment.
type reading struct {
	at     time.Time
	events uint64
	retry  uint64
	own    float64 // CPU seconds of this process
	hub    hubReading
}

func (m *measurement) read(ctx context.Context) (r reading, err error) {
	if m.child != nil {
		if r.hub, err = m.child.read(ctx); err != nil {
			return r, err
		}
	}
	r.own = cpuSeconds()
	for _, c := range m.clients {
		r.events += c.acked.Load()
		r.retry += c.retried.Load()
	}
	r.at = time.Now()
	return r, nil
}

func (m *measurement) run(ctx context.Context) (err error) {
	if err := m.wait(ctx, m.o.Warmup); err != nil {
		return err
	}
	if m.before, err = m.read(ctx); err != nil {
		return err
	}
	m.phase.measuring.Store(true)
	if m.o.Profile != "" && m.child != nil {
		if err := m.child.profile(ctx, m.o.Profile, m.o.Duration); err != nil {
			return err
		}
	} else if err := m.wait(ctx, m.o.Duration); err != nil {
		return err
	}
	m.phase.measuring.Store(false)
	m.after, err = m.read(ctx)
	return err
}

// wait lets time pass and reports progress.
func (m *measurement) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	begin := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil // a client tells why, or nobody needs to know
		case <-timer.C:
			return nil
		case <-tick.C:
			if m.progress != nil {
				var n uint64
				for _, c := range m.clients {
					n += c.acked.Load()
				}
				m.progress(time.Since(begin), n)
			}
		}
	}
}
