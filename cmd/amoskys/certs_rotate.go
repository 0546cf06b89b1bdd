package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
)

// newCertsStatus is `amoskys certs status`.
func newCertsStatus(e *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show which authorities are trusted, and who still uses one that goes", Args: cobra.NoArgs,
		Long: `Asks the hub which authorities it trusts, from which of them hosts get their
certificates, and, while one is being replaced, who still uses the old one: with an
open connection, or because nothing newer is known of it.`,
		Example: "  amoskys certs status\n  amoskys certs status --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return console.AuthorityStatus(cmd.Context(), e, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// newCertsRotate is `amoskys certs rotate-ca`.
func newCertsRotate(e *cli.Env) *cobra.Command {
	var o console.RotateOptions
	cmd := &cobra.Command{
		Use: "rotate-ca", Short: "Replace the authority while all goes on, step by step", Args: cobra.NoArgs,
		Long: `Replaces the authority of this home without a restart and without a lost event. Each
call goes one step, and refuses to while somebody would be left behind:

  1. A new authority is trusted beside the old one. Nodes and agents get certificates
     of it, by themselves.
  2. Hub, store, dashboard and all else in certs/ get certificates of it.
  3. The old one is trusted no more.

` + "`amoskys certs status`" + ` shows who still uses the old one. --wait goes all steps, each
when everybody is ready. --force goes one although somebody is not: whoever has not
come over by step 3 has to enrol again.`,
		Example: "  amoskys certs rotate-ca\n  amoskys certs rotate-ca --wait 1h",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return console.RotateAuthority(cmd.Context(), e, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Force, "force", false, "go the next step whoever is left behind, and where the hub does not answer")
	f.DurationVar(&o.Wait, "wait", 0, "go all steps, and wait so long at most for everybody, such as 30m")
	f.Var((*lifetime)(&o.TTL), "ttl", "life of the new authority, such as 3650d (default 3650d)")
	f.BoolVar(&o.JSON, "json", false, "print JSON, a line for each step")
	cmd.MarkFlagsMutuallyExclusive("force", "wait") // all steps at once would cut everybody off
	return cmd
}
