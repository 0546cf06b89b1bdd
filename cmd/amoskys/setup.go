package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/app/standalone"
	"github.com/amoskys/amoskys/internal/cli"
)

func newSetupCommand(e *cli.Env) *cobra.Command {
	var o standalone.SetupOptions
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Make what hub, store and dashboard need, and start nothing",
		Long: `Makes what is missing under the home folder: certificates, configuration with
comments, folders, and the first account, whose password is printed once, or kept in a
new file. Packages run it when they are installed; amoskys up does the same by itself.`,
		Example: "  amoskys setup --home /srv/amoskys\n  amoskys setup --password-file /root/amoskys-password",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return standalone.Setup(cmd.Context(), e, o) },
	}
	cmd.Flags().StringVar(&o.PasswordFile, "password-file", "", "keep the first account's password in this new file instead of printing it")
	cmd.Flags().StringSliceVar(&o.Hosts, "host", nil, "another name or address that hub, store and dashboard are reached by; may be repeated")
	return cmd
}

func newHealthcheckCommand(e *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "healthcheck [ROLE]",
		Short: "Ask a role of this machine whether it is well, as probes do",
		Long: `Asks the role on its port and prints nothing where it is well; else it says why not,
with exit code 1. ROLE is hub, store, dashboard, node, an agent, or up for hub and
dashboard; without it, $AMOSKYS_ROLE says which, as in containers, and else it is up.`,
		Example: "  amoskys healthcheck\n  amoskys healthcheck hub\n  amoskys healthcheck proc",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			role := ""
			if len(args) > 0 {
				role = args[0]
			}
			return app.Healthcheck(cmd.Context(), e, role)
		},
	}
}
