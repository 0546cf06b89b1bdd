// Package latest keeps the last value of every reading of all agents, in memory, for the
// hub's own page of metrics: a reader of the log from its tail on, which needs no store and
// cannot slow the log down.
//
// Values takes events and forgets: what a process had when it ends, what a later reading
// lacks, and everything of an agent that is silent for five minutes. It is bounded by
// Options; what is left out is counted, by reason, in amoskys_exporter_series_dropped.
//
// Page shows them after the hub's own families, in the text format and in OpenMetrics,
// under exactly the same names. The hub's families come first: those of agents that would
// have the same name are left out, as is the monitor's copy of eventbus_*.
//
// Wiring, in internal/app:
//
//	values := latest.New(latest.Options{})
//	feed, err := reader.New(reader.Options{Name: "exporter", Source: &reader.Local{Log: log}, Consumer: values, Blocks: true, …})
//	group.Go(func() error { return feed.Run(ctx) })
//	hub.Options{Metrics: latest.Page(registry, values), …}
//	query.Options{Readings: values.Samples, …}
package latest

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/event/reading"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// Options bound Values. The zero value has the bounds that the documentation promises.
type Options struct {
	// MaxSeries is how many series there are at most, 30,000; MaxOfAgent how many of them
	// one agent may have, a third. When all are taken, an agent with less than an equal
	// share takes them from the one that has most.
	MaxSeries, MaxOfAgent int
	// MaxAgents is how many agents are followed, 20,000, and AgentsOfHost how many of one
	// host, 32: who has the certificate of a host may speak for any number of agents there.
	MaxAgents, AgentsOfHost int
	// Silent is after which time without a reading an agent's series end, 5 minutes; Idle
	// is the same for one process, device or metric of an agent that goes on, 15 minutes.
	Silent, Idle time.Duration
	Now          func() time.Time
}

// Values are the latest readings. They are safe for concurrent use, except that there
// must be one caller of Consume at a time.
type Values struct {
	o    Options
	read reading.Reader // of Consume

	mu       sync.Mutex // guards what follows
	top      *reading.Top
	agents   map[agentKey]*agent
	ofHost   map[string]int     // how many of them each host has
	families map[string]*family // by the name that OpenMetrics gives them
	shown    int                // series
	left     [reasons]int       // series that are known and not shown
	swept    time.Time
	scratch  []byte

	empty     int             // groups without series
	hidden    int             // series that the last page left out for their names
	table     map[string]bool // keys of the families with a meaning of their own
	samples   uint64          // that were left out for good
	malformed uint64          // blocks
}

// Why series are left out, besides those of processes, which Top counts.
const (
	forRoom = iota // for MaxSeries or MaxOfAgent
	forName        // another metric has the name
	reasons
)

// New returns Values without any.
func New(o Options) *Values {
	o.MaxSeries = cmp.Or(o.MaxSeries, 30_000)
	o.MaxOfAgent = cmp.Or(o.MaxOfAgent, max(1, o.MaxSeries/3))
	o.MaxAgents, o.AgentsOfHost = cmp.Or(o.MaxAgents, 20_000), cmp.Or(o.AgentsOfHost, 32)
	o.Silent, o.Idle = cmp.Or(o.Silent, 5*time.Minute), cmp.Or(o.Idle, 15*time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	v := &Values{
		o: o, top: reading.NewTop(reading.TopOptions{Agents: o.MaxAgents}),
		agents: map[agentKey]*agent{}, ofHost: map[string]int{}, families: map[string]*family{}, table: map[string]bool{}, swept: o.Now(),
	}
	for _, known := range reading.Families() {
		f := family{name: known.Name, kind: known.Kind}
		v.table[f.key()] = true
	}
	return v
}

// tail is how many events before the end of the log are read at the start: a minute of a
// busy hub, in which agents tell most of what they read.
const tail = 100_000

// StartOffset is where to begin reading a log whose next offset is next.
func StartOffset(next stream.Offset) stream.Offset { return next - min(next, tail) }

// errNoBlocks says that the reader was not made for Values.
var errNoBlocks = errors.New("values are read from blocks: make their reader with Options.Blocks")

// Consume implements reader.Consumer, for a reader with Options.Blocks.
func (v *Values) Consume(_ context.Context, b *reader.Batch) error {
	if len(b.Events) > 0 {
		return errNoBlocks
	}
	for i := range b.Blocks {
		v.takeBlock(&b.Blocks[i])
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sweep()
	return nil
}

// takeBlock reads the events of one block.
func (v *Values) takeBlock(e *stream.Entry) {
	defer e.Release()
	if _, err := e.Fields(); err != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.malformed++
		return
	}
	for _, encoded := range e.Events() {
		if s, ok := v.read.Read(encoded, e.Publisher); ok {
			v.Take(s, e.Received)
		}
	}
}

// Take takes one set, received at a time of the hub's clock. Consume calls it.
func (v *Values) Take(s *reading.Set, received time.Time) {
	if s.Source == reading.SourceHub {
		return // the hub's own are beside
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.samples += uint64(s.Dropped)
	a := v.agentOf(s)
	if a == nil {
		v.samples += uint64(len(s.Samples))
		return
	}
	a.seen = lastOf(a.seen, received)
	in, left := v.top.Take(s)
	for _, p := range left {
		v.end(a, groupKey{reading.SourceProcess, p.Subject})
	}
	switch {
	case s.Ended:
		v.end(a, groupKey{s.Source, s.Subject})
	case in && s.Source == reading.SourceBatch:
		v.takeBatch(a, s, received)
	case in:
		v.replace(a, groupKey{s.Source, s.Subject}, s.Samples, received)
	}
}

// agentOf finds the agent of a set, or makes it; nil where there are too many.
func (v *Values) agentOf(s *reading.Set) *agent {
	a := v.agents[agentKey{s.Agent, s.Host}]
	if a == nil && len(v.agents) < v.o.MaxAgents && v.ofHost[s.Host] < v.o.AgentsOfHost {
		key := agentKey{strings.Clone(s.Agent), strings.Clone(s.Host)}
		a = &agent{key: key, groups: map[groupKey]*group{}}
		v.agents[key] = a
		v.ofHost[key.host]++
	}
	return a
}

// takeBatch takes each sample of a batch by itself: an agent may tell its numbers in
// several, of which none replaces another.
func (v *Values) takeBatch(a *agent, s *reading.Set, received time.Time) {
	for i := range s.Samples {
		x := &s.Samples[i]
		if reading.IsReserved(x.Name) {
			v.samples++
			continue
		}
		v.scratch = appendSeries(v.scratch[:0], "", "", x)
		v.replace(a, groupKey{s.Source, view(v.scratch)}, s.Samples[i:i+1], received)
	}
}

// sweepEvery is the time between two looks for what has become silent.
const sweepEvery = 10 * time.Second

// sweep ends what was not heard of for long. v is locked.
func (v *Values) sweep() {
	now := v.o.Now()
	if passed := now.Sub(v.swept); passed >= 0 && passed < sweepEvery {
		return
	}
	v.swept = now
	for key, a := range v.agents {
		silent := now.Sub(a.seen) >= v.o.Silent
		for g, group := range a.groups {
			if silent || now.Sub(group.seen) >= v.o.Idle {
				v.end(a, g)
			}
		}
		if silent {
			v.top.Forget(key.agent, key.host)
			delete(v.agents, key)
			if v.ofHost[key.host]--; v.ofHost[key.host] == 0 {
				delete(v.ofHost, key.host)
			}
		}
	}
}

func lastOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
