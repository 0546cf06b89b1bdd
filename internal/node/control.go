package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Pace of the stream to the hub.
const (
	reportEvery    = time.Second
	reconnectFirst = 250 * time.Millisecond
	reconnectLast  = 10 * time.Second
	commandTimeout = 25 * time.Second // less than the hub waits
	// How long the hub may take to acknowledge the end of the stream.
	farewellTimeout = time.Second
	maxCommands     = 16 // carried out side by side
)

// control keeps a stream to the hub open until ctx ends.
func (n *Node) control(ctx context.Context) {
	attempt := 0
	away := false // the loss is logged once, not at every try
	for ctx.Err() == nil {
		begun := time.Now()
		err := n.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > reconnectLast {
			attempt, away = 0, false
		}
		if !away {
			n.o.Logger.Warn("hub is not connected; agents keep running and spooling", obs.KeyError, err)
			away = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(Pause(attempt)):
		}
		attempt++
	}
}

// Pause is how long a node waits before it tries again to reach the hub, after so
// many tries in vain. The jitter keeps a fleet from coming back in step; the last
// pause is short, since a hub that is back is of no use to who sleeps.
func Pause(attempt int) time.Duration {
	pause := min(reconnectFirst<<min(attempt, 16), reconnectLast)
	return pause/2 + rand.N(pause/2+1) //nolint:gosec // jitter, not a secret
}

// session holds one stream: hello, then changes out and commands in.
func (n *Node) session(ctx context.Context) error {
	stream, err := n.o.Connect(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &session{
		node: n, stream: stream, results: make(chan *pb.CommandResult, maxCommands), slots: make(chan struct{}, maxCommands),
		tasks: newTaskDesk(),
	}
	failed := make(chan error, 1)
	var receiver sync.WaitGroup
	receiver.Go(func() { failed <- s.receive(ctx) })
	err = s.send(ctx, failed)
	if err == nil {
		s.farewell(failed)
	}
	cancel()
	stream.Close()
	receiver.Wait()
	s.commands.Wait()
	return err
}

// farewell lets what was sent arrive before the stream is torn down.
func (s *session) farewell(failed <-chan error) {
	if s.stream.CloseSend() != nil {
		return
	}
	select {
	case err := <-failed:
		s.node.o.Logger.Debug("stream to hub ended", obs.KeyError, err)
	case <-time.After(farewellTimeout):
	}
}

// session is one stream while it is open.
type session struct {
	node     *Node
	stream   Stream
	results  chan *pb.CommandResult
	slots    chan struct{} // one token per command that is carried out
	commands sync.WaitGroup
	tasks    *taskDesk
}

// send reports until the stream or ctx ends. It alone writes to the stream.
func (s *session) send(ctx context.Context, failed <-chan error) error {
	n := s.node
	agents := n.Statuses()
	hello := &pb.NodeHello{NodeId: n.o.ID, Host: n.o.Host, Version: n.o.Version, Agents: agents, InstanceId: n.instance}
	if n.o.Authorities != nil {
		hello.Authorities = n.o.Authorities()
	}
	if err := s.stream.Send(&pb.NodeMessage{Message: &pb.NodeMessage_Hello{Hello: hello}}); err != nil {
		return fmt.Errorf("greet hub: %w", err)
	}
	sent := map[string]*pb.AgentStatus{}
	for _, a := range agents {
		sent[a.GetId()] = a
	}
	connected := false
	defer n.connected.Store(false)
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return s.report(sent) // the last word: the agents have stopped
		case result := <-s.results:
			if err := s.stream.Send(&pb.NodeMessage{Message: &pb.NodeMessage_Result{Result: result}}); err != nil {
				return fmt.Errorf("answer hub: %w", err)
			}
		case <-s.tasks.wake:
			for _, p := range s.tasks.take() {
				if err := s.stream.Send(&pb.NodeMessage{Message: &pb.NodeMessage_Progress{Progress: p}}); err != nil {
					return fmt.Errorf("report progress to hub: %w", err)
				}
			}
		case <-tick.C:
			if !connected {
				n.o.Logger.Info("hub is connected")
				connected = true
				n.connected.Store(true)
			}
			if err := s.report(sent); err != nil {
				return err
			}
		}
	}
}

// report sends what changed since the last time.
func (s *session) report(sent map[string]*pb.AgentStatus) error {
	changes := differing(sent, s.node.Statuses())
	if len(changes) == 0 {
		return nil
	}
	if err := s.stream.Send(&pb.NodeMessage{Message: &pb.NodeMessage_Report{Report: &pb.AgentReport{Agents: changes}}}); err != nil {
		return fmt.Errorf("report to hub: %w", err)
	}
	for _, a := range changes {
		sent[a.GetId()] = a
	}
	return nil
}

var errBusy = errors.New("the node is busy with other commands; try again")

// receive carries out commands, side by side but bounded, until the stream ends.
func (s *session) receive(ctx context.Context) error {
	for {
		command, err := s.stream.Recv()
		if err != nil {
			return err
		}
		select {
		case s.slots <- struct{}{}:
		default:
			s.answer(ctx, &pb.CommandResult{Id: command.GetId(), Error: errBusy.Error()})
			continue
		}
		s.commands.Go(func() {
			defer func() { <-s.slots }()
			limit, cancel := context.WithTimeout(ctx, commandTimeout)
			defer cancel()
			s.node.o.Logger.Info("command from hub", obs.KeyCommand, command.GetCommand().String(), obs.KeyAgent, command.GetAgentId())
			s.answer(ctx, s.carryOut(ctx, limit, command))
		})
	}
}

// carryOut does what a command says and reports how it went. Tasks that it starts
// end with ctx, the session's, because nobody can follow them any more then.
func (s *session) carryOut(ctx, limit context.Context, c *pb.NodeCommand) *pb.CommandResult {
	switch c.GetCommand() {
	case pb.AgentCommand_AGENT_COMMAND_LIST_TASKS, pb.AgentCommand_AGENT_COMMAND_RUN_TASK,
		pb.AgentCommand_AGENT_COMMAND_CANCEL_TASK, pb.AgentCommand_AGENT_COMMAND_SEND_RESULT:
		return s.taskCommand(ctx, limit, c)
	case pb.AgentCommand_AGENT_COMMAND_CHECK_CERTIFICATES:
		if s.node.o.CheckCertificates == nil {
			return &pb.CommandResult{Id: c.GetId(), Error: "nobody renews certificates here"}
		}
		s.node.o.CheckCertificates()
		return &pb.CommandResult{Id: c.GetId(), Ok: true}
	default:
		return s.node.Command(limit, c)
	}
}

func (s *session) answer(ctx context.Context, result *pb.CommandResult) {
	select {
	case s.results <- result:
	case <-ctx.Done():
	}
}
