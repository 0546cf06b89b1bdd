// Package engine is VictoriaLogs' own server (v1.52.1) as a process: what its makers
// ship, behind a Unix socket that only our user may open. It knows nothing of
// AMOSKYS, and nobody but the hidden command `amoskys store-engine` imports it: a panic
// of it costs a restart, which package keeper sees to (docs/decisions/0014).
package engine

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/app/vlinsert"
	"github.com/VictoriaMetrics/VictoriaLogs/app/vlinsert/insertutil"
	"github.com/VictoriaMetrics/VictoriaLogs/app/vlselect"
	"github.com/VictoriaMetrics/VictoriaLogs/app/vlstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logger"
	"github.com/VictoriaMetrics/metrics"
)

// Options are what the engine needs to know. Everything else is its default.
type Options struct {
	Socket string // it listens there, mode 0600
	Path   string // of its data
	// Flags are flags of VictoriaLogs, by name.
	Flags map[string]string
}

// Run serves until ctx ends, then writes what it has in memory and returns.
func Run(ctx context.Context, o Options) error {
	if err := boundMemory(); err != nil {
		return err
	}
	flags := map[string]string{
		"storageDataPath": o.Path,
		"delete.enable":   "true", // what lies behind the last barrier of an unclean end
		"defaultMsgValue": "",     // an event without a message has none
		// It prints events that it drops, which are not for our log: ERROR, and panics.
		"loggerLevel":                 "ERROR",
		"search.logSlowQueryDuration": "0",
	}
	maps.Copy(flags, o.Flags)
	flag.CommandLine.Init("engine", flag.ContinueOnError)
	if err := flag.CommandLine.Parse(nil); err != nil {
		return err
	}
	for name, value := range flags {
		if err := flag.Set(name, value); err != nil {
			return fmt.Errorf("set -%s: %w", name, err)
		}
	}
	logger.Init()
	l, err := listen(ctx, o.Socket)
	if err != nil {
		return err
	}
	vlstorage.Init()
	vlselect.Init()
	insertutil.SetLogRowsStorage(&vlstorage.Storage{})
	vlinsert.Init()

	// Requests outlive their connections, and nobody may use the storage when it closes.
	var asking sync.WaitGroup
	asked, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return asked },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asking.Add(1)
			defer asking.Done()
			handle(w, r)
		}),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		// All are waited for, and those who take too long are cut off.
		soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(soon) != nil {
			err = server.Close()
		}
		if e := <-done; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	leave()
	asking.Wait()
	vlinsert.Stop()
	vlselect.Stop()
	vlstorage.Stop()
	return err
}

// listen opens the socket for our user alone.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket of before: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for the store: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func handle(rw http.ResponseWriter, r *http.Request) {
	w := &answer{ResponseWriter: rw}
	defer w.finish()
	switch {
	case r.URL.Path == "/health":
		fmt.Fprint(w, "OK")
	case r.URL.Path == "/metrics":
		// Not as its makers' server does, from a copy of up to a second ago: whether all is
		// on disk is read here.
		metrics.WritePrometheus(w, true)
	case vlinsert.RequestHandler(w, r), vlselect.RequestHandler(w, r), vlstorage.RequestHandler(w, r):
	default:
		http.NotFound(w, r)
	}
}
