package live

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on one search.
const (
	defaultLimit   = 100
	maxLimit       = 1_000
	maxPageBytes   = 8 << 20 // of encoded events; one event always fits
	maxBuckets     = 500
	maxFacets      = 16
	maxFacetValues = 50
	maxDistinct    = 10_000
)

// Search looks for events, newest first by their own time, of equal ones the later
// in the log first, and counts all that match.
func (r *Ring) Search(ctx context.Context, req *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	began := time.Now()
	if len(req.GetFacets()) > maxFacets {
		return nil, status.Errorf(codes.InvalidArgument, "at most %d facets can be counted at once", maxFacets)
	}
	since, until := bound(req.GetSince(), noSince), bound(req.GetUntil(), noUntil)
	p, err := newPlan(req.GetFilter(), since, until)
	if err != nil {
		return nil, err
	}
	facets, err := newFacets(req.GetFacets())
	if err != nil {
		return nil, err
	}
	views, next := r.view()
	s := &search{matcher: matcher{plan: p}, facets: facets, limit: limitOf(req.GetLimit()), before: placeOf(views, req.GetBeforeOffset())}
	s.histogram = newHistogram(views, since, until, int(min(req.GetHistogramBuckets(), maxBuckets)), r.o.Now())
	if err := s.run(ctx, views); err != nil {
		return nil, err
	}
	events := s.stored()
	page := pageOf(events)
	response := &pb.SearchEventsResponse{
		Events: page, More: len(page) == s.limit || len(page) < len(events), Total: s.total, Scanned: s.scanned, Histogram: s.histogram.result(),
		Took: durationpb.New(time.Since(began)), Store: r.Status(), CompleteToOffset: next,
	}
	for _, f := range facets {
		response.Facets = append(response.Facets, f.result())
	}
	return response, nil
}

func bound(t *timestamppb.Timestamp, open int64) int64 {
	if t == nil {
		return open
	}
	// AsTime is within the years that UnixNano can tell for any clock of sense.
	at := t.AsTime()
	switch year := at.Year(); {
	case year < 1700:
		return noSince
	case year > 2250:
		return noUntil
	}
	return at.UnixNano()
}

// pageOf cuts events where they would take more than maxPageBytes.
func pageOf(events []*pb.StoredEvent) []*pb.StoredEvent {
	bytes := 0
	for i, e := range events {
		if bytes += len(e.GetEvent()); bytes > maxPageBytes && i > 0 {
			return events[:i]
		}
	}
	return events
}

func limitOf(n uint32) int {
	if n == 0 {
		return defaultLimit
	}
	return int(min(n, maxLimit))
}

// search is the state of one search.
type search struct {
	matcher
	facets    []*facet
	histogram *histogram
	limit     int
	before    place
	// checkEvery is after how many events the end of the context is looked for.
	checkEvery int

	hits           hits
	total, scanned uint64
}

// parallelBlocks is how many blocks are worth a second goroutine, when their
// events have to be decoded.
const parallelBlocks = 8

// checkEvery is after how many events, of which nothing but the index is looked
// at, a search sees whether its caller is still there.
const checkEvery = 256

// run looks at all blocks, from the newest. A search that has to decode is
// shared among up to four goroutines. It looks at no further event when ctx ends.
func (s *search) run(ctx context.Context, views []blockView) error {
	ctx, cancel := context.WithCancel(ctx) // whose end is cheaper to see than that of a call's
	defer cancel()
	workers := 1
	s.checkEvery = checkEvery
	if s.query != nil || slices.ContainsFunc(s.facets, (*facet).decodes) {
		s.checkEvery = 1
		workers = min(len(views)/parallelBlocks, runtime.GOMAXPROCS(0), 4)
	}
	parts := make([]*search, max(workers, 1))
	parts[0] = s
	for i := 1; i < len(parts); i++ {
		parts[i] = s.fork()
	}
	var group sync.WaitGroup
	for n, part := range parts {
		work := func() {
			for i := len(views) - 1 - n; i >= 0 && ctx.Err() == nil; i -= len(parts) {
				part.block(ctx, &views[i])
			}
		}
		if n == len(parts)-1 {
			work()
		} else {
			group.Go(work)
		}
	}
	group.Wait()
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	for _, part := range parts[1:] {
		s.merge(part)
	}
	return nil
}

// fork returns a search of the same plan with nothing found yet.
func (s *search) fork() *search {
	f := &search{matcher: matcher{plan: s.plan}, limit: s.limit, before: s.before, checkEvery: s.checkEvery}
	if s.histogram != nil {
		f.histogram = &histogram{start: s.histogram.start, step: s.histogram.step, counts: make([]uint64, len(s.histogram.counts))}
	}
	for _, one := range s.facets {
		f.facets = append(f.facets, &facet{name: one.name, index: one.index, field: one.field, key: one.key, counts: map[string]uint64{}})
	}
	return f
}

// merge adds what a fork has found.
func (s *search) merge(f *search) {
	s.total += f.total
	s.scanned += f.scanned
	s.hits = append(s.hits, f.hits...)
	if s.histogram != nil {
		for i, n := range f.histogram.counts {
			s.histogram.counts[i] += n
		}
	}
	for i, one := range f.facets {
		for value, n := range one.counts {
			s.facets[i].count(value, n)
		}
	}
}

// block looks at one block, from its newest event, until ctx ends.
func (s *search) block(ctx context.Context, v *blockView) {
	s.scanned += uint64(len(v.entries))
	if !s.begin(v) {
		return
	}
	for _, f := range s.facets {
		f.begin(len(v.names))
	}
	for i := len(v.entries) - 1; i >= 0; i-- {
		if i%s.checkEvery == 0 && ctx.Err() != nil {
			return
		}
		if !s.match(v, i) {
			continue
		}
		e := &v.entries[i]
		s.total++
		if at := (place{e.time, e.offset}); s.before.isBehind(at) {
			s.hits.keep(hit{at, v, i}, s.limit)
		}
		if s.histogram != nil {
			s.histogram.add(e.time)
		}
		for _, f := range s.facets {
			f.add(s, v, e)
		}
	}
	for _, f := range s.facets {
		f.end(v.names)
	}
}

// histogram counts matches over time.
type histogram struct {
	start, step int64
	counts      []uint64
}

// newHistogram covers the range asked for, or what the ring holds where it is
// open. Its buckets have round lengths, so there may be a few less than asked, and
// the last one is over: one that still fills would look like an end of events.
func newHistogram(views []blockView, since, until int64, buckets int, now time.Time) *histogram {
	if buckets <= 0 {
		return nil
	}
	if until == noUntil {
		until = now.UnixNano()
	}
	if since == noSince {
		since = until
		for i := range views {
			since = min(since, views[i].minTime)
		}
	}
	since, until = max(since, 0), max(until, 0) // no event is older than 1970
	span := max(until-since, 1)
	step := roundStep(time.Duration(span / int64(buckets)))
	start := since - mod(since, int64(step))
	n := (until - start) / int64(step)
	if until < now.UnixNano()-int64(settled) && (until-start)%int64(step) != 0 || n == 0 {
		n++ // it is over, though the range ends within it
	}
	return &histogram{start: start, step: int64(step), counts: make([]uint64, min(max(n, 0), maxBuckets+2))}
}

// settled is how long the events of a second may be on their way to us.
const settled = time.Second

func mod(a, b int64) int64 { return (a%b + b) % b }

// roundStep returns the shortest round length that is at least d.
func roundStep(d time.Duration) time.Duration {
	for _, round := range []time.Duration{
		10 * time.Millisecond, 100 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
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

func (h *histogram) add(at int64) {
	if i := (at - h.start) / h.step; i >= 0 && i < int64(len(h.counts)) {
		h.counts[i]++
	}
}

func (h *histogram) result() *pb.Histogram {
	if h == nil {
		return nil
	}
	return &pb.Histogram{
		Start: timestamppb.New(time.Unix(0, h.start)), Step: durationpb.New(time.Duration(h.step)), Counts: h.counts,
	}
}

// facet counts the values of one field.
type facet struct {
	name string
	// index reads the field from the index; nil needs the event.
	index  func(e *entry) uint16
	field  *event.Field
	key    string
	counts map[string]uint64
	// block counts by name of the present block.
	block []uint32
}

func newFacets(names []string) ([]*facet, error) {
	var facets []*facet
	for _, name := range names {
		field, key, ok := event.FieldByName(name)
		if !ok {
			return nil, status.Errorf(codes.InvalidArgument, "there is no field %q to count", name[:min(len(name), 64)])
		}
		f := &facet{name: name, field: field, key: key, counts: map[string]uint64{}}
		switch field.Name {
		case "type":
			f.index = func(e *entry) uint16 { return e.typ }
		case "host":
			f.index = func(e *entry) uint16 { return e.host }
		case "agent":
			f.index = func(e *entry) uint16 { return e.agent }
		case "publisher":
			f.index = func(e *entry) uint16 { return e.publisher }
		}
		facets = append(facets, f)
	}
	return facets, nil
}

// decodes says that counting needs the event itself.
func (f *facet) decodes() bool { return f.index == nil && f.field.Name != "severity" }

func (f *facet) begin(names int) {
	if f.index != nil {
		f.block = slices.Grow(f.block[:0], names)[:names]
		clear(f.block)
	}
}

func (f *facet) add(s *search, v *blockView, e *entry) {
	switch {
	case f.index != nil:
		f.block[f.index(e)]++
	case f.field.Name == "severity":
		f.count(event.SeverityText(pb.Severity(e.severity)), 1)
	default:
		ev := s.decode(v, e)
		if ev == nil {
			return
		}
		for _, value := range f.field.Lookup(ev, f.key) {
			f.count(valueText(value), 1)
		}
	}
}

func (f *facet) end(names []string) {
	for i, n := range f.block {
		if n > 0 {
			f.count(names[i], uint64(n))
		}
	}
}

func (f *facet) count(value string, n uint64) {
	if value == "" {
		return
	}
	value = brief(value)
	if _, known := f.counts[value]; known || len(f.counts) < maxDistinct {
		f.counts[value] += n
	}
}

func (f *facet) result() *pb.Facet {
	values := make([]*pb.FacetValue, 0, len(f.counts))
	for value, n := range f.counts {
		values = append(values, &pb.FacetValue{Value: value, Count: n})
	}
	slices.SortFunc(values, func(a, b *pb.FacetValue) int {
		return cmp.Or(cmp.Compare(b.GetCount(), a.GetCount()), strings.Compare(a.GetValue(), b.GetValue()))
	})
	return &pb.Facet{Field: f.name, Values: values[:min(len(values), maxFacetValues)], Distinct: uint64(len(f.counts))}
}

// valueText writes a value as queries and results do.
func valueText(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case time.Time:
		return x.Format(time.RFC3339Nano)
	default:
		return fmt.Sprint(x)
	}
}
