// Command amoskys is every role of AMOSKYS: hub, store, dashboard, node and agents, the
// standalone system that runs them on one machine, and the tools around them.
package main

import (
	"os"

	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/obs/hush"
)

func main() {
	hush.End()
	os.Exit(cli.Main(newRoot, os.Args[1:]))
}
