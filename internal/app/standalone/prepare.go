package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dashboard"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/node/ports"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/password"
)

// plan is what up will run, from the configuration.
type plan struct {
	hub       hub.Config
	dashboard dashboard.Config
	node      node.Config
	agents    []node.Agent
	kinds     []string // nil: those of the file
	withUI    bool
}

// url is where a browser finds the dashboard.
func (p *plan) url() string {
	if !p.withUI {
		return ""
	}
	scheme := "http://"
	if p.dashboard.TLS.Enabled {
		scheme = "https://"
	}
	host := p.dashboard.Server.Host
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		host = "localhost"
	}
	return scheme + net.JoinHostPort(remote.LocalHost(host), strconv.Itoa(p.dashboard.Server.Port))
}

// prepare makes what is missing under the home folder, says what it made, and
// reads the configuration. It may run again and again: then it makes nothing.
func prepare(ctx context.Context, e *cli.Env, o Options, out io.Writer) (*plan, error) {
	if err := e.Home.Ensure(); err != nil {
		return nil, err
	}
	certs, err := identity.EnsureLayout(e.Home.Certs(), identity.LayoutOptions{Now: e.Now})
	if err != nil {
		return nil, err
	}
	written, err := app.WriteTemplates(e)
	if err != nil {
		return nil, err
	}
	if n := len(certs.Created); n > 0 {
		fmt.Fprintf(out, "made %s in %s\n", cli.Counted(n, "certificate or key", "certificates and keys"), e.Home.Certs())
	}
	for _, w := range certs.Warnings {
		fmt.Fprintf(out, "certificates: %s\n", w)
	}
	if len(certs.Due) > 0 {
		fmt.Fprintln(out, renewDue(e))
	}
	if n := len(written); n > 0 {
		fmt.Fprintf(out, "wrote %s in %s\n", cli.Counted(n, "configuration file", "configuration files"), e.Home.Config())
	}
	p, err := readPlan(e, o)
	if err != nil {
		return nil, err
	}
	return p, firstAdmin(ctx, e, out)
}

// readPlan reads the files of the roles that run; all their faults come at once.
func readPlan(e *cli.Env, o Options) (*plan, error) {
	p := &plan{kinds: o.Agents, withUI: !o.NoDashboard, hub: hub.DefaultConfig(), dashboard: dashboard.DefaultConfig(), node: node.DefaultConfig()}
	options := config.DecodeOptions{Env: e.Lookup}
	var faults config.Faults
	var errs []error
	for _, err := range []error{
		config.Load(e.Home.HubConfig(), &p.hub, options),
		config.Load(e.Home.DashboardConfig(), &p.dashboard, options),
		config.Load(e.Home.NodeConfig(), &p.node, options),
	} {
		if more, ok := errors.AsType[config.Faults](err); ok {
			faults = append(faults, more...)
		} else if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	kinds := p.node.Node.Agents
	if p.kinds != nil {
		kinds = p.kinds
	}
	var err error
	if p.agents, err = endpoint.NodeAgents(e, kinds); err != nil {
		return nil, err
	}
	for _, a := range p.agents {
		_, err := a.Settings()
		if more, ok := errors.AsType[config.Faults](err); ok {
			faults = append(faults, more...)
		} else if err != nil {
			return nil, err
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("the configuration has faults:\n%w", faults)
	}
	return p, nil
}

// firstAdmin makes the first account and prints its password, which is kept
// nowhere else.
func firstAdmin(ctx context.Context, e *cli.Env, out io.Writer) (err error) {
	db, err := state.Open(ctx, state.Options{File: e.Home.State()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	plain, created, err := db.EnsureAdmin(ctx, password.New(password.Recommended(), 1))
	if err != nil {
		return err
	}
	if created {
		fmt.Fprintf(out, "\n  The first account of the dashboard, shown this once:\n    user:     %s\n    password: %s\n\n", state.AdminName, plain)
	}
	return nil
}

// listener is one port that will be needed.
type listener struct {
	who, addr, key string
}

// listeners lists the ports that will be needed.
func (p *plan) listeners(home config.Home) []listener {
	list := []listener{{"the hub", net.JoinHostPort(p.hub.Server.Host, strconv.Itoa(p.hub.Server.Port)), "server.port in " + home.HubConfig()}}
	if p.hub.Metrics.Enabled {
		list = append(list, listener{"the hub's metrics", net.JoinHostPort(p.hub.Metrics.Host, strconv.Itoa(p.hub.Metrics.Port)), "metrics.port in " + home.HubConfig()})
	}
	if p.withUI {
		list = append(list, listener{"the dashboard", net.JoinHostPort(p.dashboard.Server.Host, strconv.Itoa(p.dashboard.Server.Port)), "server.port in " + home.DashboardConfig()})
	}
	for _, a := range p.agents {
		if s, err := a.Settings(); err == nil && s.Enabled {
			list = append(list, listener{"agent " + a.ID, s.Addr, "http.port in " + a.Config})
		}
	}
	return list
}

// checkPorts names every taken port with the process that holds it, before
// anything is started.
func (p *plan) checkPorts(ctx context.Context, home config.Home) error {
	var errs []error
	owners := map[string]string{}
	for _, l := range p.listeners(home) {
		_, port, _ := net.SplitHostPort(l.addr)
		if other, ok := owners[port]; ok && port != "0" {
			errs = append(errs, fmt.Errorf("port %s is given to %s and to %s: change %s", port, other, l.who, l.key))
			continue
		}
		owners[port] = l.who
		if err := ports.Check(ctx, l.addr); err != nil {
			errs = append(errs, fmt.Errorf("%s cannot start: %w; stop that, or change %s", l.who, err, l.key))
		}
	}
	return errors.Join(errs...)
}
