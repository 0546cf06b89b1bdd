package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/config"
)

// Main runs the program whose command tree newRoot builds and returns its exit
// code. SIGINT, SIGTERM and SIGHUP end the commands' context; a second one ends the
// program at once. Without arguments, AMOSKYS_ROLE decides what runs.
func Main(newRoot func(*Env) *cobra.Command, args []string) int {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	context.AfterFunc(ctx, stop)
	if os.Getenv(config.EnvSupervised) == "1" {
		// When the supervisor is killed, a last word to its pipe must not kill us
		// before we have stopped in order.
		signal.Ignore(syscall.SIGPIPE)
	}
	e := System()
	if len(args) == 0 {
		role, err := RoleArgs(e.Lookup)
		if err != nil {
			fmt.Fprintln(e.Stderr, err)
			return ExitUsage
		}
		args = role
	}
	return Execute(ctx, newRoot(e), e, args)
}
