package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/agent/renewal"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
	"github.com/amoskys/amoskys/internal/obs/notify"
	"github.com/amoskys/amoskys/internal/vfs"
)

// NodeOptions changes what the configuration says. The zero value changes nothing.
type NodeOptions struct {
	Agents []string // kinds to run instead of node.agents, when not nil
}

// RunNode runs the node of this host until ctx ends.
func RunNode(ctx context.Context, e *cli.Env, o NodeOptions) (err error) {
	cfg := node.DefaultConfig()
	if err := config.Load(e.Home.NodeConfig(), &cfg, config.DecodeOptions{Env: e.Lookup}); err != nil {
		return err
	}
	if o.Agents != nil {
		cfg.Node.Agents = o.Agents
	}
	logger, closer, err := RoleLogger(e, "node", cfg.Logging.Level)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	if err := os.MkdirAll(e.Home.Data(), 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	lock, err := vfs.OS{}.Lock(filepath.Join(e.Home.Data(), "node.lock"))
	if held, ok := errors.AsType[*vfs.LockedError](err); ok {
		return fmt.Errorf("a node of %s runs already (process %d): stop it, or name another folder with --home", e.Home, held.PID)
	}
	if err != nil {
		return fmt.Errorf("lock %s for one node: %w", e.Home, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	name, err := NodeName(e, &cfg)
	if err != nil {
		return err
	}
	host := agent.MachineNamed(name)
	options := cfg.Options(name)
	options.Host, options.Version, options.Logger = host, obs.ReadBuild().Version, logger
	options.StateFile = filepath.Join(e.Home.Data(), "node.json")
	options.Connect = node.Connector(cfg.Hub, e.Home, logger)
	if options.Agents, err = NodeAgents(e, cfg.Node.Agents); err != nil {
		return err
	}
	renewer := newRenewer(e, cfg, logger)
	options.Authorities = func() string { return identity.DigestOf(cfg.Hub.Files(e.Home).CA) }
	options.CheckCertificates = renewer.Check
	n, err := node.New(options)
	if err != nil {
		return err
	}
	ctx, cancel := child.WithParent(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	if cfg.Node.HTTP.Port != 0 {
		l, err := agent.Listen(ctx, cfg.Node.HTTP.Host, cfg.Node.HTTP.Port, "node.http.port in "+e.Home.NodeConfig())
		if err != nil {
			return err
		}
		group.Go(func() error { return obs.Endpoint{Health: n.Health}.Serve(ctx, l, logger, cfg.Node.HTTP.Host) })
	}
	logger.Info("node started", obs.KeyCount, len(options.Agents), obs.KeyVersion, options.Version)
	group.Go(func() error { return renewer.Run(ctx) })
	group.Go(func() error {
		// Its health takes the locks that all of its work takes: a node that hangs on one is silent.
		alive := func(ctx context.Context) error { n.Health(ctx); return nil }
		notify.FromEnvironment(e.Lookup).Run(ctx, notify.Checks{Alive: alive}, logger)
		return nil
	})
	group.Go(func() error { return n.Run(ctx) })
	err = group.Wait()
	logger.Info("node stopped")
	return err
}

// newRenewer keeps the certificates of a host alive: its node's, and those of the
// agents that the node runs.
func newRenewer(e *cli.Env, cfg node.Config, logger *slog.Logger) *renewal.Renewer {
	return renewal.New(renewal.Options{
		Files: func() []identity.Files { return hostFiles(e, cfg) },
		Dial: func() (*grpc.ClientConn, error) {
			dialer, err := cfg.Hub.Dialer(e.Home)
			if err != nil {
				return nil, err
			}
			return renewal.Dial(cfg.Hub.Addr(), cfg.Hub.Name(), cfg.Hub.Files(e.Home), dialer.Dial)
		},
		Now: e.Now, Logger: logger,
	})
}

// hostFiles are the certificates of a node and of the agents that it runs, the
// node's first.
func hostFiles(e *cli.Env, cfg node.Config) []identity.Files {
	files := []identity.Files{cfg.Hub.Files(e.Home)}
	for _, kind := range cfg.Node.Agents {
		d, err := Find(kind)
		if err != nil {
			continue // the node has said so
		}
		loaded, err := d.Load(e.Home.AgentConfig(d.ConfigName), config.DecodeOptions{Env: childLookup(e)})
		if err != nil || !loaded.Common.Hub.TLSEnabled {
			continue
		}
		f := loaded.Common.Files(e.Home)
		if _, err := os.Stat(f.Cert); err == nil { // an agent that lacks its certificate says so itself
			files = append(files, f)
		}
	}
	return files
}

// NodeName is the host that the node's certificate names: its node id, and the host
// of its agents. Where there is no certificate yet, it is this machine's name. The
// error says that the configuration names another.
func NodeName(e *cli.Env, cfg *node.Config) (string, error) {
	file := cfg.Hub.Files(e.Home).Cert
	name := agent.Machine().GetName()
	holder, err := identity.ReadHolder(file)
	if err == nil {
		name = holder.ID.Host()
	}
	if id := cfg.Node.ID; err == nil && id != "" && !hostname.Same(id, name) {
		return "", fmt.Errorf("node.id is %q in %s, and the certificate %s is that of host %q, for which alone it speaks: "+
			"set node.id to that or leave it empty", id, e.Home.NodeConfig(), file, name)
	}
	return name, nil
}

// NodeAgents says how this program's node runs the agents of these kinds.
func NodeAgents(e *cli.Env, kinds []string) ([]node.Agent, error) {
	program, err := Program()
	if err != nil {
		return nil, err
	}
	agents := make([]node.Agent, 0, len(kinds))
	for _, kind := range kinds {
		d, err := Find(kind)
		if err != nil {
			return nil, err
		}
		id := d.ID
		if loaded, err := d.Load(e.Home.AgentConfig(d.ConfigName), config.DecodeOptions{Env: childLookup(e)}); err == nil {
			id = loaded.Common.ID // a faulty file is reported when the agent is started
		}
		agents = append(agents, node.Agent{
			ID: id, Kind: d.Kind, Log: e.Home.AgentLog(id), Config: e.Home.AgentConfig(d.ConfigName),
			DataDir: agent.DataDir(e.Home, id), Tasks: d.Tasks, Privileges: d.Privileges, Uses: d.Uses,
			Argv:     []string{program, "agent", d.Kind, "--home", string(e.Home)},
			Env:      child.Environ(e.Home),
			Settings: func() (node.Settings, error) { return settings(e, d) },
		})
	}
	return agents, nil
}

// settings reads an agent's configuration as the agent itself will.
func settings(e *cli.Env, d agent.Definition) (node.Settings, error) {
	loaded, err := d.Load(e.Home.AgentConfig(d.ConfigName), config.DecodeOptions{Env: childLookup(e)})
	if err != nil {
		return node.Settings{}, err
	}
	return node.Settings{Addr: loaded.Common.HTTP.Addr(), Enabled: loaded.Common.Enabled, WithoutPrivileges: loaded.WithoutPrivileges}, nil
}

// childLookup is the environment as an agent started by the node sees it.
func childLookup(e *cli.Env) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if name == config.EnvAgentID || name == config.EnvRole || e.Lookup == nil {
			return "", false
		}
		return e.Lookup(name)
	}
}

// Program is the binary that agents are started from: amoskys-agent where it lies
// beside the running one, as it links no server code, else the running one.
func Program() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the running program: %w", err)
	}
	small := filepath.Join(filepath.Dir(self), "amoskys-agent")
	if runtime.GOOS == "windows" {
		small += ".exe"
	}
	if info, err := os.Stat(small); err == nil && info.Mode().IsRegular() {
		return small, nil
	}
	return self, nil
}
