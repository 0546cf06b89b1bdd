package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/ask"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/logsql"
)

// completeQuery completes the QUERY of a command: fields, values of enumerations and
// pipes, as far as the language knows them. The store is not asked.
func completeQuery(_ *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found := logsql.Complete(typed, len(typed))
	out := make([]cobra.Completion, 0, len(found.Options))
	for _, o := range found.Options {
		text := o.Text
		if o.Kind == "value" {
			text = found.Value(text)
		}
		out = append(out, cobra.CompletionWithDesc(strings.TrimSpace(typed[:found.From]+text), o.About))
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeFields completes a list of fields, separated by commas.
func completeFields(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	front, last := "", typed
	if i := strings.LastIndexByte(typed, ','); i >= 0 {
		front, last = typed[:i+1], typed[i+1:]
	}
	var out []cobra.Completion
	for _, f := range event.FieldCatalog() {
		if strings.HasPrefix(f.Name, last) {
			out = append(out, front+f.Name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeSavedTimeout bounds what a shell waits for the hub.
const completeSavedTimeout = 2 * time.Second

// completeSaved completes the name of a saved query, while the hub answers.
func completeSaved(env *cli.Env) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completeSavedTimeout)
		defer cancel()
		names, err := ask.SavedNames(ctx, env)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []cobra.Completion
		for _, name := range names {
			if strings.HasPrefix(strings.ToLower(name), strings.ToLower(typed)) {
				out = append(out, name)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// mustComplete registers how a flag is completed, which fails only for one that is not
// there.
func mustComplete(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic("amoskys: " + err.Error())
	}
}
