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
	if err := send(stream, true, s.snapshot(""), s.hostList(""), nil, nil); err != nil {
		return err
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
	var nodes []*pb.NodeStatus
	var removed, removedNodes []string
	s.mu.Lock()
	now := s.o.Now()
	for k := range changed {
		if k.id == "" {
			if h := s.statusOf(k.host, now); h != nil {
				nodes = append(nodes, h)
			} else {
				removedNodes = append(removedNodes, k.host)
			}
		} else if a := s.agents[k]; a != nil {
			agents = append(agents, a)
		} else {
			removed = append(removed, k.String())
		}
	}
	s.mu.Unlock()
	if len(agents)+len(nodes)+len(removed)+len(removedNodes) == 0 {
		return nil
	}
	sortAgents(agents)
	sortNodes(nodes)
	return send(stream, false, agents, nodes, removed, removedNodes)
}

// chunk keeps messages far below gRPC's limit of 4 MiB.
const chunk = 1_000

// send sends agents and hosts in messages of at most chunk of each, at least one.
func send(
	stream grpc.ServerStreamingServer[pb.WatchAgentsResponse], snapshot bool,
	agents []*pb.AgentStatus, nodes []*pb.NodeStatus, removed, removedNodes []string,
) error {
	for first := true; first || len(agents)+len(nodes)+len(removed)+len(removedNodes) > 0; first = false {
		message := &pb.WatchAgentsResponse{
			Snapshot: snapshot && first, Agents: front(&agents), Nodes: front(&nodes), Removed: front(&removed), RemovedNodes: front(&removedNodes),
		}
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	return nil
}

// front takes the first chunk off a list.
func front[T any](list *[]T) []T {
	n := min(chunk, len(*list))
	taken := (*list)[:n:n]
	*list = (*list)[n:]
	return taken
}

// Gauges reports what connected agents use now, for the series of the live view:
// names, units and labels as in the contract of the REST interface. It reports
// on as many agents as the live view keeps series for, and stays with them as
// long as they run.
func (s *Service) Gauges(emit func(name, unit string, labels map[string]string, value float64)) {
	type reading struct {
		labels map[string]string
		agent  *pb.AgentStatus
	}
	s.mu.Lock()
	readings := make([]reading, 0, len(s.gauged))
	for k, labels := range s.gauged {
		readings = append(readings, reading{labels, s.agents[k]})
	}
	s.mu.Unlock()
	for _, r := range readings {
		emit("agent_rss_bytes", "By", r.labels, float64(r.agent.GetRssBytes()))
		emit("agent_cpu_percent", "%", r.labels, r.agent.GetCpuPercent())
	}
}
