package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/obs"
)

// NewVersionCommand is "version" of the program called name.
func NewVersionCommand(e *Env, name string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Example: "  " + name + " version\n  " + name + " version --json",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(*cobra.Command, []string) error {
		b := obs.ReadBuild()
		if asJSON {
			return WriteJSON(e.Stdout, b)
		}
		revision := ""
		if b.Revision != "" {
			revision = " (" + b.Revision[:min(12, len(b.Revision))]
			if b.Modified {
				revision += ", modified"
			}
			revision += ")"
		}
		fmt.Fprintf(e.Stdout, "%s %s%s %s %s/%s\n", name, b.Version, revision, b.Go, b.OS, b.Arch)
		return nil
	}
	return cmd
}
