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
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// Store keeps agents over restarts; *state.DB does.
type Store interface {
	Agents(ctx context.Context) ([]state.Agent, error)
	PutAgents(ctx context.Context, agents []state.Agent) error
	DeleteAgents(ctx context.Context, agents []state.Agent) error
	SetDesired(ctx context.Context, host, id, desired string) error
}

// Auditor records an act; *audit.Trail does.
type Auditor interface {
	Audit(ctx context.Context, act *pb.AuditActivity)
}

// Options are what the service needs.
type Options struct {
	Store   Store
	Auditor Auditor
	// Bind says whether the caller of Control, known from ctx, may be the node
	// that hello names; an error refuses it. Nil lets every caller be any node.
	Bind func(ctx context.Context, hello *pb.NodeHello) error
	// Caller names who calls, such as a certificate's SPIFFE id, for the audit
	// trail of requests that name no actor. Nil names nobody.
	Caller func(ctx context.Context) string
	// CommandTimeout bounds how long a node may take to answer; 0 is 30 s.
	CommandTimeout time.Duration
	Now            func() time.Time
	Logger         *slog.Logger
}

// Bounds on what nodes send and on who watches.
const (
	maxNodes         = 100_000
	maxAgents        = 200_000
	maxAgentsPerNode = 256
	maxText          = 256
	maxDetail        = 2 << 10
	maxLines         = 2_000
	maxLineBytes     = 4 << 10
	maxWatchers      = 1_024
	maxPending       = 64
	maxSendQueue     = 32
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
	// agents hold messages that are never changed once they are here: a change
	// replaces them, so that readers may keep them without copying.
	agents   map[key]*pb.AgentStatus
	ids      map[string]map[key]struct{}
	nodes    map[string]*node
	watchers map[*watcher]struct{}
	// dirty are agents to be stored or forgotten.
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		o: o, agents: map[key]*pb.AgentStatus{}, ids: map[string]map[key]struct{}{}, nodes: map[string]*node{},
		watchers: map[*watcher]struct{}{}, dirty: map[key]struct{}{}, wake: make(chan struct{}, 1),
	}
	known, err := o.Store.Agents(ctx)
	if err != nil {
		return nil, fmt.Errorf("read known agents: %w", err)
	}
	var forgotten []state.Agent
	for _, a := range known {
		status := &pb.AgentStatus{}
		if o.Now().Sub(a.Updated) > forgetAfter || proto.Unmarshal(a.Status, status) != nil {
			forgotten = append(forgotten, a)
			continue
		}
		status.Host, status.Id, status.NodeId = a.Host, a.ID, a.Node
		s.put(key{a.Host, a.ID}, vanished(status))
	}
	if len(forgotten) > 0 {
		if err := o.Store.DeleteAgents(ctx, forgotten); err != nil {
			return nil, fmt.Errorf("forget old agents: %w", err)
		}
	}
	clear(s.dirty)
	return s, nil
}

// vanished is what is known of an agent whose node is not connected.
func vanished(a *pb.AgentStatus) *pb.AgentStatus {
	a = proto.CloneOf(a)
	a.State = pb.AgentState_AGENT_STATE_UNKNOWN
	a.Health = pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_UNSPECIFIED
	a.Detail = "its node is not connected"
	a.NodeConnected = false
	a.EventsPerSecond, a.CpuPercent, a.RssBytes, a.Pid = 0, 0, 0, 0
	return a
}

// put stores an agent and tells watchers. The caller holds mu.
func (s *Service) put(k key, a *pb.AgentStatus) {
	before := s.agents[k]
	s.agents[k] = a
	if before == nil {
		if s.ids[k.id] == nil {
			s.ids[k.id] = map[key]struct{}{}
		}
		s.ids[k.id][k] = struct{}{}
	}
	// Rates and counters change with each report; they are not worth a write.
	if before == nil || before.GetState() != a.GetState() || before.GetNodeId() != a.GetNodeId() ||
		before.GetEnabled() != a.GetEnabled() || before.GetVersion() != a.GetVersion() || before.GetPort() != a.GetPort() {
		s.markDirty(k)
	}
	if before == nil || !proto.Equal(before, a) {
		s.notify(k)
	}
}

// drop forgets an agent. The caller holds mu.
func (s *Service) drop(k key) {
	delete(s.agents, k)
	delete(s.ids[k.id], k)
	if len(s.ids[k.id]) == 0 {
		delete(s.ids, k.id)
	}
	s.markDirty(k)
	s.notify(k)
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

// snapshot returns the agents of host, or all, by host and id.
func (s *Service) snapshot(host string) []*pb.AgentStatus {
	s.mu.Lock()
	list := make([]*pb.AgentStatus, 0, len(s.agents))
	for k, a := range s.agents {
		if host == "" || k.host == host {
			list = append(list, a)
		}
	}
	s.mu.Unlock()
	sortAgents(list)
	return list
}

func sortAgents(list []*pb.AgentStatus) {
	slices.SortFunc(list, func(a, b *pb.AgentStatus) int {
		if c := strings.Compare(a.GetHost(), b.GetHost()); c != 0 {
			return c
		}
		return strings.Compare(a.GetId(), b.GetId())
	})
}

// ListAgents returns every agent, or those of one host.
func (s *Service) ListAgents(_ context.Context, req *pb.ListAgentsRequest) (*pb.ListAgentsResponse, error) {
	return &pb.ListAgentsResponse{Agents: s.snapshot(req.GetHost())}, nil
}

// storeEvery spaces writes, so that a storm of changes is few transactions.
const storeEvery = time.Second

// Run stores changes until ctx ends, and once more then.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(storeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return s.Flush(last)
		case <-s.wake:
		}
		if err := s.Flush(ctx); err != nil && ctx.Err() == nil {
			s.o.Logger.WarnContext(ctx, "agents not stored, will try again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Flush stores what changed since the last time. What cannot be stored stays
// due.
func (s *Service) Flush(ctx context.Context) error {
	var puts, deletes []state.Agent
	var failed error
	s.mu.Lock()
	for k := range s.dirty {
		a := s.agents[k]
		if a == nil {
			deletes = append(deletes, state.Agent{Host: k.host, ID: k.id})
			continue
		}
		encoded, err := proto.Marshal(a)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("encode agent %s: %w", k, err))
			continue
		}
		puts = append(puts, state.Agent{Host: k.host, ID: k.id, Node: a.GetNodeId(), Status: encoded})
	}
	clear(s.dirty)
	s.mu.Unlock()
	err := s.write(ctx, puts, deletes)
	if err != nil {
		s.mu.Lock()
		for _, a := range slices.Concat(puts, deletes) {
			s.markDirty(key{a.Host, a.ID})
		}
		s.mu.Unlock()
	}
	return errors.Join(failed, err)
}

func (s *Service) write(ctx context.Context, puts, deletes []state.Agent) error {
	if len(puts) > 0 {
		if err := s.o.Store.PutAgents(ctx, puts); err != nil {
			return err
		}
	}
	if len(deletes) > 0 {
		return s.o.Store.DeleteAgents(ctx, deletes)
	}
	return nil
}
