package fleet

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// watcher remembers which agents changed since it last sent. However slow its
// reader is, it holds each agent's name once.
type watcher struct {
	wake chan struct{}

	mu      sync.Mutex // taken with Service.mu held, never the other way
	changed map[key]struct{}
}

func (w *watcher) add(k key) {
	w.mu.Lock()
	w.changed[k] = struct{}{}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) take() map[key]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := w.changed
	w.changed = map[key]struct{}{}
	return changed
}

// WatchAgents sends every agent, then what changed, as fast as it is read.
func (s *Service) WatchAgents(_ *pb.WatchAgentsRequest, stream grpc.ServerStreamingServer[pb.WatchAgentsResponse]) error {
	w := &watcher{wake: make(chan struct{}, 1), changed: map[key]struct{}{}}
	s.mu.Lock()
	if len(s.watchers) >= maxWatchers {
		s.mu.Unlock()
		return status.Errorf(codes.ResourceExhausted, "the hub has its most of %d watchers", maxWatchers)
	}
	s.watchers[w] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, w)
		s.mu.Unlock()
	}()
	// A change between the registration above and this snapshot is sent twice,
	// which is harmless; none is missed.
	first := true
	for agents := range inChunks(s.snapshot("")) {
		if err := stream.Send(&pb.WatchAgentsResponse{Snapshot: first, Agents: agents}); err != nil {
			return err
		}
		first = false
	}
	for {
		select {
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		case <-w.wake:
		}
		if err := s.sendChanges(w.take(), stream); err != nil {
			return err
		}
	}
}

func (s *Service) sendChanges(changed map[key]struct{}, stream grpc.ServerStreamingServer[pb.WatchAgentsResponse]) error {
	var agents []*pb.AgentStatus
	var removed []string
	s.mu.Lock()
	for k := range changed {
		if a := s.agents[k]; a != nil {
			agents = append(agents, a)
		} else {
			removed = append(removed, k.String())
		}
	}
	s.mu.Unlock()
	if len(agents)+len(removed) == 0 {
		return nil
	}
	sortAgents(agents)
	for chunk := range inChunks(agents) {
		if err := stream.Send(&pb.WatchAgentsResponse{Agents: chunk, Removed: removed}); err != nil {
			return err
		}
		removed = nil
	}
	return nil
}

// chunk keeps messages far below gRPC's limit of 4 MiB.
const chunk = 1_000

// inChunks yields the agents in runs of at most chunk, at least one run.
func inChunks(agents []*pb.AgentStatus) func(yield func([]*pb.AgentStatus) bool) {
	return func(yield func([]*pb.AgentStatus) bool) {
		for len(agents) > chunk {
			if !yield(agents[:chunk]) {
				return
			}
			agents = agents[chunk:]
		}
		yield(agents)
	}
}

// Gauges reports what each connected agent uses now, for the series of the live
// view: names, units and labels as in the contract of the REST interface.
func (s *Service) Gauges(emit func(name, unit string, labels map[string]string, value float64)) {
	for _, a := range s.snapshot("") {
		if !a.GetNodeConnected() || a.GetPid() == 0 {
			continue
		}
		labels := map[string]string{"agent": a.GetId(), "host": a.GetHost()}
		emit("agent_rss_bytes", "By", labels, float64(a.GetRssBytes()))
		emit("agent_cpu_percent", "%", labels, a.GetCpuPercent())
	}
}
