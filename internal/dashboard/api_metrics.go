package dashboard

import (
	"context"
	"net/http"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// SeriesAnswer holds time series with a common start and step.
type SeriesAnswer struct {
	Start       time.Time    `json:"start"`
	StepSeconds float64      `json:"step_seconds"`
	Series      []TimeSeries `json:"series" nullable:"false"`
	Thinned     uint64       `json:"thinned" doc:"Rates of events are of those that the store has: of the days (UTC) of this answer it left out so many readings, whose numbers are in the metrics alone. 0 where no rates were asked for."`
}

// TimeSeries is one line; null where there is no value.
type TimeSeries struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Unit   string            `json:"unit" doc:"UCUM."`
	Values []*float64        `json:"values" nullable:"false"`
}

// MetricsAnswer holds the hub's own metrics and the latest readings of all agents.
type MetricsAnswer struct {
	Time    time.Time `json:"time"`
	Metrics []Metric  `json:"metrics" nullable:"false" doc:"By name. The hub's own have no label agent."`
	Source  string    `json:"source" enum:"store,hub" doc:"Who tells the readings of agents: the store, or while it is away the hub, which keeps fewer of them (docs/metrics.md)."`
	Reason  string    `json:"reason" doc:"Why it is not the store; empty where it is."`
	// Warnings are the store's.
	Warnings []string `json:"warnings" nullable:"false" doc:"What the readings lack, such as those beyond the first 20,000."`
}

// Metric is one sample under its Prometheus name.
type Metric struct {
	Name   string            `json:"name"`
	Type   string            `json:"type" enum:"counter,gauge,histogram,summary,unknown,untyped,gauge_histogram"`
	Help   string            `json:"help"`
	Labels map[string]string `json:"labels"`
	Value  *float64          `json:"value" nullable:"true"`
}

type seriesInput struct {
	Names []string `query:"names" required:"true" minItems:"1" maxItems:"32" doc:"Such as events_per_second, latency_ms, latency_ms_highest, queue_depth, queue_depth_highest, connections, agent_events_per_second, host_events_per_second, agent_rss_bytes, agent_cpu_percent. Values are means of each step, and of the hub's own that end in _highest the highest."`
	Since string   `query:"since" maxLength:"64" doc:"RFC 3339, or how long ago; 15m without."`
	Until string   `query:"until" maxLength:"64" doc:"RFC 3339, or how long ago; now without."`
	Step  string   `query:"step" maxLength:"16" doc:"Distance of values, such as 5s; chosen by the range without."`
}

type metricsInput struct {
	Prefix string `query:"prefix" maxLength:"128" doc:"Only names that begin so."`
}

func (s *Server) series(ctx context.Context, in *seriesInput) (*SeriesAnswer, error) {
	now := s.o.Now()
	since, err := parseTime("since", in.Since, now)
	if err != nil {
		return nil, err
	}
	until, err := parseTime("until", in.Until, now)
	if err != nil {
		return nil, err
	}
	if until == nil {
		until = timestamppb.New(now.Add(-time.Second)) // events of a second that is over may still come
	}
	req := &pb.SeriesRequest{Names: in.Names, Since: since, Until: until}
	if in.Step != "" {
		step, err := parseDuration(in.Step)
		if err != nil || step <= 0 {
			return nil, problem(http.StatusBadRequest, "step must be a length of time such as 5s")
		}
		req.Step = durationpb.New(step)
	}
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	found, err := s.readSeries(ctx, req)
	if err != nil {
		return nil, err
	}
	a := &SeriesAnswer{Start: found.GetStart().AsTime(), StepSeconds: found.GetStep().AsDuration().Seconds(), Series: []TimeSeries{}}
	for _, one := range found.GetSeries() {
		line := TimeSeries{Name: one.GetName(), Labels: labels(one.GetLabels()), Unit: one.GetUnit(), Values: make([]*float64, len(one.GetValues()))}
		for i, v := range one.GetValues() {
			line.Values[i] = value(v)
		}
		a.Series = append(a.Series, line)
	}
	if slices.ContainsFunc(in.Names, isRate) {
		a.Thinned = s.leftOut(ctx, found)
	}
	return a, nil
}

// leftOut is how many readings the store left out of the days that series are of: it counts
// them by day. A store that does not answer told no rates either.
func (s *Server) leftOut(ctx context.Context, of *pb.SeriesResponse) (n uint64) {
	status, err := s.stored().Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return 0
	}
	values := 0
	for _, one := range of.GetSeries() {
		values = max(values, len(one.GetValues()))
	}
	first := of.GetStart().AsTime()
	last := first.Add(time.Duration(values) * of.GetStep().AsDuration())
	for _, day := range status.GetStore().GetDays() {
		begin, err := time.Parse(time.DateOnly, day.GetDay())
		if err == nil && begin.Before(last) && begin.AddDate(0, 0, 1).After(first) {
			n += day.GetThinned()
		}
	}
	return n
}

func labels(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
