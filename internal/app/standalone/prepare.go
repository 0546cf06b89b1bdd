package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/node/ports"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/password"
)

// planned is a role that up will run, with what its configuration says.
type planned struct {
	app.Role
	app.Settings

	file string // its configuration
}

// privileges are what a role must hold to give its agents theirs: a child has no
// others. Dropping the rest from an agent's bounding set takes CAP_SETPCAP.
func (p planned) privileges() []string {
	var all []string
	for _, a := range p.Agents {
		all = slices.Concat(all, a.Privileges, a.Uses)
	}
	if len(all) > 0 {
		all = append(all, "CAP_SETPCAP")
	}
	return all
}

// plan is what up will run, from the configuration, in the order in which it starts.
type plan []planned

// url is where a browser finds the first page that a role serves.
func (p plan) url() string {
	for _, r := range p {
		if r.Page != "" {
			return r.Page
		}
	}
	return ""
}

// agents are those that the roles start.
func (p plan) agents() []node.Agent {
	var all []node.Agent
	for _, r := range p {
		all = append(all, r.Agents...)
	}
	return all
}

// host is this machine's name, as the hub knows the agents by.
func (p plan) host() string {
	for _, r := range p {
		if r.Host != "" {
			return r.Host
		}
	}
	return ""
}

// prepare makes what is missing under the home folder, says what it made, and
// reads the configuration. It may run again and again: then it makes nothing.
func prepare(ctx context.Context, e *cli.Env, o Options, out io.Writer) (plan, error) {
	if err := app.RefuseTwin(ctx, e.Home, o.Force); err != nil {
		return nil, err
	}
	if err := e.Home.Ensure(); err != nil {
		return nil, err
	}
	if restored, err := app.ReadRestored(e.Home); err != nil {
		return nil, err
	} else if restored != nil && restored.ReadOnly && o.Agents == nil {
		o.NoNode = true
		fmt.Fprintln(out, "agents do not run, as this is a restored copy that takes no events: they would poll, scan and capture for nobody (--agents starts some all the same)")
	}
	certs, err := identity.EnsureLayout(e.Home.Certs(), identity.LayoutOptions{Now: e.Now, Observes: endpoint.Observing()})
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
		fmt.Fprintln(out, renewDue(e, certs.Due))
	}
	if n := len(written); n > 0 {
		fmt.Fprintf(out, "wrote %s in %s\n", cli.Counted(n, "configuration file", "configuration files"), e.Home.Config())
	}
	p, err := readPlan(e, app.Roles(), o)
	if err != nil {
		return nil, err
	}
	return p, firstAdmin(ctx, e, out)
}

// readPlan reads the files of the roles that run and of the agents that they start;
// all faults come at once.
func readPlan(e *cli.Env, roles []app.Role, o Options) (plan, error) {
	var p plan
	var faults config.Faults
	var errs []error
	note := func(err error) {
		if more, ok := errors.AsType[config.Faults](err); ok {
			faults = append(faults, more...)
		} else if err != nil {
			errs = append(errs, err)
		}
	}
	for _, r := range roles {
		if r.Skip != nil && r.Skip(o.RoleOptions) {
			continue
		}
		s, err := r.Load(e, o.RoleOptions, config.DecodeOptions{Env: e.Lookup})
		note(err)
		p = append(p, planned{Role: r, Settings: s, file: r.File(e.Home)})
		for _, a := range s.Agents {
			_, err := a.Settings()
			note(err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("the configuration has faults:\n%w", faults)
	}
	return p, p.checkCerts()
}

// checkCerts reports a role whose certificate is not there, if up needs it.
func (p plan) checkCerts() error {
	var errs []error
	for _, r := range p {
		if r.Cert == "" || r.Optional {
			continue
		}
		if _, err := os.Stat(r.Cert); err != nil {
			errs = append(errs, fmt.Errorf("%s cannot start without its certificate: %w", r.Name, err))
		}
	}
	return errors.Join(errs...)
}

// passwordLabel stands before the password of the first account.
const passwordLabel = "password:"

// firstAdmin makes the first account and prints its password, which is kept
// nowhere else.
func firstAdmin(ctx context.Context, e *cli.Env, out io.Writer) (err error) {
	cfg, err := app.LoadHubConfig(e)
	if err != nil {
		return err
	}
	db, err := app.OpenState(ctx, e.Home, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	plain, created, err := db.EnsureAdmin(ctx, password.New(password.Recommended(), 1))
	if err != nil {
		return err
	}
	if created {
		fmt.Fprintf(out, "\n  The first account of the dashboard, shown this once:\n    user:     %s\n    %s %s\n\n", state.AdminName, passwordLabel, plain)
	}
	return nil
}

// listener is one port that will be needed.
type listener struct {
	who, addr, key string
	optional       bool // up goes on without whoever listens there
}

// listeners lists the ports that will be needed.
func (p plan) listeners() []listener {
	var list []listener
	for _, r := range p {
		for _, port := range r.Ports {
			list = append(list, listener{port.Who, port.Addr, port.Key + " in " + r.file, r.Optional})
		}
		for _, a := range r.Agents {
			if s, err := a.Settings(); err == nil && s.Enabled {
				list = append(list, listener{"agent " + a.ID, s.Addr, "http.port in " + a.Config, false})
			}
		}
	}
	return list
}

// checkPorts names every taken port with the process that holds it, before
// anything is started. Those of roles that up goes on without are told to warn.
func (p plan) checkPorts(ctx context.Context, warn func(error)) error {
	var errs []error
	owners := map[string]string{}
	for _, l := range p.listeners() {
		_, port, _ := net.SplitHostPort(l.addr)
		if other, ok := owners[port]; ok && port != "0" {
			errs = append(errs, fmt.Errorf("port %s is given to %s and to %s: change %s", port, other, l.who, l.key))
			continue
		}
		owners[port] = l.who
		if err := ports.Check(ctx, l.addr); err != nil {
			err = fmt.Errorf("%s cannot start: %w; %s", l.who, err, ports.Fix(err, l.key))
			if l.optional {
				warn(err)
				continue
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
