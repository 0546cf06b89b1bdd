package answers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// Names of the series. The label of the first is type, of the second agent and host,
// of the third host. The host is the one that the events came from: what others saw
// of a host is no sign that it lives.
const (
	SeriesEvents      = "events_per_second"
	SeriesAgentEvents = "agent_events_per_second"
	SeriesHostEvents  = "host_events_per_second"
	unitRate          = "1/s"
)

// Bounds on series.
const (
	maxNames      = 32
	maxPoints     = 2_000
	maxSeries     = 256 // of one name; the smallest of more are together under "other"
	defaultPoints = 180
	defaultSeries = 15 * time.Minute
	other         = "other"
)

// columns are the fields that a series is by; nil for a name that we do not have.
func columns(name string) []string {
	switch name {
	case SeriesEvents:
		return []string{"type"}
	case SeriesAgentEvents:
		return []string{"agent", "host", observer}
	case SeriesHostEvents:
		return []string{"host", observer}
	}
	return nil
}

// observer is who saw an event, where that is not whom it is about.
const observer = "observer"

// Series returns event rates by the events' own time, at most 2,000 points each.
// Without since it goes back 15 minutes; without step it has about 180 points. Of
// names that are the hub's, such as latencies, it knows nothing and has none.
func (s *Service) Series(ctx context.Context, req *pb.SeriesRequest) (*pb.SeriesResponse, error) {
	if len(req.GetNames()) > maxNames {
		return nil, status.Errorf(codes.InvalidArgument, "at most %d names can be read at once", maxNames)
	}
	r, step, err := seriesRange(req, s.o.Now())
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.begin(ctx, heavy)
	if err != nil {
		return nil, err
	}
	defer end()
	response := &pb.SeriesResponse{Start: timeStamp(r.since), Step: durationpb.New(time.Duration(step))}
	q, err := s.inWords(ctx, "", r)
	if err != nil {
		return nil, s.closing(err)
	}
	for _, name := range req.GetNames() {
		by := columns(name)
		if by == nil {
			continue
		}
		series, err := s.rates(ctx, q, r, step, name, by)
		if err != nil {
			return nil, s.closing(err)
		}
		response.Series = append(response.Series, series...)
	}
	return response, nil
}

// seriesRange reads a request's range, aligned to its step of whole seconds. The
// seconds that are not over yet are left out.
func seriesRange(req *pb.SeriesRequest, now time.Time) (r span, step int64, err error) {
	const second = int64(time.Second)
	if req.GetSince() != nil && req.GetUntil() != nil {
		if err := rangeOf(req.GetSince(), req.GetUntil()).turned(); err != nil {
			return span{}, 0, err
		}
	}
	settledAt := now.Add(-settled).Truncate(time.Second)
	until := settledAt
	if t := req.GetUntil(); t != nil && t.AsTime().Before(until) {
		until = t.AsTime().Truncate(time.Second)
	}
	since := until.Add(-defaultSeries)
	if req.GetSince() != nil {
		since = req.GetSince().AsTime().Truncate(time.Second)
	}
	if since.After(until) {
		since = until
	}
	if since.Year() < 1970 {
		since = time.Unix(0, 0)
	}
	r = span{since.UnixNano(), max(until.UnixNano(), 0)}
	step = (req.GetStep().AsDuration() + time.Second - 1).Nanoseconds() / second * second
	if step <= 0 {
		step = max(int64(roundStep(until.Sub(since)/defaultPoints)), second)
	}
	if (r.until-r.since)/step > maxPoints {
		return span{}, 0, status.Errorf(codes.InvalidArgument, "a step of %s gives more than %d points", time.Duration(step), maxPoints)
	}
	return span{r.since - r.since%step, r.until - r.until%step}, step, nil
}

// rates counts the events of a range by some fields. Where that has too many values to
// be counted by time, the most frequent of the first field are, and all others together.
func (s *Service) rates(ctx context.Context, q *question, r span, step int64, name string, by []string) ([]*pb.TimeSeries, error) {
	held := q.whole().clip(r)
	if held.empty() {
		return nil, nil
	}
	c := &counted{r: r, step: step, name: name, by: by, found: map[string]*pb.TimeSeries{}}
	err := s.ask(ctx, vlogs.Query{Text: c.text(q.text(held, false))}, c.add)
	if errors.Is(err, errTooLarge) {
		err = s.frequent(ctx, q, held, c)
	}
	if err != nil {
		return nil, err
	}
	return ranked(c.found, r.since, s.heldSince(held), step), nil
}

// heldSince is since when it is known what happened in a range of days that are held: the
// store's first event may have come in the middle of the first.
func (s *Service) heldSince(held span) int64 {
	if oldest := s.stateOf().GetOldestTime(); oldest != nil {
		return max(held.since, bound(oldest, held.since))
	}
	return held.since
}

// maxFrequent is of how many values of a field a series is made where all are too many.
const maxFrequent = 50

// frequent counts the most frequent values of the first field, and the rest as others.
func (s *Service) frequent(ctx context.Context, q *question, held span, c *counted) error {
	clear(c.found)
	first, filter := quoted(c.by[0]), q.text(held, false)
	if slices.Contains(c.by, "host") {
		first = quoted("host")
	}
	var values []string
	text := fmt.Sprintf("%s | stats by (%s) count() n | sort by (n desc, %s) limit %d", filter, first, first, maxFrequent)
	err := s.ask(ctx, vlogs.Query{Text: text}, func(fields []vlogs.Field) error {
		if name, err := strconv.Unquote(first); err == nil {
			values = append(values, strings.Clone(value(fields, name)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	these := first + ":in(" + quotedList(values) + ")"
	if err := s.ask(ctx, vlogs.Query{Text: c.text(filter + " " + these)}, c.add); err != nil {
		return err
	}
	rest := *c
	rest.by = nil
	return s.ask(ctx, vlogs.Query{Text: rest.text(filter + " !" + these)}, func(fields []vlogs.Field) error {
		return c.addTo(fields, c.others())
	})
}

func quotedList(values []string) string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = quoted(v)
	}
	return strings.Join(list, ",")
}

// counted are the events of one name by time and some fields.
type counted struct {
	r     span
	step  int64
	name  string
	by    []string
	found map[string]*pb.TimeSeries
}

// text is the query that counts what a filter finds.
func (c *counted) text(filter string) string {
	text := fmt.Sprintf("%s | stats by (_time:%dns", filter, c.step)
	if len(c.by) > 0 {
		text += ", " + quotedList(c.by)
	}
	return text + ") count() n"
}

// add takes a row of the answer.
func (c *counted) add(fields []vlogs.Field) error { return c.addTo(fields, labelsOf(fields, c.by)) }

// others are the labels of all that have no series of their own.
func (c *counted) others() map[string]string {
	labels := map[string]string{}
	for _, column := range c.by {
		if column != observer {
			labels[column] = other
		}
	}
	return labels
}

func (c *counted) addTo(fields []vlogs.Field, labels map[string]string) error {
	at, err := instant(fields, fieldTime)
	if err != nil {
		return err
	}
	n, err := number(fields, "n")
	if err != nil {
		return err
	}
	points := int((c.r.until - c.r.since) / c.step)
	id := labels["type"] + "\x00" + labels["agent"] + "\x00" + labels["host"]
	one := c.found[id]
	if one == nil {
		one = &pb.TimeSeries{Name: c.name, Labels: labels, Unit: unitRate, Values: make([]float64, points)}
		c.found[id] = one
	}
	if i := int((at - c.r.since) / c.step); at >= c.r.since && i < points {
		one.Values[i] += float64(n)
	}
	return nil
}

// labelsOf are the labels of a row. The host of what somebody else saw is whoever
// saw it.
func labelsOf(fields []vlogs.Field, by []string) map[string]string {
	labels := map[string]string{}
	for _, column := range by {
		if v := strings.Clone(value(fields, column)); column != observer {
			labels[column] = v
		} else if v != "" {
			labels["host"] = v
		}
	}
	return labels
}

// ranked makes rates of counts and puts series into order: those with the most events
// for themselves, all others as one. What was before the store's first event is not
// known.
func ranked(found map[string]*pb.TimeSeries, since, heldSince, step int64) []*pb.TimeSeries {
	list := make([]*pb.TimeSeries, 0, len(found))
	totals := map[*pb.TimeSeries]float64{}
	for _, one := range found {
		for _, v := range one.GetValues() {
			totals[one] += v
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b *pb.TimeSeries) int {
		return cmp.Or(cmp.Compare(totals[b], totals[a]), compareLabels(a, b))
	})
	if len(list) > maxSeries {
		rest := list[maxSeries-1]
		for name := range rest.GetLabels() {
			rest.Labels[name] = other
		}
		for _, one := range list[maxSeries:] {
			for i, v := range one.GetValues() {
				rest.Values[i] += v
			}
		}
		list = list[:maxSeries]
	}
	slices.SortFunc(list, compareLabels)
	// An older one than was known may have come in since.
	for _, one := range list {
		if i := slices.IndexFunc(one.GetValues(), func(v float64) bool { return v > 0 }); i >= 0 {
			heldSince = min(heldSince, since+int64(i)*step)
		}
	}
	for _, one := range list {
		for i := range one.GetValues() {
			if at := since + int64(i+1)*step; at <= heldSince {
				one.Values[i] = math.NaN()
				continue
			}
			one.Values[i] /= float64(step) / float64(time.Second)
		}
	}
	return list
}

func compareLabels(a, b *pb.TimeSeries) int {
	for _, name := range []string{"agent", "host", "type"} {
		if c := strings.Compare(a.GetLabels()[name], b.GetLabels()[name]); c != 0 {
			return c
		}
	}
	return 0
}

func timeStamp(at int64) *timestamppb.Timestamp { return timestamppb.New(time.Unix(0, at)) }
