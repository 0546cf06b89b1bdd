// Package own writes into the database of readings what the store knows by itself and no
// event tells: its own metrics, how the hub is as the store sees it, and when certificates
// end. Rules need it, and it shows when nothing comes through the log any more.
//
// Series have the labels agent="store" and host, as those of agents have. They are not in
// the log: what is lost of them does not come again.
package own

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"github.com/amoskys/amoskys/internal/obs"
)

// Agent is the value of the label agent.
const Agent = "store"

// Sample is one value. Labels are names and values in turn.
type Sample struct {
	Name   string
	Labels []string
	Value  float64
	// Exemplar is one of what the value counts; the zero Exemplar is none.
	Exemplar Exemplar
}

// Exemplar names one of what a sample counts. Labels are names and values in turn.
type Exemplar struct {
	Labels []string
	Value  float64
	Time   time.Time
}

// Source tells samples as they are now. What it cannot tell it leaves out.
type Source func(context.Context) []Sample

// maxSamples bounds what is written at a time.
const maxSamples = 5000

// Options say what is written where. Into is required.
type Options struct {
	Into    storage.AppendableV2
	Host    string
	Every   time.Duration // 15 s
	Sources []Source
	Now     func() time.Time // a clock that is believed; nil: time.Now
	Logger  *slog.Logger
}

// Recorder writes samples. Make it with New.
type Recorder struct {
	o      Options
	before map[string]labels.Labels // series of the last time
	failed bool
}

// New returns a Recorder.
func New(o Options) *Recorder {
	o.Every = cmp.Or(o.Every, 15*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = obs.Discard()
	}
	return &Recorder{o: o, before: map[string]labels.Labels{}}
}

// Run writes until ctx ends. What fails is tried again with the next samples.
func (r *Recorder) Run(ctx context.Context) {
	tick := time.NewTicker(r.o.Every)
	defer tick.Stop()
	for {
		err := r.Record(ctx)
		if err != nil && !r.failed && ctx.Err() == nil {
			r.o.Logger.InfoContext(ctx, "what the store knows of itself is not in the metrics for now", obs.KeyError, err)
		}
		r.failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Record writes all sources once. Series that are not told any more end. It is for one
// goroutine.
func (r *Recorder) Record(ctx context.Context) error {
	var all []Sample
	for _, source := range r.o.Sources {
		all = append(all, source(ctx)...)
	}
	if len(all) > maxSamples {
		all = all[:maxSamples]
	}
	at := r.o.Now().UnixMilli()
	app := r.o.Into.AppenderV2(ctx)
	now := map[string]labels.Labels{}
	for i := range all {
		l := r.labelsOf(&all[i])
		key := l.String()
		if _, twice := now[key]; twice {
			continue
		}
		if err := r.append(app, l, at, all[i].Value, all[i].Exemplar.at(at)...); err != nil {
			return errors.Join(err, app.Rollback())
		}
		now[key] = l
	}
	for key, l := range r.before {
		if _, goesOn := now[key]; goesOn {
			continue
		}
		if err := r.append(app, l, at, math.Float64frombits(value.StaleNaN)); err != nil {
			return errors.Join(err, app.Rollback())
		}
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("write what the store knows of itself: %w", err)
	}
	r.before = now
	return nil
}

// append writes a sample; one for a moment that has another already is left out, and so is
// an exemplar that is there already.
func (*Recorder) append(app storage.AppenderV2, l labels.Labels, at int64, v float64, named ...exemplar.Exemplar) error {
	_, err := app.Append(0, l, 0, at, v, nil, nil, storage.AOptions{RejectOutOfOrder: true, Exemplars: named})
	if _, partly := errors.AsType[*storage.AppendPartialError](err); partly { // the sample is there, an exemplar is not
		err = nil
	}
	if errors.Is(err, storage.ErrDuplicateSampleForTimestamp) || errors.Is(err, storage.ErrOutOfOrderSample) {
		return nil
	}
	return err //nolint:wrapcheck // the caller says what this was
}

// exemplarOld is how long before its sample an exemplar may be, and exemplarAhead how long
// after it, as clocks differ.
const (
	exemplarOld   = time.Hour
	exemplarAhead = time.Minute
)

// at is the exemplar of a sample of a time in ms, as the database takes it; none where it
// is of another time or has no labels.
func (x *Exemplar) at(ms int64) []exemplar.Exemplar {
	t := x.Time.UnixMilli()
	if len(x.Labels) < 2 || t > ms+exemplarAhead.Milliseconds() || t < ms-exemplarOld.Milliseconds() {
		return nil
	}
	b := labels.NewScratchBuilder(len(x.Labels) / 2)
	for i := 0; i+1 < len(x.Labels); i += 2 {
		b.Add(x.Labels[i], x.Labels[i+1])
	}
	b.Sort()
	return []exemplar.Exemplar{{Labels: b.Labels(), Value: x.Value, Ts: t, HasTs: true}}
}

func (r *Recorder) labelsOf(s *Sample) labels.Labels {
	b := labels.NewScratchBuilder(3 + len(s.Labels)/2)
	b.Add(model.MetricNameLabel, s.Name)
	b.Add("agent", Agent)
	if r.o.Host != "" {
		b.Add("host", r.o.Host)
	}
	for i := 0; i+1 < len(s.Labels); i += 2 {
		if name := s.Labels[i]; name != "agent" && name != "host" && s.Labels[i+1] != "" {
			b.Add(name, s.Labels[i+1])
		}
	}
	b.Sort()
	return b.Labels()
}

// Gathered is a source of the metrics of a registry whose names begin with one of the
// prefixes. Histograms come as their buckets, sum and count, with exemplars, once something
// was observed; summaries do not.
func Gathered(g prometheus.Gatherer, prefixes ...string) Source {
	return func(context.Context) (all []Sample) {
		families, err := g.Gather()
		if err != nil && len(families) == 0 {
			return nil
		}
		for _, f := range families {
			if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f.GetName(), p) }) {
				continue
			}
			for _, m := range f.GetMetric() {
				if h := m.GetHistogram(); h.GetSampleCount() > 0 {
					all = append(all, ofHistogram(f.GetName(), pairs(m.GetLabel()), h)...)
				} else if v, ok := valueOf(f, m); ok {
					all = append(all, Sample{Name: f.GetName(), Labels: pairs(m.GetLabel()), Value: v})
				}
			}
		}
		return all
	}
}

func valueOf(f *dto.MetricFamily, m *dto.Metric) (float64, bool) {
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		return m.GetCounter().GetValue(), true
	case dto.MetricType_GAUGE:
		return m.GetGauge().GetValue(), true
	case dto.MetricType_UNTYPED:
		return m.GetUntyped().GetValue(), true
	default:
		return 0, false
	}
}

// ofHistogram are the samples of a histogram, under the names that Prometheus gives them.
func ofHistogram(name string, names []string, h *dto.Histogram) (all []Sample) {
	bucket := func(le string, n uint64, x *dto.Exemplar) {
		s := Sample{Name: name + "_bucket", Labels: append(slices.Clone(names), "le", le), Value: float64(n)}
		if x != nil {
			s.Exemplar = Exemplar{Labels: pairs(x.GetLabel()), Value: x.GetValue(), Time: x.GetTimestamp().AsTime()}
		}
		all = append(all, s)
	}
	last := (*dto.Exemplar)(nil)
	for _, b := range h.GetBucket() {
		if math.IsInf(b.GetUpperBound(), 1) {
			last = b.GetExemplar()
			continue
		}
		bucket(strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64), b.GetCumulativeCount(), b.GetExemplar())
	}
	bucket("+Inf", h.GetSampleCount(), last)
	return append(all, Sample{Name: name + "_sum", Labels: names, Value: h.GetSampleSum()}, Sample{Name: name + "_count", Labels: names, Value: float64(h.GetSampleCount())})
}

func pairs(labels []*dto.LabelPair) (list []string) {
	for _, l := range labels {
		list = append(list, l.GetName(), l.GetValue())
	}
	return list
}
