package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// agentsMessage carries agents: all of them, or those that changed.
type agentsMessage struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Snapshot bool     `json:"snapshot" doc:"These are all agents; otherwise those that changed."`
	Agents   []Agent  `json:"agents" nullable:"false"`
	Removed  []string `json:"removed" nullable:"false" doc:"HOST/ID of agents that are no more."`
}

// agentsTopic follows the fleet. Changes of one agent are merged until they are
// sent, so it holds each agent once.
type agentsTopic struct {
	server *Server
	id     string

	mu       sync.Mutex // guards what follows
	snapshot bool
	agents   map[string]*pb.AgentStatus
	removed  map[string]bool
	news     bool
}

func newAgentsTopic(s *Server, id string) *agentsTopic {
	return &agentsTopic{server: s, id: id, agents: map[string]*pb.AgentStatus{}, removed: map[string]bool{}}
}

// run watches the fleet, again after each break.
func (t *agentsTopic) run(ctx context.Context, changed func()) error {
	pause := firstPause
	for {
		some, err := t.follow(ctx, changed)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if code := status.Code(err); code == codes.PermissionDenied || code == codes.Unimplemented {
			return err
		}
		if some {
			pause = firstPause
		}
		if !wait(ctx, t.server.hub, pause) {
			return ctx.Err()
		}
		pause = min(pause*2, longestPause)
	}
}

func (t *agentsTopic) follow(ctx context.Context, changed func()) (some bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := t.server.hub.fleet.WatchAgents(ctx, &pb.WatchAgentsRequest{})
	if err != nil {
		return false, err
	}
	for {
		update, err := stream.Recv()
		if err != nil {
			return some, err
		}
		some = true
		t.add(update)
		changed()
	}
}

func (t *agentsTopic) add(update *pb.WatchAgentsResponse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if update.GetSnapshot() {
		t.snapshot = true
		clear(t.agents)
		clear(t.removed)
	}
	for _, a := range update.GetAgents() {
		key := a.GetHost() + "/" + a.GetId()
		t.agents[key] = a
		delete(t.removed, key)
	}
	for _, key := range update.GetRemoved() {
		delete(t.agents, key)
		t.removed[key] = true
	}
	t.news = true
}

func (t *agentsTopic) take() []any {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.news {
		return nil
	}
	message := agentsMessage{
		ID: t.id, Type: "agents", Snapshot: t.snapshot, Agents: []Agent{}, Removed: slices.AppendSeq([]string{}, maps.Keys(t.removed)),
	}
	for _, key := range slices.Sorted(maps.Keys(t.agents)) {
		message.Agents = append(message.Agents, newAgent(t.agents[key]))
	}
	slices.Sort(message.Removed)
	if t.snapshot {
		message.Removed = []string{}
	}
	t.snapshot, t.news = false, false
	clear(t.agents)
	clear(t.removed)
	return []any{message}
}

// latest holds the one message of a topic that is due.
type latest struct {
	mu      sync.Mutex // guards message
	message any
}

func (l *latest) put(message any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.message = message
}

func (l *latest) take() []any {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.message == nil {
		return nil
	}
	message := l.message
	l.message = nil
	return []any{message}
}

// Periods of topics that ask.
const (
	overviewEvery = 2 * time.Second
	seriesEvery   = time.Second
	// seriesBusy is the period when many tabs follow series.
	seriesBusy = 5 * time.Second
	manyTabs   = 32
)

// overviewMessage carries the overview without its events.
type overviewMessage struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	OverviewStatus
}

// overviewTopic follows the overview.
type overviewTopic struct {
	latest
	server *Server
	id     string
}

func (t *overviewTopic) run(ctx context.Context, changed func()) error {
	tick := time.NewTicker(overviewEvery)
	defer tick.Stop()
	var last []byte
	for {
		now, err := t.server.overview.get(ctx)
		if err == nil {
			message := overviewMessage{t.id, "overview", now.OverviewStatus}
			text, err := json.Marshal(message)
			if err == nil && !bytes.Equal(text, last) {
				last = text
				t.put(message)
				changed()
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// seriesMessage carries the newest value of each series.
type seriesMessage struct {
	ID     string        `json:"id"`
	Type   string        `json:"type"`
	Time   time.Time     `json:"time" doc:"Start of the step that the values are of."`
	Points []SeriesPoint `json:"points" nullable:"false"`
}

// SeriesPoint is one value of one series.
type SeriesPoint struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Unit   string            `json:"unit"`
	Value  *float64          `json:"value" nullable:"true"`
}

// seriesTopic follows the newest values of series.
type seriesTopic struct {
	latest
	server *Server
	id     string
	names  []string
}

func (t *seriesTopic) run(ctx context.Context, changed func()) error {
	var last int64
	for {
		every := seriesEvery
		if len(t.server.liveSlots) > manyTabs {
			every = seriesBusy
		}
		message, err := t.read(ctx, every)
		if code := status.Code(err); code == codes.InvalidArgument || code == codes.PermissionDenied {
			return err
		}
		if err == nil && message.Time.Unix() > last {
			last = message.Time.Unix()
			t.put(message)
			changed()
		}
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// read asks for the last whole step.
func (t *seriesTopic) read(ctx context.Context, step time.Duration) (seriesMessage, error) {
	ctx, cancel := t.server.hub.call(ctx)
	defer cancel()
	// Events of the second just over may still be on their way to the series.
	until := t.server.o.Now().Add(-time.Second)
	found, err := t.server.hub.query.Series(ctx, &pb.SeriesRequest{
		Names: t.names, Since: timestamppb.New(until.Add(-30 * time.Second)), Until: timestamppb.New(until), Step: durationpb.New(step),
	})
	if err != nil {
		return seriesMessage{}, err
	}
	message := seriesMessage{ID: t.id, Type: "series", Points: []SeriesPoint{}}
	for _, one := range found.GetSeries() {
		i := len(one.GetValues()) - 1
		if i < 0 {
			continue
		}
		message.Time = found.GetStart().AsTime().Add(time.Duration(i) * found.GetStep().AsDuration())
		message.Points = append(message.Points, SeriesPoint{one.GetName(), labels(one.GetLabels()), one.GetUnit(), value(one.GetValues()[i])})
	}
	return message, nil
}
