package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity"
)

// NewEnrollCommand is "enroll" of the program called name.
func NewEnrollCommand(e *cli.Env, name string) *cobra.Command {
	var o EnrollOptions
	var once, systemd bool
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Join this host to a hub with a token",
		Long: `Makes this host's keys, sends the hub signing requests for them with the token that
amoskys token create printed, and writes ca.crt, node.crt and agent.crt with their
keys to certs/. Keys never leave the host, and the token is sent only to the hub
that made it. The token may also come from standard input (--token -) or from
$` + TokenVariable + `, where other users of the host do not see it. The node renews
the certificates by itself from then on. Then it writes the hub's address to the files
in config/, runs doctor, and says how the agents are run.`,
		Example: "  " + name + " enroll --hub hub1:5000 --token amk1_…\n  " + name + " enroll --hub hub1:5000 --token - < token",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&o.Hub, "hub", "", "the hub, as HOST:PORT")
	f.StringVar(&o.Token, "token", "", "the token; - reads it from standard input (default $"+TokenVariable+")")
	f.StringVar(&o.Host, "host", "", "name of this host in its certificates (default $"+NodeNameVariable+", else the machine's)")
	f.BoolVar(&o.Force, "force", false, "replace certificates that are there")
	f.BoolVar(&once, "if-needed", false, "do nothing on a host that has joined already and whose certificates are valid")
	f.DurationVar(&o.Wait, "wait", 0, "try again for so long where the hub cannot be had or does not take the token yet, such as 10m: for pods that start with the hub")
	f.BoolVar(&systemd, "systemd", false, "have systemd run the agents, now and at each start; on a terminal it asks")
	f.BoolVar(&o.PerAgent, "per-agent", false, "give each agent a certificate of its own, agent-ID.crt")
	f.StringSliceVar(&o.Kinds, "agents", nil, "kinds of agents that the node will run, when not those of config/node_config.yaml (default proc where there is no such file)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, _, err := net.SplitHostPort(o.Hub); err != nil {
			return cli.Usagef("--hub must be HOST:PORT, such as hub1:5000")
		}
		if !cmd.Flags().Changed("agents") {
			o.Kinds = nil
			if _, err := os.Stat(e.Home.NodeConfig()); errors.Is(err, fs.ErrNotExist) {
				o.Kinds = watchedKinds()
			}
		}
		if once && hasJoined(e) {
			fmt.Fprintf(e.Stdout, "this host has joined already: its certificates are in %s\n", e.Home.Certs())
			return settle(cmd.Context(), e, name, o, systemd)
		}
		if err := readToken(e, &o.Token); err != nil {
			return err
		}
		o.Force = o.Force || once // what is there is no good any more
		joined, err := enrollPatiently(cmd.Context(), e, o)
		if err != nil {
			return err
		}
		for _, w := range joined.Warnings {
			fmt.Fprintf(e.Stderr, "warning: %s\n", w)
		}
		fmt.Fprintf(e.Stdout, "%s has joined: its certificates are in %s\n", joined.Host, e.Home.Certs())
		return settle(cmd.Context(), e, name, o, systemd)
	}
	return cmd
}

// settle ends an enrolment: the configuration names the hub, doctor has looked, and
// whoever joined knows how the agents run. The host has joined whatever becomes of it,
// so that only a service that was asked for and does not run is an error.
func settle(ctx context.Context, e *cli.Env, name string, o EnrollOptions, asService bool) error {
	changed, err := configure(e, o.Hub, o.Kinds)
	for _, file := range changed {
		fmt.Fprintf(e.Stdout, "wrote %s\n", file)
	}
	if err != nil {
		fmt.Fprintf(e.Stderr, "warning: %s\n", cli.Clean(err.Error()))
	}
	checks := slices.DeleteFunc(Doctor(ctx, e, name), func(c Check) bool { // none runs yet
		return c.Verdict == VerdictWarn && strings.HasPrefix(c.Name, "agent ")
	})
	fmt.Fprintln(e.Stdout)
	if err := doctorTable(checks).Write(e.Stdout); err != nil {
		return err
	}
	fmt.Fprintln(e.Stdout)
	service := systemService()
	if asService || service.wanted(e) {
		if err := service.install(ctx, e); err != nil {
			return fmt.Errorf("the host has joined, and no service runs its agents: %w; in the foreground they run by %s", err, startNode(e, "amoskys-agent"))
		}
		return nil
	}
	hint := ""
	if service.running() {
		hint = " (or as a service of systemd: the same enroll with --if-needed --systemd)"
	}
	_, err = fmt.Fprintf(e.Stdout, "next: %s runs the agents%s\n", startNode(e, name), hint)
	return err
}

// hasJoined says that this host's node has a certificate that has not ended.
func hasJoined(e *cli.Env) bool {
	files := identity.FilesFor(e.Home.Certs(), "node")
	held, err := identity.Hold(files)
	if err != nil || e.Now().After(held.Cert.NotAfter) {
		return false
	}
	_, err = identity.ClientConfig(files, identity.ClientOptions{Now: e.Now})
	return err == nil
}

func readToken(e *cli.Env, token *string) error {
	switch *token {
	case "":
		if e.Lookup != nil {
			*token, _ = e.Lookup(TokenVariable)
		}
		if *token == "" {
			return cli.Usagef("name a token with --token or $%s: amoskys token create makes one on the hub", TokenVariable)
		}
	case "-":
		text, err := io.ReadAll(io.LimitReader(e.Stdin, 4<<10))
		if err != nil {
			return fmt.Errorf("read the token: %w", err)
		}
		*token = strings.TrimSpace(string(text))
	}
	return nil
}
