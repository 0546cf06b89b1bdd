package fleet

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// index finds the agents that share a text, such as their host, without a look
// at the others. What it holds no agent for, it has no entry for.
type index map[string]map[key]struct{}

func (x index) insert(text string, k key) {
	if x[text] == nil {
		x[text] = map[key]struct{}{}
	}
	x[text][k] = struct{}{}
}

func (x index) remove(text string, k key) {
	delete(x[text], k)
	if len(x[text]) == 0 {
		delete(x, text)
	}
}

// registry holds the agents. Nothing that is done for one node looks at the
// agents of the others: twenty thousand nodes come back within seconds of each
// other after a restart of the hub. Service.mu guards it.
type registry struct {
	// agents hold messages that are never changed once they are here: a change
	// replaces them, so that readers may keep them without copying.
	agents map[key]*pb.AgentStatus
	// byID, byHost and byNode hold each agent once.
	byID, byHost, byNode index
	// gauged are the labels of the agents that Gauges reports on.
	gauged map[key]map[string]string
}

func newRegistry() registry {
	return registry{
		agents: map[key]*pb.AgentStatus{}, byID: index{}, byHost: index{}, byNode: index{},
		gauged: map[key]map[string]string{},
	}
}

// replace stores an agent's status and returns the one before, nil if the agent
// is new.
func (r *registry) replace(k key, a *pb.AgentStatus) (before *pb.AgentStatus) {
	before = r.agents[k]
	r.agents[k] = a
	if before == nil {
		r.byID.insert(k.id, k)
		r.byHost.insert(k.host, k)
	} else if before.GetNodeId() != a.GetNodeId() {
		r.byNode.remove(before.GetNodeId(), k)
	}
	if before == nil || before.GetNodeId() != a.GetNodeId() {
		r.byNode.insert(a.GetNodeId(), k)
	}
	r.gauge(k, a)
	return before
}

// forget takes an agent out.
func (r *registry) forget(k key) {
	r.byNode.remove(r.agents[k].GetNodeId(), k)
	r.byID.remove(k.id, k)
	r.byHost.remove(k.host, k)
	delete(r.agents, k)
	delete(r.gauged, k)
}

// gauge notes whether Gauges reports on an agent. One that finds no room asks
// again with its next report, so that a place that becomes free is taken.
func (r *registry) gauge(k key, a *pb.AgentStatus) {
	if !a.GetNodeConnected() || a.GetPid() == 0 {
		delete(r.gauged, k)
		return
	}
	if r.gauged[k] == nil && len(r.gauged) < maxGauged {
		r.gauged[k] = map[string]string{"agent": k.id, "host": k.host}
	}
}

// put stores an agent, notes it for the database and tells watchers:
//
//	before                       | after                             | stored | told
//	-----------------------------+-----------------------------------+--------+-----
//	none                         | any                               | yes    | yes
//	any                          | another state, node, enabled,     | yes    | yes
//	                             | version or port                   |        |
//	any                          | only rates, counters or the like  | no     | yes
//	any                          | the same                          | no     | no
//	any                          | none: see drop                    | yes    | yes
//
// Rates and counters change with each report; they are not worth a write. The
// caller holds mu.
func (s *Service) put(k key, a *pb.AgentStatus) {
	before := s.replace(k, a)
	if before == nil || before.GetState() != a.GetState() || before.GetNodeId() != a.GetNodeId() ||
		before.GetEnabled() != a.GetEnabled() || before.GetVersion() != a.GetVersion() || before.GetPort() != a.GetPort() {
		s.markDirty(k)
	}
	if len(s.watchers) > 0 && (before == nil || !proto.Equal(before, a)) {
		s.notify(k)
	}
	if before == nil { // its host has one more
		s.notify(nodeKey(k.host))
	}
}

// drop forgets an agent. The caller holds mu.
func (s *Service) drop(k key) {
	s.forget(k)
	s.markDirty(k)
	s.notify(k)
	s.notify(nodeKey(k.host))
}

// snapshot returns the agents of host, or all, by host and id.
func (s *Service) snapshot(host string) []*pb.AgentStatus {
	s.mu.Lock()
	list := make([]*pb.AgentStatus, 0, len(s.agents))
	if host == "" {
		for _, a := range s.agents {
			list = append(list, a)
		}
	}
	for k := range s.byHost[host] {
		list = append(list, s.agents[k])
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
