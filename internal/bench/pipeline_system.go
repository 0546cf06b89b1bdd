package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
	"github.com/amoskys/amoskys/internal/state/password"
)

// Who a pipeline's figures are of, beside the roles that are commands.
const (
	roleEngine     = "engine"
	rolePublishers = "publishers" // this process, with who watches
)

// benchSystem are the roles of one machine, each a process, as `amoskys up` runs them.
type benchSystem struct {
	o        *PipelineOptions
	home     config.Home
	addrs    map[string]string // of hub, store, dashboard, and of the metrics of hub and store
	password string            // of state.AdminName
	order    []string
	procs    map[string]*exec.Cmd
}

// newBenchSystem makes a home with certificates, configuration and an account.
func newBenchSystem(ctx context.Context, o *PipelineOptions, path string) (*benchSystem, error) {
	s := &benchSystem{o: o, home: config.Home(path), addrs: map[string]string{}, procs: map[string]*exec.Cmd{}, order: []string{"hub", "store", "dashboard"}}
	if o.NoLive {
		s.order = s.order[:2]
	}
	if err := s.home.Ensure(); err != nil {
		return nil, err
	}
	if _, err := identity.EnsureLayout(s.home.Certs(), identity.LayoutOptions{
		Hosts: []string{"127.0.0.1"}, Canonical: func(string) string { return "" },
	}); err != nil {
		return nil, err
	}
	if err := s.configure(ctx); err != nil {
		return nil, err
	}
	db, err := state.Open(ctx, state.Options{File: s.home.State()})
	if err != nil {
		return nil, err
	}
	plain, _, err := db.EnsureAdmin(ctx, password.New(password.Recommended(), 1))
	s.password = plain
	return s, errors.Join(err, db.Close())
}

// configure writes the configuration, which has free ports of the loopback.
func (s *benchSystem) configure(ctx context.Context) error {
	ports := map[string]string{}
	var taken []net.Listener
	defer func() {
		for _, l := range taken {
			_ = l.Close()
		}
	}()
	for _, name := range []string{"hub", "hub metrics", "store", "store metrics", "dashboard"} {
		l, err := listenLoopback(ctx)
		if err != nil {
			return err
		}
		taken = append(taken, l) // until all are found, so that no two are the same
		s.addrs[name] = l.Addr().String()
		_, ports[name], _ = net.SplitHostPort(s.addrs[name])
	}
	toHub := "hub: {host: 127.0.0.1, port: " + ports["hub"] + "}\n"
	err := errors.Join(
		os.WriteFile(s.home.HubConfig(), []byte("server: {host: 127.0.0.1, port: "+ports["hub"]+"}\n"+
			"metrics: {host: 127.0.0.1, port: "+ports["hub metrics"]+"}\n"), 0o600),
		os.WriteFile(s.home.StoreConfig(), []byte("server: {host: 127.0.0.1, port: "+ports["store"]+"}\n"+toHub+
			"metrics: {host: 127.0.0.1, port: "+ports["store metrics"]+"}\n"), 0o600),
		os.WriteFile(s.home.DashboardConfig(), []byte("server: {host: 127.0.0.1, port: "+ports["dashboard"]+"}\n"+toHub+
			"store: {host: 127.0.0.1, port: "+ports["store"]+"}\n"), 0o600))
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

// roleStart bounds how long a role takes to serve.
const roleStart = time.Minute

// start runs the roles, each once the one before serves.
func (s *benchSystem) start(ctx context.Context) error {
	for _, role := range s.order {
		args := append(append([]string(nil), s.o.Command[1:]...), role, "--home", string(s.home))
		cmd := exec.CommandContext(ctx, s.o.Command[0], args...) //nolint:gosec // our own program
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start the %s: %w", role, err)
		}
		s.procs[role] = cmd
		soon, cancel := context.WithTimeout(ctx, roleStart)
		err := opened(soon, s.addrs[role])
		for err == nil && role == "store" {
			if err = s.ready(soon); err == nil {
				break
			}
			err = pauseFor(soon, watchEvery)
		}
		cancel()
		if err != nil {
			return fmt.Errorf("start the %s: %w", role, err)
		}
	}
	return nil
}

// ready asks the store whether its engine serves.
func (s *benchSystem) ready(ctx context.Context) error {
	body, err := get(ctx, "http://"+s.addrs["store metrics"]+"/readyz", 5*time.Second)
	if err != nil {
		return err
	}
	return body.Close()
}

// stop ends the roles in order, the last first, as `amoskys down` does.
func (s *benchSystem) stop() error {
	var errs []error
	for _, role := range slices.Backward(s.order) {
		cmd := s.procs[role]
		delete(s.procs, role)
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			errs = append(errs, fmt.Errorf("stop the %s: %w", role, err))
		}
	}
	return errors.Join(errs...)
}

// kill ends what still runs.
func (s *benchSystem) kill() {
	for _, cmd := range s.procs {
		_ = cmd.Process.Signal(syscall.SIGTERM) // the store ends its engine
		done := make(chan struct{})
		go func() { defer close(done); _ = cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
	}
	s.procs = map[string]*exec.Cmd{}
}

// errNoEngine says that the store has no child, as between two starts of its engine.
var errNoEngine = errors.New("the store's engine does not run")

// pids are the processes, by role.
func (s *benchSystem) pids() (map[string]int, error) {
	pids := map[string]int{rolePublishers: os.Getpid()}
	for role, cmd := range s.procs {
		pids[role] = cmd.Process.Pid
	}
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	for _, p := range all {
		if stat, err := p.Stat(); err == nil && stat.PPID == pids["store"] {
			pids[roleEngine] = p.PID
			return pids, nil
		}
	}
	return nil, errNoEngine
}

// used is how many seconds of CPU each role has used.
func (s *benchSystem) used() (map[string]float64, error) {
	pids, err := s.pids()
	if err != nil {
		return nil, err
	}
	used := map[string]float64{}
	for role, pid := range pids {
		used[role] = childCPU(pid)
	}
	return used, nil
}

// stored asks the store how many events of each host it has.
func (s *benchSystem) stored(ctx context.Context) (map[string]uint64, error) {
	env := cli.System()
	env.Home, env.Lookup = s.home, func(string) (string, bool) { return "", false }
	store, err := remote.DialStore(env, s.addrs["store"])
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	for {
		counts, err := countByHost(ctx, store.Query)
		if status.Code(err) != codes.ResourceExhausted && status.Code(err) != codes.Unavailable {
			return counts, err
		}
		if err := pauseFor(ctx, time.Second); err != nil { // it is busy
			return nil, err
		}
	}
}

func countByHost(ctx context.Context, query pb.QueryClient) (map[string]uint64, error) {
	stream, err := query.Rows(ctx, &pb.RowsRequest{Query: "* | stats by (host) count() n | fields host, n", Limit: 10_000})
	counts := map[string]uint64{}
	for err == nil {
		var some *pb.RowsResponse
		if some, err = stream.Recv(); err != nil {
			break
		}
		for _, row := range some.GetRows() {
			if v := row.GetValues(); len(v) == 2 {
				n, err := strconv.ParseUint(v[1], 10, 64)
				if err != nil {
					return nil, fmt.Errorf("count what is stored: %w", err)
				}
				counts[v[0]] = n
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("count what is stored: %w", err)
	}
	return counts, nil
}

// post sends JSON to the dashboard.
func (s *benchSystem) post(ctx context.Context, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addrs["dashboard"]+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return http.DefaultClient.Do(req)
}
