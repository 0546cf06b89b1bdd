package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// storeEvery spaces writes, so that a storm of changes is few transactions.
const storeEvery = time.Second

// storeBatch is how many agents one transaction stores: between two of them
// other writers of the database, such as a login, have their turn.
const storeBatch = 2_000

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

// due is an agent or a host to be stored, or to be forgotten if it has neither
// status nor host.
type due struct {
	key
	status *pb.AgentStatus
	host   *state.Host
}

// Flush stores what changed since the last time, in batches. What cannot be
// stored stays due.
func (s *Service) Flush(ctx context.Context) error {
	list := s.takeDue()
	for len(list) > 0 {
		batch := list[:min(storeBatch, len(list))]
		if err := s.store(ctx, batch); err != nil {
			s.mu.Lock()
			for _, d := range list {
				s.markDirty(d.key)
			}
			s.mu.Unlock()
			return err
		}
		list = list[len(batch):]
	}
	return nil
}

func (s *Service) takeDue() []due {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]due, 0, len(s.dirty))
	for k := range s.dirty {
		d := due{key: k, status: s.agents[k]}
		if h, ok := s.stateOf(k.host); ok && k.id == "" {
			d.host = &h
		}
		list = append(list, d)
	}
	s.dirty = map[key]struct{}{}
	return list
}

// store writes one batch. An agent that cannot be encoded, which no report can
// bring about, is left out and told.
func (s *Service) store(ctx context.Context, batch []due) error {
	var puts, deletes []state.Agent
	var hosts []state.Host
	var gone []string
	for _, d := range batch {
		switch {
		case d.host != nil:
			hosts = append(hosts, *d.host)
			continue
		case d.id == "":
			gone = append(gone, d.key.host)
			continue
		case d.status == nil:
			deletes = append(deletes, state.Agent{Host: d.key.host, ID: d.id})
			continue
		}
		if d.status.GetUnsupervised() {
			continue // it is there while it is connected; what its node had stays stored
		}
		encoded, err := proto.Marshal(d.status)
		if err != nil {
			s.o.Logger.WarnContext(ctx, "agent not stored", "error", err, "agent_id", d.id, "host", d.key.host)
			continue
		}
		puts = append(puts, state.Agent{Host: d.key.host, ID: d.id, Node: d.status.GetNodeId(), Status: encoded})
	}
	if len(puts) > 0 {
		if err := s.o.Store.PutAgents(ctx, puts); err != nil {
			return err
		}
	}
	if len(deletes) > 0 {
		if err := s.o.Store.DeleteAgents(ctx, deletes); err != nil {
			return err
		}
	}
	if len(hosts) > 0 {
		if err := s.o.Store.PutHosts(ctx, hosts); err != nil {
			return err
		}
	}
	if len(gone) > 0 {
		return s.o.Store.DeleteHosts(ctx, gone)
	}
	return nil
}

// load reads what the store knows, and forgets the oldest.
func (s *Service) load(ctx context.Context) error {
	if err := s.loadHosts(ctx); err != nil {
		return err
	}
	known, err := s.o.Store.Agents(ctx)
	if err != nil {
		return fmt.Errorf("read known agents: %w", err)
	}
	var forgotten []state.Agent
	for _, a := range known {
		status := &pb.AgentStatus{}
		// One kept under another spelling than names have today comes back under its own.
		respelled := hostname.Normal(a.Host) != a.Host || hostname.Normal(a.ID) != a.ID
		if s.o.Age(a.Updated) > forgetAfter || respelled || proto.Unmarshal(a.Status, status) != nil {
			forgotten = append(forgotten, a)
			continue
		}
		status.Host, status.Id, status.NodeId = a.Host, a.ID, a.Node
		s.replace(key{a.Host, a.ID}, vanished(status))
		if s.hosts.byName[a.Host] == nil && a.Node != "" { // stored before hosts were
			s.restore(state.Host{Name: a.Host, Node: a.Node, LastSeen: a.Updated})
		}
	}
	for batch := range slices.Chunk(forgotten, storeBatch) {
		if err := s.o.Store.DeleteAgents(ctx, batch); err != nil {
			return fmt.Errorf("forget old agents: %w", err)
		}
	}
	return nil
}

func (s *Service) loadHosts(ctx context.Context) error {
	known, err := s.o.Store.Hosts(ctx)
	if err != nil {
		return fmt.Errorf("read known hosts: %w", err)
	}
	var forgotten []string
	for _, h := range known {
		if s.o.Age(h.LastSeen) > forgetAfter || hostname.Normal(h.Name) != h.Name {
			forgotten = append(forgotten, h.Name)
			continue
		}
		s.restore(h)
	}
	if len(forgotten) == 0 {
		return nil
	}
	if err := s.o.Store.DeleteHosts(ctx, forgotten); err != nil {
		return fmt.Errorf("forget old hosts: %w", err)
	}
	return nil
}
