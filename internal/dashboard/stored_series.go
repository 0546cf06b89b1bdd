package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// highest ends the name of a series whose values are the highest of each step; those of
// others are means.
const highest = "_highest"

// keptOf names the metrics by which the store keeps what the hub tells of itself, which
// remembers some hours, and nothing from before it began.
func keptOf(series string) (metric, unit string) {
	switch strings.TrimSuffix(series, highest) {
	case "latency_ms":
		return "amoskys_store_hub_latency_ms", "ms"
	case "queue_depth":
		return "amoskys_store_hub_queue_depth", "{event}"
	}
	return "", ""
}

// Bounds of what is asked of the store: it writes these metrics each 15 seconds, and an
// answer has so many points of a series.
const (
	keptEvery  = 15 * time.Second
	keptPoints = 2_000
)

// ownSeries asks the hub for what it has of itself, and fills what it does not know any
// more from the store's metrics. Where both know, the higher of what is the highest of a
// step stands, else the hub's, who looked more often. Without the store it is the hub's.
func (s *Server) ownSeries(ctx context.Context, req *pb.SeriesRequest) (*pb.SeriesResponse, error) {
	own, err := s.hub.query.Series(ctx, req)
	step := own.GetStep().AsDuration()
	if err != nil || req.GetSince() == nil || step < keptEvery {
		return own, err
	}
	kept := &pb.SeriesResponse{Step: own.GetStep()}
	// Steps begin at multiples of theirs from 1970 on, as the hub has them.
	begin := func(t time.Time) time.Time { return time.Unix(0, t.UnixNano()-t.UnixNano()%int64(step)) }
	since := begin(req.GetSince().AsTime())
	until := begin(s.o.Now())
	if t := req.GetUntil(); t != nil && t.AsTime().Before(until) {
		until = begin(t.AsTime())
	}
	points := int(until.Sub(since) / step)
	if points <= 0 || points > keptPoints {
		return own, nil
	}
	kept.Start = timestamppb.New(since)
	ctx, cancel := context.WithTimeout(ctx, latestPatience)
	defer cancel()
	for _, name := range req.GetNames() {
		if metric, unit := keptOf(name); metric != "" {
			found, err := s.keptSeries(ctx, name, metric, unit, since, step, points)
			if err != nil {
				return own, nil //nolint:nilerr // the store is away, or has none: what the hub has is told
			}
			kept.Series = append(kept.Series, found...)
		}
	}
	return overlaid(own, kept), nil
}

// keptSeries asks the store's metrics for the values of a series in steps: each is of what
// was written from its time on, for a step.
func (s *Server) keptSeries(ctx context.Context, name, metric, unit string, since time.Time, step time.Duration, points int) (list []*pb.TimeSeries, err error) {
	of := "avg_over_time"
	if strings.HasSuffix(name, highest) {
		of = "max_over_time"
	}
	seconds := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	var matrix struct {
		Result []struct {
			Metric map[string]string    `json:"metric"`
			Values [][2]json.RawMessage `json:"values"`
		} `json:"result"`
	}
	form := url.Values{
		"query": {fmt.Sprintf("max by (quantile) (%s(%s[%ds]))", of, metric, int64(step.Seconds()))},
		"start": {seconds(since.Add(step))}, "end": {seconds(since.Add(time.Duration(points) * step))}, "step": {strconv.FormatInt(int64(step.Seconds()), 10)},
	}
	if _, err := s.askNumbers(ctx, "query_range", form, &matrix); err != nil {
		return nil, err
	}
	for _, one := range matrix.Result {
		line := &pb.TimeSeries{Name: name, Labels: one.Metric, Unit: unit, Values: make([]float64, points)}
		for i := range line.GetValues() {
			line.Values[i] = math.NaN()
		}
		for _, v := range one.Values {
			var at float64
			var text string
			if json.Unmarshal(v[0], &at) != nil || json.Unmarshal(v[1], &text) != nil {
				continue
			}
			value, err := strconv.ParseFloat(text, 64)
			if i := int(time.Unix(int64(at), 0).Sub(since)/step) - 1; err == nil && i >= 0 && i < points {
				line.Values[i] = value
			}
		}
		list = append(list, line)
	}
	return list, nil
}

// overlaid is what two know of the same series, on one scale.
func overlaid(own, kept *pb.SeriesResponse) *pb.SeriesResponse {
	if len(kept.GetSeries()) == 0 {
		return own
	}
	joined := joinSeries(kept, own)
	all := &pb.SeriesResponse{Start: joined.GetStart(), Step: joined.GetStep()}
	for _, one := range joined.GetSeries() {
		i := slices.IndexFunc(all.GetSeries(), func(other *pb.TimeSeries) bool {
			return other.GetName() == one.GetName() && other.GetLabels()["quantile"] == one.GetLabels()["quantile"] && len(other.GetLabels()) == len(one.GetLabels())
		})
		if i < 0 {
			all.Series = append(all.Series, one)
			continue
		}
		into := all.GetSeries()[i].GetValues()
		for at, v := range one.GetValues() { // the hub's, which come behind the store's
			switch {
			case math.IsNaN(v):
			case strings.HasSuffix(one.GetName(), highest) && into[at] > v:
			default:
				into[at] = v
			}
		}
	}
	return all
}
