package fleet

import (
	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on agents that no node runs.
const (
	maxByHand      = 32 // of one host
	maxByHandBytes = 4 << 10
)

// byHand is an agent that somebody started by hand, from its first stream of
// events to the end of its last.
//
//	what the registry has of it    | while a stream is open | after the last
//	-------------------------------+------------------------+----------------
//	nothing                        | "run by hand"          | nothing
//	a node's, not connected        | "run by hand"          | the node's, unless it
//	                               |                        | came back without it
//	a connected node's             | the node's             | the node's
//
// A node that reports the agent, now or later, is believed: it runs one too.
type byHand struct {
	streams int
	status  *pb.AgentStatus
	before  *pb.AgentStatus // what the registry had; nil for nothing
}

// Unsupervised notes an agent that has opened a stream of events and says that no
// node runs it. claimed is what it says of itself, an encoded AgentStatus that may
// be anything; host and id are known from its certificate. The returned function
// must be called when the stream ends.
func (s *Service) Unsupervised(host, id string, claimed []byte) (gone func()) {
	a := &pb.AgentStatus{}
	if len(claimed) > maxByHandBytes || proto.Unmarshal(claimed, a) != nil || !validName(host) || !validAgent(id) {
		return func() {}
	}
	k := key{host, id}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.byHand[k]
	if h == nil {
		if s.handsOf(host) >= maxByHand {
			return func() {}
		}
		h = &byHand{before: s.agents[k]}
		s.byHand[k] = h
	}
	h.streams++
	h.status = startedByHand(k, a)
	s.showByHand(k)
	return func() { s.endByHand(k, h) }
}

// handsOf counts the agents of a host that run by hand. The caller holds mu.
func (s *Service) handsOf(host string) (n int) {
	for k := range s.byHost[host] {
		if s.byHand[k] != nil {
			n++
		}
	}
	return n
}

// startedByHand is what is shown of such an agent. It works while its stream is
// open; how it does in detail, only its own events tell.
func startedByHand(k key, a *pb.AgentStatus) *pb.AgentStatus {
	return &pb.AgentStatus{
		Id: k.id, Host: k.host, Kind: cut(a.GetKind(), maxText), Version: cut(a.GetVersion(), maxText),
		Pid: a.GetPid(), Port: a.GetPort(), StartedTime: valid(a.GetStartedTime()),
		State: pb.AgentState_AGENT_STATE_RUNNING, Health: pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN,
		Detail: "run by hand, and connected", Unsupervised: true,
	}
}

// showByHand puts an agent that runs by hand into the registry, unless its node is
// connected. The caller holds mu.
func (s *Service) showByHand(k key) {
	h := s.byHand[k]
	if h == nil {
		return
	}
	old := s.agents[k]
	switch {
	case old != nil && !old.GetUnsupervised() && old.GetNodeConnected():
		return
	case old == nil && len(s.agents) >= maxAgents:
		return
	}
	if old == nil || !old.GetUnsupervised() {
		h.before = old
	}
	s.put(k, h.status)
}

// endByHand is the end of one stream.
func (s *Service) endByHand(k key, h *byHand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.streams--; h.streams > 0 || s.byHand[k] != h {
		return
	}
	delete(s.byHand, k)
	if !s.agents[k].GetUnsupervised() {
		return // its node has it
	}
	if h.before != nil && s.nodes[h.before.GetNodeId()] == nil { // which has no such agent any more
		s.put(k, vanished(h.before))
		return
	}
	s.drop(k)
}
