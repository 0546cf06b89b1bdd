package export

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/record"
)

// run follows the log and sends, until ctx ends.
func (s *sender) run(ctx context.Context) {
	s.until = s.place.load(ctx, s.log)
	var parts sync.WaitGroup
	parts.Go(func() { s.send(ctx) })
	parts.Go(func() { s.flush(ctx) })
	parts.Go(func() { s.follow(ctx) })
	<-ctx.Done()
	close(s.quit) // what waits for room ends
	parts.Wait()
	s.place.save(ctx, s.log)
}

// appendSamples adds the samples of the record behind a place, but for those of the place,
// which were sent. It waits until there is room: what was not read yet stays in the log.
// False: the exporter ends.
func (s *sender) appendSamples(samples []record.RefSample, at position) bool {
	for i := range samples {
		x := &samples[i]
		of := s.known[uint64(x.Ref)]
		sent := i < at.Samples
		switch {
		case of == nil:
			if !sent {
				s.metrics.dropped.WithLabelValues(dropUnknown).Inc()
			}
			continue
		case of.left:
			continue
		}
		how := of.take(x.T)
		switch {
		case sent:
		case how == again:
			s.metrics.repeated.Inc()
		case !s.add(of, point{at: x.T, value: x.V}, how, position{at.Segment, at.Offset, i + 1}):
			return false
		}
	}
	return true
}

// from is where the log is to be read on: behind what is in batches, which are sent whatever
// becomes of the log, and after a start behind what was taken.
func (s *sender) from() position {
	s.taking.Lock()
	defer s.taking.Unlock()
	if s.at != nowhere() {
		return s.at
	}
	return s.place.at()
}

// begin notes from where on the log is read. Where that is not where it was left, what is
// in batches already says nothing of the place any more.
func (s *sender) begin(p position, elsewhere bool) {
	s.taking.Lock()
	defer s.taking.Unlock()
	s.at = p
	if !elsewhere {
		return
	}
	s.until = nil
	s.round = s.place.begin(p)
	if s.open != nil {
		s.open.end, s.open.round = p, s.round
	}
}

// lose forgets where the log was read: it cannot be read there.
func (s *sender) lose() {
	s.taking.Lock()
	defer s.taking.Unlock()
	s.at = nowhere()
	s.round = s.place.begin(s.at)
}

// reached notes that all before a position is in batches.
func (s *sender) reached(p position) {
	s.taking.Lock()
	defer s.taking.Unlock()
	s.at = p
	if s.open != nil {
		s.open.end = p
	}
}

// add adds a sample to the open batch, which then ends behind it; false: the exporter ends.
func (s *sender) add(of *series, p point, how order, end position) bool {
	s.taking.Lock()
	defer s.taking.Unlock()
	if s.until != nil && s.until.before(end) { // what comes now was not under way
		s.until = nil
		if s.open != nil && !s.pass() {
			return false
		}
	}
	if s.open == nil {
		s.open = &batch{points: make([]point, 0, s.BatchSamples), newest: math.MinInt64, round: s.round, again: s.until != nil}
		clear(s.inOpen)
	}
	n, there := s.inOpen[of]
	if !there {
		n = int32(len(s.open.series))
		s.inOpen[of] = n
		s.open.series = append(s.open.series, of)
	}
	p.of = n
	if how == late {
		s.open.late = append(s.open.late, p)
	} else {
		s.open.points = append(s.open.points, p)
	}
	s.open.newest = max(s.open.newest, p.at)
	s.at, s.open.end = end, end
	if s.open.size() < s.BatchSamples {
		return true
	}
	return s.pass()
}

// pass gives the open batch on, when there is room; false: the exporter ends. The caller
// holds taking.
func (s *sender) pass() bool {
	s.pending.Add(1)
	select {
	case s.queue <- s.open:
		s.open = nil
		return true
	case <-s.quit:
		return false
	}
}

// flush gives on what has waited for more.
func (s *sender) flush(ctx context.Context) {
	tick := time.NewTicker(s.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.taking.Lock()
		switch {
		case s.open != nil && len(s.queue) < cap(s.queue):
			s.pass()
		case s.open == nil && s.pending.Load() == 0 && s.at != nowhere():
			s.place.set(s.at, s.round) // nothing of what was read since is for this receiver
		}
		s.taking.Unlock()
		s.place.saveDue(ctx, s.log)
	}
}

// storeSeries notes series by their numbers. It is for the goroutine that follows the log,
// as are appendSamples and what forgets series.
func (s *sender) storeSeries(list []record.RefSeries, segment int) {
	for i := range list {
		ref := uint64(list[i].Ref)
		if before := s.known[ref]; before != nil && !before.left && labels.Equal(before.labels, s.labelled(list[i].Labels)) {
			before.segment = segment
			continue // what is known of its samples stays
		}
		one := &series{segment: segment}
		if one.left = !s.chooses(list[i].Labels); !one.left {
			one.labels = s.labelled(list[i].Labels)
		}
		s.known[ref] = one
	}
}

func (s *sender) forgetSeries() { clear(s.known) }

func (s *sender) forgetSeriesIf(gone func(uint64, *series) bool) {
	maps.DeleteFunc(s.known, gone)
}

// chooses reports whether a series is sent.
func (s *sender) chooses(l labels.Labels) bool {
	return len(s.Match) == 0 || slices.ContainsFunc(s.Match, func(set []*labels.Matcher) bool {
		return !slices.ContainsFunc(set, func(m *labels.Matcher) bool { return !m.Matches(l.Get(m.Name)) })
	})
}

// labelled is a series with the receiver's own labels.
func (s *sender) labelled(l labels.Labels) labels.Labels {
	if s.Labels.IsEmpty() {
		return l
	}
	b := labels.NewBuilder(l)
	s.Labels.Range(func(own labels.Label) {
		if !l.Has(own.Name) {
			b.Set(own.Name, own.Value)
		}
	})
	return b.Labels()
}
