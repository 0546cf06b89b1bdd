package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
	}
	cmd.AddCommand(newCertsInit(env), newCertsList(env), newCertsRenew(env), newCertsVerify(env))
	return cmd
}

func newCertsInit(env *cli.Env) *cobra.Command {
	var o identity.LayoutOptions
	var force, asJSON bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the authority and the certificates that are missing",
		Long: "Makes what is missing in certs/ and touches nothing that is there. An authority made by another tool\n" +
			"(ca.crt with ca.key) is used to issue the rest.",
		Example: "  amoskys certs init --host hub1.example --host 192.0.2.10",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir := certsDir(env)
			moved := ""
			if force {
				var err error
				if moved, err = identity.SetAside(dir, env.Now()); err != nil {
					return err
				}
			}
			o.Now = env.Now
			report, err := identity.EnsureLayout(dir, o)
			if err != nil {
				return err
			}
			if asJSON {
				return cli.WriteJSON(env.Stdout, struct {
					identity.LayoutReport
					Moved string `json:"moved_to,omitempty"`
				}{report, moved})
			}
			return printInit(env, report, moved)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Domain, "domain", "", "trust domain in identities (default that of the authority, else "+identity.DefaultDomain+")")
	f.StringSliceVar(&o.Hosts, "host", nil, "another name or address that hub and dashboard are reached by; may be repeated")
	f.Var((*lifetime)(&o.TTL), "ttl", "life of certificates, such as 90d or 36h (default 90d)")
	f.BoolVar(&force, "force", false, "set everything aside and start anew with another authority")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
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
			strings.Join(r.Due, ", "), program(env))
	}
	_, err := env.Stdout.Write([]byte(b.String()))
	return err
}

func newCertsList(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List certificates: identity, hosts, issuer, end",
		Example: "  amoskys certs list --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			infos, err := identity.List(certsDir(env), env.Now())
			if err != nil {
				return fmt.Errorf("%w: %s certs init makes certificates", err, program(env))
			}
			if asJSON {
				return cli.WriteJSON(env.Stdout, map[string]any{"certificates": infos})
			}
			return printList(env, infos)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printList(env *cli.Env, infos []identity.Info) error {
	table := cli.NewTable("FILE", "ID", "HOSTS", "ISSUER", "NOT AFTER", ">DAYS", "STATE", "SHA-256")
	for _, i := range infos {
		file := filepath.Base(i.File)
		if i.LinkTo != "" {
			file += " → " + i.LinkTo
		}
		if i.Error != "" {
			table.Row(file, "", "", "", "", "", i.State, "")
			fmt.Fprintf(env.Stderr, "warning: %s\n", i.Error)
			continue
		}
		table.Row(file, i.ID, cli.Truncate(strings.Join(i.Hosts, " "), 40), cli.Truncate(i.Issuer, 30),
			i.NotAfter.Local().Format("2006-01-02 15:04"), i.DaysLeft, i.State, i.Fingerprint[:16])
	}
	if err := table.Write(env.Stdout); err != nil {
		return err
	}
	for _, i := range infos {
		if i.LinkTo != "" || i.State == identity.StateOK || i.Error != "" {
			continue
		}
		fix := program(env) + " certs renew " + i.Name
		if i.Name == "ca" {
			fix = "see the chapter on renewal in docs/security.md"
		}
		switch i.State {
		case identity.StateDue:
			fmt.Fprintf(env.Stderr, "warning: %s ends in %s: %s\n", i.File, cli.Counted(i.DaysLeft, "day", "days"), fix)
		case identity.StateExpired:
			fmt.Fprintf(env.Stderr, "warning: %s ended %s ago: %s\n", i.File, cli.Counted(-i.DaysLeft, "day", "days"), fix)
		default:
			fmt.Fprintf(env.Stderr, "warning: %s is valid only from %s\n", i.File, i.NotBefore.Format(time.RFC3339))
		}
	}
	return nil
}

func newCertsRenew(env *cli.Env) *cobra.Command {
	var o identity.RenewOptions
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "renew [NAME...]",
		Short: "Replace certificates by fresh ones with a new key",
		Long: "Replaces certificates, keeping identity and hosts. NAME is a file in certs/ without .crt, such as eventbus.\n" +
			"Running programs take the new files up by themselves. A certificate is due when less than a third of its life is left.",
		Example: "  amoskys certs renew eventbus --host hub2.example\n  amoskys certs renew --all --due",
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && !all && !o.Due:
				return cli.Usagef("name certificates to renew, or say --all or --due")
			case len(args) > 0 && all:
				return cli.Usagef("name certificates or say --all, not both")
			}
			o.Now = env.Now
			if len(args) > 0 {
				o.Names = args
			}
			done, err := identity.Renew(certsDir(env), o)
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

// certsDir is certs/ below the home folder, written as short as it can be from
// the working folder, so that messages hold commands that can be typed.
func certsDir(env *cli.Env) string { return shorten(env.Home.Certs()) }

func shorten(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(wd, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return path
	}
	return rel
}

// program is how this program is called for the same home folder.
func program(env *cli.Env) string {
	if home := shorten(string(env.Home)); home != "." {
		return "amoskys --home " + home
	}
	return "amoskys"
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
