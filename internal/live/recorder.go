package live

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/event"
)

// Gauges reads present values and gives each to emit: name, unit (UCUM), labels
// and value. Labels may be kept and must not change.
type Gauges func(emit func(name, unit string, labels map[string]string, value float64))

// RecorderOptions bound a Recorder.
type RecorderOptions struct {
	// MaxSeries is how many series one name may have; what comes beyond is gathered
	// under the label value "other" if it is a count, and dropped if it is a gauge.
	// 0 is 256.
	MaxSeries int
	Now       func() time.Time
}

// Recorder keeps recent time series in fixed memory, 16 kB a series. It is safe
// for concurrent use.
type Recorder struct {
	o RecorderOptions

	mu     sync.Mutex // guards what follows
	series map[string]map[string]*series
	// start is the first second that is known about.
	start int64
}

// Names and units of the series that a feed counts. The label of the first is
// type, of the second agent and host, of the third host. The host is the one that
// the events came from: what others saw of a host is no sign that it lives.
const (
	SeriesEvents      = "events_per_second"
	SeriesAgentEvents = "agent_events_per_second"
	SeriesHostEvents  = "host_events_per_second"
	unitRate          = "1/s"
)

// NewRecorder returns an empty recorder.
func NewRecorder(o RecorderOptions) *Recorder {
	if o.MaxSeries <= 0 {
		o.MaxSeries = 256
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Recorder{o: o, series: map[string]map[string]*series{}, start: o.Now().Unix()}
}

// Run samples the gauges once a second until ctx ends.
func (r *Recorder) Run(ctx context.Context, gauges ...Gauges) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			r.Sample(gauges...)
		}
	}
}

// rateSeconds is the length of what Rate is the mean of.
const rateSeconds = 30

// Rate is how many events a second come now: the mean of the last 30 seconds that
// are over, by the second in which the hub took them, as all series are counted. It
// is the sum of AgentRate over all agents.
func (r *Recorder) Rate() float64 {
	rate, _ := r.rate(SeriesEvents, nil)
	return rate
}

// AgentRate is the part of Rate that an agent of a host sends. It is not known of an
// agent that may be among the others, of which there is one series.
func (r *Recorder) AgentRate(host, agent string) (rate float64, known bool) {
	return r.rate(SeriesAgentEvents, map[string]string{"agent": agent, "host": host})
}

// rate is the mean of one series of a name, or of all together for nil.
func (r *Recorder) rate(name string, of map[string]string) (rate float64, known bool) {
	until := r.o.Now().Unix() - int64(settled/time.Second)
	r.mu.Lock()
	defer r.mu.Unlock()
	since := max(until-rateSeconds, r.start)
	if since >= until {
		return 0, true
	}
	var sum float64
	add := func(s *series) {
		for t := since; t < until; t++ {
			if v := s.at(t, r.start); !math.IsNaN(v) {
				sum += v
			}
		}
	}
	if of == nil {
		for _, s := range r.series[name] {
			add(s)
		}
	} else if s := r.series[name][labelKey(of)]; s != nil {
		add(s)
	} else if r.series[name][labelKey(others(of))] != nil {
		return 0, false
	}
	return significant(sum / float64(until-since)), true
}

// Sample takes the present values of gauges.
func (r *Recorder) Sample(gauges ...Gauges) {
	second := r.o.Now().Unix()
	type reading struct {
		name, unit string
		labels     map[string]string
		value      float64
	}
	var readings []reading
	for _, g := range gauges {
		// Not under mu: a gauge may take its time and locks of its own.
		g(func(name, unit string, labels map[string]string, value float64) {
			readings = append(readings, reading{name, unit, labels, value})
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range readings {
		if s := r.find(g.name, g.unit, g.labels, second, false); s != nil {
			s.set(second, g.value)
		}
	}
}

// tally counts the events of one batch. Batches are mostly of one kind.
type tally struct{ list []count }

type count struct {
	typ, agent, host string
	n                int
}

func (t *tally) add(e *event.Envelope, n int) {
	host := e.HostName
	if e.HasObserver {
		host = e.ObserverName
	}
	for i := len(t.list) - 1; i >= 0; i-- {
		c := &t.list[i]
		if c.typ == string(e.Type) && c.agent == string(e.AgentID) && c.host == string(host) {
			c.n += n
			return
		}
	}
	if len(t.list) == maxTally {
		t.list[maxTally-1].n += n
		return
	}
	t.list = append(t.list, count{string(e.Type), brief(string(e.AgentID)), brief(string(host)), n})
}

// maxText bounds a name that is kept or told apart from its event, in bytes: in
// the event it may be a megabyte long.
const maxText = 1 << 10

// brief cuts a text to maxText, at a whole character. The copy keeps the rest
// from staying in memory.
func brief(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.Clone(strings.ToValidUTF8(s[:maxText], ""))
}

// maxTally bounds the search through a batch of many kinds; what exceeds it is
// counted with the last.
const maxTally = 64

// count adds events that were received at a time.
func (r *Recorder) count(at time.Time, counts []count) {
	if len(counts) == 0 {
		return
	}
	second := min(at.Unix(), r.o.Now().Unix())
	r.mu.Lock()
	defer r.mu.Unlock()
	r.start = min(r.start, second)
	for _, c := range counts {
		n := float64(c.n)
		r.find(SeriesEvents, unitRate, map[string]string{"type": c.typ}, second, true).add(second, n)
		r.find(SeriesAgentEvents, unitRate, map[string]string{"agent": c.agent, "host": c.host}, second, true).add(second, n)
		r.find(SeriesHostEvents, unitRate, map[string]string{"host": c.host}, second, true).add(second, n)
	}
}

// find returns a series, new if need be; nil when there is no room. The caller
// holds mu.
func (r *Recorder) find(name, unit string, labels map[string]string, second int64, counter bool) *series {
	group := r.series[name]
	if group == nil {
		group = map[string]*series{}
		r.series[name] = group
	}
	key := labelKey(labels)
	if s := group[key]; s != nil {
		return s
	}
	if len(group) >= r.o.MaxSeries && !r.makeRoom(group, second) {
		if !counter {
			return nil
		}
		labels = others(labels)
		key = labelKey(labels)
		if s := group[key]; s != nil {
			return s
		}
	}
	s := newSeries(unit, labels, second, counter)
	group[key] = s
	return s
}

// others are the labels of the series of all that have none of their own.
func others(labels map[string]string) map[string]string {
	out := make(map[string]string, len(labels))
	for k := range labels {
		out[k] = "other"
	}
	return out
}

// makeRoom drops a series that had no value for as long as values are kept.
func (*Recorder) makeRoom(group map[string]*series, second int64) bool {
	for key, s := range group {
		if s.last < second-coarseSlots*coarseStep {
			delete(group, key)
			return true
		}
	}
	return false
}

func labelKey(labels map[string]string) string {
	if len(labels) == 1 {
		for k, v := range labels {
			return k + "\x00" + v
		}
	}
	var b strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(labels), cmp.Compare[string]) {
		b.WriteString(k)
		b.WriteByte(0)
		b.WriteString(labels[k])
		b.WriteByte(0)
	}
	return b.String()
}
