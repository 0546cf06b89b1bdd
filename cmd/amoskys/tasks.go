package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
)

func newAgentTasksCommand(e *cli.Env) *cobra.Command {
	var host string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "tasks [HOST/]AGENT", Short: "List what an agent can be asked to do", Args: cobra.ExactArgs(1),
		Example: "  amoskys agents tasks proc_agent\n  amoskys agents tasks web-1/proc_agent --json",
	}
	cmd.Flags().StringVar(&host, "host", "", "host of the agent, when several have one of this name")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		agent, host := console.SplitAgent(args[0], host)
		return console.ListTasks(cmd.Context(), e, agent, host, asJSON)
	}
	return cmd
}

func newAgentTaskCommand(e *cli.Env) *cobra.Command {
	var o console.TaskOptions
	var params []string
	cmd := &cobra.Command{
		Use: "task [HOST/]AGENT NAME", Short: "Have an agent do something now", Args: cobra.ExactArgs(2),
		Long: `Runs one task of an agent, shows its progress and waits for its end; Ctrl-C cancels
it. The agent keeps a result for an hour. Exit code 1 when the task does not succeed.`,
		Example: `  amoskys agents task proc_agent snapshot --output processes.jsonl
  amoskys agents task web-1/synth_agent burst --param events=5000 --param rate=500
  amoskys agents task eventbus probe --output -`,
	}
	cmd.Flags().StringVar(&o.Host, "host", "", "host of the agent, when several have one of this name")
	cmd.Flags().StringArrayVar(&params, "param", nil, "a parameter as NAME=VALUE; amoskys agents tasks lists them")
	cmd.Flags().StringVar(&o.Output, "output", "", "file for the result, - for stdout")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print progress as one JSON object per line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.Agent, o.Host = console.SplitAgent(args[0], o.Host)
		o.Task, o.Parameters = args[1], map[string]string{}
		for _, p := range params {
			name, value, ok := strings.Cut(p, "=")
			if !ok || name == "" {
				return cli.Usagef("--param %q is not NAME=VALUE", p)
			}
			o.Parameters[name] = value
		}
		return console.RunTask(cmd.Context(), e, o)
	}
	return cmd
}

func newAgentResultCommand(e *cli.Env) *cobra.Command {
	var o console.TaskOptions
	cmd := &cobra.Command{
		Use: "result [HOST/]AGENT RUN", Short: "Fetch the result of a task", Args: cobra.ExactArgs(2),
		Long:    "Fetches what a task has written. The agent keeps it for an hour.",
		Example: "  amoskys agents result web-1/proc_agent 1f0c9d7e5b3a48668a2b4c6d8e0f1a2b --output processes.jsonl",
	}
	cmd.Flags().StringVar(&o.Host, "host", "", "host of the agent, when several have one of this name")
	cmd.Flags().StringVar(&o.Output, "output", "-", "file for the result, - for stdout")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.Agent, o.Host = console.SplitAgent(args[0], o.Host)
		return console.Result(cmd.Context(), e, o, args[1])
	}
	return cmd
}
