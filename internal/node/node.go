// Package node supervises the agents of one host: it runs each as a subprocess,
// watches it through its /status page and the system's process table, reports
// changes to the hub over one stream, and carries out the commands that come back.
//
// The node keeps working without a hub: agents run and spool, and the stream is
// opened again as soon as the hub answers.
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	"github.com/amoskys/amoskys/internal/node/child"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Agent is one agent that the node can run.
type Agent struct {
	ID   string // as in proc_agent; unique on the host
	Kind string // as in proc
	// Argv is the program and its arguments, Env its whole environment.
	Argv, Env []string
	Log       string // the agent's log file
	DataDir   string // the agent's own folder, where its socket for tasks is
	Tasks     []task.Task
	// Privileges are what the agent needs beyond a plain user's rights, as Linux
	// names capabilities; without them it is not started. Uses are what it makes use
	// of where the node has it. It gets no others.
	Privileges, Uses []string
	Config           string // the agent's configuration file
	// Settings reads what the node needs from the agent's configuration. It is
	// called before every start; an error keeps the agent from starting and is
	// shown as the reason.
	Settings func() (Settings, error)
}

// Settings is the part of an agent's configuration that its node needs.
type Settings struct {
	Addr    string // host:port of /status; port 0 means the agent is not watched
	Enabled bool
	// WithoutPrivileges says that the agent runs where the node cannot give it its
	// Privileges, of which it only makes use then.
	WithoutPrivileges bool
}

// Options says what a node runs and for whom.
type Options struct {
	ID        string
	Host      *pb.Host
	Version   string
	Agents    []Agent
	StateFile string // keeps which agents a person stopped
	Logger    *slog.Logger

	// Connect opens the stream to the hub. Nil runs without a hub.
	Connect func(ctx context.Context) (Stream, error)

	// Authorities says which authorities the host trusts, for NodeHello; nil says nothing.
	Authorities func() string
	// CheckCertificates has whoever renews the host's certificates look what the hub wants
	// trusted and renewed; it must not block. Nil: nobody does.
	CheckCertificates func()

	Interval    time.Duration // between looks at each agent; 0 means 2 s
	StopTimeout time.Duration // see child.Options
	BackoffMin  time.Duration
	BackoffMax  time.Duration
}

// Stream is the node's side of Fleet.Control. Send and Recv may run side by side.
type Stream interface {
	Send(m *pb.NodeMessage) error
	Recv() (*pb.NodeCommand, error)
	// CloseSend says that nothing more is sent; the hub then ends the stream.
	CloseSend() error
	// SendResult opens Tasks.SendResult beside the stream.
	SendResult(ctx context.Context) (ResultStream, error)
	// Close ends the stream; a blocked Recv returns.
	Close()
}

// ResultStream is the node's side of Tasks.SendResult.
type ResultStream interface {
	Send(c *pb.TaskChunk) error
	CloseAndRecv() (*pb.SendResultResponse, error)
}

// Node supervises agents. Make it with New.
type Node struct {
	o       Options
	agents  []*managed
	desired *desired
	changed *notifier
	// instance tells this run from another, here or on a second machine of the name.
	instance string
	// connected is whether a stream to the hub has held for a moment.
	connected atomic.Bool
}

// DefaultInterval is how often agents are looked at.
const DefaultInterval = 2 * time.Second

// New prepares a node. The error says that the state file is unreadable or that
// agents have the same id.
func New(o Options) (*Node, error) {
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	d, err := loadDesired(o.StateFile)
	if err != nil {
		return nil, err
	}
	n := &Node{o: o, desired: d, changed: newNotifier(), instance: rand.Text()}
	for _, a := range o.Agents {
		if n.agent(a.ID) != nil {
			return nil, fmt.Errorf("two agents have the id %q", a.ID)
		}
		n.agents = append(n.agents, newManaged(a, o, n.changed.notify))
	}
	return n, nil
}

// agent finds an agent by its id, of which the hub has the one form.
func (n *Node) agent(id string) *managed {
	for _, m := range n.agents {
		if hostname.Same(m.spec.ID, id) {
			return m
		}
	}
	return nil
}

// Run starts the wanted agents and keeps them running until ctx ends; then it
// stops them, tells the hub, and returns. No agent is left behind.
func (n *Node) Run(ctx context.Context) error {
	agentsCtx, stopAgents := context.WithCancel(context.WithoutCancel(ctx))
	controlCtx, stopControl := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAgents()
	defer stopControl()
	var agents, rest sync.WaitGroup
	for _, m := range n.agents {
		if !n.desired.stopped(m.spec.ID) {
			m.child.Start()
		}
		agents.Go(func() { m.child.Run(agentsCtx) })
		rest.Go(func() { m.watch(controlCtx, n.o.Interval) })
	}
	if n.o.Connect != nil {
		rest.Go(func() { n.control(controlCtx) })
	}
	<-ctx.Done()
	n.o.Logger.Info("node is stopping its agents", obs.KeyCount, len(n.agents))
	stopAgents()
	agents.Wait()
	stopControl()
	rest.Wait()
	return nil
}

// Statuses is what is known of every agent, in the order of Options.Agents.
func (n *Node) Statuses() []*pb.AgentStatus {
	out := make([]*pb.AgentStatus, 0, len(n.agents))
	for _, m := range n.agents {
		s := m.status(time.Now(), n.o.Interval)
		s.NodeId, s.Host, s.NodeConnected = n.o.ID, n.o.Host.GetName(), true
		s.Enabled = !n.desired.stopped(m.spec.ID)
		out = append(out, s)
	}
	return out
}

// Command carries out one command and reports how it went. It returns within
// the time that stopping and starting an agent may take.
func (n *Node) Command(ctx context.Context, c *pb.NodeCommand) *pb.CommandResult {
	result := &pb.CommandResult{Id: c.GetId()}
	m := n.agent(c.GetAgentId())
	if m == nil {
		result.Error = fmt.Sprintf("this node has no agent %q", c.GetAgentId())
		return result
	}
	lines, err := n.execute(ctx, m, c)
	if err != nil {
		result.Error = err.Error()
	}
	result.Ok, result.Lines = err == nil, lines
	for _, s := range n.Statuses() {
		if s.GetId() == m.spec.ID {
			result.Agent = s
		}
	}
	return result
}

func (n *Node) execute(ctx context.Context, m *managed, c *pb.NodeCommand) ([]string, error) {
	switch c.GetCommand() {
	case pb.AgentCommand_AGENT_COMMAND_START, pb.AgentCommand_AGENT_COMMAND_RESTART:
		if err := n.desired.set(m.spec.ID, false); err != nil {
			return nil, err
		}
		if c.GetCommand() == pb.AgentCommand_AGENT_COMMAND_RESTART {
			if err := m.restartable(); err != nil {
				return nil, err
			}
			m.child.Restart()
		} else {
			m.child.Start()
		}
		return nil, n.awaitRunning(ctx, m)
	case pb.AgentCommand_AGENT_COMMAND_STOP:
		if err := n.desired.set(m.spec.ID, true); err != nil {
			return nil, err
		}
		m.child.Stop()
		return nil, n.await(ctx, m, func(s child.Status) bool { return s.State == child.Stopped })
	case pb.AgentCommand_AGENT_COMMAND_LOGS:
		return tail(m.spec.Log, int(c.GetLines()))
	default: // those about tasks need a session
	}
	return nil, errors.New("this node does not know the command; it may be older than the hub")
}

// awaitRunning waits until the agent runs, or cannot.
func (n *Node) awaitRunning(ctx context.Context, m *managed) error {
	err := n.await(ctx, m, func(s child.Status) bool {
		return s.State == child.Waiting || !s.Wanted || s.State == child.Running && m.answersSince(s.Started)
	})
	if err != nil {
		return err
	}
	s := m.child.Status()
	switch {
	case s.State == child.Waiting || !s.Wanted && s.Reason != "":
		return errors.New(m.reason(s))
	case !s.Wanted:
		return errors.New("was stopped again meanwhile")
	}
	return nil
}

// await waits until the child is as ok wants it.
func (n *Node) await(ctx context.Context, m *managed, ok func(child.Status) bool) error {
	for {
		changed := n.changed.wait()
		if ok(m.child.Status()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("agent %s is still %s: %w", m.spec.ID, m.child.Status().State, ctx.Err())
		}
	}
}

// differing returns the statuses in now that are not equal to those in before.
func differing(before map[string]*pb.AgentStatus, now []*pb.AgentStatus) []*pb.AgentStatus {
	var out []*pb.AgentStatus
	for _, s := range now {
		if !proto.Equal(before[s.GetId()], s) {
			out = append(out, s)
		}
	}
	return out
}
