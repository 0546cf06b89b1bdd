package pick

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// engine answers with its name, or is away.
type engine struct {
	pb.UnimplementedQueryServer
	name  string
	away  bool
	sends int // rows before it is away
}

func (e *engine) SearchEvents(context.Context, *pb.SearchEventsRequest) (*pb.SearchEventsResponse, error) {
	if e.away {
		return nil, status.Error(codes.Unavailable, e.name+" is away")
	}
	return &pb.SearchEventsResponse{NextPage: e.name}, nil
}

func (*engine) Event(context.Context, *pb.EventRequest) (*pb.EventResponse, error) {
	return nil, status.Error(codes.NotFound, "no such event")
}

func (e *engine) Rows(_ *pb.RowsRequest, out grpc.ServerStreamingServer[pb.RowsResponse]) error {
	for range e.sends {
		if err := out.Send(&pb.RowsResponse{Fields: []string{e.name}}); err != nil {
			return err
		}
	}
	if e.away {
		return status.Error(codes.Unavailable, e.name+" is away")
	}
	return out.Send(&pb.RowsResponse{Fields: []string{e.name}})
}

// taken are rows that a caller got.
type taken struct {
	grpc.ServerStreamingServer[pb.RowsResponse]
	from []string
}

func (t *taken) Context() context.Context { return context.Background() }

func (t *taken) Send(r *pb.RowsResponse) error {
	t.from = append(t.from, r.GetFields()...)
	return nil
}

// TestOrder: the wholest first, and of two as good the one that was named first.
func TestOrder(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 5, day, 12, 0, 0, 0, time.UTC) }
	for name, tt := range map[string]struct {
		a, b Standing
		want string
	}{
		"as good":                   {Standing{Next: 10}, Standing{Next: 20}, "a"},
		"one away":                  {Standing{Away: true, Next: 10}, Standing{Partial: true, Next: 5}, "b"},
		"one without a node":        {Standing{Partial: true}, Standing{Filling: true}, "b"},
		"one being filled":          {Standing{Filling: true}, Standing{}, "b"},
		"one far behind":            {Standing{Next: 10}, Standing{Next: 10 + 2*near}, "b"},
		"another log":               {Standing{Next: 10, Log: 1}, Standing{Next: 10 + 2*near}, "a"},
		"one that lost events":      {Standing{Lost: 3}, Standing{}, "b"},
		"one that reaches further":  {Standing{Oldest: at(9)}, Standing{Oldest: at(2)}, "b"},
		"within a day":              {Standing{Oldest: at(9)}, Standing{Oldest: at(9).Add(-time.Hour)}, "a"},
		"whole, but younger":        {Standing{Partial: true, Oldest: at(2)}, Standing{Oldest: at(9)}, "b"},
		"one of unknown beginnings": {Standing{}, Standing{Oldest: at(9)}, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(nil, Source{Name: "a", Standing: func() Standing { return tt.a }}, Source{Name: "b", Standing: func() Standing { return tt.b }})
			if got := s.Order()[0].Name; got != tt.want {
				t.Errorf("%s answers, want %s", got, tt.want)
			}
		})
	}
}

// TestNextAnswers: what cannot be asked is followed by the next; an answer that has begun
// is not.
func TestNextAnswers(t *testing.T) {
	well := func() Standing { return Standing{} }
	a, b := &engine{name: "a", away: true}, &engine{name: "b"}
	s := New(nil, Source{"a", a, well}, Source{"b", b, well})
	found, err := s.SearchEvents(t.Context(), &pb.SearchEventsRequest{})
	if err != nil || found.GetNextPage() != "b" {
		t.Errorf("%v, %v", found, err)
	}
	rows := &taken{}
	if err := s.Rows(&pb.RowsRequest{}, rows); err != nil || !slices.Equal(rows.from, []string{"b"}) {
		t.Errorf("%v, %v", rows.from, err)
	}
	a.sends, rows.from = 2, nil
	if err := s.Rows(&pb.RowsRequest{}, rows); status.Code(err) != codes.Unavailable || !slices.Equal(rows.from, []string{"a", "a"}) {
		t.Errorf("%v, %v", rows.from, err)
	}
	b.away = true
	if _, err := s.SearchEvents(t.Context(), &pb.SearchEventsRequest{}); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
}

// TestEventOfANodeThatIsAway: what a cluster without one of its nodes does not find is not
// said to be nowhere.
func TestEventOfANodeThatIsAway(t *testing.T) {
	for partial, want := range map[bool]codes.Code{false: codes.NotFound, true: codes.Unavailable} {
		s := New(nil, Source{"a", &engine{name: "a"}, func() Standing { return Standing{Partial: partial} }})
		if _, err := s.Event(t.Context(), &pb.EventRequest{Offset: 7}); status.Code(err) != want {
			t.Errorf("a node away %v: %v", partial, err)
		}
	}
}

// TestLacks: who answers without events that another one has says so.
func TestLacks(t *testing.T) {
	day := time.Date(2026, 5, 9, 0, 0, 0, 0, time.UTC)
	a, b := Standing{Oldest: day.AddDate(0, 0, -7)}, Standing{Oldest: day}
	s := New(nil, Source{Name: "a", Standing: func() Standing { return a }}, Source{Name: "b", Standing: func() Standing { return b }})
	if got := s.Lacks("b", time.Time{}); len(got) != 1 || !strings.Contains(got[0].GetReason(), "from before 2026-05-09") || !got[0].GetSince().AsTime().Equal(a.Oldest) {
		t.Errorf("%v", got)
	}
	if got := s.Lacks("b", day.Add(time.Hour)); len(got) != 0 {
		t.Errorf("of a time that it has: %v", got)
	}
	if got := s.Lacks("a", time.Time{}); len(got) != 0 {
		t.Errorf("of the one that reaches further: %v", got)
	}
	b.Oldest = time.Time{}
	if got := s.Lacks("b", day); len(got) != 1 || !strings.Contains(got[0].GetReason(), "no events yet") {
		t.Errorf("of an empty one: %v", got)
	}
}
