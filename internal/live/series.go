package live

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Lengths of the two rings of a series.
const (
	fineSlots   = 15 * 60
	coarseStep  = 10
	coarseSlots = 6 * 60 * 60 / coarseStep
	maxPoints   = 2_000
	maxNames    = 32
)

// series is one line: a value for each second of the last 15 minutes, and the
// mean of each ten of the last six hours. A counter is 0 where nothing was
// counted, a gauge NaN where it was not read.
type series struct {
	unit    string
	labels  map[string]string
	counter bool
	// first and last are the seconds of the first and latest values.
	first, last int64
	fine        []float32
	coarseSum   []float32
	coarseN     []uint16
	coarseMost  []float32 // the highest of each ten; nil of a counter
}

func newSeries(unit string, labels map[string]string, second int64, counter bool) *series {
	s := &series{
		unit: unit, labels: labels, counter: counter, first: second, last: second - 1,
		fine: make([]float32, fineSlots), coarseSum: make([]float32, coarseSlots), coarseN: make([]uint16, coarseSlots),
	}
	s.blank(s.fine)
	if !counter {
		s.coarseMost = make([]float32, coarseSlots)
	}
	return s
}

func (s *series) blank(slots []float32) {
	for i := range slots {
		slots[i] = s.nothing()
	}
}

func (s *series) nothing() float32 {
	if s.counter {
		return 0
	}
	return float32(math.NaN())
}

// advance makes second the latest, emptying the slots on the way.
func (s *series) advance(second int64) {
	if second <= s.last {
		return
	}
	if second-s.last >= fineSlots {
		s.blank(s.fine)
	} else {
		for t := s.last + 1; t <= second; t++ {
			s.fine[t%fineSlots] = s.nothing()
		}
	}
	if lastCoarse, coarse := s.last/coarseStep, second/coarseStep; coarse-lastCoarse >= coarseSlots {
		clear(s.coarseSum)
		clear(s.coarseN)
		clear(s.coarseMost)
	} else {
		for t := lastCoarse + 1; t <= coarse; t++ {
			s.coarseSum[t%coarseSlots], s.coarseN[t%coarseSlots] = 0, 0
		}
	}
	s.last = second
}

// add counts n at a second. What is too old to be kept is dropped.
func (s *series) add(second int64, n float64) {
	s.advance(second)
	s.first = min(s.first, second)
	if second > s.last-fineSlots {
		s.fine[second%fineSlots] += float32(n)
	}
	if coarse := second / coarseStep; coarse > s.last/coarseStep-coarseSlots {
		s.coarseSum[coarse%coarseSlots] += float32(n)
	}
}

// set notes the value at a second; the last one of a second counts.
func (s *series) set(second int64, value float64) {
	s.advance(second)
	s.fine[second%fineSlots] = float32(value)
	if !math.IsNaN(value) {
		coarse := second / coarseStep % coarseSlots
		if s.coarseN[coarse] == 0 || float32(value) > s.coarseMost[coarse] {
			s.coarseMost[coarse] = float32(value)
		}
		s.coarseSum[coarse] += float32(value)
		s.coarseN[coarse]++
	}
}

// at returns the value of a second, NaN where there is none. known is the first
// second that counters are known to have counted nothing in.
func (s *series) at(second, known int64) float64 {
	if second <= s.last-fineSlots || second < known {
		return math.NaN()
	}
	if second > s.last {
		return float64(s.nothing())
	}
	return float64(s.fine[second%fineSlots])
}

// coarseAt is at for the ten seconds that begin at second.
func (s *series) coarseAt(second, known int64) float64 {
	slot := second / coarseStep
	if slot <= s.last/coarseStep-coarseSlots || second+coarseStep <= known {
		return math.NaN()
	}
	i := slot % coarseSlots
	switch {
	case s.counter && slot > s.last/coarseStep:
		return 0
	case s.counter:
		return float64(s.coarseSum[i]) / coarseStep
	case slot > s.last/coarseStep || s.coarseN[i] == 0:
		return math.NaN()
	}
	return float64(s.coarseSum[i]) / float64(s.coarseN[i])
}

// Highest ends the name of a series whose values are the highest of each step; those of
// others are means. It is for gauges.
const Highest = "_highest"

// Series returns recent series by name, at most 2,000 points each. Without since
// it goes back 15 minutes; without step it has about 180 points. Series without
// any value in the range are left out, and counters that counted nothing in it
// and the last 15 minutes.
func (r *Recorder) Series(ctx context.Context, req *pb.SeriesRequest) (*pb.SeriesResponse, error) {
	if len(req.GetNames()) > maxNames {
		return nil, status.Errorf(codes.InvalidArgument, "at most %d names can be read at once", maxNames)
	}
	now := r.o.Now().Unix()
	since, until, step, err := rangeOf(req, now)
	if err != nil {
		return nil, err
	}
	n := int((until - since) / step)
	response := &pb.SeriesResponse{
		Start: timestamppb.New(time.Unix(since, 0)), Step: durationpb.New(time.Duration(step) * time.Second),
	}
	fine := since > now-fineSlots
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range req.GetNames() {
		base, highest := strings.CutSuffix(name, Highest)
		for _, s := range sortedSeries(r.series[base]) {
			of := s.mean
			if highest {
				of = s.highest
			}
			if ctx.Err() != nil {
				return nil, status.FromContextError(ctx.Err()).Err()
			}
			values := make([]float64, n)
			some := false
			for i := range values {
				values[i] = of(since+int64(i)*step, step, r.start, fine)
				some = some || !math.IsNaN(values[i])
			}
			// A counter that has been silent for long is of no interest any more.
			if some && (!s.counter || s.last >= min(since, now-fineSlots)) {
				response.Series = append(response.Series, &pb.TimeSeries{Name: name, Labels: s.labels, Unit: s.unit, Values: values})
			}
		}
	}
	return response, nil
}

// rangeOf reads a request's range in seconds, aligned to its step. The second
// that is not over yet is left out.
func rangeOf(req *pb.SeriesRequest, now int64) (since, until, step int64, err error) {
	until, since = now, now-fineSlots
	if req.GetUntil() != nil {
		until = min(req.GetUntil().GetSeconds(), now)
	}
	if req.GetSince() != nil {
		since = max(req.GetSince().GetSeconds(), now-coarseSlots*coarseStep)
	} else if req.GetUntil() != nil {
		since = until - fineSlots
	}
	if since >= until {
		since = until
	}
	step = (req.GetStep().AsDuration() + time.Second - 1).Nanoseconds() / int64(time.Second)
	if step <= 0 {
		step = int64(roundStep(time.Duration(until-since)*time.Second/180) / time.Second)
	}
	step = max(step, 1)
	if since <= now-fineSlots {
		step = (step + coarseStep - 1) / coarseStep * coarseStep
	}
	if (until-since)/step > maxPoints {
		return 0, 0, 0, status.Errorf(codes.InvalidArgument, "a step of %d s gives more than %d points", step, maxPoints)
	}
	since -= since % step
	until -= until % step
	return since, until, step, nil
}

// mean is the mean of what is known in a step.
func (s *series) mean(from, step, known int64, fine bool) float64 {
	size, at := int64(1), s.at
	if !fine {
		size, at = coarseStep, s.coarseAt
	}
	var sum float64
	var n int
	for t := from; t < from+step; t += size {
		if v := at(t, known); !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return significant(sum / float64(n))
}

// highest is the highest of what is known in a step.
func (s *series) highest(from, step, known int64, fine bool) float64 {
	if s.counter {
		return s.mean(from, step, known, fine)
	}
	most := math.NaN()
	see := func(v float64) {
		if !math.IsNaN(v) && !(v <= most) {
			most = v
		}
	}
	if fine {
		for t := from; t < from+step; t++ {
			see(s.at(t, known))
		}
		return significant(most)
	}
	for t := from; t < from+step; t += coarseStep {
		if !math.IsNaN(s.coarseAt(t, known)) {
			see(float64(s.coarseMost[t/coarseStep%coarseSlots]))
		}
	}
	return significant(most)
}

// significant rounds to the seven digits that a float32 holds, so that 0.384
// does not come out as 0.3840000033.
func significant(v float64) float64 {
	if v == 0 || math.IsInf(v, 0) {
		return v
	}
	scale := math.Pow10(6 - int(math.Floor(math.Log10(math.Abs(v)))))
	if scale == 0 || math.IsInf(scale, 0) {
		return v
	}
	return math.Round(v*scale) / scale
}

func sortedSeries(group map[string]*series) []*series {
	keys := make([]string, 0, len(group))
	for k := range group {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	list := make([]*series, len(keys))
	for i, k := range keys {
		list[i] = group[k]
	}
	return list
}

// settled is how long the events of a second may be on their way to us.
const settled = time.Second

// roundStep returns the shortest round length that is at least d.
func roundStep(d time.Duration) time.Duration {
	for _, round := range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
		15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
		15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if round >= d {
			return round
		}
	}
	const day = 24 * time.Hour
	return (d + day - 1) / day * day
}
