package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
)

// newCertsIssued is `amoskys certs issued`, the hub's view of certificates.
func newCertsIssued(e *cli.Env) *cobra.Command {
	var host string
	var all, asJSON bool
	cmd := &cobra.Command{
		Use: "issued", Short: "List the certificates of every host, as the hub knows them", Args: cobra.NoArgs,
		Long: `Asks the hub for the certificates that it has issued, or has seen connect: whose they
are, when they end, and how many connections are open with them.`,
		Example: "  amoskys certs issued\n  amoskys certs issued --host web-1 --all --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return console.IssuedCertificates(cmd.Context(), e, host, all, asJSON)
		},
	}
	cmd.Flags().StringVar(&host, "host", "", "those of one host")
	cmd.Flags().BoolVar(&all, "all", false, "also those that have expired or were revoked")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// newCertsRevoke is `amoskys certs revoke`.
func newCertsRevoke(e *cli.Env) *cobra.Command {
	o := console.RevokeOptions{}
	cmd := &cobra.Command{
		Use: "revoke SERIAL", Short: "Refuse one certificate from now on, and cut its connections", Args: cobra.ExactArgs(1),
		Long: `Ends one certificate, of any role, by the serial that amoskys certs issued shows. One
that was renewed from it stays valid: amoskys agents revoke ends all of a host.`,
		Example: "  amoskys certs revoke 3fa94c01 --reason 'laptop lost'",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Serial = args[0]
			return console.Revoke(cmd.Context(), e, o)
		},
	}
	revokeFlags(cmd, &o)
	return cmd
}

// newAgentsRevoke is `amoskys agents revoke`.
func newAgentsRevoke(e *cli.Env) *cobra.Command {
	o := console.RevokeOptions{}
	cmd := &cobra.Command{
		Use: "revoke HOST[/ID]", Short: "Refuse a host, or one agent, from now on, and cut its connections", Args: cobra.ExactArgs(1),
		Long: `Ends every certificate of the host's node and agents that was issued until now, those
that were renewed included, or every one that speaks for the one agent. Agents that
share a certificate are cut together; the command names them first. The host comes
back when it enrols again with a new token.`,
		Example: "  amoskys agents revoke web-1 --reason 'broken into'\n  amoskys agents revoke web-1/snmp_agent --yes --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Agent = args[0]
			return console.Revoke(cmd.Context(), e, o)
		},
	}
	revokeFlags(cmd, &o)
	return cmd
}

func revokeFlags(cmd *cobra.Command, o *console.RevokeOptions) {
	f := cmd.Flags()
	f.StringVar(&o.Reason, "reason", "", "why, for the list and the audit trail")
	f.BoolVar(&o.Yes, "yes", false, "do not ask; a script, which cannot be asked, needs it")
	f.BoolVar(&o.DryRun, "dry-run", false, "say what would be cut, and do nothing")
	f.BoolVar(&o.JSON, "json", false, "print JSON")
}
