package tasks_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/hub/fleet"
	"github.com/amoskys/amoskys/internal/hub/tasks"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// declared are the tasks of the agent in these tests.
func declared() []task.Task {
	return []task.Task{
		{Name: "fill", Summary: "writes a result", ResultType: "application/octet-stream", Parameters: []task.Parameter{
			{Name: "bytes", Summary: "how many", Type: task.Integer, Default: "10"},
		}},
		{Name: "wait", Summary: "waits"},
	}
}

// work carries the tasks out. ended gets why each wait has ended.
type work struct{ ended chan error }

func (w *work) run(ctx context.Context, c *task.Call) error {
	if c.Task == "wait" {
		c.Progress(1, 2, "waits")
		<-ctx.Done()
		w.ended <- context.Cause(ctx)
		return ctx.Err()
	}
	left, block := c.Values.Int("bytes"), make([]byte, 1<<16)
	for i := uint64(1); left > 0; i++ {
		part := block[:min(int64(len(block)), left)]
		for j := range part {
			part[j] = byte(uint64(j) * i)
		}
		if _, err := c.Write(part); err != nil {
			return err
		}
		left -= int64(len(part))
	}
	return nil
}

// trail keeps what was audited.
type trail struct {
	mu   sync.Mutex
	acts []string
}

func (t *trail) Audit(_ context.Context, a *pb.AuditActivity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acts = append(t.acts, fmt.Sprintf("%s %s %s %v %s", a.GetActor(), a.GetOperation(), a.GetTarget(), a.GetSuccess(), a.GetDetail()))
}

func (t *trail) has(parts ...string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, act := range t.acts {
		ok := true
		for _, p := range parts {
			ok = ok && strings.Contains(act, p)
		}
		if ok {
			return true
		}
	}
	return false
}

type noStore struct{}

func (noStore) Agents(context.Context) ([]state.Agent, error)            { return nil, nil }
func (noStore) PutAgents(context.Context, []state.Agent) error           { return nil }
func (noStore) DeleteAgents(context.Context, []state.Agent) error        { return nil }
func (noStore) Hosts(context.Context) ([]state.Host, error)              { return nil, nil }
func (noStore) PutHosts(context.Context, []state.Host) error             { return nil }
func (noStore) DeleteHosts(context.Context, []string) error              { return nil }
func (noStore) SetDesired(context.Context, string, string, string) error { return nil }

// world is a hub with both services, over TCP, and one node with one agent.
type world struct {
	fleet   *fleet.Service
	tasks   pb.TasksClient
	fleets  pb.FleetClient
	addr    string
	trail   *trail
	work    *work
	endNode func()
}

const whoHeader = "who" // stands for the certificate

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{trail: &trail{}, work: &work{ended: make(chan error, 100)}}
	bind := func(ctx context.Context, hello *pb.NodeHello) error {
		md, _ := metadata.FromIncomingContext(ctx)
		if who := md.Get(whoHeader); len(who) != 1 || who[0] != hello.GetNodeId() {
			return fmt.Errorf("%v is not node %s", who, hello.GetNodeId())
		}
		return nil
	}
	var service *tasks.Service
	var err error
	w.fleet, err = fleet.New(t.Context(), fleet.Options{
		Store: noStore{}, Auditor: w.trail, Bind: bind,
		Progress: func(id string, p *pb.TaskProgress) { service.Progress(id, p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	service = tasks.New(tasks.Options{Nodes: w.fleet, Auditor: w.trail, Bind: bind, Caller: func(context.Context) string { return "cert" }})
	server := grpc.NewServer(grpc.StaticStreamWindowSize(1<<20), grpc.StaticConnWindowSize(2<<20))
	pb.RegisterFleetServer(server, w.fleet)
	pb.RegisterTasksServer(server, service)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-served })
	conn := dial(t, w.addr)
	w.tasks, w.fleets = pb.NewTasksClient(conn), pb.NewFleetClient(conn)
	w.startAgent(t)
	return w
}

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// startAgent serves the agent's tasks and runs its node.
func (w *world) startAgent(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	server, err := task.NewServer(task.Options{AgentID: "test_agent", Tasks: declared(), Run: w.work.run, DataDir: dir, Logger: obs.Discard(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	l, err := task.Listen(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.New(node.Options{
		ID: "web-1", Host: &pb.Host{Name: "web-1"}, Version: "test",
		Agents: []node.Agent{{
			ID: "test_agent", Kind: "test", Argv: []string{"/nonexistent"}, DataDir: dir, Tasks: declared(),
			Settings: func() (node.Settings, error) { return node.Settings{}, nil }, // switched off: this process is the agent
		}},
		Connect: func(ctx context.Context) (node.Stream, error) { return connect(ctx, w.addr) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	nodeCtx, endNode := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { _ = server.Serve(ctx, l) })
	group.Go(func() { _ = n.Run(nodeCtx) })
	w.endNode = endNode
	t.Cleanup(func() { endNode(); cancel(); group.Wait() })
	deadline := time.After(20 * time.Second)
	for {
		r, err := w.fleets.ListAgents(t.Context(), &pb.ListAgentsRequest{})
		if err == nil && len(r.GetAgents()) == 1 && r.GetAgents()[0].GetNodeConnected() {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatal("the node does not connect")
		}
	}
}

// stream is a node's connection without TLS.
type stream struct {
	grpc.BidiStreamingClient[pb.NodeMessage, pb.NodeCommand]

	conn   *grpc.ClientConn
	cancel context.CancelFunc
}

func connect(ctx context.Context, addr string) (node.Stream, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(context.WithoutCancel(ctx), whoHeader, "web-1"))
	control, err := pb.NewFleetClient(conn).Control(ctx)
	if err != nil {
		cancel()
		return nil, errors.Join(err, conn.Close())
	}
	return &stream{control, conn, cancel}, nil
}

func (s *stream) SendResult(ctx context.Context) (node.ResultStream, error) {
	return pb.NewTasksClient(s.conn).SendResult(metadata.AppendToOutgoingContext(ctx, whoHeader, "web-1"))
}

func (s *stream) Close() { s.cancel(); s.conn.Close() }

// run starts a task and returns its first message and how to read the rest.
func (w *world) run(t *testing.T, ctx context.Context, name string, parameters map[string]string) (*pb.TaskProgress, grpc.ServerStreamingClient[pb.TaskProgress]) { //nolint:revive // t comes first in tests
	t.Helper()
	s, err := w.tasks.RunTask(ctx, &pb.RunTaskRequest{AgentId: "test_agent", Task: name, Parameters: parameters, Actor: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return first, s
}

// last reads to the end.
func last(t *testing.T, s grpc.ServerStreamingClient[pb.TaskProgress]) *pb.TaskProgress {
	t.Helper()
	var p *pb.TaskProgress
	for {
		next, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return p
		}
		if err != nil {
			t.Fatal(err)
		}
		p = next
	}
}

// wantCode reads until an error.
func wantCode(t *testing.T, recv func() error, want codes.Code, text string) {
	t.Helper()
	for {
		err := recv()
		if err == nil {
			continue
		}
		if status.Code(err) != want || !strings.Contains(err.Error(), text) {
			t.Errorf("ended with %v, want %s %q", err, want, text)
		}
		return
	}
}

func TestTaskAndItsResult(t *testing.T) {
	w := newWorld(t)
	list, err := w.tasks.ListTasks(t.Context(), &pb.ListTasksRequest{AgentId: "test_agent", Host: "web-1"})
	if err != nil || len(list.GetTasks()) != 2 || list.GetTasks()[0].GetName() != "fill" || list.GetHost() != "web-1" {
		t.Fatalf("%v, %v", list, err)
	}
	const size = 1<<20 + 7
	first, s := w.run(t, t.Context(), "fill", map[string]string{"bytes": fmt.Sprint(size)})
	if first.GetState() != pb.TaskState_TASK_STATE_RUNNING || first.GetHost() != "web-1" || first.GetAgentId() != "test_agent" {
		t.Errorf("first %v", first)
	}
	if p := last(t, s); p.GetState() != pb.TaskState_TASK_STATE_SUCCEEDED || p.GetResultBytes() != size || p.GetRunId() != first.GetRunId() {
		t.Errorf("last %v", p)
	}
	sum := sha256.New()
	info := w.fetch(t, first.GetRunId(), sum, nil)
	if info.GetBytes() != size || info.GetTask() != "fill" || info.GetResultType() != "application/octet-stream" || info.GetCreatedTime() == nil {
		t.Errorf("info %v", info)
	}
	if want := expected(size); !bytes.Equal(sum.Sum(nil), want) {
		t.Error("the result is another than was written")
	}
	for _, want := range [][]string{
		{"alice by cert agent.task web-1/test_agent true", `fill bytes="1048583" begins`},
		{"agent.task web-1/test_agent true", "has succeeded with a result of 1048583 bytes"},
		{"agent.task_result web-1/test_agent true", "1048583 bytes"},
	} {
		if !w.trail.has(want...) {
			t.Errorf("not audited: %q; audited: %q", want, w.trail.acts)
		}
	}
}

func expected(size int64) []byte {
	sum, w := sha256.New(), &work{}
	v, _ := (&declared()[0]).Parse(map[string]string{"bytes": fmt.Sprint(size)})
	_ = w.run(context.Background(), task.NewCall("fill", v, sum, nil))
	return sum.Sum(nil)
}

// fetch reads a result into sum. pause, when not nil, is called after the first chunk.
func (w *world) fetch(t *testing.T, runID string, sum hash.Hash, pause func()) *pb.TaskResultInfo {
	t.Helper()
	s, err := w.tasks.TaskResult(t.Context(), &pb.TaskResultRequest{AgentId: "test_agent", RunId: runID, Actor: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	var info *pb.TaskResultInfo
	for {
		chunk, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return info
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(chunk.GetData()) > 256<<10 {
			t.Errorf("a chunk of %d bytes", len(chunk.GetData()))
		}
		sum.Write(chunk.GetData())
		if info == nil {
			info = chunk.GetInfo()
			if pause != nil {
				pause()
			}
		}
	}
}

// TestSlowReader: the largest result, a reader that stops after the first chunk:
// nobody's memory holds it, the node's control stream goes on, and in the end
// every byte arrives.
func TestSlowReader(t *testing.T) {
	w := newWorld(t)
	first, s := w.run(t, t.Context(), "fill", map[string]string{"bytes": fmt.Sprint(task.MaxResultBytes)})
	if p := last(t, s); p.GetState() != pb.TaskState_TASK_STATE_SUCCEEDED {
		t.Fatalf("last %v", p)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	sum := sha256.New()
	w.fetch(t, first.GetRunId(), sum, func() {
		for range 50 { // commands are answered meanwhile, over the control stream
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if _, err := w.tasks.ListTasks(ctx, &pb.ListTasksRequest{AgentId: "test_agent"}); err != nil {
				t.Errorf("while the reader is slow: %v", err)
			}
			cancel()
		}
		after := heap()
		grown := int64(after) - int64(before)
		t.Logf("a stopped transfer of 64 MiB holds %d KiB in hub, node, agent and reader", grown>>10)
		if grown > 16<<20 {
			t.Errorf("a stopped transfer holds %d bytes", grown)
		}
	})
	if !bytes.Equal(sum.Sum(nil), expected(task.MaxResultBytes)) {
		t.Error("the result is another than was written")
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	first, s := w.run(t, t.Context(), "wait", nil)
	if _, err := w.tasks.CancelTask(t.Context(), &pb.CancelTaskRequest{RunId: first.GetRunId(), Actor: "bob"}); err != nil {
		t.Fatal(err)
	}
	if p := last(t, s); p.GetState() != pb.TaskState_TASK_STATE_CANCELLED {
		t.Errorf("last %v", p)
	}
	<-w.work.ended
	if _, err := w.tasks.CancelTask(t.Context(), &pb.CancelTaskRequest{RunId: first.GetRunId()}); status.Code(err) != codes.NotFound {
		t.Errorf("cancelled again: %v", err)
	}
	if !w.trail.has("bob by cert agent.task_cancel web-1/test_agent true") || !w.trail.has("agent.task web-1/test_agent false", "cancelled") {
		t.Errorf("audited %q", w.trail.acts)
	}
	// The caller leaves.
	ctx, leave := context.WithCancel(t.Context())
	w.run(t, ctx, "wait", nil)
	leave()
	select {
	case <-w.work.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("a task goes on whose caller has left")
	}
	// The reader of a result leaves.
	first, s = w.run(t, t.Context(), "fill", map[string]string{"bytes": "8000000"})
	last(t, s)
	ctx, leave = context.WithCancel(t.Context())
	r, err := w.tasks.TaskResult(ctx, &pb.TaskResultRequest{AgentId: "test_agent", RunId: first.GetRunId()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Recv(); err != nil {
		t.Fatal(err)
	}
	leave()
	w.fetch(t, first.GetRunId(), sha256.New(), nil) // it is there for the next
}

func TestNodeGoesAway(t *testing.T) {
	w := newWorld(t)
	_, s := w.run(t, t.Context(), "wait", nil)
	w.endNode()
	wantCode(t, func() error { _, err := s.Recv(); return err }, codes.Unavailable, "went away")
	select {
	case <-w.work.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("a task goes on whose node has ended")
	}
	_, err := w.tasks.ListTasks(t.Context(), &pb.ListTasksRequest{AgentId: "test_agent"})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("without a node: %v", err)
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	for name, tt := range map[string]struct {
		req  *pb.RunTaskRequest
		code codes.Code
		text string
	}{
		"no agent":      {&pb.RunTaskRequest{AgentId: "other", Task: "wait"}, codes.NotFound, "no agent"},
		"no task":       {&pb.RunTaskRequest{AgentId: "test_agent", Task: "scan"}, codes.InvalidArgument, `has no task "scan"; it has fill, wait`},
		"no name":       {&pb.RunTaskRequest{AgentId: "test_agent"}, codes.InvalidArgument, "task must be"},
		"bad parameter": {&pb.RunTaskRequest{AgentId: "test_agent", Task: "fill", Parameters: map[string]string{"bytes": "x"}}, codes.InvalidArgument, "not a whole number"},
		"large":         {&pb.RunTaskRequest{AgentId: "test_agent", Task: "fill", Parameters: map[string]string{"bytes": strings.Repeat("x", 5000)}}, codes.InvalidArgument, "4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := w.tasks.RunTask(t.Context(), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			wantCode(t, func() error { _, err := s.Recv(); return err }, tt.code, tt.text)
		})
	}
	if !w.trail.has("agent.task web-1/test_agent false scan", "has no task") {
		t.Errorf("audited %q", w.trail.acts)
	}
	s, err := w.tasks.TaskResult(t.Context(), &pb.TaskResultRequest{AgentId: "test_agent", RunId: "0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, func() error { _, err := s.Recv(); return err }, codes.Aborted, "kept for an hour")
}
