package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/rulefiles"
	"github.com/amoskys/amoskys/internal/cli"
)

// newRulesCommand builds `amoskys rules`.
func newRulesCommand(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rules", Short: "Check and test rules that record and alert",
		Long: `Rules in the format of Prometheus, which the store evaluates over the readings of all
agents; an alert becomes a finding. Files lie in rules/metrics of the home, unless the
store's configuration says otherwise, and are read again when they change
(docs/alerting.md).`,
		Example: "  amoskys rules check\n  amoskys rules test rules/metrics/network_test.yml",
	}
	cmd.AddCommand(newRulesCheck(env), newRulesTest(env), newRulesShipped(env))
	return cmd
}

func newRulesCheck(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check [FOLDER|FILE...]", Short: "Say which files with rules the store would refuse, and why", Args: cobra.ArbitraryArgs,
		Long:    "Reads files with rules as the store does, and prints each fault with its file and line.\nWithout arguments those of this home.",
		Example: "  amoskys rules check\n  amoskys rules check ./rules --json",
		RunE:    func(_ *cobra.Command, args []string) error { return rulefiles.Check(env, args, asJSON) },
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newRulesTest(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "test FILE...", Short: "Run unit tests of rules", Args: cobra.MinimumNArgs(1),
		Long:    "Runs files of tests in the format of promtool test rules: series that are given, and\nwhich alerts fire and what queries give at which time.",
		Example: "  amoskys rules test rules/metrics/network_test.yml",
		RunE:    func(cmd *cobra.Command, args []string) error { return rulefiles.Test(cmd.Context(), env, args, asJSON) },
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newRulesShipped(env *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use: "shipped", Short: "Print the rules that come with the program", Args: cobra.NoArgs,
		Long:    "Prints the rules that come with the program, to look at or to change: a file of the name\namoskys.yml among your rules takes their place.",
		Example: "  amoskys rules shipped > rules/metrics/amoskys.yml",
		RunE:    func(*cobra.Command, []string) error { return rulefiles.Shipped(env) },
	}
}
