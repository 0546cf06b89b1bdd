// Package agent is what every AMOSKYS agent shares: its life from configuration
// to a clean stop, the disk spool and the connection to the hub, its own health,
// and the local endpoints that the node reads.
//
// An agent is a Definition: a name, a configuration and a function that makes an
// Agent from it. Run does the rest. The life of an agent is:
//
//  1. Definition.Load reads the configuration, strictly.
//  2. Run opens log, spool, HTTP port and uplink.
//  3. Loaded.New makes the Agent; it may refuse, with an error for people.
//  4. Agent.Run observes and publishes until its context ends.
//  5. What is spooled is sent for as long as agent.stop_timeout_seconds allows;
//     the rest stays on disk for the next start.
//
// The spool is in package spool, the connection in package uplink. Agents never
// see gRPC. docs/agents.md describes all of it for users.
package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/amoskys/amoskys/internal/config"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Agent observes something and publishes events.
type Agent interface {
	// Run works until ctx ends and returns nil then; it leaves no goroutine
	// behind. An error means that the agent cannot do its work any more; faults
	// that may pass are reported through Options.Condition instead.
	Run(ctx context.Context) error
}

// Publisher takes events on their way to the hub.
type Publisher interface {
	// Publish spools events: they survive a crash of the agent when it returns.
	// It fills in id, time, severity, agent and host where they are empty, so an
	// event belongs to the publisher from the call on. Events of one call stay
	// together. Events that the drop policy or a full disk costs are counted and
	// reported, not returned as an error; an error means that ctx has ended or
	// that an event can never be sent, and that nothing of the call was spooled.
	// It may be called concurrently.
	Publish(ctx context.Context, events ...*pb.Event) error
}

// Options are everything an agent gets from the runtime.
type Options struct {
	ID         string // such as "proc_agent"
	Kind       string // such as "proc"
	Host       string // name of this machine
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
	// AckTime is the running mean of the time from sending a batch to the hub's
	// answer, 0 before the first.
	AckTime func() time.Duration
	Now     func() time.Time
}

// Definition is one agent that this program can be.
type Definition struct {
	Kind       string // "proc"
	ID         string // default agent id, "proc_agent"
	Port       int    // default HTTP port, 50002
	ConfigName string // "process_monitor" names config/agents/process_monitor_config.yaml
	Summary    string // one line for lists and help
	// Template is the commented configuration file that decodes to the defaults.
	Template func() []byte
	// Load reads a configuration file strictly; a missing file gives the defaults.
	// The error is a config.Faults.
	Load func(file string, o config.DecodeOptions) (Loaded, error)
}

// Loaded is a configuration that was read and checked.
type Loaded struct {
	Common Common
	// Config is the whole configuration, Common included, for showing it.
	Config any
	// New makes the agent; it is called once.
	New func(Options) (Agent, error)
}
