// Package enginetest gives tests a real engine: the test binary is its own child.
package enginetest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/store/engine"
	"github.com/amoskys/amoskys/internal/store/keeper"
)

// variable makes a test binary the engine.
const variable = "AMOSKYS_STORE_ENGINE_TEST"

// Main is for TestMain of a package whose tests call Start. It runs the tests and looks
// for goroutines left behind, or, in a child, the engine.
func Main(m *testing.M) {
	if os.Getenv(variable) != "" {
		if err := run(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // it stands for main
		}
		return
	}
	if os.Getenv(serverVariable) != "" {
		flag.String("httpListenAddr.test", "", "where to listen")
		runServer(os.Args[1:])
		return
	}
	waitTogether()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // the engine's packages start some when loaded
}

// together is how many tests that say t.Parallel run at once: an engine that starts, stops
// or deletes has them wait more than work.
const together = 4

// waitTogether sets that, unless whoever runs the tests has said something else.
func waitTogether() {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if said {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(max(together, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err) // the flag is the testing package's own
	}
}

// run is `amoskys store-engine`.
func run(args []string) error {
	o := engine.Options{Flags: map[string]string{}}
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "--socket":
			o.Socket = args[i+1]
		case "--path":
			o.Path = args[i+1]
		case "--flag":
			name, value, _ := strings.Cut(args[i+1], "=")
			o.Flags[name] = value
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return engine.Run(ctx, o)
}

// Options are those of a keeper of this test binary, at path, with a socket of its own.
func Options(tb testing.TB, path string) keeper.Options {
	tb.Helper()
	dir, err := os.MkdirTemp("", "e") //nolint:usetesting // the path of a socket is short
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return keeper.Options{
		Path: path, Socket: filepath.Join(dir, "s"), Program: []string{"/proc/self/exe"},
		Env:   append(os.Environ(), variable+"=1"),
		Flags: keeper.Flags{MinFreeBytes: 1, FlushInterval: time.Second},
	}
}

// Start runs a keeper in a folder of its own and returns it once its engine serves.
func Start(tb testing.TB) *keeper.Keeper {
	tb.Helper()
	k, _ := Run(tb, Options(tb, filepath.Join(tb.TempDir(), "store")))
	return k
}

// Run runs a keeper with o and returns it once its engine serves. stop, which is called
// at the end of the test at the latest, stops it in order.
func Run(tb testing.TB, o keeper.Options) (k *keeper.Keeper, stop func()) {
	tb.Helper()
	if os.Getenv("AMOSKYS_STORE_ENGINE_LOG") != "" {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	k = keeper.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("the keeper ended with %v", err)
		}
	}
	tb.Cleanup(stop)
	soon, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	if _, err := k.Wait(soon, 0); err != nil {
		tb.Fatal(err)
	}
	return k, stop
}
