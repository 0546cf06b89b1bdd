package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/tail"
)

// tailFlags are the arguments of `amoskys tail`.
type tailFlags struct {
	hub, certificate string
	format           string
	want             tail.Want
	asJSON           bool
	limit            uint64
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
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeQuery,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.want.Query, f.want.Now = strings.Join(args, " "), env.Now()
			if cmd.Flags().Changed("from") && f.want.From < 0 {
				return cli.Usagef("--from must be an offset, 0 or more")
			}
			request, err := f.want.Request()
			if err != nil {
				return &cli.UsageError{Err: err}
			}
			show, err := f.printer(env)
			if err != nil {
				return err
			}
			if f.hub == "" {
				if f.hub, err = remote.Address(env); err != nil {
					return err
				}
			}
			if request.Start.Tail && request.NoFollow && request.Cursor == "" {
				fmt.Fprintln(env.Stderr, "there is nothing to show: without --since, --from, --all or --cursor it begins with the next event to come, which --no-follow does not wait for")
			}
			files := identity.FilesFor(env.Home.Certs(), f.certificate)
			if _, err := os.Stat(files.Cert); errors.Is(err, fs.ErrNotExist) {
				if home := env.Home.Check(); home != nil {
					return home
				}
			}
			dialer, err := dial.ForCommand(env.Lookup, env.Home)
			if err != nil {
				return err
			}
			return tail.Run(cmd.Context(), tail.Options{
				Hub: f.hub, Dial: dialer.Dial, Files: files, Request: request, Limit: f.limit,
				Print:   show,
				Notice:  func(text string) { fmt.Fprintln(env.Stderr, cli.Clean(text)) },
				Explain: func(err error) error { return remote.Explain(err, f.hub, dialer.Via(f.hub), files, env.Now()) },
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.hub, "hub", "", "address of the hub (default from $EVENTBUS_HOST and $EVENTBUS_PORT, else from the hub's configuration)")
	flags.StringVar(&f.certificate, "cert", "operator", "name of the certificate in certs/ to present")
	flags.StringSliceVar(&f.want.Types, "type", nil, "only these types; one that ends in '.' means all that begin so")
	flags.StringSliceVar(&f.want.Agents, "agent", nil, "only of these agents")
	flags.StringSliceVar(&f.want.Hosts, "host", nil, "only of these hosts")
	flags.StringVar(&f.want.Severity, "severity", "", "only this severity and above: informational, low, medium, high, critical")
	flags.StringVar(&f.want.Since, "since", "", "begin this long ago (15m, 2h), or at this time (RFC 3339)")
	flags.Int64Var(&f.want.From, "from", -1, "begin at this offset")
	flags.BoolVar(&f.want.All, "all", false, "begin with the oldest event")
	flags.StringVar(&f.want.Cursor, "cursor", "", "name of a durable place in the log: go on behind what was shown, at the oldest event when it is new")
	flags.BoolVar(&f.want.NoFollow, "no-follow", false, "end at the last event instead of waiting for more")
	flags.Uint64Var(&f.limit, "limit", 0, "end after so many events")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON, one object a line (as --format json)")
	flags.StringVar(&f.format, "format", "text", "text, json, or flat JSON with the field names of ecs or ocsf")
	cmd.MarkFlagsMutuallyExclusive("since", "from", "all", "cursor")
	cmd.MarkFlagsMutuallyExclusive("json", "format")
	return cmd
}

// printer returns what prints one event in the wanted format.
func (f *tailFlags) printer(env *cli.Env) (func(*reader.Event) error, error) {
	if f.asJSON && f.format == "text" {
		f.format = "json"
	}
	switch f.format {
	case "text":
		return tail.Text(env.Stdout, cli.PainterFor(env, env.Stdout)), nil
	case "json":
		return tail.JSON(env.Stdout), nil
	case "ecs", "ocsf":
		return tail.Flat(env.Stdout, event.Schema(f.format)), nil
	default:
		return nil, cli.Usagef("--format is one of text, json, ecs, ocsf, not %q", f.format)
	}
}
