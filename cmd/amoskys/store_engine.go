package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/store/engine"
)

// newStoreEngineCommand is what the store starts as its child. It is for nobody else,
// and so in no help. It is all that links the engine's server: no package of ours is to
// begin with its goroutines.
func newStoreEngineCommand() *cobra.Command {
	var o engine.Options
	var flags []string
	cmd := &cobra.Command{
		Use: "store-engine", Hidden: true, Args: cobra.NoArgs,
		Short: "The store's engine; the store starts it",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Flags = map[string]string{}
			for _, f := range flags {
				name, value, ok := strings.Cut(f, "=")
				if !ok {
					return fmt.Errorf("--flag %s: want name=value", f)
				}
				o.Flags[name] = value
			}
			ctx, cancel := child.WithParent(cmd.Context())
			defer cancel()
			return engine.Run(ctx, o)
		},
	}
	cmd.Flags().StringVar(&o.Socket, "socket", "", "Unix socket to listen on")
	cmd.Flags().StringVar(&o.Path, "path", "", "folder of the data")
	cmd.Flags().StringArrayVar(&flags, "flag", nil, "name=value of VictoriaLogs")
	for _, name := range []string{"socket", "path"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the name above is wrong
		}
	}
	return cmd
}
