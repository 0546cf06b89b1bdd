package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/probe"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/node/ports"
	"github.com/amoskys/amoskys/internal/vfs"
)

// Verdict is what the doctor says of one thing.
type Verdict string

// Verdicts.
const (
	VerdictOK   Verdict = "ok"
	VerdictWarn Verdict = "warn" // works today
	VerdictFail Verdict = "fail"
)

// Check is one thing that the doctor looked at. Fix is what to do, empty when
// all is well.
type Check struct {
	Name    string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	Detail  string  `json:"detail"`
	Fix     string  `json:"fix,omitempty"`
}

// checkConfig is the name of the check that reads the files of configuration.
const checkConfig = "config"

const (
	// probeTimeout bounds the look at the hub.
	probeTimeout = 5 * time.Second
	// spareSpool is how much room a spool's disk should have besides its limit.
	spareSpool = 64 << 20
)

// Doctor looks at everything that keeps this host's agents from being seen:
// configuration, certificates, the way to the hub, ports, spools and the agents
// themselves. It changes nothing. command is how the program is called in fixes.
func Doctor(ctx context.Context, e *cli.Env, command string) []Check {
	return newDoctor(e, command).examine(ctx)
}

func newDoctor(e *cli.Env, command string) *doctor {
	return &doctor{env: e, command: command, hubs: map[string]bool{}, kinds: map[string]string{}}
}

func (d *doctor) examine(ctx context.Context) []Check {
	agents := d.configuration()
	d.certificates()
	d.membership(ctx)
	running, list := d.running(ctx, agents)
	for _, a := range agents {
		d.hub(ctx, a.Common)
		d.port(ctx, a.Common, running)
		d.spool(a.Common)
	}
	d.host(agents)
	d.agentsKnown, d.status = agents, list
	return d.checks
}

type doctor struct {
	env     *cli.Env
	command string
	checks  []Check
	hubs    map[string]bool   // looked at already
	kinds   map[string]string // of agents, by id

	// What was seen, for a bundle.
	agentsKnown []agent.Loaded
	status      []Local
}

func (d *doctor) add(v Verdict, name, detail, fix string) {
	d.checks = append(d.checks, Check{Name: name, Verdict: v, Detail: cli.Clean(detail), Fix: cli.Clean(fix)})
}

// configuration reads every file of this host and returns the agents whose
// files are good.
func (d *doctor) configuration() []agent.Loaded {
	cfg := node.DefaultConfig()
	faults := 0
	if err := config.Load(d.env.Home.NodeConfig(), &cfg, config.DecodeOptions{Env: d.env.Lookup}); err != nil {
		faults += d.faults(err)
		cfg = node.DefaultConfig()
	}
	var good []agent.Loaded
	for _, kind := range cfg.Node.Agents {
		def, err := Find(kind)
		if err != nil {
			faults++
			d.add(VerdictFail, checkConfig, err.Error(), "mend node.agents in "+d.env.Home.NodeConfig())
			continue
		}
		loaded, err := def.Load(d.env.Home.AgentConfig(def.ConfigName), config.DecodeOptions{Env: childLookup(d.env)})
		if err != nil {
			faults += d.faults(err)
			continue
		}
		d.kinds[loaded.Common.ID] = kind
		good = append(good, loaded)
	}
	if faults == 0 {
		d.add(VerdictOK, checkConfig, cli.Counted(len(good), "agent", "agents")+": "+strings.Join(cfg.Node.Agents, ", "), "")
	}
	return good
}

func (d *doctor) faults(err error) int {
	var list config.Faults
	if !errors.As(err, &list) {
		d.add(VerdictFail, checkConfig, err.Error(), "")
		return 1
	}
	for _, f := range list {
		d.add(VerdictFail, checkConfig, f.Error(), "mend that line")
	}
	return len(list)
}

func (d *doctor) certificates() {
	files, findings := identity.Verify(d.env.Home.Certs(), identity.VerifyOptions{
		Now: d.env.Now(), Command: Called(d.env, d.command), Obtain: obtain(d.env, d.command),
	})
	wrong := 0
	for _, f := range findings {
		if strings.HasPrefix(filepath.Base(f.File), "eventbus.") {
			continue // a host that is watched has no certificate of a hub
		}
		wrong++
		v := VerdictFail
		if f.Warning {
			v = VerdictWarn
		}
		d.add(v, "certificates", f.File+" "+f.Problem, f.Fix)
	}
	if wrong == 0 {
		d.add(VerdictOK, "certificates", cli.Counted(len(files), "file", "files")+" in "+d.env.Home.Certs(), "")
	}
}

// agents asks the agents, and returns the ids of those that run.
func (d *doctor) agents(ctx context.Context) (running map[string]bool, list []Local) {
	running = map[string]bool{}
	list, err := LocalStatus(ctx, d.env)
	if err != nil {
		return running, nil // the configuration says so already
	}
	for _, a := range list {
		name := "agent " + a.ID
		if a.off != nil && a.off.disabled {
			d.add(VerdictOK, name, "off: agent.enabled is false in its configuration", "")
			continue
		}
		if a.off != nil {
			d.add(VerdictWarn, name, "does not run: it needs "+strings.Join(a.off.lacks, ", ")+", which this user does not have",
				node.Grant(slices.Concat(a.off.lacks, a.off.uses), startNode(d.env, d.command)))
			continue
		}
		if a.Error != "" {
			fix := ""
			if a.silent {
				fix = "start it: " + startNode(d.env, d.command)
			} // else its port has a check of its own
			d.add(VerdictWarn, name, a.Error, fix)
			continue
		}
		running[a.ID] = true
		if !a.Health.OK || a.State == "degraded" {
			d.add(VerdictWarn, name, a.State+": "+a.Detail, "read "+d.env.Home.AgentLog(a.ID))
			continue
		}
		d.add(VerdictOK, name, fmt.Sprintf("%s, %s ev/s, %s spooled", a.State, cli.Rate(a.EventsPerSecond), cli.Count(a.SpoolEvents)), "")
	}
	return running, list
}

// hub takes the way that an agent takes, once for each hub.
func (d *doctor) hub(ctx context.Context, c agent.Common) {
	addr := c.Hub.Addr()
	if d.hubs[addr] {
		return
	}
	d.hubs[addr] = true
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	name := "hub " + addr
	dialer, err := c.Hub.Dialer(d.env.Home)
	if err != nil {
		d.add(VerdictFail, name, err.Error(), "mend hub.proxy of "+c.ID)
		return
	}
	if via := dialer.Via(addr); via != "" {
		d.add(VerdictOK, "proxy "+via, "is on the way to the hub "+addr, "")
	}
	files := c.Files(d.env.Home)
	client := identity.ClientOptions{ServerName: c.Hub.Name(), Now: d.env.Now, Dial: dialer.Dial}
	if _, err := identity.Probe(ctx, addr, files, client); err != nil {
		fix := "is the hub running there, and its port open? Another address: hub.host and hub.port, or EVENTBUS_HOST and EVENTBUS_PORT"
		if errors.Is(err, os.ErrNotExist) {
			fix = obtain(d.env, d.command) // the hub was not asked
		}
		if r, ok := errors.AsType[*identity.Rejection](err); ok {
			fix = "docs/security.md, \"When a connection is refused\", on " + string(r.Reason)
		}
		if text, ok := dial.ProxyFault(err); ok {
			err, fix = errors.New(text), "docs/operations.md says how a proxy is named and gone around"
		}
		d.add(VerdictFail, name, err.Error(), fix)
		return
	}
	report, took, err := d.health(ctx, addr, files, client)
	switch {
	case err != nil:
		d.add(VerdictFail, name, err.Error(), "read the hub's logs/eventbus.log")
	case report.Status != "ok":
		d.add(VerdictWarn, name, report.Status+": "+strings.Join(report.Reasons, "; "), "amoskys status on the hub says more")
	default:
		d.add(VerdictOK, name, fmt.Sprintf("%s, version %s, answers in %s", report.Status, report.Version, took.Round(100*time.Microsecond)), "")
	}
	if err == nil {
		d.skew(addr, report.Date, took)
	}
}

func (d *doctor) health(ctx context.Context, addr string, files identity.Files, client identity.ClientOptions) (probe.Report, time.Duration, error) {
	cfg, err := identity.ClientConfig(files, client)
	if err != nil {
		return probe.Report{}, 0, fmt.Errorf("prepare connection to the hub: %w", err)
	}
	p, err := probe.New(probe.Options{Addr: addr, TLS: cfg, Dial: client.Dial})
	if err != nil {
		return probe.Report{}, 0, fmt.Errorf("look at the hub: %w", err)
	}
	began := time.Now()
	report, err := p.Health(ctx)
	took := time.Since(began)
	if again := p.Close(); err == nil && again != nil {
		err = fmt.Errorf("look at the hub: %w", again)
	}
	return report, took, err
}

// startNode is the command that runs the agents of this home.
func startNode(e *cli.Env, command string) string {
	if command == "amoskys" && !hasJoinedBefore(e) {
		return Called(e, command) + " up"
	}
	return Called(e, command) + " node"
}

// port is free, or the agent's own.
func (d *doctor) port(ctx context.Context, c agent.Common, running map[string]bool) {
	if running[c.ID] || c.HTTP.Port == 0 {
		return
	}
	addr := c.HTTP.Addr()
	if err := ports.Check(ctx, addr); err != nil {
		d.add(VerdictFail, "port "+addr, err.Error(), ports.Fix(err, "http.port of "+c.ID))
		return
	}
	d.add(VerdictOK, "port "+addr, "free for "+c.ID, "")
}

// spool has a folder that can be written, and room.
func (d *doctor) spool(c agent.Common) {
	dir := d.env.Home.Path(c.Spool.Path)
	name := "spool " + c.ID
	where := existing(dir)
	f, err := os.CreateTemp(where, ".doctor-*")
	if err != nil {
		d.add(VerdictFail, name, "cannot write: "+err.Error(), "run as the user who owns "+where+", or set spool.path")
		return
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		d.add(VerdictFail, name, "cannot write: "+err.Error(), "look at the disk of "+where)
		return
	}
	free, err := vfs.OS{}.FreeBytes(where)
	need := uint64(c.Spool.MaxMB*(1<<20)) + spareSpool
	switch {
	case err != nil:
		d.add(VerdictWarn, name, "cannot tell the free space: "+err.Error(), "")
	case free < need:
		d.add(VerdictWarn, name, cli.Bytes(free)+" are free, and it may grow to "+cli.Bytes(uint64(c.Spool.MaxMB*(1<<20))), "make room, or set spool.max_mb")
	default:
		d.add(VerdictOK, name, fmt.Sprintf("%s free for at most %s", cli.Bytes(free), cli.Bytes(uint64(c.Spool.MaxMB*(1<<20)))), "")
	}
}

// existing is dir, or the nearest folder above it that is there.
func existing(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return cmp.Or(dir, ".")
		}
		dir = up
	}
}
