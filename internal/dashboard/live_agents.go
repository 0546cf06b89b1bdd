package dashboard

import (
	"context"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// agentsMessage carries agents: all of them, or those that changed.
type agentsMessage struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Snapshot bool     `json:"snapshot" doc:"These are all agents; otherwise those that changed."`
	Agents   []Agent  `json:"agents" nullable:"false"`
	Removed  []string `json:"removed" nullable:"false" doc:"HOST/ID of agents that are no more."`

	Nodes        []Node   `json:"nodes" nullable:"false" doc:"Nodes of hosts: all, or those that changed."`
	RemovedNodes []string `json:"removed_nodes" nullable:"false" doc:"Hosts that are no more."`
}

// agentsFeed watches the fleet for all tabs. It holds every agent, so that a tab
// that comes later gets them at once.
type agentsFeed struct {
	server *Server

	mu        sync.Mutex // guards what follows
	known     bool       // the hub has told which agents there are
	agents    changes[*pb.AgentStatus]
	nodes     changes[*pb.NodeStatus]
	listeners map[*agentsTopic]func()
}

// run watches the fleet, again after each break.
func (f *agentsFeed) run(ctx context.Context) error {
	pause := firstPause
	for {
		some, err := f.watch(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if code := status.Code(err); code == codes.PermissionDenied || code == codes.Unimplemented {
			return err
		}
		if some {
			pause = firstPause
		}
		if !wait(ctx, f.server.hub, pause) {
			return ctx.Err()
		}
		pause = min(pause*2, longestPause)
	}
}

func (f *agentsFeed) watch(ctx context.Context) (some bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, done := f.server.hub.stream()
	defer done()
	stream, err := pb.NewFleetClient(conn).WatchAgents(ctx, &pb.WatchAgentsRequest{})
	if err != nil {
		return false, err
	}
	for {
		update, err := stream.Recv()
		if err != nil {
			return some, err
		}
		some = true
		f.tell(update)
	}
}

func (f *agentsFeed) tell(update *pb.WatchAgentsResponse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = f.known || update.GetSnapshot()
	f.agents.take(update.GetSnapshot(), update.GetAgents(), agentKey, update.GetRemoved())
	f.nodes.take(update.GetSnapshot(), update.GetNodes(), (*pb.NodeStatus).GetHost, update.GetRemovedNodes())
	clear(f.agents.removed) // who comes later never knew them
	clear(f.nodes.removed)
	for t, changed := range f.listeners {
		t.merge(update)
		changed()
	}
}

func agentKey(a *pb.AgentStatus) string { return a.GetHost() + "/" + a.GetId() }

// listen gives all agents, and what changes, to t until ctx ends.
func (f *agentsFeed) listen(ctx context.Context, t *agentsTopic, changed func()) error {
	f.mu.Lock()
	if f.known {
		t.merge(&pb.WatchAgentsResponse{
			Snapshot: true, Agents: slices.Collect(maps.Values(f.agents.now)), Nodes: slices.Collect(maps.Values(f.nodes.now)),
		})
		changed()
	}
	f.listeners[t] = changed
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.listeners, t)
	return ctx.Err()
}

// agentsTopic follows the fleet. Changes of one agent are merged until they are
// sent, so it holds each agent once.
type agentsTopic struct {
	server *Server
	user   string
	id     string

	mu       sync.Mutex // guards what follows; taken with agentsFeed.mu held, never the other way
	snapshot bool
	agents   changes[*pb.AgentStatus]
	nodes    changes[*pb.NodeStatus]
	news     bool
}

// changes are the newest of what changed, and what is no more, by key.
type changes[T any] struct {
	now     map[string]T
	removed map[string]bool
}

func newChanges[T any]() changes[T] { return changes[T]{map[string]T{}, map[string]bool{}} }

// take merges an update.
func (c *changes[T]) take(snapshot bool, list []T, key func(T) string, removed []string) {
	if snapshot {
		c.forget()
	}
	for _, one := range list {
		c.now[key(one)] = one
		delete(c.removed, key(one))
	}
	for _, k := range removed {
		delete(c.now, k)
		c.removed[k] = true
	}
}

func (c *changes[T]) forget() {
	clear(c.now)
	clear(c.removed)
}

// gone are the keys of what is no more.
func (c *changes[T]) gone() []string {
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(c.removed))))
}

func newAgentsTopic(s *Server, user string, m clientMessage) (topic, *errorMessage) {
	return &agentsTopic{server: s, user: user, id: m.ID, agents: newChanges[*pb.AgentStatus](), nodes: newChanges[*pb.NodeStatus]()}, nil
}

func (t *agentsTopic) run(ctx context.Context, changed func()) error {
	start := func() *agentsFeed {
		return &agentsFeed{
			server: t.server, agents: newChanges[*pb.AgentStatus](), nodes: newChanges[*pb.NodeStatus](), listeners: map[*agentsTopic]func(){},
		}
	}
	return follow(ctx, t.server.feeds, t.user, "agents", start, func(ctx context.Context, f *agentsFeed) error {
		return f.listen(ctx, t, changed)
	})
}

func (t *agentsTopic) merge(update *pb.WatchAgentsResponse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.snapshot = t.snapshot || update.GetSnapshot()
	t.agents.take(update.GetSnapshot(), update.GetAgents(), agentKey, update.GetRemoved())
	t.nodes.take(update.GetSnapshot(), update.GetNodes(), (*pb.NodeStatus).GetHost, update.GetRemovedNodes())
	t.news = true
}

func (t *agentsTopic) take() []any {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.news {
		return nil
	}
	message := agentsMessage{
		ID: t.id, Type: "agents", Snapshot: t.snapshot, Agents: []Agent{}, Removed: t.agents.gone(), Nodes: []Node{}, RemovedNodes: t.nodes.gone(),
	}
	for _, key := range slices.Sorted(maps.Keys(t.agents.now)) {
		message.Agents = append(message.Agents, newAgent(t.agents.now[key]))
	}
	for _, host := range slices.Sorted(maps.Keys(t.nodes.now)) {
		message.Nodes = append(message.Nodes, newNode(t.nodes.now[host]))
	}
	if t.snapshot {
		message.Removed, message.RemovedNodes = []string{}, []string{}
	}
	t.snapshot, t.news = false, false
	t.agents.forget()
	t.nodes.forget()
	return []any{message}
}
