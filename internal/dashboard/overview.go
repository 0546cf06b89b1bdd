package dashboard

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// overviews makes one overview a second, for however many ask.
type overviews struct {
	server *Server

	mu   sync.Mutex // held while one is made, so that others wait for it
	last *Overview
	at   time.Time
}

// overviewFor is how long an overview is good.
const overviewFor = time.Second

// Numbers of things in an overview.
const (
	recentEvents = 20
	topLength    = 10
	topSamples   = 1_000
	topWindow    = 30 * time.Second
)

// get returns the present overview. Nobody may change it.
func (o *overviews) get(ctx context.Context) (*Overview, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := o.server.o.Now(); o.last != nil && now.Sub(o.at) < overviewFor && now.After(o.at) {
		return o.last, nil
	}
	// Others wait for the answer, so it must not end with who asked first.
	ctx, cancel := o.server.hub.call(context.WithoutCancel(ctx))
	defer cancel()
	made, err := o.server.makeOverview(ctx)
	if err != nil && !isUnreachable(err) {
		return nil, err
	}
	if err != nil {
		made = o.server.unreachable(err)
	}
	o.last, o.at = made, o.server.o.Now()
	return made, nil
}

// unreachable is the overview while the hub is not there.
func (s *Server) unreachable(err error) *Overview {
	_, since, _ := s.hub.state()
	since = since.UTC()
	return &Overview{
		OverviewStatus: OverviewStatus{
			Status:      HubStatus{State: "unreachable", Reasons: []string{s.hubProblem(err).Detail}, Since: &since},
			Log:         LogStatus{State: "unknown"},
			Store:       StoreStatus{State: "unknown"},
			Subscribers: []Subscriber{}, Findings: Findings{BySeverity: map[string]uint64{}},
			Top: Top{Processes: []TopProcess{}, Hosts: []TopHost{}, Types: []TypeCount{}},
		},
		Recent: []Event{},
	}
}

func (s *Server) makeOverview(ctx context.Context) (*Overview, error) {
	now := s.o.Now()
	var status *pb.StatusResponse
	var agents *pb.ListAgentsResponse
	var recent, samples, findings *pb.SearchEventsResponse
	var hosts *pb.SeriesResponse
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { status, err = s.hub.query.Status(ctx, &pb.StatusRequest{}); return err })
	g.Go(func() (err error) { agents, err = s.hub.fleet.ListAgents(ctx, &pb.ListAgentsRequest{}); return err })
	g.Go(func() (err error) {
		recent, err = s.hub.query.SearchEvents(ctx, &pb.SearchEventsRequest{Limit: recentEvents, Facets: []string{"type"}})
		return err
	})
	g.Go(func() (err error) {
		samples, err = s.hub.query.SearchEvents(ctx, &pb.SearchEventsRequest{
			Filter: &pb.Filter{Types: []string{event.TypeProcessSample}}, Limit: topSamples, Since: timestamppb.New(now.Add(-topWindow)),
		})
		return err
	})
	g.Go(func() (err error) {
		findings, err = s.hub.query.SearchEvents(ctx, &pb.SearchEventsRequest{
			Filter: &pb.Filter{Types: []string{"finding."}}, Limit: 1, Facets: []string{"severity"},
		})
		return err
	})
	g.Go(func() (err error) {
		hosts, err = s.hub.query.Series(ctx, &pb.SeriesRequest{
			Names: []string{"host_events_per_second"}, Since: timestamppb.New(now.Add(-time.Minute)), Step: durationpb.New(10 * time.Second),
		})
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	o := &Overview{OverviewStatus: newOverviewStatus(status), Recent: newEvents(recent.GetEvents())}
	o.Agents = countAgents(agents.GetAgents())
	o.Findings = Findings{Total: findings.GetTotal(), BySeverity: map[string]uint64{}}
	for _, v := range findings.GetFacets()[0].GetValues() {
		o.Findings.BySeverity[v.GetValue()] = v.GetCount()
	}
	o.Top = Top{Processes: topProcesses(samples.GetEvents()), Hosts: topHosts(hosts), Types: []TypeCount{}}
	for _, v := range recent.GetFacets()[0].GetValues() {
		o.Top.Types = append(o.Top.Types, TypeCount{v.GetValue(), v.GetCount()})
	}
	return o, nil
}

func newOverviewStatus(h *pb.StatusResponse) OverviewStatus {
	o := OverviewStatus{
		Status: HubStatus{
			State: h.GetState(), Reasons: append([]string{}, h.GetReasons()...), Version: h.GetVersion(),
			UptimeSeconds: math.Floor(h.GetUptime().AsDuration().Seconds()),
		},
		Log: LogStatus{
			State: h.GetLog().GetState(), Reason: h.GetLog().GetReason(),
			FirstOffset: h.GetLog().GetFirstOffset(), NextOffset: h.GetLog().GetNextOffset(),
			Bytes: h.GetLog().GetBytes(), Segments: h.GetLog().GetSegments(), OldestTime: instant(h.GetLog().GetOldestTime()),
			FreeBytes: h.GetLog().GetFreeBytes(), Quarantined: h.GetLog().GetQuarantined(), Recovery: h.GetLog().GetRecovery(),
		},
		Store:       newStoreStatus(h.GetStore()),
		Subscribers: []Subscriber{},
		Rate: Rate{
			EventsPerSecond: finite(h.GetEventsPerSecond()), EventsTotal: h.GetEventsTotal(), ErrorsTotal: h.GetErrorsTotal(),
			Connections: h.GetConnections(), QueueDepth: finite(h.GetQueueDepth()),
		},
		LatencyMS: Latency{finite(h.GetLatency().GetP50Ms()), finite(h.GetLatency().GetP99Ms()), finite(h.GetLatency().GetP999Ms())},
	}
	for _, sub := range h.GetSubscribers() {
		o.Subscribers = append(o.Subscribers, Subscriber{sub.GetName(), sub.GetOffset(), sub.GetLagEvents()})
	}
	return o
}

func countAgents(agents []*pb.AgentStatus) AgentCounts {
	counts := AgentCounts{Total: len(agents)}
	for _, a := range agents {
		switch healthText(a.GetHealth()) {
		case "green":
			counts.Green++
		case "yellow":
			counts.Yellow++
		case "red":
			counts.Red++
		default:
			counts.Unknown++
		}
	}
	return counts
}

// topProcesses lists the newest reading of each process, by CPU and memory.
func topProcesses(samples []*pb.StoredEvent) []TopProcess {
	type place struct {
		host, uid string
		pid       uint32
	}
	seen := map[place]bool{}
	top := []TopProcess{}
	for _, stored := range samples { // newest first
		ev, err := event.Decode(stored.GetEvent())
		if err != nil || ev.GetProcess().GetUsage() == nil {
			continue
		}
		p, u := ev.GetProcess().GetProcess(), ev.GetProcess().GetUsage()
		at := place{ev.GetHost().GetName(), p.GetUid(), p.GetPid()}
		if seen[at] {
			continue
		}
		seen[at] = true
		top = append(top, TopProcess{
			Name: p.GetName(), Host: at.host, CPUPercent: finite(u.GetCpuPercent()), RSSBytes: u.GetRssBytes(), PID: p.GetPid(), UID: p.GetUid(),
		})
	}
	slices.SortFunc(top, func(a, b TopProcess) int {
		return cmp.Or(cmp.Compare(b.CPUPercent, a.CPUPercent), cmp.Compare(b.RSSBytes, a.RSSBytes), cmp.Compare(a.Name, b.Name))
	})
	return top[:min(len(top), topLength)]
}

// topHosts lists hosts by their mean rate of the last minute.
func topHosts(series *pb.SeriesResponse) []TopHost {
	hosts := []TopHost{}
	for _, s := range series.GetSeries() {
		var sum float64
		var n int
		for _, v := range s.GetValues() {
			if !math.IsNaN(v) {
				sum += v
				n++
			}
		}
		if n > 0 {
			hosts = append(hosts, TopHost{s.GetLabels()["host"], sum / float64(n)})
		}
	}
	slices.SortFunc(hosts, func(a, b TopHost) int {
		return cmp.Or(cmp.Compare(b.EventsPerSecond, a.EventsPerSecond), cmp.Compare(a.Name, b.Name))
	})
	return hosts[:min(len(hosts), topLength)]
}
