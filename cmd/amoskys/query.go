package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/ask"
	"github.com/amoskys/amoskys/internal/cli"
)

// newQueryCommand builds `amoskys query`, which searches what is stored.
func newQueryCommand(env *cli.Env) *cobra.Command {
	var o ask.Options
	var asJSON, isMetrics bool
	var step string
	cmd := &cobra.Command{
		Use:   "query [QUERY]",
		Short: "Search stored events, or count them",
		Long: `Asks the store and prints what matches, the newest first, as a table. QUERY is LogsQL
(docs/query.md); with pipes it prints the columns that they make. What the answer lacks,
such as a day that is set aside, is said on standard error. STORE_HOST and STORE_PORT name
a store elsewhere. --saved asks a query that was saved, here or in the dashboard.

With --metrics, QUERY is PromQL and is asked of the readings of all agents (docs/metrics-api.md):
at one moment, or with --since or --step over a range.`,
		Example: `  amoskys query 'type:process.execution process.name:curl' --since 24h
  amoskys query 'severity:>=high' --since 7d --fields time,host,message
  amoskys query '* | stats by (type) count() events | sort by (events desc)' --since 1h
  amoskys query 'type:auth.' --since 2026-05-01 --oldest --limit 0 --format csv > logins.csv
  amoskys query 'type:network.flow' --since 7d --oldest --limit 0 --format parquet > flows.parquet
  amoskys query --saved 'failed logins' --since 7d
  amoskys query --metrics 'topk(5, process_cpu_percent)'
  amoskys query --metrics 'sum by (host) (rate(flow_bytes_in[5m]))' --since 24h --step 15m`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeQuery,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Query = strings.Join(args, " ")
			o.TypedSince, o.TypedUntil = cmd.Flags().Changed("since"), cmd.Flags().Changed("until")
			if isMetrics || step != "" {
				return askMetrics(cmd, env, &o, isMetrics, step, asJSON)
			}
			if asJSON {
				o.Format = "json"
			}
			return ask.Run(cmd.Context(), env, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Since, "since", "24h", "from this long ago (15m, 24h, 7d) or this time on; all for everything")
	flags.StringVar(&o.Until, "until", "", "until this long ago or this time (default now)")
	flags.Uint64Var(&o.Limit, "limit", 100, "at most so many events or rows; 0 for all")
	flags.BoolVar(&o.Oldest, "oldest", false, "the oldest first")
	flags.BoolVar(&o.Count, "count", false, "print only how many events match")
	flags.StringSliceVar(&o.Fields, "fields", nil, "print these fields (docs/events.md)")
	flags.BoolVar(&asJSON, "json", false, "print JSON, one object a line (as --format json)")
	flags.StringVar(&o.Format, "format", "text", "text, json, csv, flat JSON lines (jsonl with our names, ecs or ocsf with theirs), or parquet")
	flags.StringVar(&o.Store, "store", "", "address of the store (default from $STORE_HOST and $STORE_PORT, else from the store's configuration)")
	flags.StringVar(&o.Saved, "saved", "", "the saved query of this name, with its range and fields where none are given")
	flags.BoolVar(&isMetrics, "metrics", false, "QUERY is PromQL, asked of metrics")
	flags.StringVar(&step, "step", "", "with --metrics: a value each so long, such as 1m (default one that fits the range)")
	cmd.AddCommand(newSavedCommand(env))
	mustComplete(cmd, "fields", completeFields)
	mustComplete(cmd, "format", cobra.FixedCompletions(ask.Formats(), cobra.ShellCompDirectiveNoFileComp))
	mustComplete(cmd, "saved", completeSaved(env))
	for _, other := range []string{"oldest", "count", "fields", "format", "saved"} {
		cmd.MarkFlagsMutuallyExclusive("metrics", other)
	}
	cmd.MarkFlagsMutuallyExclusive("json", "format")
	cmd.MarkFlagsMutuallyExclusive("count", "oldest")
	cmd.MarkFlagsMutuallyExclusive("count", "fields")
	return cmd
}

// askMetrics asks about metrics, over a range where one was typed.
func askMetrics(cmd *cobra.Command, env *cli.Env, o *ask.Options, isMetrics bool, step string, asJSON bool) error {
	if !isMetrics {
		return cli.Usagef("--step is of --metrics")
	}
	return ask.Metrics(cmd.Context(), env, ask.MetricsOptions{
		Query: o.Query, Since: o.Since, Until: o.Until, Range: o.TypedSince || step != "", Step: step,
		Limit: o.Limit, JSON: asJSON, Store: o.Store,
	})
}
