package answers_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
)

// walk reads all pages of a search.
func walk(t *testing.T, st *store, req *pb.SearchEventsRequest) (events []*pb.StoredEvent, pages int) {
	t.Helper()
	for {
		response, err := st.SearchEvents(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		events = append(events, response.GetEvents()...)
		if req.Page = response.GetNextPage(); req.GetPage() == "" || pages > 1_000 {
			if response.GetMore() {
				t.Error("there is more, and no next page")
			}
			return events, pages
		}
	}
}

// TestPagesShowEachEventOnce: over days, with many of the same instant, in both orders,
// while others are being stored.
func TestPagesShowEachEventOnce(t *testing.T) {
	st := newStore(t, answers.Limits{})
	const total = 5_000
	for i := range total {
		at := now.Add(-time.Duration(i%500) * 10 * time.Minute) // ten of each instant
		if i >= 4_000 {
			at = now.Add(-time.Hour) // and a thousand more of one
		}
		st.add(t, execution(at, fmt.Sprintf("web-%d", i%3), "curl"))
	}
	st.flush(t)
	for _, oldest := range []bool{false, true} {
		req := &pb.SearchEventsRequest{Limit: 170, OldestFirst: oldest, NoTotal: true}
		first, err := st.SearchEvents(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		// One that comes late, in the middle of what is still to be shown.
		st.add(t, execution(now.Add(-30*time.Hour), "late", "curl"))
		st.flush(t)
		req.Page = first.GetNextPage()
		rest, _ := walk(t, st, req)
		events := append(first.GetEvents(), rest...)
		if len(events) != total && oldest == false || len(events) != total+1 && oldest {
			t.Errorf("oldest first %v: %d events", oldest, len(events))
		}
		type place struct {
			at     time.Time
			offset uint64
		}
		var last place
		seen := map[uint64]bool{}
		for i, e := range events {
			ev, err := event.Decode(e.GetEvent())
			if err != nil {
				t.Fatal(err)
			}
			p := place{event.Time(ev), e.GetOffset()}
			ordered := last.at.Before(p.at) || last.at.Equal(p.at) && last.offset < p.offset
			if i > 0 && ordered != oldest || seen[p.offset] {
				t.Fatalf("oldest first %v: %v comes after %v", oldest, p, last)
			}
			last, seen[p.offset] = p, true
		}
	}
}

func TestSearch(t *testing.T) {
	st := newStore(t, answers.Limits{})
	for i := range 40 {
		name := []string{"curl", "bash", "curl", "sshd"}[i%4]
		st.add(t, execution(now.Add(-time.Duration(i)*time.Minute), []string{"web-1", "db-1"}[i%2], name))
	}
	st.flush(t)
	st.add(t, execution(now, "web-1", "curl")) // on its way: the engine may have it, but it does not count
	st.insert(t)
	if err := st.keeper.Client().Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	get := func(req *pb.SearchEventsRequest) *pb.SearchEventsResponse {
		t.Helper()
		response, err := st.SearchEvents(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}

	all := get(&pb.SearchEventsRequest{Limit: 5, HistogramBuckets: 8, Since: timestamppb.New(now.Add(-40 * time.Minute)), Facets: []string{"process.name", "host", "severity"}})
	if got := offsets(all.GetEvents()); !slices.Equal(got, []uint64{0, 1, 2, 3, 4}) || all.GetTotal() != 40 || !all.GetMore() || all.GetCompleteToOffset() != 40 {
		t.Errorf("offsets %v, total %d, more %v, complete to %d", got, all.GetTotal(), all.GetMore(), all.GetCompleteToOffset())
	}
	if len(all.GetLacks()) > 0 {
		t.Errorf("lacks %s", lackTexts(all.GetLacks()))
	}
	// Buckets of five minutes from 11:20; that of 12:00 is not over.
	if h := all.GetHistogram(); h.GetStep().AsDuration() != 5*time.Minute || !slices.Equal(h.GetCounts(), []uint64{4, 5, 5, 5, 5, 5, 5, 5}) {
		t.Errorf("histogram %v", h)
	}
	want := []*pb.Facet{
		{Field: "process.name", Values: []*pb.FacetValue{{Value: "curl", Count: 20}, {Value: "bash", Count: 10}, {Value: "sshd", Count: 10}}, Distinct: 3},
		{Field: "host", Values: []*pb.FacetValue{{Value: "db-1", Count: 20}, {Value: "web-1", Count: 20}}, Distinct: 2},
		{Field: "severity", Values: []*pb.FacetValue{{Value: "informational", Count: 40}}, Distinct: 1},
	}
	if diff := cmp.Diff(want, all.GetFacets(), protocmp.Transform()); diff != "" {
		t.Errorf("facets (-want +got):\n%s", diff)
	}

	for name, tc := range map[string]struct {
		req   *pb.SearchEventsRequest
		total uint64
		first uint64
	}{
		"a query":         {&pb.SearchEventsRequest{Filter: query("process.name:curl")}, 20, 0},
		"a host":          {&pb.SearchEventsRequest{Filter: &pb.Filter{Hosts: []string{"DB-1"}}}, 20, 1},
		"an agent":        {&pb.SearchEventsRequest{Filter: &pb.Filter{Agents: []string{"proc_agent"}}}, 40, 0},
		"another agent":   {&pb.SearchEventsRequest{Filter: &pb.Filter{Agents: []string{"flow"}}}, 0, 0},
		"types":           {&pb.SearchEventsRequest{Filter: &pb.Filter{Types: []string{"process."}}}, 40, 0},
		"no such type":    {&pb.SearchEventsRequest{Filter: &pb.Filter{Types: []string{"process"}}}, 0, 0},
		"too mild":        {&pb.SearchEventsRequest{Filter: &pb.Filter{MinSeverity: pb.Severity_SEVERITY_LOW}}, 0, 0},
		"severe enough":   {&pb.SearchEventsRequest{Filter: &pb.Filter{MinSeverity: pb.Severity_SEVERITY_INFORMATIONAL}}, 40, 0},
		"both":            {&pb.SearchEventsRequest{Filter: &pb.Filter{Hosts: []string{"db-1"}, Query: "process.name:bash or process.name:sshd"}}, 20, 1},
		"until":           {&pb.SearchEventsRequest{Until: timestamppb.New(now.Add(-38 * time.Minute))}, 2, 38},
		"since and until": {&pb.SearchEventsRequest{Since: timestamppb.New(now.Add(-5 * time.Minute)), Until: timestamppb.New(now.Add(-2 * time.Minute))}, 4, 2},
		"nothing":         {&pb.SearchEventsRequest{Since: timestamppb.New(now.Add(time.Minute)), Until: timestamppb.New(now.Add(time.Hour))}, 0, 0},
		"before":          {&pb.SearchEventsRequest{BeforeOffset: 3}, 40, 4},
		"oldest":          {&pb.SearchEventsRequest{OldestFirst: true}, 40, 39},
		"not held":        {&pb.SearchEventsRequest{BeforeOffset: 4711}, 40, 0},
	} {
		got := get(tc.req)
		if got.GetTotal() != tc.total || len(got.GetEvents()) > 0 && got.GetEvents()[0].GetOffset() != tc.first {
			t.Errorf("%s: total %d, events %v", name, got.GetTotal(), offsets(got.GetEvents()))
		}
		if none := tc.total == 0 || name == "not held"; none != (len(got.GetEvents()) == 0) {
			t.Errorf("%s: %d events", name, len(got.GetEvents()))
		}
	}
}

func TestBadQuestions(t *testing.T) {
	st := newStore(t, answers.Limits{})
	st.add(t, execution(now, "web-1", "curl"))
	st.add(t, execution(now, "web-1", "curl"))
	st.flush(t)
	first, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		req  *pb.SearchEventsRequest
		says string
	}{
		"a query":           {&pb.SearchEventsRequest{Filter: query("(")}, "position 1"},
		"pipes":             {&pb.SearchEventsRequest{Filter: query("* | stats count()")}, "pipes"},
		"a facet":           {&pb.SearchEventsRequest{Facets: []string{"process.nme"}}, `did you mean "process.name"`},
		"all labels":        {&pb.SearchEventsRequest{Facets: []string{"labels"}}, "labels"},
		"too many facets":   {&pb.SearchEventsRequest{Facets: make([]string, 17)}, "at most 16"},
		"no page":           {&pb.SearchEventsRequest{Page: "here"}, "page"},
		"of another order":  {&pb.SearchEventsRequest{Page: first.GetNextPage(), OldestFirst: true}, "page"},
		"of another filter": {&pb.SearchEventsRequest{Page: first.GetNextPage(), Filter: query("curl")}, "page"},
		"changed":           {&pb.SearchEventsRequest{Page: "AQ" + strings.Repeat("A", len(first.GetNextPage())-2)}, "page"},
		"two places":        {&pb.SearchEventsRequest{Page: first.GetNextPage(), BeforeOffset: 1}, "exclude"},
	} {
		_, err := st.SearchEvents(t.Context(), tc.req)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Page: first.GetNextPage(), Limit: 1}); err != nil {
		t.Error(err)
	}
}

// TestFacetsOfMany: of more events than are looked at, the newest count, and the answer
// says so.
func TestFacetsOfMany(t *testing.T) {
	st := newStore(t, answers.Limits{FacetRows: 100})
	for i := range 1_000 {
		name := "new"
		if i >= 100 {
			name = "old"
		}
		st.add(t, execution(now.Add(-time.Duration(i)*time.Minute), "web-1", name))
	}
	st.flush(t)
	got, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Facets: []string{"process.name"}})
	if err != nil {
		t.Fatal(err)
	}
	n := got.GetFacets()[0].GetValues()[0].GetCount()
	if len(got.GetFacets()[0].GetValues()) != 1 || n < 90 || n > 100 || got.GetTotal() != 1_000 {
		t.Errorf("facets %v, total %d", got.GetFacets(), got.GetTotal())
	}
	if want := fmt.Sprintf("limit %d values are counted over the newest %d of 1000 matching events", 1_000-n, n); lackTexts(got.GetLacks()) != want {
		t.Errorf("lacks %q, want %q", lackTexts(got.GetLacks()), want)
	}
}

// TestFacetsOfListsAndLabels: each value of an event counts.
func TestFacetsOfListsAndLabels(t *testing.T) {
	st := newStore(t, answers.Limits{})
	for i := range 6 {
		ev := execution(now.Add(-time.Duration(i)*time.Second), "web-1", "curl")
		ev.Host.Ip = []string{"192.0.2.1", fmt.Sprintf("192.0.2.%d", 2+i%2)}
		ev.Labels = map[string]string{"site": []string{"ber", "muc"}[i%2], "a b": "c"}
		st.add(t, ev)
	}
	st.flush(t)
	got, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Facets: []string{"host.ip", "labels.site", "labels.a b"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []*pb.Facet{
		{Field: "host.ip", Values: []*pb.FacetValue{{Value: "192.0.2.1", Count: 6}, {Value: "192.0.2.2", Count: 3}, {Value: "192.0.2.3", Count: 3}}, Distinct: 3},
		{Field: "labels.site", Values: []*pb.FacetValue{{Value: "ber", Count: 3}, {Value: "muc", Count: 3}}, Distinct: 2},
		{Field: "labels.a b", Values: []*pb.FacetValue{{Value: "c", Count: 6}}, Distinct: 1},
	}
	if diff := cmp.Diff(want, got.GetFacets(), protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLargeEvents: a page ends where its events are too large together, and goes on.
func TestLargeEvents(t *testing.T) {
	st := newStore(t, answers.Limits{Bytes: 4 << 20})
	for i := range 12 {
		ev := execution(now.Add(-time.Duration(i)*time.Second), "web-1", "curl")
		ev.GetProcess().Process.CmdLine = strings.Repeat(fmt.Sprintf("%08d", i), 100_000) // 800 kB
		st.add(t, ev)
	}
	st.flush(t)
	events, pages := walk(t, st, &pb.SearchEventsRequest{})
	if len(events) != 12 || pages != 2 {
		t.Errorf("%d events on %d pages", len(events), pages)
	}
}

func TestCancelledSearch(t *testing.T) {
	st := newStore(t, answers.Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := st.SearchEvents(ctx, &pb.SearchEventsRequest{}); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
}

// TestCompleteTo: whatever an answer says it is complete to, it has all events before
// it and none from there on, though the engine shows new ones when it likes.
func TestCompleteTo(t *testing.T) {
	st := newStore(t, answers.Limits{})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			for i := range 50 {
				st.add(t, execution(now.Add(-time.Duration(n*50+i)*time.Millisecond), "web-1", "curl"))
			}
			st.insert(t) // and no more: it is neither flushed nor durable
			st.set(func(s *pb.StoreStatus) { s.NextOffset = st.next })
		}
	}()
	for range 30 {
		got, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Limit: 1, Facets: []string{"host"}})
		if err != nil {
			t.Fatal(err)
		}
		if got.GetTotal() != got.GetCompleteToOffset() {
			t.Fatalf("%d events, complete to %d", got.GetTotal(), got.GetCompleteToOffset())
		}
	}
	close(stop)
	<-stopped
}

// TestRangesThatEndBeforeTheyBegin are refused by every question: an empty answer would
// look like one. A range of one instant is none of them.
func TestRangesThatEndBeforeTheyBegin(t *testing.T) {
	st := newStore(t, answers.Limits{})
	st.add(t, execution(now, "web-1", "curl"))
	st.flush(t)
	early, late := timestamppb.New(now.Add(-time.Hour)), timestamppb.New(now)
	for name, ask := range map[string]func(since, until *timestamppb.Timestamp) error{
		"search": func(since, until *timestamppb.Timestamp) error {
			_, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Since: since, Until: until})
			return err
		},
		"names": func(since, until *timestamppb.Timestamp) error {
			_, err := st.FieldNames(t.Context(), &pb.FieldNamesRequest{Since: since, Until: until})
			return err
		},
		"values": func(since, until *timestamppb.Timestamp) error {
			_, err := st.FieldValues(t.Context(), &pb.FieldValuesRequest{Field: "type", Since: since, Until: until})
			return err
		},
		"series": func(since, until *timestamppb.Timestamp) error {
			_, err := st.Series(t.Context(), &pb.SeriesRequest{Since: since, Until: until})
			return err
		},
	} {
		if err := ask(late, early); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "ends before it begins") {
			t.Errorf("%s: %v", name, err)
		}
		if err := ask(late, late); err != nil {
			t.Errorf("%s of an instant: %v", name, err)
		}
	}
}
