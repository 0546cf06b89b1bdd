package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/agent/spool"
	"github.com/amoskys/amoskys/internal/agent/uplink"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/obs/inside"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// ErrDisabled is returned by Run when the configuration says agent.enabled: false.
var ErrDisabled = errors.New("agent is disabled")

// RunOptions say what to run and where. Definition is required.
type RunOptions struct {
	Definition Definition
	Home       config.Home
	File       string // configuration; empty means the definition's own under Home
	Decode     config.DecodeOptions
	Stderr     io.Writer // also receives the log, when not nil
	// Unsupervised says that no node runs this agent: it renews its certificate
	// itself, and tells the hub that it is there.
	Unsupervised bool
	// OnReady is called once the agent's endpoints are open, with their address.
	OnReady func(addr net.Addr)
	// Dial opens the connection to the hub; nil means as the section hub says.
	Dial dial.Func
}

// Run runs one agent until ctx ends or the agent does, and stops it in order:
// nothing new is observed, what is spooled is sent for as long as the
// configuration allows, the rest stays on disk. It returns nil after an orderly
// stop. Every goroutine it started has ended when it returns.
func Run(ctx context.Context, o RunOptions) error {
	if o.File == "" {
		o.File = o.Home.AgentConfig(o.Definition.ConfigName)
	}
	loaded, err := o.Definition.Load(o.File, o.Decode)
	if err != nil {
		return err // faults, which name the file themselves
	}
	if !loaded.Common.Enabled {
		return fmt.Errorf("%w: agent.enabled is false in %s", ErrDisabled, o.File)
	}
	level, err := obs.ParseLevel(loaded.Common.Logging.Level)
	if err != nil {
		return err
	}
	follow := obs.NewLevel(level)
	log, closer, err := obs.NewLogger(obs.LogOptions{
		File: o.Home.AgentLog(loaded.Common.ID), ErrorsFile: o.Home.Errors(),
		Stderr: o.Stderr, Follow: follow, Component: loaded.Common.ID,
	})
	if err != nil {
		return err
	}
	stop, err := inside.Start(inside.Options{Socket: inside.Socket(o.Home.Run(), loaded.Common.ID), Level: follow, Logger: log})
	if err != nil {
		log.Info("amoskys-agent log-level and profile cannot reach this process", obs.KeyError, err)
		stop = func() error { return nil }
	}
	r := &runner{o: o, common: loaded.Common, log: log, now: time.Now}
	err = r.run(ctx, loaded)
	if err != nil {
		log.Log(ctx, obs.LevelCritical, "agent failed", obs.KeyError, err)
	}
	return errors.Join(err, stop(), closer.Close())
}

// runner is one running agent.
type runner struct {
	o      RunOptions
	common Common
	log    *slog.Logger
	now    func() time.Time

	started  time.Time
	port     int
	host     *pb.Host
	meter    *meter
	usage    usage
	spool    *spool.Spool
	uplink   *uplink.Uplink
	dial     dial.Func
	files    identity.Files // zero without TLS
	ackTimes ackTimes
	publish  *publisher
	state    stateKeeper
}

func (r *runner) run(ctx context.Context, loaded Loaded) (err error) {
	r.started = r.now()
	if err := r.identify(); err != nil {
		return err
	}
	r.meter = &meter{started: r.started}
	r.usage.read(r.started)
	r.state.set("starting")

	listener, err := listen(ctx, r.common.HTTP)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // closed by the server already, if it ran
	if tcp, ok := listener.Addr().(*net.TCPAddr); ok {
		r.port = tcp.Port
	}
	r.spool, err = spool.Open(spool.Options{
		Dir: r.common.spoolDir(r.o.Home), MaxBytes: megabytes(r.common.Spool.MaxMB), MinFree: uint64(megabytes(r.common.Spool.MinFreeMB)),
		Policy: spool.Policy(r.common.Spool.Drop), Fsync: r.common.Spool.Fsync,
		Logger: r.log, BootID: bootID(),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.spool.Close()) }()
	if err := r.openUplink(); err != nil {
		return err
	}
	r.publish = &publisher{spool: r.spool, meter: r.meter, now: r.now, origin: event.Origin{
		Observes: r.o.Definition.Observes, Now: r.now,
		Agent: &pb.Agent{Id: r.common.ID, Kind: r.o.Definition.Kind, Version: obs.ReadBuild().Version},
	}}
	r.publish.host.Store(r.host)
	registry := obs.NewRegistry()
	if err := registry.Register(newCollector(r)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	options, err := r.agentOptions()
	if err != nil {
		return err
	}
	options.Registerer = registry
	a, err := loaded.New(options)
	if err != nil {
		return fmt.Errorf("start agent %s: %w", r.common.ID, err)
	}
	if a, err = r.withTasks(ctx, a, options); err != nil {
		return fmt.Errorf("start agent %s: %w", r.common.ID, err)
	}
	endpoint := obs.Endpoint{
		Health:   r.health,
		Status:   func(ctx context.Context) any { return r.status(ctx) },
		Gatherer: registry,
	}
	debug.FreeOSMemory() // starting takes more than running: configuration, certificates, recovery
	r.log.Info("agent started", obs.KeyKind, r.o.Definition.Kind, obs.KeyAddr, listener.Addr().String(), obs.KeyVersion, obs.ReadBuild().Version)
	if r.o.OnReady != nil {
		r.o.OnReady(listener.Addr())
	}
	return r.supervise(ctx, a, func(ctx context.Context) error {
		return endpoint.Serve(ctx, listener, r.log, r.common.HTTP.Host)
	})
}

func (r *runner) openUplink() error {
	o := uplink.Options{
		Addr: r.common.Hub.Addr(), AgentID: r.common.ID, Spool: r.spool, Logger: r.log,
		Version: obs.ReadBuild().Version, OnAck: r.ackTimes.add,
	}
	dialer, err := r.common.Hub.Dialer(r.o.Home)
	if err != nil {
		return err
	}
	if r.o.Unsupervised {
		o.Unsupervised = r.introduction()
	}
	if o.Dial = r.o.Dial; o.Dial == nil {
		o.Dial, o.Via = dialer.Dial, dialer.Via(o.Addr)
		dialer.Announce(r.log, o.Addr)
	}
	r.dial = o.Dial
	if r.common.Hub.TLSEnabled {
		files := r.common.Files(r.o.Home)
		r.files = files
		cfg, err := identity.ClientConfig(files, identity.ClientOptions{ServerName: r.common.Hub.Name(), Logger: r.log})
		if err != nil {
			return fmt.Errorf("prepare connection to the hub: %w", err)
		}
		o.TLS = cfg
		o.Explain = func(err error) error { return identity.ExplainHandshake(err, files, r.now()) }
	}
	r.uplink = uplink.New(o)
	return nil
}

// introduction is what an agent that no node runs tells the hub of itself.
func (r *runner) introduction() []byte {
	b, err := proto.Marshal(&pb.AgentStatus{
		Kind: r.o.Definition.Kind, Version: obs.ReadBuild().Version, Pid: uint32(os.Getpid()), Port: uint32(r.port),
		StartedTime: timestamppb.New(r.started),
	})
	if err != nil {
		r.log.Warn("agent does not introduce itself to the hub", obs.KeyError, err)
	}
	return b
}

// DataDir is the folder of its own that an agent has below home.
func DataDir(home config.Home, id string) string { return home.Path("data/agents/" + id) }

func (r *runner) agentOptions() (Options, error) {
	dir := DataDir(r.o.Home, r.common.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Options{}, fmt.Errorf("make data folder: %w", err)
	}
	return Options{
		ID: r.common.ID, Kind: r.o.Definition.Kind, Host: r.host.GetName(), HostID: r.host.GetId(),
		Interval: r.common.Interval(), Logger: r.log, Home: r.o.Home, DataDir: dir,
		Publisher: r.publish, DialHub: r.dial, Condition: r.state.condition, Note: r.state.note, AckTime: r.ackTimes.mean, Now: r.now,
	}, nil
}

// supervise runs the agent beside its connection, its reports and its endpoints,
// and ends them in that order.
func (r *runner) supervise(ctx context.Context, a Agent, serve func(context.Context) error) error {
	// What must outlive the agent has a context of its own.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	agentCtx, stopAgent := context.WithCancel(ctx)
	defer stopAgent()
	group, background := errgroup.WithContext(background)
	guard := func(run func(context.Context) error) func() error {
		return func() error {
			defer stopAgent() // an agent without them is of no use
			return run(background)
		}
	}
	group.Go(guard(serve))
	group.Go(guard(r.uplink.Run))
	group.Go(guard(r.report))
	if r.o.Unsupervised && r.files != (identity.Files{}) {
		group.Go(guard(r.renewer(r.files).Run))
	}

	r.state.set("running")
	err := a.Run(agentCtx)
	if err != nil {
		err = fmt.Errorf("agent %s: %w", r.common.ID, err)
	}
	r.log.Info("agent stopping", obs.KeyEvents, r.spool.Stats().Events)
	r.state.set("stopping")
	r.drain(background)
	stop()
	err = errors.Join(err, group.Wait())
	r.log.Info("agent stopped", obs.KeyRemaining, r.spool.Stats().Events)
	return err
}

// drain sends what is spooled, while there is a hub to take it.
func (r *runner) drain(ctx context.Context) {
	r.reportHealth(ctx)
	r.spool.Flush()
	ctx, cancel := context.WithTimeout(ctx, seconds(r.common.StopTimeoutSeconds))
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-r.spool.Empty():
			return
		case <-ctx.Done():
			return
		case <-poll.C:
			if !r.uplink.State().Connected {
				return
			}
		}
	}
}

// listen opens the port of the endpoints.
func listen(ctx context.Context, c config.HTTPConfig) (net.Listener, error) {
	return Listen(ctx, c.Host, c.Port, "http.port")
}

// Listen opens a TCP port that the configuration names under key. The error for
// a taken port says which process holds it, where that can be seen.
func Listen(ctx context.Context, host string, port int, key string) (net.Listener, error) {
	addr := config.HostPort(host, port)
	l, err := obs.Listen(ctx, addr)
	if err == nil {
		return l, nil
	}
	if isAddrInUse(err) {
		who := portHolder(port)
		if who == "" {
			who = "another process"
		}
		return nil, fmt.Errorf("listen on %s: the port is taken by %s: stop it, or set %s", addr, who, key)
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) { // 127.0.0.1 where there is IPv6 alone
		return nil, fmt.Errorf("%w: this machine has no such address, set %s, for instance to ::1", err, strings.Replace(key, ".port", ".host", 1))
	}
	return nil, fmt.Errorf("listen on %s: %w", addr, err)
}
