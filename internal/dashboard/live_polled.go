package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Periods of topics that ask.
const (
	overviewEvery = 2 * time.Second
	seriesEvery   = time.Second
	// seriesBusy is the period when many tabs are open.
	seriesBusy = 5 * time.Second
	manyTabs   = 32
)

// overviewMessage carries the overview without its events.
type overviewMessage struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	OverviewStatus
}

// newOverviewTopic follows the overview.
func newOverviewTopic(s *Server, user string, m clientMessage) (topic, *errorMessage) {
	start := func() *pollFeed[OverviewStatus] {
		var last []byte
		return newPollFeed(func() time.Duration { return overviewEvery }, func(ctx context.Context) (OverviewStatus, bool, error) {
			now, err := s.overview.get(ctx, overviewInput{})
			if err != nil {
				return OverviewStatus{}, false, err
			}
			text, err := json.Marshal(now.OverviewStatus)
			if err != nil || bytes.Equal(text, last) {
				return OverviewStatus{}, false, err
			}
			last = text
			return now.OverviewStatus, true, nil
		})
	}
	return &pollTopic[OverviewStatus]{
		feeds: s.feeds, user: user, key: m.Topic, start: start,
		message: func(now OverviewStatus) any { return overviewMessage{m.ID, m.Topic, now} },
	}, nil
}

// seriesMessage carries the newest value of each series.
type seriesMessage struct {
	ID     string        `json:"id"`
	Type   string        `json:"type"`
	Time   time.Time     `json:"time" doc:"Start of the step that the values are of."`
	Points []SeriesPoint `json:"points" nullable:"false"`
}

// SeriesPoint is one value of one series.
type SeriesPoint struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Unit   string            `json:"unit"`
	Value  *float64          `json:"value" nullable:"true"`
}

// newSeriesTopic follows the newest values of series.
func newSeriesTopic(s *Server, user string, m clientMessage) (topic, *errorMessage) {
	if len(m.Names) == 0 || len(m.Names) > 32 {
		return nil, &errorMessage{Detail: `series needs 1 to 32 "names"`}
	}
	names := slices.Compact(slices.Sorted(slices.Values(m.Names)))
	start := func() *pollFeed[seriesMessage] {
		every := func() time.Duration {
			if s.liveSlots.Taken() > manyTabs {
				return seriesBusy
			}
			return seriesEvery
		}
		var last int64
		return newPollFeed(every, func(ctx context.Context) (seriesMessage, bool, error) {
			now, err := s.newestPoints(ctx, names, every())
			if err != nil || now.Time.Unix() <= last {
				return seriesMessage{}, false, err
			}
			last = now.Time.Unix()
			return now, true, nil
		})
	}
	return &pollTopic[seriesMessage]{
		feeds: s.feeds, user: user, key: m.Topic + "\x00" + strings.Join(names, "\x00"), start: start,
		message: func(now seriesMessage) any { now.ID, now.Type = m.ID, m.Topic; return now },
	}, nil
}

// newestPoints asks for the last whole step.
func (s *Server) newestPoints(ctx context.Context, names []string, step time.Duration) (seriesMessage, error) {
	ctx, cancel := s.hub.call(ctx)
	defer cancel()
	// Events of the second just over may still be on their way to the series.
	until := s.o.Now().Add(-time.Second)
	found, err := s.readSeries(ctx, &pb.SeriesRequest{
		Names: names, Since: timestamppb.New(until.Add(-30 * time.Second)), Until: timestamppb.New(until), Step: durationpb.New(step),
	})
	if err != nil {
		return seriesMessage{}, err
	}
	message := seriesMessage{Points: []SeriesPoint{}}
	for _, one := range found.GetSeries() {
		i := len(one.GetValues()) - 1
		if i < 0 {
			continue
		}
		message.Time = found.GetStart().AsTime().Add(time.Duration(i) * found.GetStep().AsDuration())
		message.Points = append(message.Points, SeriesPoint{one.GetName(), labels(one.GetLabels()), one.GetUnit(), value(one.GetValues()[i])})
	}
	return message, nil
}
