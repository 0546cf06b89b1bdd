// Package fleet is the hub's Fleet service: nodes hold a Control stream and
// report their agents over it; people list, watch and steer agents through the
// other calls.
//
// What nodes report is kept in memory and, a little later, in the state
// database, so that agents are known after a restart of the hub, as UNKNOWN
// until their node is back. Whatever a node sends is bounded in number and size.
//
// Wiring, in internal/app:
//
//	fl, err := fleet.New(ctx, fleet.Options{Store: db, Auditor: trail, Logger: logger})
//	pb.RegisterFleetServer(server, fl)
//	go fl.Run(ctx) // stores what changed; returns when ctx ends
package fleet

import (
	"context"
	"crypto/x509"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/hub/own"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Store keeps hosts and agents over restarts; *state.DB does.
type Store interface {
	Agents(ctx context.Context) ([]state.Agent, error)
	PutAgents(ctx context.Context, agents []state.Agent) error
	DeleteAgents(ctx context.Context, agents []state.Agent) error
	SetDesired(ctx context.Context, host, id, desired string) error
	Hosts(ctx context.Context) ([]state.Host, error)
	PutHosts(ctx context.Context, hosts []state.Host) error
	DeleteHosts(ctx context.Context, names []string) error
}

// Auditor records an act; *audit.Trail does.
type Auditor interface {
	Audit(ctx context.Context, act *pb.AuditActivity)
}

// Options are what the service needs.
type Options struct {
	Store   Store
	Auditor Auditor
	// Bind says whether the caller of Control, known from ctx, may be the node and
	// the host that hello names, which it may bring into the form in which they are
	// kept; an error refuses it. Nil lets every caller be any node.
	Bind func(ctx context.Context, hello *pb.NodeHello) error
	// Caller names who calls, such as a certificate's SPIFFE id, for the audit
	// trail of requests that name no actor. Nil names nobody.
	Caller func(ctx context.Context) string
	// Find publishes what the hub finds out about hosts; nil for nobody.
	Find func(ctx context.Context, f own.Finding) error
	// SilentAfter is how long a host's node may be away before the host is red and
	// that is a finding; 0 is for ever.
	SilentAfter time.Duration
	// Progress takes what a node says of a task that another service started with
	// Ask. It must not block. Nil drops it.
	Progress func(nodeID string, p *pb.TaskProgress)
	// Certificate is what an agent of a host, or else its node, is connected with; nil
	// when neither is. It must not block. Nil knows none.
	Certificate func(host, agent string) *x509.Certificate
	// Rate is how many events a second come from an agent, as the hub counts them. It
	// must not block. Where that is not known, or Rate is nil, it is what the node says.
	Rate func(host, agent string) (rate float64, known bool)
	// Trusts hears which authorities a node trusts that has connected, as
	// NodeHello.authorities says it. It must not block. Nil hears nothing.
	Trusts func(nodeID, authorities string)
	// CommandTimeout bounds how long a node may take to answer; 0 is 30 s.
	CommandTimeout time.Duration
	Now            func() time.Time
	// Age is how long ago the clock showed a time, by which hosts and agents are
	// forgotten, so that a wall clock that is ahead costs none; nil goes by Now.
	Age    func(time.Time) time.Duration
	Logger *slog.Logger
}

// Bounds on what nodes send and on who watches.
const (
	maxNodes         = 100_000
	maxAgents        = 200_000
	maxAgentsPerNode = 256
	maxText          = 256
	maxPrivileges    = 41 // Linux has so many capabilities
	maxDetail        = 2 << 10
	maxLines         = 2_000
	maxLineBytes     = 4 << 10
	maxWatchers      = 1_024
	maxPending       = 64
	maxSendQueue     = 32
	// maxGauged is how many series of one name the live view keeps.
	maxGauged = 256
)

// forgetAfter is how long an agent whose node never came back is kept.
const forgetAfter = 30 * 24 * time.Hour

// key names one agent. The same id may run on many hosts.
type key struct{ host, id string }

func (k key) String() string { return k.host + "/" + k.id }

// Service implements the Fleet service.
type Service struct {
	pb.UnimplementedFleetServer
	o Options

	mu sync.Mutex // guards what follows; held shortly, never while sending
	registry
	hosts     hosts
	sightings sightings
	nodes     map[string]*node
	byHand    map[key]*byHand
	watchers  map[*watcher]struct{}
	// dirty are agents, and hosts by nodeKey, to be stored or forgotten.
	dirty map[key]struct{}
	wake  chan struct{}
}

// New returns the service with the agents that the store knows.
func New(ctx context.Context, o Options) (*Service, error) {
	if o.CommandTimeout <= 0 {
		o.CommandTimeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Age == nil {
		o.Age = func(t time.Time) time.Duration { return o.Now().Sub(t) }
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	s := &Service{
		o: o, registry: newRegistry(), sightings: newSightings(), nodes: map[string]*node{}, byHand: map[key]*byHand{},
		hosts:    hosts{byName: map[string]*host{}, absent: map[string]struct{}{}, stored: o.Now()},
		watchers: map[*watcher]struct{}{}, dirty: map[key]struct{}{}, wake: make(chan struct{}, 1),
	}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// vanished is what is known of an agent whose node is not connected.
func vanished(a *pb.AgentStatus) *pb.AgentStatus {
	a = proto.CloneOf(a)
	a.State = pb.AgentState_AGENT_STATE_UNKNOWN
	a.Health = pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_UNSPECIFIED
	a.Detail = "its node is not connected"
	a.NodeConnected, a.Warning = false, ""
	a.EventsPerSecond, a.CpuPercent, a.RssBytes, a.Pid = 0, 0, 0, 0
	return a
}

func (s *Service) markDirty(k key) {
	s.dirty[k] = struct{}{}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) notify(k key) {
	for w := range s.watchers {
		w.add(k)
	}
}

// Connected reports whether the node of a host is connected.
func (s *Service) Connected(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[host] != nil
}

// AgentsOf returns the ids of the agents that are known of a host.
func (s *Service) AgentsOf(host string) []string {
	list := s.snapshot(host)
	ids := make([]string, 0, len(list))
	for _, a := range list {
		ids = append(ids, a.GetId())
	}
	return ids
}

// ListAgents returns every agent and host, or one host with its agents.
func (s *Service) ListAgents(_ context.Context, req *pb.ListAgentsRequest) (*pb.ListAgentsResponse, error) {
	host := hostname.Normal(req.GetHost())
	return &pb.ListAgentsResponse{Agents: s.snapshot(host), Nodes: s.hostList(host)}, nil
}
