package dashboard

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// overviews makes one overview of a range a second, for however many ask.
type overviews struct {
	server *Server

	mu   sync.Mutex // guards made
	made map[overviewInput]*madeOverview
}

// madeOverview is the last one of a range.
type madeOverview struct {
	mu   sync.Mutex // held while one is made, so that others wait for it
	last *Overview
	at   time.Time
	// good is the last one that the hub gave.
	good *Overview
	// counts is what the store counted of the range, at countsAt.
	counts   *storedCounts
	countsAt time.Time
}

// overviewFor is how long an overview is good.
const overviewFor = time.Second

// maxOverviews is of how many ranges the last one is kept.
const maxOverviews = 64

// Numbers of things in an overview.
const (
	recentEvents   = 20
	newestFindings = 5
	topLength      = 10
	topSamples     = 1_000
	// topWindow is the end of the range in which readings of processes are looked at: of
	// each process the store has one every five minutes, beside its first.
	topWindow = 6 * time.Minute
	// overviewRange is what is looked at where nothing is said.
	overviewRange = "15m"
)

// overviewInput is the range that lists and counts are of. What the hub, the log and
// the agents are like is always of now.
type overviewInput struct {
	Since string `query:"since" maxLength:"64" doc:"Of what time lists and counts are: RFC 3339, or how long ago; 15m without."`
	Until string `query:"until" maxLength:"64" doc:"RFC 3339, or how long ago; now without."`
}

// bounds are nil where the range is open.
func (in overviewInput) bounds(now time.Time) (since, until *timestamppb.Timestamp, err error) {
	if since, err = parseTime("since", in.Since, now); err != nil {
		return nil, nil, err
	}
	until, err = parseTime("until", in.Until, now)
	return since, until, err
}

// of returns the place of a range's overview.
func (o *overviews) of(in overviewInput) *madeOverview {
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.made[in]
	if one == nil {
		if len(o.made) >= maxOverviews {
			clear(o.made) // those under way go on, and are asked for again
		}
		one = &madeOverview{}
		o.made[in] = one
	}
	return one
}

// get returns the present overview of a range. Nobody may change it.
func (o *overviews) get(ctx context.Context, in overviewInput) (*Overview, error) {
	in.Since = cmp.Or(in.Since, overviewRange)
	since, until, err := in.bounds(o.server.o.Now())
	if err != nil {
		return nil, err
	}
	one := o.of(in)
	one.mu.Lock()
	defer one.mu.Unlock()
	if now := o.server.o.Now(); one.last != nil && now.Sub(one.at) < overviewFor && now.After(one.at) {
		return one.last, nil
	}
	// Others wait for the answer, so it must not end with who asked first.
	ctx, cancel := o.server.hub.call(context.WithoutCancel(ctx))
	defer cancel()
	made, err := o.server.makeOverview(ctx, one, since, until)
	if err != nil && !isUnreachable(err) {
		return nil, err
	}
	if err != nil {
		made = o.server.unreachable(err, one.good)
	} else {
		one.good = made
	}
	one.last, one.at = made, o.server.o.Now()
	return made, nil
}

func (s *Server) presentOverview(ctx context.Context, in *overviewInput) (*Overview, error) {
	return s.overview.get(ctx, *in)
}

// unreachable is the overview while the hub is not there: the last one that was
// good, as far as it can still be true, or that nothing is known.
func (s *Server) unreachable(err error, good *Overview) *Overview {
	_, since, _ := s.hub.state()
	since = since.UTC()
	lost := HubStatus{State: "unreachable", Reasons: []string{s.hubProblem(err).Detail}, Since: &since}
	if good != nil {
		stale := *good
		stale.Status, stale.Log.State, stale.Store.State = lost, "unknown", "unknown"
		return &stale
	}
	return &Overview{
		OverviewStatus: OverviewStatus{
			Status:      lost,
			Log:         LogStatus{State: "unknown"},
			Store:       StoreStatus{State: "unknown"},
			Troubles:    []Trouble{},
			Subscribers: []Subscriber{}, Findings: Findings{BySeverity: map[string]uint64{}, Newest: []Event{}},
			Top: Top{Processes: []TopProcess{}, Hosts: []TopHost{}, Types: []TypeCount{}},
		},
		Recent: []Event{},
	}
}

func (s *Server) makeOverview(ctx context.Context, of *madeOverview, since, until *timestamppb.Timestamp) (*Overview, error) {
	var status *pb.StatusResponse
	var agents *pb.ListAgentsResponse
	var stored storedOverview
	now := s.o.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { status, err = s.hub.query.Status(ctx, &pb.StatusRequest{}); return err })
	g.Go(func() (err error) { agents, err = s.hub.fleet.ListAgents(ctx, &pb.ListAgentsRequest{}); return err })
	g.Go(func() (err error) { stored, err = s.askOverview(ctx, of, since, until, now); return err })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	o := &Overview{OverviewStatus: newOverviewStatus(status), Recent: newEvents(stored.recent.GetEvents())}
	now = now.UTC()
	o.AsOf = &now
	o.Agents, o.Nodes = countAgents(agents.GetAgents()), countNodes(agents.GetNodes())
	o.Troubles = troublesOf(agents, now)
	counts := stored.counts
	o.Findings = Findings{Total: counts.findings.GetTotal(), BySeverity: map[string]uint64{}, Newest: newEvents(counts.findings.GetEvents())}
	for _, f := range counts.findings.GetFacets() {
		for _, v := range f.GetValues() {
			o.Findings.BySeverity[v.GetValue()] = v.GetCount()
		}
	}
	o.Top = Top{Processes: topProcesses(stored.samples.GetEvents()), Hosts: topHosts(counts.hosts), Types: []TypeCount{}}
	for _, f := range counts.types.GetFacets() {
		for _, v := range f.GetValues() {
			o.Top.Types = append(o.Top.Types, TypeCount{v.GetValue(), v.GetCount()})
		}
	}
	if st := stored.status.GetStore(); st != nil {
		o.Store = newStoreStatus(st)
	}
	if stored.away != nil {
		o.Store.State, o.StoreAway = "unreachable", s.storeProblem(stored.away).Detail
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
			Losses: []LogLoss{},
		},
		Store:       newStoreStatus(h.GetStore()),
		Subscribers: []Subscriber{},
		Rate: Rate{
			EventsPerSecond: finite(h.GetEventsPerSecond()), EventsTotal: h.GetEventsTotal(), ErrorsTotal: h.GetErrorsTotal(),
			Connections: h.GetConnections(), QueueDepth: finite(h.GetQueueDepth()),
		},
		LatencyMS: Latency{finite(h.GetLatency().GetP50Ms()), finite(h.GetLatency().GetP99Ms()), finite(h.GetLatency().GetP999Ms())},
	}
	for _, l := range h.GetLog().GetLosses() {
		o.Log.Losses = append(o.Log.Losses, LogLoss{
			ID: l.GetId(), FromOffset: l.GetFromOffset(), ToOffset: l.GetToOffset(), NoticedAt: instant(l.GetNoticedTime()), Reason: l.GetReason(),
		})
	}
	for _, sub := range h.GetSubscribers() {
		o.Subscribers = append(o.Subscribers, Subscriber{sub.GetName(), sub.GetOffset(), sub.GetLagEvents(), sub.GetState(), sub.GetHold()})
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
		event.Attribute(ev, stored.GetPublisher())
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

// topHosts lists hosts by their mean rate in the range.
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
