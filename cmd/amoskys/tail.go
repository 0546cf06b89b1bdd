package main

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/filter"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/tail"
)

// tailFlags are the arguments of `amoskys tail`.
type tailFlags struct {
	hub, certificate, since, severity, cursor string
	types, agents, hosts                      []string
	from                                      int64
	all, noFollow, asJSON                     bool
	limit                                     uint64
}

// newTailCommand builds `amoskys tail`, which shows events as they come.
func newTailCommand(env *cli.Env) *cobra.Command {
	var f tailFlags
	cmd := &cobra.Command{
		Use:   "tail [QUERY]",
		Short: "Show events as they come",
		Long: "Follows the hub's log and prints one line an event. It begins with the next event to come, unless\n" +
			"--since, --from or --all say otherwise, and goes on where it was when the connection was lost.\n" +
			"QUERY is in the language of docs/query.md.",
		Example: "  amoskys tail\n" +
			"  amoskys tail --since 15m --type process. --severity medium\n" +
			"  amoskys tail --all --no-follow --json 'process.name:sshd' | jq .event",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := f.request(env, strings.Join(args, " "))
			if err != nil {
				return err
			}
			show := tail.Text(env.Stdout)
			if f.asJSON {
				show = tail.JSON(env.Stdout)
			}
			return tail.Run(cmd.Context(), tail.Options{
				Hub: f.hub, Files: identity.FilesFor(env.Home.Certs(), f.certificate), Request: request, Limit: f.limit,
				Print:  show,
				Notice: func(text string) { fmt.Fprintln(env.Stderr, cli.Clean(text)) },
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.hub, "hub", defaultHub(env.Lookup), "address of the hub (default from $EVENTBUS_HOST and $EVENTBUS_PORT)")
	flags.StringVar(&f.certificate, "cert", "operator", "name of the certificate in certs/ to present")
	flags.StringSliceVar(&f.types, "type", nil, "only these types; one that ends in '.' means all that begin so")
	flags.StringSliceVar(&f.agents, "agent", nil, "only of these agents")
	flags.StringSliceVar(&f.hosts, "host", nil, "only of these hosts")
	flags.StringVar(&f.severity, "severity", "", "only this severity and above: informational, low, medium, high, critical")
	flags.StringVar(&f.since, "since", "", "begin this long ago (15m, 2h), or at this time (RFC 3339)")
	flags.Int64Var(&f.from, "from", -1, "begin at this offset")
	flags.BoolVar(&f.all, "all", false, "begin with the oldest event")
	flags.StringVar(&f.cursor, "cursor", "", "name of a durable place in the log: go on where it stands")
	flags.BoolVar(&f.noFollow, "no-follow", false, "end at the last event instead of waiting for more")
	flags.Uint64Var(&f.limit, "limit", 0, "end after so many events")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON, one object a line")
	cmd.MarkFlagsMutuallyExclusive("since", "from", "all", "cursor")
	return cmd
}

// defaultHub follows the environment that containers set.
func defaultHub(lookup func(string) (string, bool)) string {
	host, port := "localhost", "5000"
	if lookup == nil {
		return net.JoinHostPort(host, port)
	}
	if v, ok := lookup(config.EnvHubHost); ok && v != "" {
		host = v
	}
	if v, ok := lookup(config.EnvHubPort); ok && v != "" {
		port = v
	}
	return net.JoinHostPort(host, port)
}

// request turns the flags into what the hub is asked.
func (f *tailFlags) request(env *cli.Env, query string) (*pb.SubscribeRequest, error) {
	if _, err := filter.Parse(query); err != nil {
		return nil, cli.Usagef("query: %w", err)
	}
	r := &pb.SubscribeRequest{
		Cursor: f.cursor, NoFollow: f.noFollow,
		Filter: &pb.Filter{Types: f.types, Agents: f.agents, Hosts: f.hosts, Query: query},
	}
	if f.severity != "" {
		n, ok := pb.Severity_value["SEVERITY_"+strings.ToUpper(f.severity)]
		if !ok || n == 0 {
			return nil, cli.Usagef("severity %q is not known; valid: informational, low, medium, high, critical", f.severity)
		}
		r.Filter.MinSeverity = pb.Severity(n)
	}
	switch {
	case f.since != "":
		at, err := parseSince(f.since, env.Now())
		if err != nil {
			return nil, err
		}
		r.Start = &pb.SubscribeRequest_FromTime{FromTime: timestamppb.New(at)}
	case f.from >= 0:
		r.Start = &pb.SubscribeRequest_FromOffset{FromOffset: uint64(f.from)}
	case f.all, f.cursor != "":
	default:
		r.Start = &pb.SubscribeRequest_FromTail{FromTail: true}
	}
	return r, nil
}

func parseSince(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, cli.Usagef("--since %q is neither a duration such as 15m nor a time such as %s", s, now.UTC().Format(time.RFC3339))
	}
	return at, nil
}
