package agent

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Totals are metrics of an agent that the hub is told too, in batches: what no event of the
// agent says by itself, such as the bytes of all flows together. They are told as they
// stand, counters with all that they have counted, so that a batch that is lost costs
// nothing.
type Totals struct {
	registry *prometheus.Registry
	names    []string
	last     event.Slot
}

// keepTotals is of which time the store keeps one batch of totals; the others are for the
// metrics alone.
const keepTotals = event.Slots(5 * time.Minute)

// NewTotals takes the families of a collector that have one of the names, of which there
// is one at least.
func NewTotals(c prometheus.Collector, name string, more ...string) (*Totals, error) {
	t := &Totals{registry: prometheus.NewRegistry(), names: append([]string{name}, more...)}
	if err := t.registry.Register(c); err != nil {
		return nil, fmt.Errorf("register metrics that the hub is told: %w", err)
	}
	return t, nil
}

// Run publishes them each interval until ctx ends.
func (t *Totals) Run(ctx context.Context, each time.Duration, p Publisher, logger *slog.Logger) {
	tick := time.NewTicker(each)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		events, err := t.Events()
		if err != nil {
			logger.WarnContext(ctx, "metrics not told to the hub", obs.KeyError, err)
			continue
		}
		now := time.Now()
		kept := keepTotals.Keep(&t.last, t.names[0], now)
		for _, ev := range events {
			ev.MetricsOnly = !kept
		}
		if p.Publish(ctx, events...) != nil {
			return // ctx has ended
		}
	}
}

// maxTotals is how many samples one event has: it stays far below what a hub takes.
const maxTotals = 2000

// Events are batches of the metrics as they are now; none where there are no metrics.
func (t *Totals) Events() ([]*pb.Event, error) {
	families, err := t.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	var all []*pb.Metric
	for _, f := range families {
		if !slices.Contains(t.names, f.GetName()) {
			continue
		}
		for _, m := range f.GetMetric() {
			all = appendTotals(all, f, m)
		}
	}
	var events []*pb.Event
	for part := range slices.Chunk(all, maxTotals) {
		events = append(events, &pb.Event{Type: event.TypeMetricBatch, Body: &pb.Event_Metrics{Metrics: &pb.MetricBatch{Metrics: part}}})
	}
	return events, nil
}

// appendTotals appends the samples of one metric of a family.
func appendTotals(all []*pb.Metric, f *dto.MetricFamily, m *dto.Metric) []*pb.Metric {
	add := func(suffix string, typ pb.MetricType, value float64, more ...string) {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			if name := l.GetName(); name != "agent" && name != "host" { // the event names them
				labels[name] = l.GetValue()
			}
		}
		for i := 0; i < len(more); i += 2 {
			labels[more[i]] = more[i+1]
		}
		all = append(all, &pb.Metric{Name: f.GetName() + suffix, Labels: labels, Type: typ, Value: value})
	}
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		add("", pb.MetricType_METRIC_TYPE_COUNTER, m.GetCounter().GetValue())
	case dto.MetricType_GAUGE:
		add("", pb.MetricType_METRIC_TYPE_GAUGE, m.GetGauge().GetValue())
	case dto.MetricType_UNTYPED:
		add("", pb.MetricType_METRIC_TYPE_UNSPECIFIED, m.GetUntyped().GetValue())
	case dto.MetricType_HISTOGRAM:
		h, counter := m.GetHistogram(), pb.MetricType_METRIC_TYPE_COUNTER
		for _, b := range h.GetBucket() {
			if !math.IsInf(b.GetUpperBound(), 1) {
				add("_bucket", counter, float64(b.GetCumulativeCount()), "le", boundText(b.GetUpperBound()))
			}
		}
		add("_bucket", counter, float64(h.GetSampleCount()), "le", "+Inf")
		add("_sum", counter, h.GetSampleSum())
		add("_count", counter, float64(h.GetSampleCount()))
	default: // summaries and native histograms have no samples of this kind
	}
	return all
}

// boundText is the bound of a bucket as OpenMetrics writes it, with a point.
func boundText(x float64) string {
	text := strconv.FormatFloat(x, 'g', -1, 64)
	if strings.ContainsAny(text, ".e") {
		return text
	}
	return text + ".0"
}
