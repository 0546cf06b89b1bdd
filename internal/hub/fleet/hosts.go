package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/hub/own"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// hosts are those that have, or had, a node. Service.mu guards them. A host that
// has been away for
//
//	less than amberAfter   grey: it may only have lost its connection
//	less than SilentAfter  amber
//	longer                 red: a finding tells people who do not look, once
//
// and is green while its node is connected. What counts is the time that the hub
// was there to see it: after a start of the hub, a host that was not silent before
// has comeback more to find its way back. Hosts are kept in the state database, so
// that a restart of the hub forgets none.
type hosts struct {
	byName map[string]*host
	// absent are those without a connected node.
	absent map[string]struct{}
	// stored is when the connected ones were last noted to have been seen.
	stored time.Time
}

// host is what is known of one.
type host struct {
	node, version string
	// seen is when the hub last heard of it, now while it is connected. away is since
	// when its absence counts, zero while it is connected.
	seen, away time.Time
	// silent: people were told. health is what watchers were last told.
	silent bool
	health pb.AgentHealthLevel
}

const (
	// amberAfter is more than a node that lost its connection waits to come back.
	amberAfter = 12 * time.Second
	comeback   = 30 * time.Second
	// seenEvery is how often it is stored that connected hosts were seen.
	seenEvery = 5 * time.Minute
)

// nodeKey is where watchers and the database's writer look for a host: no agent has
// an empty id.
func nodeKey(name string) key { return key{host: name} }

// arrived notes that a node of a host is connected. The caller holds mu.
func (s *Service) arrived(n *node) {
	h := s.hosts.byName[n.host]
	if h == nil {
		if len(s.hosts.byName) >= maxNodes {
			s.forgetLongestAway()
		}
		h = &host{}
		s.hosts.byName[n.host] = h
	}
	if h.silent {
		s.sightings.tell(backAgain(n.host, h.seen))
	}
	*h = host{node: n.id, version: n.version, seen: s.o.Now()}
	delete(s.hosts.absent, n.host)
	s.hostChanged(n.host)
}

// departed notes that the node of a host has gone. The caller holds mu.
func (s *Service) departed(n *node) {
	h := s.hosts.byName[n.host]
	if h == nil || h.node != n.id {
		return
	}
	h.seen, h.away = s.o.Now(), s.o.Now()
	s.hosts.absent[n.host] = struct{}{}
	s.hostChanged(n.host)
}

// hostChanged notes a host for the database and tells watchers. The caller holds mu.
func (s *Service) hostChanged(name string) {
	s.markDirty(nodeKey(name))
	s.notify(nodeKey(name))
}

// forgetLongestAway makes room for a host. The caller holds mu, and there are more
// hosts than can be connected.
func (s *Service) forgetLongestAway() {
	longest := ""
	for name := range s.hosts.absent {
		if longest == "" || s.hosts.byName[name].away.Before(s.hosts.byName[longest].away) {
			longest = name
		}
	}
	s.forgetHost(longest)
}

// forgetHost takes a host and its agents out and returns how many they were. The
// caller holds mu.
func (s *Service) forgetHost(name string) (agents int) {
	for k := range s.byHost[name] {
		s.drop(k)
		agents++
	}
	delete(s.hosts.byName, name)
	delete(s.hosts.absent, name)
	s.hostChanged(name)
	return agents
}

// lookForSilent tells of hosts that have gone silent since the last look, and
// watchers of those that have another colour. The caller holds mu.
func (s *Service) lookForSilent(now time.Time) {
	for name := range s.hosts.absent {
		h := s.hosts.byName[name]
		health, _ := s.healthOfHost(h, now)
		if health == pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_RED && !h.silent && s.sightings.tell(wentSilent(name, h.seen)) {
			h.silent = true
			s.markDirty(nodeKey(name))
		}
		if health != h.health {
			h.health = health
			s.notify(nodeKey(name))
		}
	}
	if now.Sub(s.hosts.stored) < seenEvery {
		return
	}
	s.hosts.stored = now
	for _, n := range s.nodes {
		s.markDirty(nodeKey(n.host))
	}
}

// healthOfHost is the colour of a host, and why it is not green.
func (s *Service) healthOfHost(h *host, now time.Time) (pb.AgentHealthLevel, string) {
	if h.away.IsZero() {
		return pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_GREEN, ""
	}
	away, silent := now.Sub(h.away), s.o.SilentAfter
	since := h.seen.UTC().Format(time.RFC3339)
	switch {
	case h.silent || silent > 0 && away >= silent:
		return pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_RED, "silent since " + since + ": " + silentAdvice
	case away >= amberAfter || silent > 0 && away >= silent/2:
		return pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_YELLOW, "not connected since " + since
	default:
		return pb.AgentHealthLevel_AGENT_HEALTH_LEVEL_UNSPECIFIED, "waiting for it to come back; last seen " + since
	}
}

// statusOf is what people are shown of a host, nil if there is none. The caller
// holds mu.
func (s *Service) statusOf(name string, now time.Time) *pb.NodeStatus {
	h := s.hosts.byName[name]
	if h == nil {
		return nil
	}
	seen := h.seen
	if h.away.IsZero() {
		seen = now
	}
	health, detail := s.healthOfHost(h, now)
	return &pb.NodeStatus{
		Host: name, NodeId: h.node, Version: h.version, Connected: h.away.IsZero(), LastSeenTime: timestamppb.New(seen),
		Health: health, Detail: detail, Agents: uint32(len(s.byHost[name])),
	}
}

// hostList returns the status of one host, or of all for "", by name.
func (s *Service) hostList(name string) []*pb.NodeStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	if name != "" {
		if one := s.statusOf(name, now); one != nil {
			return []*pb.NodeStatus{one}
		}
		return nil
	}
	list := make([]*pb.NodeStatus, 0, len(s.hosts.byName))
	for name := range s.hosts.byName {
		list = append(list, s.statusOf(name, now))
	}
	sortNodes(list)
	return list
}

func sortNodes(list []*pb.NodeStatus) {
	slices.SortFunc(list, func(a, b *pb.NodeStatus) int { return cmp.Compare(a.GetHost(), b.GetHost()) })
}

// restore takes over what the database knew of a host. One that people were told of
// is still silent; of another it is not known how long it has been away.
func (s *Service) restore(known state.Host) {
	h := &host{node: known.Node, version: known.Version, seen: known.LastSeen, away: known.LastSeen, silent: known.Silent}
	if !known.Silent {
		h.away = s.o.Now().Add(comeback)
	}
	s.hosts.byName[known.Name] = h
	s.hosts.absent[known.Name] = struct{}{}
}

// stateOf is what the database keeps of a host. The caller holds mu.
func (s *Service) stateOf(name string) (state.Host, bool) {
	h := s.hosts.byName[name]
	if h == nil {
		return state.Host{}, false
	}
	seen := h.seen
	if h.away.IsZero() {
		seen = s.o.Now()
	}
	return state.Host{Name: name, Node: h.node, Version: h.version, LastSeen: seen, Silent: h.silent}, true
}

const silentAdvice = "is the machine on, does it reach the hub, and does its node run? amoskys-agent doctor on it says what is wrong. " +
	"If it is gone for good: amoskys agents forget HOST"

func wentSilent(name string, seen time.Time) own.Finding {
	at := seen.UTC().Format(time.RFC3339)
	return own.Finding{
		Name: "silent_host", Severity: pb.Severity_SEVERITY_MEDIUM, Host: name, Title: "Host " + name + " is silent",
		Description: "The node of " + name + " was last seen at " + at + "; " + silentAdvice +
			". What its agents see meanwhile waits in their spools.",
		Observables: map[string]string{"since": at},
	}
}

func backAgain(name string, seen time.Time) own.Finding {
	return own.Finding{
		Name: "silent_host", Severity: pb.Severity_SEVERITY_INFORMATIONAL, Host: name, Title: "Host " + name + " is back", Resolved: true,
		Description: fmt.Sprintf("The node of %s is connected again. Before, it was last seen at %s.", name, seen.UTC().Format(time.RFC3339)),
	}
}
