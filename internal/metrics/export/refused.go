package export

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/amoskys/amoskys/internal/obs"
)

// What a receiver does with a request of which it does not take a sample:
//
//	remote write 1   answers 400, and has taken nothing
//	remote write 2   answers 400, and how many samples it wrote: the rest is dropped
//	OTLP             answers 200, and how many points it left out
//
// So that no more is dropped than what is refused, a request of the first kind is sent
// again in halves, until the series that is refused stands alone, and then its samples.

// partsMost is how many requests more a batch may become: enough to find four series of a
// thousand. Where not one part was taken, the next wholeFor requests that are refused are
// dropped as they are.
const (
	partsMost = 80
	wholeFor  = 20
)

// delivery is how the sending of one batch goes.
type delivery struct {
	reason       string // why what is refused now is dropped
	parts        int    // requests more that it may become
	tried, taken bool   // whether parts were sent, and whether one of this reason was taken
	refused      map[string]int
	last         error // the last refusal
}

// divides reports whether a receiver may take a part of what it refuses so.
func (r *refusal) divides() bool {
	return r.status == http.StatusBadRequest || r.status == http.StatusUnprocessableEntity || r.status == http.StatusRequestEntityTooLarge
}

// settle counts what became of a request, nil where it was taken, and sends what is refused
// again in parts; false: ctx has ended.
func (s *sender) settle(ctx context.Context, of *delivery, b *batch, r *refusal) bool {
	n := len(b.points)
	switch {
	case r == nil:
		s.metrics.sent.Add(float64(n))
		s.metrics.newest.Set(float64(b.newest) / 1e3)
		of.taken = true
		delete(s.whole, of.reason)
	case r.written >= 0:
		s.metrics.sent.Add(float64(r.written))
		of.taken = of.taken || r.written > 0
		s.drop(of, n-r.written, r)
	case n > 1 && r.divides() && of.parts > 1 && s.whole[of.reason] == 0:
		of.parts -= 2
		of.tried = true
		first, second := b.halves()
		return s.request(ctx, of, first) && s.request(ctx, of, second)
	default:
		s.whole[of.reason] = max(s.whole[of.reason]-1, 0)
		s.drop(of, n, r)
	}
	return true
}

func (s *sender) drop(of *delivery, n int, r *refusal) {
	s.metrics.dropped.WithLabelValues(of.reason).Add(float64(n))
	of.refused[of.reason] += n
	of.last = r
}

// endOf notes whether it was of use to send parts, once all of one reason are sent.
func (s *sender) endOf(of *delivery) {
	if of.tried && !of.taken && of.parts <= 1 { // of a small batch all may be what is refused for good
		s.whole[of.reason] = wholeFor
	}
	of.tried, of.taken = false, false
}

// part is a request with some of the samples of a batch.
func (b *batch) part(points []point) *batch {
	p := &batch{points: make([]point, 0, len(points)), newest: math.MinInt64}
	numbers := map[int32]int32{}
	for _, x := range points {
		n, there := numbers[x.of]
		if !there {
			n = int32(len(p.series))
			numbers[x.of] = n
			p.series = append(p.series, b.series[x.of])
		}
		x.of = n
		p.points = append(p.points, x)
		p.newest = max(p.newest, x.at)
	}
	return p
}

// halves are two requests with all of a batch: each with half of its series, or of the
// samples of the one that there is.
func (b *batch) halves() (first, second *batch) {
	if len(b.series) == 1 {
		sorted := slices.SortedStableFunc(slices.Values(b.points), func(x, y point) int { return cmp.Compare(x.at, y.at) })
		return b.part(sorted[:len(sorted)/2]), b.part(sorted[len(sorted)/2:])
	}
	var low, high []point
	for _, x := range b.points {
		if int(x.of) < len(b.series)/2 {
			low = append(low, x)
		} else {
			high = append(high, x)
		}
	}
	return b.part(low), b.part(high)
}

// refusedSamples are those that were dropped lately although they were in order.
type refusedSamples struct {
	n           int
	since, last time.Time
	told        time.Time // when the log last told of any
	why         error
}

// noteRefused keeps and tells what a receiver refused of a batch.
func (s *sender) noteRefused(ctx context.Context, of *delivery) {
	if n := of.refused[dropAgain]; n > 0 {
		s.log.InfoContext(ctx, "a receiver refuses metrics that were sent to it before the program ended, as it has them", "samples", n, obs.KeyError, of.last)
	}
	n, behind := of.refused[dropRefused], of.refused[dropLate]
	if n+behind == 0 {
		return
	}
	now := time.Now()
	s.mu.Lock()
	if n > 0 {
		if now.Sub(s.refused.last) >= troubledAfter {
			s.refused.n, s.refused.since = 0, now
		}
		s.refused.n, s.refused.last, s.refused.why = s.refused.n+n, now, of.last
	}
	tell := now.Sub(s.refused.told) >= troubledAfter
	if tell {
		s.refused.told = now
	}
	s.mu.Unlock()
	if tell {
		s.log.WarnContext(ctx, "a receiver refuses metrics: they are dropped, and the others are sent", obs.KeyURL, bare(s.URL),
			"samples", n, "late_samples", behind, obs.KeyError, of.last)
	}
}

// refusals says what a receiver refused lately of what came in order.
func (s *sender) refusals() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.refused
	if r.n == 0 || time.Since(r.last) >= troubledAfter {
		return ""
	}
	return fmt.Sprintf("%d samples since %s, which are dropped: %v", r.n, r.since.UTC().Format(time.RFC3339), r.why)
}

// note keeps how the last try went: err is nil where it was taken, and final where it is
// not sent again.
func (s *sender) note(ctx context.Context, err error, final *refusal) {
	if final != nil && final.divides() { // noteRefused tells of that
		err = nil
	}
	s.mu.Lock()
	before, dropped := s.failing, s.dropping
	if err != nil && before == nil {
		s.since = time.Now()
	}
	s.failing, s.dropping = err, err != nil && final != nil
	s.mu.Unlock()
	switch {
	case err == nil && before != nil:
		s.log.InfoContext(ctx, "a receiver takes metrics again", obs.KeyURL, bare(s.URL))
	case err == nil || errors.Is(err, context.Canceled):
	case final != nil && !dropped:
		s.log.WarnContext(ctx, "metrics are refused: they are dropped", obs.KeyURL, bare(s.URL), obs.KeyError, err)
	case final == nil && (before == nil || dropped):
		s.log.WarnContext(ctx, "metrics are not taken: they are sent again", obs.KeyURL, bare(s.URL), obs.KeyError, err)
	}
}
