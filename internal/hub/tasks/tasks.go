// Package tasks is the hub's Tasks service: it carries a person's wish to run a
// task to the agent's node over Fleet.Control, the progress back, and the result
// through from a stream that the node opens for it.
//
// The hub keeps nothing of a result and of each run only what was last said of
// it. A slow reader holds up its own transfer alone: there is no queue between
// the node's stream and the reader's, so gRPC's windows stop the node.
package tasks

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/hub/fleet"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on what callers and nodes may use.
const (
	maxRuns           = 256
	maxTransfers      = 64
	maxParameters     = 16
	maxParameterBytes = 4 << 10
	maxName           = 64
	maxText           = 1 << 10
	maxTasks          = 64
	maxChunk          = 256 << 10
	maxResult         = 64 << 20
	// longestRun is more than any task may take, in case a node never says more.
	longestRun = 70 * time.Minute
	// longestTransfer is how long a reader may take to read.
	longestTransfer = 30 * time.Minute
	// cancelFor is how long the hub tries to tell a node that a caller has left.
	cancelFor = 10 * time.Second
)

// Nodes reaches the nodes of agents; *fleet.Service does.
type Nodes interface {
	Ask(ctx context.Context, id, host string, c *pb.NodeCommand) (*pb.CommandResult, fleet.Found, error)
	Tell(nodeID string, c *pb.NodeCommand) bool
}

// Options are what the service needs.
type Options struct {
	Nodes   Nodes
	Auditor fleet.Auditor
	// Bind says whether the caller of SendResult, known from ctx, may be the node;
	// see fleet.Options. Nil lets every caller be any node.
	Bind func(ctx context.Context, hello *pb.NodeHello) error
	// Caller names who calls, for the audit trail. Nil names nobody.
	Caller func(ctx context.Context) string
	Logger *slog.Logger
}

// Service implements the Tasks service.
type Service struct {
	pb.UnimplementedTasksServer
	o Options

	mu        sync.Mutex // guards what follows; held shortly
	runs      map[string]*run
	transfers map[string]*transfer

	metrics *metrics
}

// New returns the service.
func New(o Options) *Service {
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	s := &Service{o: o, runs: map[string]*run{}, transfers: map[string]*transfer{}}
	s.metrics = newMetrics(s)
	return s
}

// run is one task that somebody follows.
type run struct {
	id   string
	wake chan struct{} // one token: newest has changed

	mu     sync.Mutex // guards what follows
	newest *pb.TaskProgress
	from   string // node that said it
	node   string // node that runs it, once it is known
	agent  string // "host/id"
}

// newName is a name that nobody guesses.
func newName() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// ListTasks implements the Tasks service.
func (s *Service) ListTasks(ctx context.Context, req *pb.ListTasksRequest) (*pb.ListTasksResponse, error) {
	result, found, err := s.o.Nodes.Ask(ctx, req.GetAgentId(), req.GetHost(), &pb.NodeCommand{Command: pb.AgentCommand_AGENT_COMMAND_LIST_TASKS})
	if err != nil {
		return nil, err
	}
	list := result.GetTasks()
	return &pb.ListTasksResponse{AgentId: found.AgentID, Host: found.Host, Tasks: list[:min(len(list), maxTasks)]}, nil
}

// RunTask implements the Tasks service.
func (s *Service) RunTask(req *pb.RunTaskRequest, stream grpc.ServerStreamingServer[pb.TaskProgress]) error {
	if err := checkRequest(req); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(stream.Context(), longestRun)
	defer cancel()
	r, err := s.addRun()
	if err != nil {
		return err
	}
	defer s.removeRun(r)
	_, found, err := s.o.Nodes.Ask(ctx, req.GetAgentId(), req.GetHost(), &pb.NodeCommand{
		Command: pb.AgentCommand_AGENT_COMMAND_RUN_TASK,
		Task:    &pb.TaskCommand{RunId: r.id, Task: req.GetTask(), Parameters: req.GetParameters()},
	})
	act := &pb.AuditActivity{Actor: req.GetActor(), Operation: "agent.task", Target: found.Host + "/" + found.AgentID}
	if found.AgentID == "" {
		act.Target = req.GetHost() + "/" + req.GetAgentId()
	}
	wish := describe(req)
	if err != nil {
		if found.NodeID != "" && status.Code(err) != codes.Aborted && status.Code(err) != codes.InvalidArgument { // it may have begun
			s.stop(found, r.id)
		}
		s.metrics.ended.WithLabelValues("refused").Inc()
		s.audit(ctx, act, wish, err)
		return err
	}
	r.mu.Lock()
	r.node, r.agent = found.NodeID, act.GetTarget()
	r.mu.Unlock()
	s.audit(ctx, act, wish+" begins", nil)
	last, err := r.follow(ctx, found, stream)
	if err != nil {
		s.stop(found, r.id)
		s.metrics.ended.WithLabelValues("lost").Inc()
		s.audit(ctx, act, wish, err)
		return err
	}
	outcome := stateWord(last.GetState())
	s.metrics.ended.WithLabelValues(outcome).Inc()
	if last.GetState() != pb.TaskState_TASK_STATE_SUCCEEDED {
		s.audit(ctx, act, wish, fmt.Errorf("%s: %s", outcome, last.GetText()))
		return nil
	}
	done := fmt.Sprintf("%s has %s with a result of %d bytes", wish, outcome, last.GetResultBytes())
	if text := clip(last.GetText()); text != "" {
		done += ": " + text
	}
	s.audit(ctx, act, done, nil)
	return nil
}

func checkRequest(req *pb.RunTaskRequest) error {
	size := 0
	for k, v := range req.GetParameters() {
		size += len(k) + len(v)
	}
	switch {
	case req.GetTask() == "" || len(req.GetTask()) > maxName:
		return status.Errorf(codes.InvalidArgument, "task must be a name of at most %d bytes", maxName)
	case len(req.GetParameters()) > maxParameters || size > maxParameterBytes:
		return status.Errorf(codes.InvalidArgument, "at most %d parameters of %d bytes together are possible", maxParameters, maxParameterBytes)
	}
	return nil
}

// follow sends what is said of a run until that is final. It returns that, or why
// there is none.
func (r *run) follow(ctx context.Context, found fleet.Found, stream grpc.ServerStreamingServer[pb.TaskProgress]) (*pb.TaskProgress, error) {
	// The id comes first, so that the caller can cancel what says nothing yet.
	p := &pb.TaskProgress{State: pb.TaskState_TASK_STATE_RUNNING}
	for {
		if p != nil {
			p.RunId, p.AgentId, p.Host = r.id, found.AgentID, found.Host
			if err := stream.Send(p); err != nil {
				return nil, err
			}
			if p.GetState() != pb.TaskState_TASK_STATE_RUNNING {
				return p, nil
			}
		}
		select {
		case <-r.wake:
			p = r.take()
		case <-found.Gone:
			if p = r.take(); p != nil && p.GetState() != pb.TaskState_TASK_STATE_RUNNING {
				continue // its last word
			}
			return nil, status.Errorf(codes.Unavailable, "node %s went away; it cancels the task when it notices", found.NodeID)
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// take returns what the run's own node last said, once.
func (r *run) take() *pb.TaskProgress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.newest
	r.newest = nil
	if r.from != r.node {
		return nil
	}
	return p
}

// Progress takes what a node says of a run; see fleet.Options. Only the newest is
// kept. What nobody follows is dropped.
func (s *Service) Progress(nodeID string, p *pb.TaskProgress) {
	s.mu.Lock()
	r := s.runs[p.GetRunId()]
	s.mu.Unlock()
	if r == nil {
		return
	}
	p = proto.CloneOf(p)
	p.ProtoReflect().SetUnknown(nil)
	p.Text = clip(p.GetText())
	if _, known := pb.TaskState_name[int32(p.GetState())]; !known || p.GetState() == pb.TaskState_TASK_STATE_UNSPECIFIED {
		p.State = pb.TaskState_TASK_STATE_RUNNING // of a later version
	}
	r.mu.Lock()
	// What is final stays, whatever follows.
	if r.newest == nil || r.newest.GetState() == pb.TaskState_TASK_STATE_RUNNING {
		r.newest, r.from = p, nodeID
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func clip(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "")
}

func (s *Service) addRun() (*run, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.runs) >= maxRuns {
		return nil, status.Errorf(codes.ResourceExhausted, "the hub follows its most of %d tasks", maxRuns)
	}
	r := &run{id: newName(), wake: make(chan struct{}, 1)}
	s.runs[r.id] = r
	return r, nil
}

func (s *Service) removeRun(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, r.id)
}

// stop tells the node that nobody follows a run any more. It tries again for a
// while when the node does not read.
func (s *Service) stop(found fleet.Found, runID string) {
	limit := time.NewTimer(cancelFor)
	defer limit.Stop()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for !s.o.Nodes.Tell(found.NodeID, cancelCommand(found.AgentID, runID)) {
		select {
		case <-found.Gone: // a node cancels what it runs when its stream ends
			return
		case <-limit.C:
			s.o.Logger.Warn("task not cancelled, its node takes no commands", "node", found.NodeID, obs.KeyAgent, found.AgentID)
			return
		case <-again.C:
		}
	}
}

func cancelCommand(agentID, runID string) *pb.NodeCommand {
	return &pb.NodeCommand{
		Command: pb.AgentCommand_AGENT_COMMAND_CANCEL_TASK, AgentId: agentID, Task: &pb.TaskCommand{RunId: runID},
	}
}

// CancelTask implements the Tasks service.
func (s *Service) CancelTask(ctx context.Context, req *pb.CancelTaskRequest) (*pb.CancelTaskResponse, error) {
	s.mu.Lock()
	r := s.runs[req.GetRunId()]
	s.mu.Unlock()
	if r == nil {
		return nil, status.Error(codes.NotFound, "no such task runs any more")
	}
	r.mu.Lock()
	agent := r.agent
	r.mu.Unlock()
	host, id, begun := strings.Cut(agent, "/")
	if !begun {
		return nil, status.Error(codes.FailedPrecondition, "the task has not begun yet")
	}
	_, _, err := s.o.Nodes.Ask(ctx, id, host, cancelCommand("", r.id))
	s.audit(ctx, &pb.AuditActivity{Actor: req.GetActor(), Operation: "agent.task_cancel", Target: agent}, "", err)
	if err != nil {
		return nil, err
	}
	return &pb.CancelTaskResponse{}, nil
}

// describe is a task with its parameters in one line.
func describe(req *pb.RunTaskRequest) string {
	words := make([]string, 1, 1+len(req.GetParameters()))
	words[0] = req.GetTask()
	for _, name := range slices.Sorted(maps.Keys(req.GetParameters())) {
		words = append(words, fmt.Sprintf("%s=%q", name, req.GetParameters()[name]))
	}
	return strings.Join(words, " ")
}

// audit records an act; detail says what, and err why it failed.
func (s *Service) audit(ctx context.Context, act *pb.AuditActivity, detail string, err error) {
	if s.o.Auditor == nil {
		return
	}
	act = proto.CloneOf(act)
	act.Success, act.Detail = err == nil, detail
	if err != nil {
		act.Detail = strings.TrimPrefix(detail+": "+status.Convert(err).Message(), ": ")
	}
	if s.o.Caller != nil {
		act.Actor = fleet.ActorBy(act.GetActor(), s.o.Caller(ctx))
	}
	s.o.Auditor.Audit(ctx, act)
}
