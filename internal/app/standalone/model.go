package standalone

import (
	"context"
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/agent"
	"github.com/amoskys/amoskys/internal/app/remote"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/node/usage"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// model is what the screen shows: roles from their processes, agents and the
// log's figures from the hub.
type model struct {
	e     *cli.Env
	plan  *plan
	roles []*role
	host  string // this machine's name, as its node tells it
	web   *http.Client

	mu      sync.Mutex // guards what follows
	client  *remote.Client
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

func newModel(e *cli.Env, p *plan, roles []*role) *model {
	return &model{
		e: e, plan: p, roles: roles, host: agent.Machine().GetName(), phase: phaseStarting,
		samples: map[string]usage.Sample{}, percent: map[string]float64{},
		// The certificate is the dashboard's own affair: this only asks whether
		// something serves pages on this machine.
		web: &http.Client{Timeout: time.Second, Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as said above
		}},
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

// dial returns the connection to the hub, made when the certificates exist.
func (m *model) dial() (*remote.Client, error) {
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

// ready asks a role whether it works, and says why not.
func (m *model) ready(ctx context.Context, role string) (ok bool, why string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	switch role {
	case "dashboard":
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.plan.url()+"/", http.NoBody)
		if err != nil {
			return false, err.Error()
		}
		resp, err := m.web.Do(req)
		if err != nil {
			return false, err.Error()
		}
		defer resp.Body.Close()
		return resp.StatusCode < http.StatusInternalServerError, resp.Status
	case "node":
		return m.nodeReady()
	}
	c, err := m.dial()
	if err != nil {
		return false, err.Error()
	}
	s, err := c.Query.Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return false, c.Explain(err).Error()
	}
	return true, s.GetState()
}

// nodeReady reports whether the node has told the hub about every agent. Whether
// an agent can start is another matter, which the screen shows.
func (m *model) nodeReady() (ok bool, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.plan.agents {
		known := slices.ContainsFunc(m.agents, func(s *pb.AgentStatus) bool {
			return s.GetId() == a.ID && s.GetHost() == m.host && s.GetNodeConnected() && s.GetState() != pb.AgentState_AGENT_STATE_STARTING
		})
		if !known {
			return false, "agent " + a.ID + " has not been reported to the hub"
		}
	}
	return true, ""
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
		m.percent[r.name] = usage.Percent(m.samples[r.name], s)
		m.samples[r.name] = s
		m.mu.Unlock()
	}
}

func (m *model) askHub(ctx context.Context) {
	c, err := m.dial()
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
	c, err := m.dial()
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

// merge takes one response over. The caller holds mu.
func (m *model) merge(r *pb.WatchAgentsResponse) {
	if r.GetSnapshot() {
		m.agents = nil
	}
	for _, a := range r.GetAgents() {
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
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []process
	for _, a := range m.agents {
		ours := slices.ContainsFunc(m.plan.agents, func(p node.Agent) bool { return p.ID == a.GetId() })
		if ours && a.GetHost() == m.host && a.GetPid() != 0 && a.GetNodeConnected() {
			out = append(out, processOf("agent "+a.GetId(), int(a.GetPid())))
		}
	}
	return out
}
