// Command amoskys-agent is what a watched host needs and nothing more: the
// agents and the node that supervises them.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/endpoint"
	"github.com/amoskys/amoskys/internal/cli"
)

func main() { os.Exit(cli.Main(newRoot, os.Args[1:])) }

func newRoot(e *cli.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "amoskys-agent",
		Short: "AMOSKYS on a watched host: agents and the node that runs them",
		Example: `  amoskys-agent enroll --hub hub1:5000 --token amk1_…
  amoskys-agent node
  amoskys-agent doctor`,
	}
	e.BindHome(root)
	root.AddCommand(
		endpoint.NewNodeCommand(e, "amoskys-agent"),
		endpoint.NewAgentCommand(e, "amoskys-agent"),
		endpoint.NewEnrollCommand(e, "amoskys-agent"),
		endpoint.NewCertsCommand(e, "amoskys-agent"),
		endpoint.NewStatusCommand(e),
		endpoint.NewDoctorCommand(e, "amoskys-agent", endpoint.More{}),
		endpoint.NewLogLevelCommand(e, "amoskys-agent"), endpoint.NewProfileCommand(e, "amoskys-agent"),
		cli.NewVersionCommand(e, "amoskys-agent"),
		cli.NewManualCommand(),
	)
	return root
}
