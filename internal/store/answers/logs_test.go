package answers_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
)

// TestEventsOfALogOfBefore: when the hub's log was replaced, offsets begin anew, and what
// the one before had is found still, with the same offsets.
func TestEventsOfALogOfBefore(t *testing.T) {
	st := newStore(t, answers.Limits{})
	at := func(i int) time.Time { return now.Add(-time.Duration(40-i) * time.Minute) }
	for i := range 20 {
		st.add(t, execution(at(i), "web-1", fmt.Sprintf("old%02d", i)))
	}
	st.insert(t)
	st.next, st.log, st.writer.Log = 0, 1, 1
	for i := 20; i < 30; i++ {
		st.add(t, execution(at(i), "web-1", fmt.Sprintf("new%02d", i)))
	}
	st.flush(t)
	st.add(t, execution(at(30), "web-1", "not yet")) // the engine has it, and it does not count
	st.insert(t)
	if err := st.keeper.Client().Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprintf("%s%02d started", map[bool]string{true: "old", false: "new"}[i < 20], i))
	}
	messages := func(events []*pb.StoredEvent) (list []string) {
		for _, e := range events {
			ev, err := event.Decode(e.GetEvent())
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, ev.GetMessage())
		}
		return list
	}
	search := func(page string) *pb.SearchEventsResponse {
		t.Helper()
		answer, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{
			Since: timestamppb.New(now.Add(-time.Hour)), OldestFirst: true, Limit: 13, Page: page,
		})
		if err != nil {
			t.Fatal(err)
		}
		if answer.GetTotal() != 30 {
			t.Errorf("total %d", answer.GetTotal())
		}
		return answer
	}
	var got []string
	answer := search("")
	for got = messages(answer.GetEvents()); answer.GetMore(); got = append(got, messages(answer.GetEvents())...) {
		answer = search(answer.GetNextPage())
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages have\n%q, want\n%q", got, want)
	}
	events, expected, last := exported(t, st.client(t), &pb.ExportRequest{})
	if len(events) != 30 || expected != 30 || len(last.GetLacks()) > 0 {
		t.Errorf("an export has %v of %d; lacks %v", events, expected, last.GetLacks())
	}
}
