package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
)

func newTokenCommand(e *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke the one-time tokens that hosts join with",
	}
	cmd.AddCommand(newTokenCreate(e), newTokenList(e), newTokenRevoke(e))
	return cmd
}

func newTokenCreate(e *cli.Env) *cobra.Command {
	var host string
	var asJSON bool
	ttl := lifetime(time.Hour)
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token with which one host may join, once", Args: cobra.NoArgs,
		Long: `Prints the command to type on the new host. Whoever has the token can join as the
host it names, or as any host if it names none, until it is used or ends.`,
		Example: "  amoskys token create\n  amoskys token create --host web-1 --ttl 10m",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return console.CreateToken(cmd.Context(), e, host, time.Duration(ttl), asJSON)
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "the one host that may use it (default any)")
	cmd.Flags().Var(&ttl, "ttl", "how long it may be used, 30d at most")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
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
		Use: "revoke ID", Short: "Make an unused token useless", Args: cobra.ExactArgs(1),
		Example: "  amoskys token revoke 0123456789abcdef0123456789abcdef",
		RunE:    func(cmd *cobra.Command, args []string) error { return console.RevokeToken(cmd.Context(), e, args[0]) },
	}
}
