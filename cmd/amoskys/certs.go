package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
)

// newCertsCommand builds `amoskys certs`, which looks after the certs/ folder.
func newCertsCommand(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make, look at, renew and check certificates",
		Long: "Certificates say who each part of the system is. `amoskys up` makes them; these commands look after them.\n" +
			"Roles, reasons for refusals and how to bring certificates of your own: docs/security.md.",
		Example: `  amoskys certs verify
  amoskys certs issued --host web-1`,
	}
	cmd.AddCommand(newCertsInit(env), endpoint.NewCertsListCommand(env, "amoskys"), newCertsRenew(env), newCertsRevoke(env),
		newCertsStatus(env), newCertsRotate(env), newCertsIssued(env), endpoint.NewCertsVerifyCommand(env, "amoskys"))
	return cmd
}

func newCertsInit(env *cli.Env) *cobra.Command {
	var o identity.LayoutOptions
	var force, asJSON bool
	c, inCluster := app.DefaultCluster(), false
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the authority and the certificates that are missing",
		Long: "Makes what is missing in certs/ and touches nothing that is there. An authority made by another tool\n" +
			"(ca.crt with ca.key) is used to issue the rest.\n\n" +
			"With --k8s it makes those that a Kubernetes cluster needs, in the names of its Services, and writes\n" +
			"them as Secrets: docs/kubernetes.md.",
		Example: "  amoskys certs init --host hub1.example --host 192.0.2.10\n  amoskys certs init --k8s --home ~/amoskys-k8s --out secret-tls.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir := endpoint.CertsDir(env)
			moved := ""
			if force {
				var err error
				if moved, err = identity.SetAside(dir, env.Now()); err != nil {
					return err
				}
			}
			o.Now, o.Observes = env.Now, endpoint.Observing()
			report, err := ensureCertificates(env, dir, o, inCluster, c)
			if err != nil {
				return err
			}
			if inCluster && c.Out == "-" {
				return c.WriteSecrets(env, o.TTL)
			}
			if asJSON {
				if inCluster {
					silent := *env
					silent.Stdout = io.Discard
					if err := c.WriteSecrets(&silent, o.TTL); err != nil {
						return err
					}
				}
				return cli.WriteJSON(env.Stdout, struct {
					identity.LayoutReport
					Moved string `json:"moved_to,omitempty"`
				}{report, moved})
			}
			if err := printInit(env, report, moved); err != nil || !inCluster {
				return err
			}
			return c.WriteSecrets(env, o.TTL)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Domain, "domain", "", "trust domain in identities (default that of the authority, else "+identity.DefaultDomain+")")
	f.StringSliceVar(&o.With, "with", nil, "make certificates of these roles too: "+strings.Join(identity.ExtraLeaves(), ", "))
	f.StringSliceVar(&o.Hosts, "host", nil, "another name or address that hub and dashboard are reached by; may be repeated")
	f.Var((*lifetime)(&o.TTL), "ttl", "life of certificates, such as 90d or 36h (default 90d)")
	f.BoolVar(&inCluster, "k8s", false, "make those of a Kubernetes cluster, and write them as Secrets")
	f.StringVar(&c.Out, "out", c.Out, "file for the Secrets; - is standard output")
	f.StringVar(&c.Namespace, "namespace", c.Namespace, "namespace of hub, store and dashboards")
	f.StringVar(&c.Agents, "agents-namespace", c.Agents, "namespace of agents that look at machines")
	f.BoolVar(&force, "force", false, "set everything aside and start anew with another authority")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// ensureCertificates makes what is missing in a folder: of this machine, or of a cluster.
func ensureCertificates(env *cli.Env, dir string, o identity.LayoutOptions, inCluster bool, c app.Cluster) (identity.LayoutReport, error) {
	if inCluster {
		return c.EnsureCertificates(env, o)
	}
	return identity.EnsureLayout(dir, o)
}

func printInit(env *cli.Env, r identity.LayoutReport, moved string) error {
	var b strings.Builder
	if moved != "" {
		fmt.Fprintf(&b, "The old files are in %s. Every host needs the new ca.crt and new certificates.\n", moved)
	}
	for _, name := range r.Created {
		fmt.Fprintf(&b, "created %s\n", filepath.Join(r.Dir, name))
	}
	if len(r.Created) == 0 {
		fmt.Fprintf(&b, "Nothing to do: all %d files are in %s.\n", len(r.Kept), r.Dir)
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(env.Stderr, "warning: %s\n", w)
	}
	if len(r.Due) > 0 {
		fmt.Fprintf(env.Stderr, "warning: less than a third of their life is left: %s. Run %s certs renew --all --due.\n",
			strings.Join(r.Due, ", "), endpoint.Called(env, "amoskys"))
	}
	_, err := env.Stdout.Write([]byte(b.String()))
	return err
}

func newCertsRenew(env *cli.Env) *cobra.Command {
	var o identity.RenewOptions
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "renew [NAME...]",
		Short: "Replace certificates by fresh ones with a new key",
		Long: "Replaces certificates, keeping identity and hosts. NAME is a file in certs/ without .crt, such as eventbus.\n" +
			"Where the authority's key is not, on a host that has joined, the hub is asked to renew those of node and agents.\n" +
			"Running programs take the new files up by themselves. A certificate is due when less than a third of its life is left.",
		Example: "  amoskys certs renew eventbus --host hub2.example\n  amoskys certs renew --all --due",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && !all && !o.Due:
				return cli.Usagef("name certificates to renew, or say --all or --due")
			case len(args) > 0 && all:
				return cli.Usagef("name certificates or say --all, not both")
			}
			if _, err := os.Stat(filepath.Join(env.Home.Certs(), "ca.key")); errors.Is(err, os.ErrNotExist) && joined(env) {
				return endpoint.RenewOverHub(cmd.Context(), env, args, !o.Due, asJSON)
			}
			o.Now, o.Observes = env.Now, endpoint.Observing()
			if len(args) > 0 {
				o.Names = args
			}
			done, err := identity.Renew(endpoint.CertsDir(env), o)
			if asJSON {
				if done == nil {
					done = []identity.Renewed{}
				}
				if printErr := cli.WriteJSON(env.Stdout, map[string]any{"certificates": done}); printErr != nil && err == nil {
					err = printErr
				}
				return err
			}
			for _, d := range done {
				end := d.NotAfter.Local().Format("2006-01-02 15:04")
				if d.Skipped {
					fmt.Fprintf(env.Stdout, "%s is not due: it ends %s\n", d.File, end)
					continue
				}
				fmt.Fprintf(env.Stdout, "renewed %s (%s) until %s\n", d.File, d.ID, end)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "renew every certificate but the authority's")
	f.BoolVar(&o.Due, "due", false, "renew only what is due")
	f.StringSliceVar(&o.Hosts, "host", nil, "a name or address to add; may be repeated")
	f.Var((*lifetime)(&o.TTL), "ttl", "life of the new certificates, such as 90d or 36h (default 90d)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// joined says that this home has certificates of a host that has joined a hub.
func joined(env *cli.Env) bool {
	_, err := os.Stat(identity.FilesFor(env.Home.Certs(), "node").Cert)
	return err == nil
}

// lifetime is a flag of days ("90d") or any Go duration ("36h").
type lifetime time.Duration

// String writes the value as it is typed.
func (l *lifetime) String() string {
	d := time.Duration(*l)
	if d == 0 {
		return ""
	}
	if d%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + "d"
	}
	return d.String()
}

// Set reads a value.
func (l *lifetime) Set(s string) error {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		d = time.Duration(n * 24 * float64(time.Hour))
	}
	if err != nil || d < time.Minute || d > identity.DefaultCATTL {
		return errors.New("want a duration from 1m to 3650d, such as 90d or 36h")
	}
	*l = lifetime(d)
	return nil
}

// Type names the kind of value in help.
func (l *lifetime) Type() string { return "duration" }
