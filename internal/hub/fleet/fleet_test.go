package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/amoskys/amoskys/internal/hub/fleet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type trail struct {
	mu   sync.Mutex
	acts []string
}

func (t *trail) Audit(_ context.Context, a *pb.AuditActivity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acts = append(t.acts, fmt.Sprint(a.GetActor(), " ", a.GetOperation(), " ", a.GetTarget(), " ", a.GetSuccess()))
}

func (t *trail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.acts) == 0 {
		return ""
	}
	return t.acts[len(t.acts)-1]
}

type fixture struct {
	service *fleet.Service
	client  pb.FleetClient
	db      *state.DB
	trail   *trail
}

func openState(t *testing.T) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), state.Options{File: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newFixture(t *testing.T, db *state.DB, change ...func(*fleet.Options)) *fixture {
	t.Helper()
	f := &fixture{db: db, trail: &trail{}}
	o := fleet.Options{Store: db, Auditor: f.trail, CommandTimeout: 10 * time.Second}
	for _, c := range change {
		c(&o)
	}
	var err error
	if f.service, err = fleet.New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	l := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	pb.RegisterFleetServer(server, f.service)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///fleet", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	f.client = pb.NewFleetClient(conn)
	t.Cleanup(func() { conn.Close(); server.Stop(); <-done })
	return f
}

// node is a connected node that a test speaks for.
type node struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[pb.NodeMessage, pb.NodeCommand]
	cancel context.CancelFunc
}

func running(id string) *pb.AgentStatus {
	return &pb.AgentStatus{Id: id, Kind: "proc", State: pb.AgentState_AGENT_STATE_RUNNING, Pid: 7, RssBytes: 1000, CpuPercent: 1.5}
}

func (f *fixture) node(t *testing.T, id, host string, agents ...*pb.AgentStatus) *node {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := f.client.Control(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t, stream, cancel}
	n.send(&pb.NodeMessage{Message: &pb.NodeMessage_Hello{Hello: &pb.NodeHello{
		NodeId: id, Host: &pb.Host{Name: host}, Version: "1", Agents: agents,
	}}})
	t.Cleanup(cancel)
	return n
}

func (n *node) send(m *pb.NodeMessage) {
	n.t.Helper()
	if err := n.stream.Send(m); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) report(agents ...*pb.AgentStatus) {
	n.send(&pb.NodeMessage{Message: &pb.NodeMessage_Report{Report: &pb.AgentReport{Agents: agents}}})
}

func (n *node) end() error {
	for {
		if _, err := n.stream.Recv(); err != nil {
			return err
		}
	}
}

func (f *fixture) list(t *testing.T) string {
	t.Helper()
	got, err := f.client.ListAgents(t.Context(), &pb.ListAgentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return describe(got.GetAgents())
}

func describe(agents []*pb.AgentStatus) string {
	var out []string
	for _, a := range agents {
		out = append(out, fmt.Sprintf("%s/%s@%s %s %s %v", a.GetHost(), a.GetId(), a.GetNodeId(),
			strings.TrimPrefix(a.GetState().String(), "AGENT_STATE_"), strings.TrimPrefix(a.GetHealth().String(), "AGENT_HEALTH_LEVEL_"), a.GetNodeConnected()))
	}
	return strings.Join(out, "\n")
}

// eventually waits until get returns want.
func eventually(t *testing.T, want string, get func() string) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		got := get()
		if got == want {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("not in ten seconds (-want +got):\n%s", cmp.Diff(want, got))
		case <-tick.C:
		}
	}
}

func TestNodesComeReportAndGo(t *testing.T) {
	f := newFixture(t, openState(t))
	n := f.node(t, "n1", "h1", running("a"), running("b"))
	eventually(t, "h1/a@n1 RUNNING GREEN true\nh1/b@n1 RUNNING GREEN true", func() string { return f.list(t) })
	b := running("b")
	b.State, b.Host, b.NodeId = pb.AgentState_AGENT_STATE_CRASHED, "another host", "another node"
	n.report(b)
	eventually(t, "h1/a@n1 RUNNING GREEN true\nh1/b@n1 CRASHED RED true", func() string { return f.list(t) })
	n.cancel()
	eventually(t, "h1/a@n1 UNKNOWN UNSPECIFIED false\nh1/b@n1 UNKNOWN UNSPECIFIED false", func() string { return f.list(t) })
	f.node(t, "n1", "h1", running("a"))
	eventually(t, "h1/a@n1 RUNNING GREEN true", func() string { return f.list(t) })
}

func TestNewerStreamReplacesOlder(t *testing.T) {
	f := newFixture(t, openState(t))
	old := f.node(t, "n1", "h1", running("a"))
	eventually(t, "h1/a@n1 RUNNING GREEN true", func() string { return f.list(t) })
	newer := f.node(t, "n1", "h1", running("a"))
	if err := old.end(); status.Code(err) != codes.Aborted {
		t.Errorf("the older stream ended with %v", err)
	}
	stopped := running("a")
	stopped.State = pb.AgentState_AGENT_STATE_STOPPED
	newer.report(stopped)
	eventually(t, "h1/a@n1 STOPPED RED true", func() string { return f.list(t) })
}

// TestAgentsHaveOneSpelling: a node's file may say Proc where certificates and
// events say proc, and people type either.
func TestAgentsHaveOneSpelling(t *testing.T) {
	f := newFixture(t, openState(t))
	n := f.node(t, "n1", "h1", running(" Proc."))
	eventually(t, "h1/proc@n1 RUNNING GREEN true", func() string { return f.list(t) })
	defer f.service.Unsupervised("h1", "proc", nil)() // as its certificate and stream say
	stopped := running("PROC")
	stopped.State = pb.AgentState_AGENT_STATE_STOPPED
	n.report(stopped)
	eventually(t, "h1/proc@n1 STOPPED RED true", func() string { return f.list(t) })
	hurried, cancel := context.WithCancel(t.Context())
	cancel()
	if _, found, _ := f.service.Ask(hurried, "PrOc", "H1", &pb.NodeCommand{}); found.AgentID != "proc" {
		t.Errorf("found %+v", found)
	}
}

func TestControlRefuses(t *testing.T) {
	f := newFixture(t, openState(t), func(o *fleet.Options) {
		o.Bind = func(_ context.Context, h *pb.NodeHello) error {
			if h.GetHost().GetName() == "stolen" {
				return errors.New("certificate is for another host")
			}
			return nil
		}
	})
	f.node(t, "owner", "owned", running("a"))
	eventually(t, "owned/a@owner RUNNING GREEN true", func() string { return f.list(t) })
	many := make([]*pb.AgentStatus, 300)
	for i := range many {
		many[i] = running(fmt.Sprint("a", i))
	}
	for name, tc := range map[string]struct {
		n    *node
		want codes.Code
	}{
		"no node id":    {f.node(t, "", "h"), codes.InvalidArgument},
		"no host":       {f.node(t, "n", ""), codes.InvalidArgument},
		"long id":       {f.node(t, strings.Repeat("n", 300), "h"), codes.InvalidArgument},
		"line break":    {f.node(t, "n\nn", "h"), codes.InvalidArgument},
		"many agents":   {f.node(t, "n2", "h", many...), codes.InvalidArgument},
		"no agent id":   {f.node(t, "n3", "h", running("")), codes.InvalidArgument},
		"slash in id":   {f.node(t, "n4", "h", running("a/b")), codes.InvalidArgument},
		"not its host":  {f.node(t, "n5", "stolen", running("a")), codes.PermissionDenied},
		"owned by node": {f.node(t, "thief", "owned", running("a")), codes.AlreadyExists},
	} {
		if err := tc.n.end(); status.Code(err) != tc.want {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	twice := f.node(t, "n6", "h")
	twice.send(&pb.NodeMessage{Message: &pb.NodeMessage_Hello{Hello: &pb.NodeHello{NodeId: "n6", Host: &pb.Host{Name: "h"}}}})
	if err := twice.end(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("hello twice: %v", err)
	}
	eventually(t, "owned/a@owner RUNNING GREEN true", func() string { return f.list(t) })
}

func TestAgentsAreKnownAfterARestart(t *testing.T) {
	db := openState(t)
	f := newFixture(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.service.Run(ctx) }()
	n := f.node(t, "n1", "h1", running("a"), running("b"))
	eventually(t, "h1/a@n1 RUNNING GREEN true\nh1/b@n1 RUNNING GREEN true", func() string { return f.list(t) })
	n.cancel()
	eventually(t, "h1/a@n1 UNKNOWN UNSPECIFIED false\nh1/b@n1 UNKNOWN UNSPECIFIED false", func() string { return f.list(t) })
	f.node(t, "n1", "h1", running("b"))
	eventually(t, "h1/b@n1 RUNNING GREEN true", func() string { return f.list(t) })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	again := newFixture(t, db)
	if got := again.list(t); got != "h1/b@n1 UNKNOWN UNSPECIFIED false" {
		t.Errorf("after a restart: %s", got)
	}
	monthAhead := func() time.Time { return time.Now().Add(31 * 24 * time.Hour) }
	doubted := newFixture(t, db, func(o *fleet.Options) { o.Now, o.Age = monthAhead, time.Since })
	if got := doubted.list(t); got != "h1/b@n1 UNKNOWN UNSPECIFIED false" {
		t.Errorf("with a clock that nobody believes: %s", got)
	}
	later := newFixture(t, db, func(o *fleet.Options) { o.Now = monthAhead })
	if got := later.list(t); got != "" {
		t.Errorf("a month later: %s", got)
	}
}

func (f *fixture) command(ctx context.Context, id, host string, c pb.AgentCommand) (*pb.CommandAgentResponse, error) {
	return f.client.CommandAgent(ctx, &pb.CommandAgentRequest{AgentId: id, Host: host, Command: c, Actor: "ada", Lines: 3})
}

func TestCommandAgent(t *testing.T) {
	f := newFixture(t, openState(t))
	n := f.node(t, "n1", "h1", running("a"))
	f.node(t, "n2", "h2", running("a"), running("b"))
	eventually(t, "h1/a@n1 RUNNING GREEN true\nh2/a@n2 RUNNING GREEN true\nh2/b@n2 RUNNING GREEN true", func() string { return f.list(t) })
	if err := f.service.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer := func(result *pb.CommandResult) {
		command, err := n.stream.Recv()
		if err != nil {
			t.Error(err)
			return
		}
		result.Id = command.GetId()
		n.send(&pb.NodeMessage{Message: &pb.NodeMessage_Result{Result: &pb.CommandResult{Id: command.GetId() + 1000}}})
		n.send(&pb.NodeMessage{Message: &pb.NodeMessage_Result{Result: result}})
		n.send(&pb.NodeMessage{Message: &pb.NodeMessage_Result{Result: result}}) // a second answer is nobody's
	}
	var wg sync.WaitGroup
	stopped := running("a")
	stopped.State = pb.AgentState_AGENT_STATE_STOPPED
	wg.Go(func() { answer(&pb.CommandResult{Ok: true, Agent: stopped}) })
	got, err := f.command(t.Context(), "a", "h1", pb.AgentCommand_AGENT_COMMAND_STOP)
	if err != nil || got.GetAgent().GetState() != pb.AgentState_AGENT_STATE_STOPPED {
		t.Errorf("stop: %v, %v", got, err)
	}
	wg.Wait()
	if f.trail.last() != "ada agent.stop h1/a true" {
		t.Error(f.trail.last())
	}
	known, err := f.db.Agents(t.Context())
	if err != nil || known[0].Desired != "stopped" {
		t.Errorf("desired %q, %v", known[0].Desired, err)
	}
	wg.Go(func() { answer(&pb.CommandResult{Error: "no such file"}) })
	if _, err := f.command(t.Context(), "a", "h1", pb.AgentCommand_AGENT_COMMAND_START); status.Code(err) != codes.Aborted || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("refused: %v", err)
	}
	wg.Wait()
	if f.trail.last() != "ada agent.start h1/a false" {
		t.Error(f.trail.last())
	}
	wg.Go(func() { answer(&pb.CommandResult{Ok: true, Lines: []string{"1", "2", strings.Repeat("x", 10_000)}}) })
	got, err = f.command(t.Context(), "a", "h1", pb.AgentCommand_AGENT_COMMAND_LOGS)
	if err != nil || len(got.GetLines()) != 3 || len(got.GetLines()[2]) != 4096 {
		t.Errorf("logs: %d lines, %v", len(got.GetLines()), err)
	}
	wg.Wait()
	if f.trail.last() != "ada agent.start h1/a false" {
		t.Error("reading logs was audited")
	}
	for name, tc := range map[string]struct {
		id, host string
		command  pb.AgentCommand
		want     codes.Code
	}{
		"unknown":       {"z", "", pb.AgentCommand_AGENT_COMMAND_STOP, codes.NotFound},
		"unknown host":  {"a", "h3", pb.AgentCommand_AGENT_COMMAND_STOP, codes.NotFound},
		"ambiguous":     {"a", "", pb.AgentCommand_AGENT_COMMAND_STOP, codes.FailedPrecondition},
		"no command":    {"a", "h1", pb.AgentCommand_AGENT_COMMAND_UNSPECIFIED, codes.InvalidArgument},
		"later command": {"a", "h1", 99, codes.InvalidArgument},
	} {
		if _, err := f.command(t.Context(), tc.id, tc.host, tc.command); status.Code(err) != tc.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCommandWhenTheNodeGoes(t *testing.T) {
	f := newFixture(t, openState(t), func(o *fleet.Options) { o.CommandTimeout = 50 * time.Millisecond })
	n := f.node(t, "n1", "h1", running("a"))
	eventually(t, "h1/a@n1 RUNNING GREEN true", func() string { return f.list(t) })
	if _, err := f.command(t.Context(), "a", "", pb.AgentCommand_AGENT_COMMAND_STOP); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("no answer: %v", err)
	}
	long := newFixture(t, openState(t))
	n2 := long.node(t, "n1", "h1", running("a"))
	eventually(t, "h1/a@n1 RUNNING GREEN true", func() string { return long.list(t) })
	failed := make(chan error, 1)
	go func() {
		_, err := long.command(t.Context(), "a", "", pb.AgentCommand_AGENT_COMMAND_STOP)
		failed <- err
	}()
	if _, err := n2.stream.Recv(); err != nil {
		t.Fatal(err)
	}
	n2.cancel()
	if err := <-failed; status.Code(err) != codes.Unavailable {
		t.Errorf("gone while waiting: %v", err)
	}
	n.cancel()
	eventually(t, "h1/a@n1 UNKNOWN UNSPECIFIED false", func() string { return f.list(t) })
	if _, err := f.command(t.Context(), "a", "", pb.AgentCommand_AGENT_COMMAND_STOP); status.Code(err) != codes.Unavailable {
		t.Errorf("not connected: %v", err)
	}
}

func TestWatchCoalesces(t *testing.T) {
	f := newFixture(t, openState(t))
	n := f.node(t, "n1", "h1", running("a"), running("b"))
	eventually(t, "h1/a@n1 RUNNING GREEN true\nh1/b@n1 RUNNING GREEN true", func() string { return f.list(t) })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch, err := f.client.WatchAgents(ctx, &pb.WatchAgentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := watch.Recv()
	if err != nil || !first.GetSnapshot() || len(first.GetAgents()) != 2 {
		t.Fatalf("first: %v, %v", first, err)
	}
	for i := range 1000 {
		a := running("a")
		a.EventsTotal = uint64(i + 1)
		n.report(a)
	}
	for {
		got, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got.GetSnapshot() || len(got.GetAgents()) != 1 {
			t.Fatalf("change %v", got)
		}
		if got.GetAgents()[0].GetEventsTotal() == 1000 {
			break
		}
	}
	f.node(t, "n1", "h1", running("b"))
	got, err := watch.Recv()
	for err == nil && len(got.GetRemoved()) == 0 {
		got, err = watch.Recv()
	}
	if err != nil || got.GetRemoved()[0] != "h1/a" {
		t.Errorf("removed %v, %v", got, err)
	}
}

func TestWatchOfManyAgentsComesInPieces(t *testing.T) {
	f := newFixture(t, openState(t))
	for n := range 10 {
		var agents []*pb.AgentStatus
		for i := range 250 {
			agents = append(agents, running(fmt.Sprint("a", i)))
		}
		f.node(t, fmt.Sprint("n", n), fmt.Sprint("h", n), agents...)
	}
	eventually(t, "2500", func() string {
		got, err := f.client.ListAgents(t.Context(), &pb.ListAgentsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(len(got.GetAgents()))
	})
	watch, err := f.client.WatchAgents(t.Context(), &pb.WatchAgentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	total, snapshots := 0, 0
	for total < 2500 {
		got, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		total += len(got.GetAgents())
		if got.GetSnapshot() {
			snapshots++
		}
	}
	if snapshots != 1 {
		t.Errorf("%d snapshots", snapshots)
	}
}

func TestGauges(t *testing.T) {
	f := newFixture(t, openState(t))
	stopped := running("b")
	stopped.Pid = 0
	f.node(t, "n1", "h1", running("a"), stopped)
	eventually(t, "agent_rss_bytes By a@h1 1000\nagent_cpu_percent % a@h1 1.5", func() string {
		var lines []string
		f.service.Gauges(func(name, unit string, labels map[string]string, v float64) {
			lines = append(lines, fmt.Sprintf("%s %s %s@%s %v", name, unit, labels["agent"], labels["host"], v))
		})
		return strings.Join(lines, "\n")
	})
}
