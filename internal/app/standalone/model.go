package standalone

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/node/usage"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// model is what the screen shows: roles from their processes, agents and the
// log's figures from the hub.
type model struct {
	e     *cli.Env
	plan  plan
	roles []*role
	host  string // this machine's name, as its node tells it

	started time.Time

	mu      sync.Mutex // guards what follows
	client  *remote.Client
	store   *remote.Store
	phase   string
	hub     remote.HubStatus
	agents  []*pb.AgentStatus
	samples map[string]usage.Sample
	percent map[string]float64
	notes   []string
	readyIn time.Duration
}

// maxNotes is how many messages wait to be shown.
const maxNotes = 50

func newModel(e *cli.Env, p plan, roles []*role, started time.Time) *model {
	return &model{
		e: e, plan: p, roles: roles, host: p.host(), started: started, phase: phaseStarting,
		samples: map[string]usage.Sample{}, percent: map[string]float64{},
	}
}

func (m *model) setPhase(phase string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.phase = phase
}

func (m *model) announceReady(after time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readyIn = after
}

// note adds a message for people.
func (m *model) note(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes = append(m.notes, text)
	m.notes = m.notes[max(0, len(m.notes)-maxNotes):]
}

// Hub returns the connection to the hub, made when the certificates exist.
func (m *model) Hub() (*remote.Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client == nil {
		c, err := remote.Dial(m.e, "")
		if err != nil {
			return nil, err
		}
		m.client = c
	}
	return m.client, nil
}

// Store returns the connection to the store, made when the certificates exist.
func (m *model) Store() (*remote.Store, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.store == nil {
		s, err := remote.DialStore(m.e, "")
		if err != nil {
			return nil, err
		}
		m.store = s
	}
	return m.store, nil
}

// readyPatience bounds one question whether a role works.
const readyPatience = time.Second

// ready asks a role whether it works; the error is why not.
func (m *model) ready(ctx context.Context, r *role) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	return r.Ready(ctx, m)
}

// Agents are this host's, as the hub knows them.
func (m *model) Agents() []*pb.AgentStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.agents)
}

// watch keeps the figures fresh until ctx ends.
func (m *model) watch(ctx context.Context, changed func()) {
	var agents sync.WaitGroup
	agents.Go(func() { m.watchAgents(ctx, changed) })
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		m.measure()
		m.askHub(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	agents.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client != nil {
		_ = m.client.Close() // nothing more is asked
	}
	if m.store != nil {
		_ = m.store.Close() // as above
	}
}

// measure reads what the roles' processes use.
func (m *model) measure() {
	for _, r := range m.roles {
		pid := r.child.Status().PID
		if pid == 0 {
			continue
		}
		s, err := usage.Of(pid)
		if err != nil {
			continue
		}
		m.mu.Lock()
		m.percent[r.Name] = usage.Percent(m.samples[r.Name], s)
		m.samples[r.Name] = s
		m.mu.Unlock()
	}
}

func (m *model) askHub(ctx context.Context) {
	c, err := m.Hub()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := c.Query.Status(ctx, &pb.StatusRequest{})
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.hub = remote.HubStatus{State: "down"}
		return
	}
	m.hub = remote.HubOf(s)
}

// watchAgents follows the fleet until ctx ends.
func (m *model) watchAgents(ctx context.Context, changed func()) {
	for ctx.Err() == nil {
		m.follow(ctx, changed)
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (m *model) follow(ctx context.Context, changed func()) {
	c, err := m.Hub()
	if err != nil {
		return
	}
	stream, err := c.Fleet.WatchAgents(ctx, &pb.WatchAgentsRequest{})
	if err != nil {
		return
	}
	for {
		r, err := stream.Recv()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.merge(r)
		m.mu.Unlock()
		changed()
	}
}

// merge takes over what a response says of this host's agents: up shows what it runs
// and its lines have the agents' names alone, and a fleet has very many. The caller
// holds mu.
func (m *model) merge(r *pb.WatchAgentsResponse) {
	if r.GetSnapshot() {
		m.agents = nil
	}
	for _, a := range r.GetAgents() {
		if !hostname.Same(a.GetHost(), m.host) {
			continue
		}
		i := slices.IndexFunc(m.agents, func(b *pb.AgentStatus) bool { return b.GetHost() == a.GetHost() && b.GetId() == a.GetId() })
		if i < 0 {
			m.agents = append(m.agents, a)
			continue
		}
		m.agents[i] = a
	}
	m.agents = slices.DeleteFunc(m.agents, func(a *pb.AgentStatus) bool {
		return slices.Contains(r.GetRemoved(), a.GetHost()+"/"+a.GetId())
	})
	slices.SortFunc(m.agents, func(a, b *pb.AgentStatus) int {
		return strings.Compare(a.GetHost()+"/"+a.GetId(), b.GetHost()+"/"+b.GetId())
	})
}

// agentPIDs are this host's agents, for run/up.json, whose processes the next up
// may kill: a number that another host's node tells says nothing here.
func (m *model) agentPIDs() []process {
	var out []process
	for _, a := range m.Agents() {
		ours := slices.ContainsFunc(m.plan.agents(), func(p node.Agent) bool { return hostname.Same(p.ID, a.GetId()) })
		if ours && a.GetPid() != 0 && a.GetNodeConnected() {
			out = append(out, processOf("agent "+a.GetId(), int(a.GetPid())))
		}
	}
	return out
}
