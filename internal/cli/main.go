package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/config"
)

// Main runs the program whose command tree newRoot builds and returns its exit
// code. SIGINT, SIGTERM and SIGHUP end the commands' context; one that comes a second
// later or more ends the program at once. Without arguments, AMOSKYS_ROLE decides what runs.
func Main(newRoot func(*Env) *cobra.Command, args []string) int {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := interruptible(signals, secondSignalAfter)
	defer stop()
	if os.Getenv(config.EnvSupervised) == "1" {
		// When the supervisor is killed, a last word to its pipe must not kill us
		// before we have stopped in order.
		signal.Ignore(syscall.SIGPIPE)
	}
	if os.Getpid() == 1 { // of a container
		orphans, stopReaping := context.WithCancel(context.Background())
		reaped := make(chan struct{})
		go func() { defer close(reaped); reapOrphans(orphans) }()
		defer func() { stopReaping(); <-reaped }()
	}
	e := System()
	root := newRoot(e)
	if len(args) == 0 {
		role, err := RoleArgs(e.Lookup, rolesOf(root))
		if err != nil {
			fmt.Fprintln(e.Stderr, err)
			return ExitUsage
		}
		args = role
	}
	return Execute(ctx, root, e, args)
}

// secondSignalAfter is how long further signals belong to the first one.
// timeout(1), for one, sends the same signal to the process and to its group.
const secondSignalAfter = time.Second

// interruptible returns a context that the first of the signals ends. Once
// grace has gone by after it, a signal has its default effect again. stop
// releases everything and waits for it.
func interruptible(signals []os.Signal, grace time.Duration) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, signals...)
	done, released := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(released)
		defer signal.Stop(arrived)
		defer cancel()
		select {
		case <-arrived:
			cancel()
		case <-done:
			return
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-done:
		}
	}()
	return ctx, func() {
		close(done)
		<-released
	}
}
