package endpoint

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/agent/renewal"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/node"
)

// NewCertsCommand is "certs" of the program called name on a watched host.
func NewCertsCommand(env *cli.Env, name string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Look at, check and renew this host's certificates",
		Long: "Certificates say who this host is to the hub. enroll gets them, and the node renews them over the hub from two\n" +
			"thirds of their life on; these commands show what is there, and do the same by hand.",
		Example: "  " + name + " certs list\n  " + name + " certs renew",
	}
	cmd.AddCommand(NewCertsListCommand(env, name), NewCertsVerifyCommand(env, name), newCertsRenew(env, name))
	return cmd
}

// NewCertsListCommand is "certs list" of the program called name.
func NewCertsListCommand(env *cli.Env, name string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List certificates: identity, hosts, issuer, end",
		Example: "  " + name + " certs list --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := env.Home.Check(); err != nil {
				return err
			}
			infos, err := identity.List(CertsDir(env), env.Now())
			if err != nil {
				return fmt.Errorf("%w: %s", err, obtain(env, name))
			}
			if asJSON {
				return cli.WriteJSON(env.Stdout, map[string]any{"certificates": infos})
			}
			return printList(env, name, infos)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printList(env *cli.Env, name string, infos []identity.Info) error {
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
		fix := Called(env, name) + " certs renew " + i.Name
		if i.Name == "ca" {
			fix = "see the chapter on renewal in docs/security.md"
		}
		switch i.State {
		case identity.StateDue:
			fmt.Fprintf(env.Stderr, "warning: %s ends in %s: %s\n", i.File, cli.Counted(i.DaysLeft, "day", "days"), fix)
		case identity.StateExpired:
			if i.Role == identity.RoleNode || i.Role == identity.RoleAgent {
				fix = expiredFix(env, fix)
			}
			fmt.Fprintf(env.Stderr, "warning: %s ended %s ago: %s\n", i.File, cli.Counted(-i.DaysLeft, "day", "days"), fix)
		default:
			fmt.Fprintf(env.Stderr, "warning: %s is valid only from %s\n", i.File, i.NotBefore.Format(time.RFC3339))
		}
	}
	return nil
}

// obtain is what to type where certificates are missing: a host that has joined a hub
// gets them there, whichever program asks.
func obtain(env *cli.Env, name string) string {
	if name == "amoskys" && !hasJoinedBefore(env) {
		return Called(env, name) + " certs init"
	}
	return Called(env, "amoskys-agent") + " enroll --hub HOST:PORT --token TOKEN"
}

// hasJoinedBefore says that this home is that of a watched host, whatever has become
// of its certificates.
func hasJoinedBefore(env *cli.Env) bool {
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(env.Home.Certs(), name))
		return err == nil
	}
	return has("node.crt") && !has("ca.key") && !has("eventbus.crt")
}

// expiredFix is what to do about a host's certificate that has ended: where the
// authority's key is, what fix says.
func expiredFix(env *cli.Env, fix string) string {
	if _, err := os.Stat(filepath.Join(env.Home.Certs(), "ca.key")); err == nil {
		return fix
	}
	return identity.EnrolAgain
}

func newCertsRenew(env *cli.Env, name string) *cobra.Command {
	var due, asJSON bool
	cmd := &cobra.Command{
		Use:   "renew [NAME...]",
		Short: "Have the hub replace certificates by fresh ones, now",
		Long: "Makes new keys, has the hub certify them with this host's present certificates, and puts them in place.\n" +
			"NAME is a file in certs/ without .crt, such as agent; all of this host when none is named. The node does this by\n" +
			"itself. A certificate that has expired or was revoked cannot be renewed: enrol again.",
		Example: "  " + name + " certs renew\n  " + name + " certs renew agent --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return RenewOverHub(cmd.Context(), env, args, !due, asJSON)
		},
	}
	cmd.Flags().BoolVar(&due, "due", false, "renew only what is due")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// RenewOverHub renews certificates of this host over the hub and prints what came of
// it: those with these names, or every one when there are none.
func RenewOverHub(ctx context.Context, env *cli.Env, names []string, all, asJSON bool) error {
	if err := env.Home.Check(); err != nil {
		return err
	}
	cfg := node.DefaultConfig()
	if err := config.Load(env.Home.NodeConfig(), &cfg, config.DecodeOptions{Env: env.Lookup}); err != nil {
		return err
	}
	files, err := namedFiles(env, cfg, names)
	if err != nil {
		return err
	}
	done, err := renewalOf(env, cfg, files).Renew(ctx, all)
	if asJSON {
		if done == nil {
			done = []renewal.Renewed{}
		}
		if printErr := cli.WriteJSON(env.Stdout, map[string]any{"certificates": done}); printErr != nil && err == nil {
			err = printErr
		}
		return err
	}
	for _, d := range done {
		fmt.Fprintf(env.Stdout, "renewed %s (%s) until %s\n", shorten(d.File), d.ID, d.NotAfter.Local().Format("2006-01-02 15:04"))
	}
	if len(done) == 0 && err == nil {
		fmt.Fprintln(env.Stdout, "nothing was due")
	}
	return err
}

// renewalOf renews files as the node does, or with the first of them where there is
// no node's certificate.
func renewalOf(env *cli.Env, cfg node.Config, files []identity.Files) *renewal.Renewer {
	as := cfg.Hub.Files(env.Home)
	if _, err := os.Stat(as.Cert); err != nil {
		as = files[0]
	}
	return renewal.New(renewal.Options{
		Files: func() []identity.Files { return files },
		Dial: func() (*grpc.ClientConn, error) {
			dialer, err := cfg.Hub.Dialer(env.Home)
			if err != nil {
				return nil, err
			}
			return renewal.Dial(cfg.Hub.Addr(), cfg.Hub.Name(), as, dialer.Dial)
		},
		Now: env.Now,
	})
}

// namedFiles are the certificates that names mean, all of this host's when empty.
func namedFiles(env *cli.Env, cfg node.Config, names []string) ([]identity.Files, error) {
	infos, err := identity.List(env.Home.Certs(), env.Now())
	if err != nil {
		return nil, err
	}
	var files []identity.Files
	var have []string
	for _, i := range infos {
		if i.Role != identity.RoleNode && i.Role != identity.RoleAgent || i.LinkTo != "" {
			continue
		}
		have = append(have, i.Name)
		if len(names) == 0 || slices.Contains(names, i.Name) {
			files = append(files, identity.FilesFor(env.Home.Certs(), i.Name))
		}
	}
	for _, n := range names {
		if !slices.Contains(have, n) {
			return nil, fmt.Errorf("the hub renews no certificate %s of this host: it renews %s", n, strings.Join(have, ", "))
		}
	}
	if len(names) == 0 { // also those that configurations name elsewhere
		files = append(files, hostFiles(env, cfg)...)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no certificate in %s that the hub could renew", CertsDir(env))
	}
	return files, nil
}

// CertsDir is certs/ below the home folder, written as short as it can be from
// the working folder, so that messages hold commands that can be typed.
func CertsDir(env *cli.Env) string { return shorten(env.Home.Certs()) }

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

// Called is how the program called name is called for the same home folder.
func Called(env *cli.Env, name string) string {
	if home := shorten(string(env.Home)); home != "." {
		return name + " --home " + home
	}
	return name
}
