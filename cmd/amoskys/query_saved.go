package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/ask"
	"github.com/amoskys/amoskys/internal/cli"
)

// newSavedCommand builds `amoskys query saved`.
func newSavedCommand(env *cli.Env) *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "saved",
		Short: "List, save and delete queries",
		Long: `Lists the queries that are shared and those that you saved. The hub keeps them and must
run; the dashboard shows the shared ones too. An operator has the rights of an admin.`,
		Example: `  amoskys query saved
  amoskys query saved save 'failed logins' 'type:auth.attempt outcome:=failure' --since 24h --shared`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return ask.ListSaved(cmd.Context(), env, all, asJSON) },
	}
	cmd.Flags().BoolVar(&all, "all", false, "also private queries of others")
	jsonFlag(cmd, &asJSON)
	cmd.AddCommand(newSavedList(env), newSavedSave(env), newSavedDelete(env))
	return cmd
}

func newSavedList(env *cli.Env) *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List saved queries", Args: cobra.NoArgs,
		Long:    "Lists saved queries by name. One that can no longer be read says why; save --replace\nmends it.",
		Example: "  amoskys query saved list --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return ask.ListSaved(cmd.Context(), env, all, asJSON) },
	}
	cmd.Flags().BoolVar(&all, "all", false, "also private queries of others")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newSavedSave(env *cli.Env) *cobra.Command {
	var o ask.SaveOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use: "save NAME QUERY", Short: "Save a query", Args: cobra.ExactArgs(2),
		Long: `Saves a query for you, or with --shared for everybody. A name is there once among your
own, and once among those that are shared. With --replace its text is what is typed now, and
its range, its fields and for whom it is are what they were, unless a flag says so: --since ""
and --fields "" take them away, --shared=false makes it yours alone.`,
		Example: `  amoskys query saved save grave 'severity:>=high' --since 7d --fields time,host,message
  amoskys query saved save grave 'severity:>=medium' --replace --shared`,
		RunE: func(cmd *cobra.Command, args []string) error {
			typed := cmd.Flags().Changed
			o.Name, o.Query, o.TypedShared = args[0], args[1], typed("shared")
			o.TypedRange, o.TypedFields = typed("since") || typed("until"), typed("fields")
			return ask.Save(cmd.Context(), env, o, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Since, "since", "", "the range that it is asked for: from this long ago (24h) or this time on")
	flags.StringVar(&o.Until, "until", "", "until this long ago or this time")
	flags.StringSliceVar(&o.Fields, "fields", nil, "the fields that it shows")
	mustComplete(cmd, "fields", completeFields)
	flags.BoolVar(&o.Shared, "shared", false, "for everybody")
	flags.BoolVar(&o.Replace, "replace", false, "change the saved query of this name, if there is one")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newSavedDelete(env *cli.Env) *cobra.Command {
	var id uint64
	var asJSON bool
	cmd := &cobra.Command{
		Use: "delete [NAME]", Short: "Delete a saved query", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeSaved(env),
		Long:    "Deletes a saved query at once: your own of this name, else the shared one. An id, which\nlist shows, also names private ones of others.",
		Example: "  amoskys query saved delete grave\n  amoskys query saved delete --id 12",
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			return ask.DeleteSaved(cmd.Context(), env, name, id, asJSON)
		},
	}
	cmd.Flags().Uint64Var(&id, "id", 0, "by its id")
	jsonFlag(cmd, &asJSON)
	return cmd
}
