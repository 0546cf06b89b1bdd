package main

import (
	"slices"
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
		Use: "task [HOST/]AGENT NAME [PARAMETER=VALUE...]", Short: "Have an agent do something now", Args: cobra.MinimumNArgs(2),
		Long: `Runs one task of an agent, shows its progress and waits for its end; Ctrl-C cancels
it. The agent keeps a result for an hour. Exit code 1 when the task does not succeed.
amoskys agents tasks AGENT lists the tasks with their parameters.`,
		Example: `  amoskys agents task proc_agent snapshot --output processes.jsonl
  amoskys agents task web-1/synth_agent burst events=5000 rate=500
  amoskys agents task eventbus probe --output -`,
	}
	cmd.Flags().StringVar(&o.Host, "host", "", "host of the agent, when several have one of this name")
	cmd.Flags().StringArrayVar(&params, "param", nil, "a parameter as NAME=VALUE, the same as behind the task's name")
	cmd.Flags().StringVar(&o.Output, "output", "", "file for the result, - for stdout")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print progress as one JSON object per line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.Agent, o.Host = console.SplitAgent(args[0], o.Host)
		o.Task = args[1]
		var err error
		if o.Parameters, err = taskParameters(slices.Concat(args[2:], params)); err != nil {
			return err
		}
		return console.RunTask(cmd.Context(), e, o)
	}
	return cmd
}

// taskParameters reads NAME=VALUE, each name once.
func taskParameters(params []string) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range params {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, cli.Usagef("%q is no parameter: write NAME=VALUE, as in events=5000; amoskys agents tasks AGENT lists the names", p)
		}
		if _, twice := out[name]; twice {
			return nil, cli.Usagef("the parameter %s is given twice", name)
		}
		out[name] = value
	}
	return out, nil
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
