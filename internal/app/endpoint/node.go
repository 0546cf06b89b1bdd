package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
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
	host := agent.Machine()
	options := cfg.Options(certificateName(cfg.Hub.Files(e.Home).Cert, host.GetName()))
	options.Host, options.Version, options.Logger = host, obs.ReadBuild().Version, logger
	options.StateFile = filepath.Join(e.Home.Data(), "node.json")
	options.Connect = node.Connector(cfg.Hub, e.Home, logger)
	if options.Agents, err = NodeAgents(e, cfg.Node.Agents); err != nil {
		return err
	}
	n, err := node.New(options)
	if err != nil {
		return err
	}
	ctx, cancel := child.WithParent(ctx)
	defer cancel()
	logger.Info("node started", obs.KeyCount, len(options.Agents), obs.KeyVersion, options.Version)
	err = n.Run(ctx)
	logger.Info("node stopped")
	return err
}

// certificateName is the host that a certificate names, which the hub holds its
// bearer to; otherwise where there is no certificate yet.
func certificateName(file, otherwise string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return otherwise
	}
	certs, err := identity.ParseCertificates(text)
	if err != nil || len(certs) == 0 {
		return otherwise
	}
	id, err := identity.FromCertificate(certs[0])
	if err != nil {
		return otherwise
	}
	return id.Host()
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
	h := loaded.Common.HTTP
	return node.Settings{Addr: net.JoinHostPort(h.Host, strconv.Itoa(h.Port)), Enabled: loaded.Common.Enabled}, nil
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
