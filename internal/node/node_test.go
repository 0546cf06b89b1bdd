package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/amoskys/amoskys/internal/config"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const modeVariable = "NODE_TEST_MODE"

func TestMain(m *testing.M) {
	if mode, ok := os.LookupEnv(modeVariable); ok {
		os.Exit(behave(mode, os.Args[1])) //nolint:forbidigo // here the test binary is an agent
	}
	goleak.VerifyTestMain(m)
}

// behave is what the test binary does when the node starts it as an agent.
func behave(mode, addr string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch mode {
	case "crash":
		fmt.Fprintln(os.Stderr, "certs/agent.key: permission denied")
		return 1
	case "silent":
		<-ctx.Done()
		return 0
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := map[string]any{"version": "1.2", "events_total": 42, "events_per_second": 3.5, "spool_bytes": 10, "health": healthOf(mode)}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(status) })}
	go func() { _ = server.Serve(l) }()
	<-ctx.Done()
	_ = server.Close()
	return 0
}

// healthOf is what agents say of themselves: a degraded one is ready, and a
// starting one is not.
func healthOf(mode string) map[string]any {
	switch mode {
	case "ill":
		return map[string]any{"ok": true, "state": "degraded", "reasons": []string{"the hub is away"}}
	case "unready":
		return map[string]any{"ok": false, "state": "starting"}
	}
	return map[string]any{"ok": true, "state": "running"}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func testAgent(t *testing.T, id, mode string) Agent {
	t.Helper()
	addr := freeAddr(t)
	return Agent{
		ID: id, Kind: "test", Argv: []string{os.Args[0], addr}, Env: append(os.Environ(), modeVariable+"="+mode),
		Log:      filepath.Join(t.TempDir(), id+".log"),
		Settings: func() (Settings, error) { return Settings{Addr: addr, Enabled: true}, nil },
	}
}

// startNode runs a node until the test ends, and checks that it leaves no process.
func startNode(t *testing.T, o Options) (*Node, func()) {
	t.Helper()
	o.ID, o.Host, o.Version = "web-1", &pb.Host{Name: "web-1"}, "test"
	o.Interval, o.StopTimeout = 50*time.Millisecond, 5*time.Second
	if o.BackoffMin == 0 {
		o.BackoffMin = time.Hour
	}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, s := range n.Statuses() {
			if s.GetPid() != 0 {
				t.Errorf("agent %s was left running", s.GetId())
			}
		}
	})
	t.Cleanup(stop)
	return n, stop
}

func await(t *testing.T, n *Node, id, what string, ok func(*pb.AgentStatus) bool) *pb.AgentStatus {
	t.Helper()
	var last *pb.AgentStatus
	deadline := time.After(20 * time.Second)
	for {
		for _, s := range n.Statuses() {
			if s.GetId() != id {
				continue
			}
			if last = s; ok(s) {
				return s
			}
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("agent %s is not %s: %v", id, what, last)
		}
	}
}

func inState(state pb.AgentState) func(*pb.AgentStatus) bool {
	return func(s *pb.AgentStatus) bool { return s.GetState() == state }
}

func command(t *testing.T, n *Node, id string, c pb.AgentCommand) *pb.CommandResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return n.Command(ctx, &pb.NodeCommand{Id: 7, AgentId: id, Command: c})
}

const (
	running  = pb.AgentState_AGENT_STATE_RUNNING
	degraded = pb.AgentState_AGENT_STATE_DEGRADED
	crashed  = pb.AgentState_AGENT_STATE_CRASHED
	stopped  = pb.AgentState_AGENT_STATE_STOPPED
	start    = pb.AgentCommand_AGENT_COMMAND_START
	stop     = pb.AgentCommand_AGENT_COMMAND_STOP
	restart  = pb.AgentCommand_AGENT_COMMAND_RESTART
)

func TestAgentsAreRunAndWatched(t *testing.T) {
	n, _ := startNode(t, Options{Agents: []Agent{testAgent(t, "good", "good"), testAgent(t, "ill", "ill"), testAgent(t, "unready", "unready"), testAgent(t, "crash", "crash"), testAgent(t, "silent", "silent")}})
	s := await(t, n, "good", "running with figures", func(s *pb.AgentStatus) bool { return s.GetState() == running && s.GetRssBytes() > 0 })
	if s.GetHealth() != pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN || s.GetEventsTotal() != 42 || s.GetEventsPerSecond() != 3.5 || s.GetVersion() != "1.2" || s.GetPid() == 0 || s.GetPort() == 0 {
		t.Errorf("good: %v", s)
	}
	s = await(t, n, "ill", "degraded by its own word", func(s *pb.AgentStatus) bool { return s.GetState() == degraded && s.GetDetail() == "the hub is away" })
	if s.GetHealth() != pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_YELLOW {
		t.Errorf("ill: %v", s)
	}
	await(t, n, "unready", "not ready by its own word", func(s *pb.AgentStatus) bool { return s.GetState() == degraded && s.GetDetail() == "starting" })
	s = await(t, n, "crash", "crashed", inState(crashed))
	if s.GetHealth() != pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_RED || s.GetDetail() != "ended by itself: exit code 1: certs/agent.key: permission denied" {
		t.Errorf("crash: %v", s)
	}
	if s.GetLastExit() != "exit code 1: certs/agent.key: permission denied" || time.Since(s.GetLastExitTime().AsTime()) > time.Minute || s.GetRestarts() == 0 {
		t.Errorf("crash: %d restarts, the last after %q at %v", s.GetRestarts(), s.GetLastExit(), s.GetLastExitTime())
	}
	s = await(t, n, "silent", "degraded", inState(degraded))
	if s.GetHealth() != pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_YELLOW || !strings.Contains(s.GetDetail(), "has not answered for") {
		t.Errorf("silent: %v", s)
	}
}

func TestCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "node.json")
	agent := testAgent(t, "good", "good")
	n, end := startNode(t, Options{StateFile: file, Agents: []Agent{agent, testAgent(t, "crash", "crash")}})
	first := await(t, n, "good", "running", inState(running)).GetPid()
	r := command(t, n, "good", restart)
	if !r.GetOk() || r.GetId() != 7 || r.GetAgent().GetPid() == first || r.GetAgent().GetState() != running {
		t.Errorf("restart: %v, first pid %d", r, first)
	}
	if r := command(t, n, "good", stop); !r.GetOk() || r.GetAgent().GetState() != stopped || r.GetAgent().GetEnabled() {
		t.Errorf("stop: %v", r)
	}
	if r := command(t, n, "crash", start); r.GetOk() || !strings.Contains(r.GetError(), "permission denied") {
		t.Errorf("start of a crashing agent: %v", r)
	}
	if r := command(t, n, "none", start); r.GetOk() || r.GetError() != `this node has no agent "none"` {
		t.Errorf("unknown agent: %v", r)
	}
	if r := command(t, n, "good", 99); r.GetOk() {
		t.Errorf("unknown command: %v", r)
	}
	end()
	// A new node remembers that a person stopped the agent.
	n, _ = startNode(t, Options{StateFile: file, Agents: []Agent{agent}})
	if s := n.Statuses()[0]; s.GetState() != stopped || s.GetHealth() != pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_RED {
		t.Errorf("after a restart of the node: %v", s)
	}
	if r := command(t, n, "good", start); !r.GetOk() || r.GetAgent().GetState() != running {
		t.Errorf("start: %v", r)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "{\"stopped\":[]}\n" {
		t.Errorf("state file holds %s, %v", text, err)
	}
}

func TestTakenPortAndDisabled(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken, off := testAgent(t, "taken", "good"), testAgent(t, "off", "good")
	taken.Settings = func() (Settings, error) { return Settings{Addr: l.Addr().String(), Enabled: true}, nil }
	off.Settings = func() (Settings, error) { return Settings{Addr: "127.0.0.1:0"}, nil }
	faulty := testAgent(t, "faulty", "good")
	faulty.Settings = func() (Settings, error) { return Settings{}, errors.New("a.yaml:3:1: agnet: unknown key") }
	n, _ := startNode(t, Options{Agents: []Agent{taken, off, faulty}})
	s := await(t, n, "taken", "crashed", inState(crashed))
	if want := fmt.Sprintf("(pid %d)", os.Getpid()); !strings.Contains(s.GetDetail(), want) || !strings.Contains(s.GetDetail(), "already in use by") {
		t.Errorf("taken: %q does not name the holder %s", s.GetDetail(), want)
	}
	s = await(t, n, "off", "stopped", func(s *pb.AgentStatus) bool { return s.GetState() == stopped && s.GetDetail() != "was stopped" })
	if !strings.Contains(s.GetDetail(), "agent.enabled") {
		t.Errorf("off: %q", s.GetDetail())
	}
	if r := command(t, n, "off", start); r.GetOk() || !strings.Contains(r.GetError(), "agent.enabled") {
		t.Errorf("start of a disabled agent: %v", r)
	}
	s = await(t, n, "faulty", "crashed", inState(crashed))
	if s.GetDetail() != "a.yaml:3:1: agnet: unknown key" {
		t.Errorf("faulty: %q", s.GetDetail())
	}
}

// hub is a fake other end of Fleet.Control.
type hub struct {
	messages chan *pb.NodeMessage
	commands chan *pb.NodeCommand
	broken   chan struct{}
	once     sync.Once
	ended    sync.Once
	results  chan *upload
}

func newHub() *hub {
	return &hub{messages: make(chan *pb.NodeMessage, 100), commands: make(chan *pb.NodeCommand), broken: make(chan struct{}), results: make(chan *upload, 10)}
}

func (h *hub) Send(m *pb.NodeMessage) error {
	select {
	case <-h.broken:
		return io.EOF
	case h.messages <- m:
		return nil
	}
}

func (h *hub) Recv() (*pb.NodeCommand, error) {
	select {
	case <-h.broken:
		return nil, io.ErrUnexpectedEOF
	case c, ok := <-h.commands:
		if !ok {
			return nil, io.EOF
		}
		return c, nil
	}
}

func (h *hub) CloseSend() error { h.ended.Do(func() { close(h.commands) }); return nil }
func (h *hub) Close()           { h.once.Do(func() { close(h.broken) }) }

func (h *hub) SendResult(ctx context.Context) (ResultStream, error) {
	u := &upload{ctx: ctx, chunks: make(chan *pb.TaskChunk)}
	h.results <- u
	return u, nil
}

func (h *hub) next(t *testing.T, what string, ok func(*pb.NodeMessage) bool) *pb.NodeMessage {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case m := <-h.messages:
			if ok(m) {
				return m
			}
		case <-deadline:
			t.Fatalf("the hub never saw %s", what)
		}
	}
}

func TestControlStream(t *testing.T) {
	hubs := []*hub{newHub(), newHub()}
	mu, tries := sync.Mutex{}, 0
	connect := func(context.Context) (Stream, error) {
		mu.Lock()
		defer mu.Unlock()
		tries++
		switch tries {
		case 1:
			return nil, errors.New("connection refused")
		case 2, 3:
			return hubs[tries-2], nil
		}
		return nil, errors.New("no more hubs")
	}
	n, end := startNode(t, Options{Agents: []Agent{testAgent(t, "good", "good")}, Connect: connect})
	await(t, n, "good", "running", inState(running))
	hello := func(m *pb.NodeMessage) bool { return m.GetHello() != nil }
	if h := hubs[0].next(t, "hello", hello).GetHello(); h.GetNodeId() != "web-1" || len(h.GetAgents()) != 1 {
		t.Errorf("hello %v", h)
	}
	hubs[0].commands <- &pb.NodeCommand{Id: 9, AgentId: "good", Command: stop}
	result := hubs[0].next(t, "the result", func(m *pb.NodeMessage) bool { return m.GetResult() != nil }).GetResult()
	if result.GetId() != 9 || !result.GetOk() {
		t.Errorf("result %v", result)
	}
	hubs[0].next(t, "the change", func(m *pb.NodeMessage) bool {
		a := m.GetReport().GetAgents()
		return len(a) == 1 && a[0].GetState() == stopped
	})
	hubs[0].Close()
	hubs[1].next(t, "a second hello", hello)
	hubs[1].commands <- &pb.NodeCommand{Id: 10, AgentId: "good", Command: start}
	hubs[1].next(t, "the result", func(m *pb.NodeMessage) bool { return m.GetResult().GetOk() })
	end()
	hubs[1].next(t, "the last word", func(m *pb.NodeMessage) bool {
		a := m.GetReport().GetAgents()
		return len(a) == 1 && a[0].GetState() == stopped
	})
}

func TestTail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.log")
	if lines, err := tail(file, 5); err != nil || len(lines) != 0 {
		t.Errorf("a log that was moved away: %q, %v", lines, err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(lines int, want []string) {
		t.Helper()
		got, err := tail(file, lines)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	write("")
	check(5, nil)
	write("one\ntwo\nthree")
	check(2, []string{"two", "three"})
	check(0, []string{"one", "two", "three"})
	write(strings.Repeat("x", maxTailBytes) + "\nwhole\n")
	check(5, []string{"whole"})
}

func TestStateFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "node.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{StateFile: file}); err == nil || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("broken state file: %v", err)
	}
	d := &desired{file: filepath.Join(t.TempDir(), "missing", "node.json")}
	if err := d.set("a", true); err == nil || d.stopped("a") {
		t.Errorf("a state that cannot be kept was taken: %v", err)
	}
}

func TestDuplicateIDs(t *testing.T) {
	if _, err := New(Options{Agents: []Agent{{ID: "a"}, {ID: "a"}}}); err == nil {
		t.Error("accepted")
	}
}

func TestConfig(t *testing.T) {
	var c Config
	if err := config.Decode("template", ConfigTemplate(), &c, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(DefaultConfig(), c); diff != "" {
		t.Errorf("the template differs from the defaults (-defaults +template):\n%s", diff)
	}
	good, bad := DefaultConfig(), DefaultConfig()
	if err := config.Decode("good", nil, &good, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		t.Error(err)
	}
	text := "node: {agents: [proc, proc, ../x], id: a/b}\nhub: {host: 'a b', port: 0, cert_file: ''}\nsupervision: {interval_seconds: 0, backoff_min_seconds: 60}\nlogging: {level: LOUD}\n"
	err := config.Decode("bad", []byte(text), &bad, config.DecodeOptions{Env: config.NoEnv})
	faults, ok := errors.AsType[config.Faults](err)
	if !ok || len(faults) != 9 {
		t.Errorf("got %d faults, want 9:\n%v", len(faults), err)
	}
}

// upload is one Tasks.SendResult at the fake hub.
type upload struct {
	ctx    context.Context //nolint:containedctx // of the call that it stands for
	chunks chan *pb.TaskChunk
}

func (u *upload) Send(c *pb.TaskChunk) error {
	select {
	case u.chunks <- c:
		return nil
	case <-u.ctx.Done():
		return u.ctx.Err()
	}
}

func (u *upload) CloseAndRecv() (*pb.SendResultResponse, error) {
	close(u.chunks)
	return &pb.SendResultResponse{}, u.ctx.Err()
}

// TestLackingPrivileges: an agent that needs what its node cannot give is off, says
// what to do, and is nothing that is wrong; one whose configuration has other work runs.
func TestLackingPrivileges(t *testing.T) {
	needy := testAgent(t, "needy", "good")
	needy.Privileges = []string{"CAP_OF_NO_KERNEL"}
	lenient := testAgent(t, "lenient", "good")
	lenient.Privileges = needy.Privileges
	asked := lenient.Settings
	lenient.Settings = func() (Settings, error) {
		s, err := asked()
		s.WithoutPrivileges = true
		return s, err
	}
	n, _ := startNode(t, Options{Agents: []Agent{needy, lenient, testAgent(t, "good", "good")}})
	await(t, n, "good", "running", inState(running))
	await(t, n, "lenient", "running", inState(running))
	s := await(t, n, "needy", "off", func(s *pb.AgentStatus) bool { return s.GetHealth() == pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREY })
	if s.GetState() != stopped || !strings.HasPrefix(s.GetDetail(), "off: needs CAP_OF_NO_KERNEL: ") || !strings.Contains(s.GetDetail(), os.Args[0]) {
		t.Errorf("needy: %v", s)
	}
	if diff := cmp.Diff(needy.Privileges, s.GetPrivileges()); diff != "" {
		t.Error(diff)
	}
	if h := n.Health(t.Context()); !h.OK || h.State != "running" {
		t.Errorf("the node's health is %+v", h)
	}
	if r := command(t, n, "needy", start); r.GetOk() || !strings.HasPrefix(r.GetError(), "off: needs CAP_OF_NO_KERNEL") {
		t.Errorf("start: %v", r)
	}
}

// TestRestartWithFaults: an agent goes on where its file has become one that it could not start with.
func TestRestartWithFaults(t *testing.T) {
	good := testAgent(t, "good", "")
	var fault atomic.Pointer[error]
	settings := good.Settings
	good.Settings = func() (Settings, error) {
		if err := fault.Load(); err != nil {
			return Settings{}, *err
		}
		return settings()
	}
	n, _ := startNode(t, Options{Agents: []Agent{good}})
	running := func(s *pb.AgentStatus) bool { return s.GetState() == pb.AgentState_AGENT_STATE_RUNNING }
	first := await(t, n, "good", "running", running).GetPid()
	typo := errors.New("good.yaml:3:1: unknown key intervall")
	fault.Store(&typo)
	r := command(t, n, "good", restart)
	if r.GetOk() || !strings.Contains(r.GetError(), "goes on as it was") || !strings.Contains(r.GetError(), typo.Error()) || r.GetAgent().GetPid() != first {
		t.Errorf("restart with a fault: %v, first pid %d", r, first)
	}
	fault.Store(nil)
	if r := command(t, n, "good", restart); !r.GetOk() || r.GetAgent().GetPid() == first {
		t.Errorf("restart without: %v, first pid %d", r, first)
	}
}
