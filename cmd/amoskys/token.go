package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
)

func newTokenCommand(e *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke the tokens that hosts join with",
		Example: `  amoskys token create --host web-1
  amoskys token list`,
	}
	cmd.AddCommand(newTokenCreate(e), newTokenList(e), newTokenRevoke(e))
	return cmd
}

func newTokenCreate(e *cli.Env) *cobra.Command {
	o := console.TokenOptions{Uses: 1}
	var asJSON bool
	ttl := lifetime(time.Hour)
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token with which hosts may join", Args: cobra.NoArgs,
		Long: `Prints the command to type on the new host. Whoever has the token can join as the
host it names, or as any host if it names none, until it is used or ends.

With --uses it is a join token, for a fleet, a DaemonSet or replicas: each host makes
its own key and certificate, named by $AMOSKYS_NODE_NAME or else its host name.
--host-pattern holds it to names: * stands for any text, ? for one character, [a-z]
for one of several. Names are compared in lower case.`,
		Example: `  amoskys token create
  amoskys token create --host web-1 --ttl 10m
  amoskys token create --uses 50 --ttl 7d --host-pattern 'web-*'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Uses < 1 {
				return cli.Usagef("--uses must be at least 1")
			}
			o.TTL = time.Duration(ttl)
			return console.CreateToken(cmd.Context(), e, o, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Host, "host", "", "the one host that may use it (default any)")
	f.StringVar(&o.HostPattern, "host-pattern", "", "the hosts that may use it, such as 'web-*'")
	f.IntVar(&o.Uses, "uses", 1, "how many hosts may join with it, 10000 at most")
	f.StringSliceVar(&o.Kinds, "kinds", nil, "observing kinds of agents that it may allow, of "+strings.Join(endpoint.Observing(), ", ")+" (default those that the host asks for)")
	f.Var(&ttl, "ttl", "how long it may be used, 30d at most")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newTokenList(e *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List tokens and what became of them, without their secrets", Args: cobra.NoArgs,
		Example: "  amoskys token list\n  amoskys token list --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return console.ListTokens(cmd.Context(), e, asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newTokenRevoke(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Make a token useless that has uses left", Args: cobra.ExactArgs(1),
		Example: "  amoskys token revoke 0123456789abcdef0123456789abcdef",
		RunE:    func(cmd *cobra.Command, args []string) error { return console.RevokeToken(cmd.Context(), e, args[0]) },
	}
}
