// Package agent is what every AMOSKYS agent shares: its life from configuration
// to a clean stop, the disk spool and the connection to the hub, its own health,
// and the local endpoints that the node reads.
//
// An agent is a Definition: a name, a configuration and a function that makes an
// Agent from it. Run does the rest. The life of an agent is:
//
//  1. Definition.Load, which Define makes, reads the configuration, strictly.
//  2. Run opens log, spool, HTTP port and uplink.
//  3. Loaded.New makes the Agent; it may refuse, with an error for people.
//  4. Agent.Run observes and publishes until its context ends.
//  5. What is spooled is sent for as long as agent.stop_timeout_seconds allows;
//     the rest stays on disk for the next start.
//
// The spool is in package spool, the connection in package uplink, tasks in
// package task. Agents never
// see gRPC. docs/agents.md describes all of it for users.
package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/agent/task"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Agent observes something and publishes events.
type Agent interface {
	// Run works until ctx ends and returns nil then; it leaves no goroutine
	// behind. An error means that the agent cannot do its work any more; faults
	// that may pass are reported through Options.Condition instead.
	Run(ctx context.Context) error
}

// Tasker is an Agent with tasks, which its Definition declares.
type Tasker interface {
	Agent
	// RunTask does what c asks for, beside Run and beside other tasks. It returns
	// soon after ctx has ended; an error is told to whoever asked. Parameters are
	// of the declared types; what they say may still be anything.
	RunTask(ctx context.Context, c *task.Call) error
}

// TaskLimiter is a Tasker that, as it is set up, cannot do each of its tasks.
type TaskLimiter interface {
	Tasker
	// TaskUnavailable says why it cannot do a task, and what to do, for people; empty
	// where it can. It may be called concurrently.
	TaskUnavailable(task string) string
}

// Publisher takes events on their way to the hub.
type Publisher interface {
	// Publish spools events: they survive a crash of the agent when it returns.
	// It fills in id, time, severity, agent and host where they are empty, and the
	// observer of an event about another host or device, so an event belongs to the
	// publisher from the call on. Events of one call stay
	// together. Events that the drop policy or a full disk costs, and those that can
	// never be sent (text that is not UTF-8, no type, too large), are counted by
	// reason and reported, not returned as an error, and the others of their call
	// are spooled. An error means that ctx has ended or the agent's life has, and
	// that nothing of the call was spooled. It may be called concurrently.
	Publish(ctx context.Context, events ...*pb.Event) error
}

// Options are everything an agent gets from the runtime.
type Options struct {
	ID         string // such as "proc_agent"
	Kind       string // such as "proc"
	Host       string // name of this machine, as the certificate gives it
	HostID     string // stable id of this machine, hashed; see Machine
	Interval   time.Duration
	Logger     *slog.Logger
	Registerer prometheus.Registerer // served on /metrics
	Home       config.Home
	DataDir    string // the agent's own folder, which exists
	Publisher  Publisher
	// Condition reports a fault that the agent lives with under a short name,
	// and its end with nil: while one stands, the agent is degraded and says why.
	Condition func(name string, err error)
	// Note says something of what the agent does, under a short name, that is no fault: a
	// line for people, in /status and in the lists. Empty takes it back.
	Note func(name, text string)
	// DialHub opens a connection to a hub the way the section hub says.
	DialHub dial.Func
	// AckTime is the running mean of the time from sending a batch to the hub's
	// answer, 0 before the first.
	AckTime func() time.Duration
	Now     func() time.Time
}

// Definition is one agent that this program can be; Define completes it.
type Definition struct {
	Kind       string // "proc"
	ID         string // default agent id, "proc_agent"
	Port       int    // default HTTP port, 50002
	ConfigName string // "process_monitor" names config/agents/process_monitor_config.yaml
	Summary    string // one line for lists and help
	// Observes says that agents of this kind watch other hosts or devices. Their
	// events may name these as host or about; Publish then names the agent's own
	// host as observer. Certificates allow it by kind.
	Observes bool
	// Privileges are what agents of this kind need beyond a plain user's rights, as
	// Linux names capabilities, such as "CAP_NET_RAW" for raw sockets and "CAP_BPF"
	// for BPF; elsewhere they mean root's rights, as for macOS's BPF devices. The node
	// gives them and no others; where it cannot, the agent is off and says so. Uses
	// are such as it makes use of and works without.
	Privileges, Uses []string
	// GCPercent is by how much of what is in use its heap may grow before garbage is
	// collected, where GOGC does not say; 0 is Go's own 100. Agents that hold much and
	// have time trade processor time for memory.
	GCPercent int
	// HeapBytes is what Go may take at least before it collects in a hurry, where GOMEMLIMIT
	// does not say; more as more is in use. 0 is no bound. It is for agents that hold much
	// and make much garbage at times.
	HeapBytes int64
	// Tasks are what people can ask this agent to do; it is a Tasker then.
	Tasks []task.Task
	// Template is the commented configuration file that decodes to the defaults.
	Template func() []byte
	// Load reads a configuration file strictly; a missing file gives the defaults.
	// The error is a config.Faults. Define sets it.
	Load func(file string, o config.DecodeOptions) (Loaded, error)
}

// Loaded is a configuration that was read and checked.
type Loaded struct {
	Common Common
	// Config is the whole configuration, Common included, for showing it.
	Config any
	// WithoutPrivileges says that with this configuration the agent has work to do without
	// the privileges of its definition, of which it then makes use where it has them.
	WithoutPrivileges bool
	// New makes the agent; it is called once.
	New func(Options) (Agent, error)
}
