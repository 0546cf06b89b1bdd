package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/hub"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
)

// childReady is what the hub's process prints, as one line of JSON, when it serves.
type childReady struct {
	Addr    string `json:"addr"`
	Metrics string `json:"metrics"`
	Pprof   string `json:"pprof"`
}

// RunHubChild is the hub's side of the measurement: it makes a home folder with
// certificates, serves on free ports of the loopback, prints where, and stops
// when in ends, which it does when the parent dies.
func RunHubChild(ctx context.Context, home config.Home, in io.Reader, out io.Writer) (err error) {
	if err := home.Ensure(); err != nil {
		return err
	}
	if _, err := identity.EnsureLayout(home.Certs(), identity.LayoutOptions{
		Hosts: []string{"127.0.0.1"}, Canonical: func(string) string { return "" },
	}); err != nil {
		return err
	}
	cfg := hub.DefaultConfig()
	cfg.Server.MaxConnections = 20_000
	cfg.Server.Host, cfg.Server.Port = "127.0.0.1", 0
	cfg.Metrics.Host, cfg.Metrics.Port = "127.0.0.1", 0
	cfg.WAL.RetentionSizeMB = 2048 // a long run must not fill the disk
	logger, closer, err := obs.NewLogger(obs.LogOptions{File: home.Log("eventbus"), Level: slog.LevelInfo})
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	registry := obs.NewRegistry()
	storage, err := app.OpenStorage(ctx, cfg, home, logger, registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, storage.Close()) }()
	h, err := hub.New(hub.Options{ //nolint:contextcheck // it opens ports and does not wait
		Config: cfg, Home: home, Storage: storage, Logger: logger, Registry: registry, Version: obs.ReadBuild().Version,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	profiler, err := serveProfiles(ctx, logger)
	if err != nil {
		return err
	}
	go func() { // ends with the process at the latest
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	ready := childReady{Addr: h.Addr().String(), Metrics: h.MetricsAddr().String(), Pprof: profiler.addr}
	if err := json.NewEncoder(out).Encode(ready); err != nil {
		return fmt.Errorf("tell the parent: %w", err)
	}
	return errors.Join(h.Run(ctx), <-profiler.done)
}

type profileServer struct {
	addr string
	done chan error
}

// serveProfiles serves the runtime's profiles on the loopback until ctx ends.
func serveProfiles(ctx context.Context, logger *slog.Logger) (*profileServer, error) {
	l, err := listenLoopback(ctx)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /profile", pprof.Profile)
	s := &profileServer{addr: l.Addr().String(), done: make(chan error, 1)}
	go func() { s.done <- serveUnbounded(ctx, l, mux, logger) }()
	return s, nil
}

// hubChild is the hub's process as the parent sees it.
type hubChild struct {
	cmd   *exec.Cmd
	home  config.Home
	dir   string
	stdin io.WriteCloser
	ready childReady
	fs    string
}

func startChild(ctx context.Context, o *HubOptions) (*hubChild, error) {
	if len(o.Command) == 0 {
		return nil, errors.New("no command to run a hub with")
	}
	dir, err := os.MkdirTemp(o.Dir, "amoskys-bench-")
	if err != nil {
		return nil, err
	}
	c := &hubChild{dir: dir, home: config.Home(filepath.Join(dir, "home")), fs: fileSystem(dir)}
	args := append(append([]string(nil), o.Command[1:]...), string(c.home))
	c.cmd = exec.CommandContext(ctx, o.Command[0], args...) //nolint:gosec // our own program
	c.cmd.Stderr = os.Stderr
	stdout, err := c.cmd.StdoutPipe()
	if err == nil {
		c.stdin, err = c.cmd.StdinPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c.ready)
	}
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("%s ran and did not say where its hub listens (but %q): is it the program amoskys, of a build that has bench? %w", o.Command[0], line, err)
	}
	return c, nil
}

// stop ends the process in order and removes its folder.
func (c *hubChild) stop() error {
	err := errors.Join(c.stdin.Close(), c.cmd.Wait())
	c.cmd.Process = nil
	return errors.Join(err, os.RemoveAll(c.dir))
}

// kill ends the process at once, if it still runs.
func (c *hubChild) kill() {
	if c.cmd.Process != nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		c.cmd.Process = nil
	}
	_ = os.RemoveAll(c.dir)
}

// hubReading is what the hub's metrics say.
type hubReading struct {
	cpuSeconds float64
	rssBytes   float64
	syncs      float64
	syncTime   float64
	walBytes   float64
}

func (c *hubChild) read(ctx context.Context) (hubReading, error) {
	var r hubReading
	body, err := get(ctx, "http://"+c.ready.Metrics+"/metrics", 10*time.Second)
	if err != nil {
		return r, fmt.Errorf("read the hub's metrics: %w", err)
	}
	defer body.Close()
	names := map[string]*float64{
		"process_cpu_seconds_total": &r.cpuSeconds, "process_resident_memory_bytes": &r.rssBytes,
		"amoskys_wal_sync_seconds_count": &r.syncs, "amoskys_wal_sync_seconds_sum": &r.syncTime,
		"amoskys_wal_written_bytes_total": &r.walBytes,
	}
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if to := names[name]; to != nil {
			if *to, err = strconv.ParseFloat(value, 64); err != nil {
				return r, fmt.Errorf("read the hub's metrics: %w", err)
			}
		}
	}
	return r, lines.Err()
}

// profile takes the hub's CPU profile for d, which passes meanwhile.
func (c *hubChild) profile(ctx context.Context, file string, d time.Duration) (err error) {
	body, err := get(ctx, fmt.Sprintf("http://%s/profile?seconds=%d", c.ready.Pprof, max(1, int(d.Seconds()))), d+30*time.Second)
	if err != nil {
		return fmt.Errorf("profile the hub: %w", err)
	}
	defer body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}
