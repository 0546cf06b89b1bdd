package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on tasks of all agents of a node together.
const (
	maxTaskRuns  = 8
	maxTransfers = 4
	chunkBytes   = 256 << 10
	// progressEvery spaces the progress of all runs. What is final is sent at once.
	progressEvery = 100 * time.Millisecond
)

// taskDesk is what one session knows of the tasks that it follows.
type taskDesk struct {
	runs, transfers chan struct{} // one token each per run and transfer
	wake            chan struct{} // one token: there is progress to send

	mu     sync.Mutex                  // guards what follows
	newest map[string]*pb.TaskProgress // by run, not sent yet
	timer  bool                        // wake is about to get its token
}

func newTaskDesk() *taskDesk {
	return &taskDesk{
		runs: make(chan struct{}, maxTaskRuns), transfers: make(chan struct{}, maxTransfers),
		wake: make(chan struct{}, 1), newest: map[string]*pb.TaskProgress{},
	}
}

// put replaces what a run last said, if that is not sent yet.
func (d *taskDesk) put(runID string, p task.Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.newest[runID] = p.Message(runID)
	switch {
	case p.State.Final():
		d.ring()
	case !d.timer:
		d.timer = true
		time.AfterFunc(progressEvery, d.ring)
	}
}

func (d *taskDesk) ring() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take returns what is to be sent.
func (d *taskDesk) take() []*pb.TaskProgress {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer = false
	out := make([]*pb.TaskProgress, 0, len(d.newest))
	for _, p := range d.newest {
		out = append(out, p)
	}
	clear(d.newest)
	return out
}

// slot takes a token, or says that there is none.
func slot(tokens chan struct{}, what string) (release func(), err error) {
	select {
	case tokens <- struct{}{}:
		return func() { <-tokens }, nil
	default:
		return nil, fmt.Errorf("the node has its most of %d %s already; try again", cap(tokens), what)
	}
}

// taskCommand carries out one command about tasks.
func (s *session) taskCommand(ctx, limit context.Context, c *pb.NodeCommand) *pb.CommandResult {
	result := &pb.CommandResult{Id: c.GetId()}
	m := s.node.agent(c.GetAgentId())
	if m == nil {
		result.Error = fmt.Sprintf("this node has no agent %q", c.GetAgentId())
		return result
	}
	var err error
	switch c.GetCommand() {
	case pb.AgentCommand_AGENT_COMMAND_LIST_TASKS:
		// An agent that does not run, or is of an earlier version, does not say.
		lacks, _ := m.tasks.Unavailable(limit)
		result.Tasks = task.Messages(m.spec.Tasks, lacks)
	case pb.AgentCommand_AGENT_COMMAND_RUN_TASK:
		err = s.runTask(ctx, m, c.GetTask())
	case pb.AgentCommand_AGENT_COMMAND_CANCEL_TASK:
		err = m.tasks.Cancel(limit, c.GetTask().GetRunId())
	case pb.AgentCommand_AGENT_COMMAND_SEND_RESULT:
		err = s.sendResult(ctx, m, c.GetTask())
	default: // carryOut sends no others here
	}
	if err != nil {
		result.Error, result.BadRequest = err.Error(), errors.Is(err, task.ErrBadRequest)
	}
	result.Ok = err == nil
	return result
}

// runTask starts a task and follows it until it ends or ctx does.
func (s *session) runTask(ctx context.Context, m *managed, c *pb.TaskCommand) error {
	release, err := slot(s.tasks.runs, "tasks running")
	if err != nil {
		return err
	}
	wait, err := m.tasks.Run(ctx, c.GetRunId(), c.GetTask(), c.GetParameters())
	if err != nil {
		release()
		if _, away := errors.AsType[*os.SyscallError](err); away { // it cannot be connected to
			return cmp.Or(m.idle(), err)
		}
		return err
	}
	s.commands.Go(func() {
		defer release()
		err := wait(func(p task.Progress) { s.tasks.put(c.GetRunId(), p) })
		if err != nil {
			s.tasks.put(c.GetRunId(), task.Progress{State: task.Failed, Text: err.Error()})
		}
	})
	return nil
}

// sendResult finds a result and sends it on a stream of its own. What waits is
// one chunk and the windows of two connections, however slow the reader is.
func (s *session) sendResult(ctx context.Context, m *managed, c *pb.TaskCommand) error {
	release, err := slot(s.tasks.transfers, "results under way")
	if err != nil {
		return err
	}
	info, body, err := m.tasks.Result(ctx, c.GetRunId())
	if err != nil {
		release()
		return err
	}
	s.commands.Go(func() {
		defer release()
		defer body.Close()
		if err := s.upload(ctx, c.GetTransferId(), info, body); err != nil {
			s.node.o.Logger.Info("result of task not sent to its end", obs.KeyAgent, m.spec.ID, obs.KeyError, err)
		}
	})
	return nil
}

// upload sends one result. A receiver that has enough ends the stream.
func (s *session) upload(ctx context.Context, transferID string, info *pb.TaskResultInfo, body io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a result that cannot be read to its end leaves no stream behind
	stream, err := s.stream.SendResult(ctx)
	if err != nil {
		return fmt.Errorf("open stream for result: %w", err)
	}
	first := &pb.TaskChunk{TransferId: transferID, Info: info}
	for chunk := first; ; {
		if err := stream.Send(chunk); err != nil {
			_, err = stream.CloseAndRecv() // why it has ended
			return err
		}
		data := make([]byte, chunkBytes)
		n, err := io.ReadFull(body, data)
		switch {
		case errors.Is(err, io.EOF):
			_, err := stream.CloseAndRecv()
			return err
		case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("read result: %w", err)
		}
		chunk = &pb.TaskChunk{Data: data[:n]}
	}
}
