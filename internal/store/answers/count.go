package answers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// count adds total, histogram and facets to an answer, as far as they are asked for.
func (s *Service) count(ctx context.Context, req *pb.SearchEventsRequest, q *question, facets []facet, response *pb.SearchEventsResponse) error {
	var total uint64
	whole := q.whole()
	switch buckets := int(min(req.GetHistogramBuckets(), maxBuckets)); {
	case buckets > 0:
		h := newHistogram(q, buckets)
		counts, err := s.buckets(ctx, q, whole, h.step)
		if err != nil {
			return err
		}
		for at, n := range counts {
			total += n
			h.add(at, n)
		}
		response.Histogram = h.result()
	case !req.GetNoTotal() || len(facets) > 0:
		var err error
		if total, err = s.total(ctx, q, whole); err != nil {
			return err
		}
	}
	if !req.GetNoTotal() {
		response.Total = total
	}
	if len(facets) == 0 {
		return nil
	}
	newest, n, err := s.newest(ctx, q, total)
	if err != nil {
		return err
	}
	for _, f := range facets {
		one, err := s.facet(ctx, q, newest, f, maxFacetValues, "")
		if err != nil {
			return err
		}
		response.Facets = append(response.Facets, one)
	}
	if n < total {
		response.Lacks = append(response.Lacks, limitLack(newest, total-n, fmt.Sprintf("values are counted over the newest %d of %d matching events", n, total)))
	}
	return nil
}

func limitLack(r span, n uint64, reason string) *pb.Lack {
	return &pb.Lack{Place: placeLimit, Count: n, Reason: reason, Until: timestamppb.New(time.Unix(0, r.since))}
}

// total counts what matches.
func (s *Service) total(ctx context.Context, q *question, r span) (n uint64, err error) {
	if r.empty() {
		return 0, nil
	}
	return n, s.ask(ctx, q.query(q.text(r, false)+" | stats count() n"), func(fields []vlogs.Field) (err error) {
		n, err = number(fields, "n")
		return err
	})
}

// buckets counts what matches by time: the keys are multiples of step.
func (s *Service) buckets(ctx context.Context, q *question, r span, step int64) (map[int64]uint64, error) {
	counts := map[int64]uint64{}
	if r.empty() {
		return counts, nil
	}
	text := fmt.Sprintf("%s | stats by (_time:%dns) count() n", q.text(r, false), step)
	return counts, s.ask(ctx, q.query(text), func(fields []vlogs.Field) error {
		at, err := instant(fields, fieldTime)
		if err != nil {
			return err
		}
		n, err := number(fields, "n")
		counts[at] += n
		return err
	})
}

// histogram counts matches over time.
type histogram struct {
	start, step int64
	counts      []uint64
}

// newHistogram covers the range asked for, or what is held where it is open. Its
// buckets have round lengths, so there may be a few less than asked, and the last one
// is over: one that still fills would look like an end of events.
func newHistogram(q *question, buckets int) *histogram {
	r := q.asked
	if r.until == noUntil {
		r.until = q.now
	}
	if r.since == noSince {
		r.since = min(cmp.Or(q.whole().since, r.until), r.until)
	}
	r.since, r.until = max(r.since, 0), max(r.until, 0) // no event is older than 1970
	step := int64(roundStep(time.Duration(max(r.until-r.since, 1) / int64(buckets))))
	start := r.since - r.since%step
	n := (r.until - start) / step
	over := r.until < q.now-int64(settled)
	if (over || step > int64(longStep)) && (r.until-start)%step != 0 || n == 0 {
		n++ // it is over, though the range ends within it, or too long to leave out
	}
	return &histogram{start: start, step: step, counts: make([]uint64, min(max(n, 0), maxBuckets+2))}
}

// longStep is up to which the bucket that still fills is left out: a short one would
// look like a fall, and a long one has what happened in the last hours.
const longStep = 30 * time.Second

// settled is how long the events of a second may be on their way to us.
const settled = 2 * time.Second

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
	return (d + day - 1) / day * day
}

func (h *histogram) add(at int64, n uint64) {
	if i := (at - h.start) / h.step; at >= h.start && i < int64(len(h.counts)) {
		h.counts[i] += n
	}
}

func (h *histogram) result() *pb.Histogram {
	return &pb.Histogram{
		Start: timestamppb.New(time.Unix(0, h.start)), Step: durationpb.New(time.Duration(h.step)), Counts: h.counts,
	}
}

// newest finds the shortest range that ends with the last match and has about
// Limits.FacetRows of them, and says how many. It narrows down by counts alone.
func (s *Service) newest(ctx context.Context, q *question, total uint64) (r span, have uint64, err error) {
	const parts, rounds = 100, 8
	want := s.o.Limits.FacetRows
	whole := q.whole()
	if total <= want {
		return whole, total, nil
	}
	r = span{whole.until, whole.until}
	for rest, round := whole, 0; round < rounds && have < want-want/10; round++ {
		step := max((rest.until-rest.since)/parts, 1)
		counts, err := s.buckets(ctx, q, rest, step)
		if err != nil {
			return span{}, 0, err
		}
		starts := make([]int64, 0, len(counts))
		for at := range counts {
			starts = append(starts, at)
		}
		slices.Sort(starts)
		fits := true
		for _, at := range slices.Backward(starts) {
			if fits = have+counts[at] <= want || step == 1 && have == 0; !fits {
				rest = span{at, at + step}.clip(rest)
				break
			}
			have += counts[at]
			r.since = max(at, rest.since)
		}
		if fits || step == 1 {
			break
		}
		r.since = rest.until
	}
	return r, have, nil
}

// facet is a field to count values of.
type facet struct {
	name   string // as it was asked for
	column string // of the engine
	key    string // of a map, "" for others
	list   bool   // its rows have a list of values each
}

func facetsOf(names []string) ([]facet, error) {
	facets := make([]facet, 0, len(names))
	for _, name := range names {
		f, err := facetOf(name)
		if err != nil {
			return nil, err
		}
		facets = append(facets, f)
	}
	return facets, nil
}

func facetOf(name string) (facet, error) {
	field, key, ok := event.FieldByName(name)
	if !ok || field.Type == event.FieldMap && key == "" {
		text := fmt.Sprintf("there is no field %q to count", name[:min(len(name), 64)])
		if nearest := event.Nearest(name[:min(len(name), 64)]); nearest != "" {
			text += fmt.Sprintf("; did you mean %q?", nearest)
		}
		return facet{}, status.Error(codes.InvalidArgument, text)
	}
	return facet{name: name, column: columnOf(field), key: key, list: field.Repeats()}, nil
}

// pipe is what takes the values out of rows, and the column that has them then.
func (f *facet) pipe() (text, column string) {
	switch {
	case f.key != "":
		return fmt.Sprintf(" | unpack_json from %s fields (%s) result_prefix \"in.\"", quoted(f.column), quoted(f.key)), "in." + f.key
	case f.list:
		return fmt.Sprintf(" | unroll by (%s)", quoted(f.column)), f.column
	}
	return "", f.column
}

// facet counts the values of a field that begin with a prefix, the most frequent
// first.
func (s *Service) facet(ctx context.Context, q *question, r span, f facet, limit int, prefix string) (*pb.Facet, error) {
	out := &pb.Facet{Field: f.name}
	if r.empty() {
		return out, nil
	}
	pipe, column := f.pipe()
	text := q.text(r, false) + " | fields " + quoted(f.column) + pipe
	if prefix != "" {
		text += fmt.Sprintf(" | filter %s:=%s*", quoted(column), quoted(prefix))
	}
	text += fmt.Sprintf(" | stats by (%s) count() n | filter %s:*", quoted(column), quoted(column))
	distinct := q.query(text + " | stats count() n")
	text += fmt.Sprintf(" | sort by (n desc, %s) limit %d", quoted(column), limit)
	err := s.ask(ctx, q.query(text), func(fields []vlogs.Field) error {
		n, err := number(fields, "n")
		out.Values = append(out.Values, &pb.FacetValue{Value: strings.Clone(brief(value(fields, column))), Count: n})
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(out.Values, func(a, b *pb.FacetValue) int {
		return cmp.Or(cmp.Compare(b.GetCount(), a.GetCount()), strings.Compare(a.GetValue(), b.GetValue()))
	})
	if out.Distinct = uint64(len(out.Values)); len(out.Values) < limit {
		return out, nil
	}
	return out, s.ask(ctx, distinct, func(fields []vlogs.Field) (err error) {
		out.Distinct, err = number(fields, "n")
		return err
	})
}

// maxText bounds a value that is shown in a list, in bytes: in the event it may be a
// megabyte long.
const maxText = 1 << 10

// brief cuts a text to maxText, at a whole character.
func brief(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "")
}
