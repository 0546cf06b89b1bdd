package dashboard

import (
	"context"
	"net/http"
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
}

// TimeSeries is one line; null where there is no value.
type TimeSeries struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Unit   string            `json:"unit" doc:"UCUM."`
	Values []*float64        `json:"values" nullable:"false"`
}

// MetricsAnswer holds the hub's own metrics.
type MetricsAnswer struct {
	Time    time.Time `json:"time"`
	Metrics []Metric  `json:"metrics" nullable:"false"`
}

// Metric is one sample under its Prometheus name.
type Metric struct {
	Name   string            `json:"name"`
	Type   string            `json:"type" enum:"counter,gauge,histogram,summary,untyped,gauge_histogram"`
	Help   string            `json:"help"`
	Labels map[string]string `json:"labels"`
	Value  *float64          `json:"value" nullable:"true"`
}

type seriesInput struct {
	Names []string `query:"names" required:"true" minItems:"1" maxItems:"32" doc:"Such as events_per_second, latency_ms, queue_depth, connections, agent_events_per_second, host_events_per_second, agent_rss_bytes, agent_cpu_percent."`
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
	return a, nil
}

func labels(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func (s *Server) metrics(ctx context.Context, in *metricsInput) (*MetricsAnswer, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	found, err := s.hub.query.Metrics(ctx, &pb.MetricsRequest{Prefix: in.Prefix})
	if err != nil {
		return nil, err
	}
	a := &MetricsAnswer{Time: s.o.Now().UTC(), Metrics: []Metric{}}
	for _, m := range found.GetSamples() {
		a.Metrics = append(a.Metrics, Metric{m.GetName(), m.GetType(), m.GetHelp(), labels(m.GetLabels()), value(m.GetValue())})
	}
	return a, nil
}
