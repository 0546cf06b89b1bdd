package main

import (
	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app"
)

// newStoreEngineCommand is what the store starts as its child. It is for nobody else,
// and so in no help.
func newStoreEngineCommand() *cobra.Command {
	var socket, path string
	var flags []string
	cmd := &cobra.Command{
		Use: "store-engine", Hidden: true, Args: cobra.NoArgs,
		Short: "The store's engine; the store starts it",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.RunStoreEngine(cmd.Context(), socket, path, flags)
		},
	}
	cmd.Flags().StringVar(&socket, "socket", "", "Unix socket to listen on")
	cmd.Flags().StringVar(&path, "path", "", "folder of the data")
	cmd.Flags().StringArrayVar(&flags, "flag", nil, "name=value of VictoriaLogs")
	for _, name := range []string{"socket", "path"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the name above is wrong
		}
	}
	return cmd
}
