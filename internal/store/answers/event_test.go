package answers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

func engineQuery(text string) vlogs.Query { return vlogs.Query{Text: text} }

func countRows(n *int) func([]vlogs.Field) error {
	return func([]vlogs.Field) error { *n++; return nil }
}

func TestEvent(t *testing.T) {
	st := newStore(t, answers.Limits{})
	for i := range 60 {
		host := []string{"web-1", "db-1"}[i%2]
		st.add(t, execution(now.Add(-time.Duration(60-i)*time.Hour), host, []string{"curl", "bash", "sshd"}[i%3]))
	}
	odd := execution(now, "web-1", "curl")
	odd.Message = "ünusual \x00 text"
	at := st.add(t, odd)
	st.flush(t)

	for _, shown := range []bool{false, true} { // the second time its place is known
		got, err := st.Event(t.Context(), &pb.EventRequest{Offset: 30, Neighbours: 3})
		if err != nil {
			t.Fatal(err)
		}
		if got.GetEvent().GetOffset() != 30 || !slices.Equal(offsets(got.GetBefore()), []uint64{24, 26, 28}) || !slices.Equal(offsets(got.GetAfter()), []uint64{32, 34, 36}) {
			t.Errorf("shown %v: %v after %v before %v", shown, got.GetEvent().GetOffset(), offsets(got.GetBefore()), offsets(got.GetAfter()))
		}
		// Of the same process: curl on web-1, each sixth.
		if want := []uint64{60, 54, 48, 42, 36, 24, 18, 12, 6, 0}; !slices.Equal(offsets(got.GetRelated()), want) {
			t.Errorf("shown %v: related %v, want %v", shown, offsets(got.GetRelated()), want)
		}
	}
	got, err := st.Event(t.Context(), &pb.EventRequest{Offset: at})
	if err != nil {
		t.Fatal(err)
	}
	ev, err := event.Decode(got.GetEvent().GetEvent())
	if err != nil || !proto.Equal(ev, odd) {
		t.Errorf("%v comes back as %v: %v", odd, ev, err)
	}
	for offset, says := range map[uint64]string{61: "not stored yet", 4711: "not stored yet"} {
		if _, err := st.Event(t.Context(), &pb.EventRequest{Offset: offset}); status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), says) {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
	st.set(func(s *pb.StoreStatus) { s.NextOffset = 5_000 })
	if _, err := st.Event(t.Context(), &pb.EventRequest{Offset: 4711}); status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "was lost") {
		t.Errorf("a lost one: %v", err)
	}
}

// TestRelatedByFlow: what another host saw of the same flow belongs to it.
func TestRelatedByFlow(t *testing.T) {
	st := newStore(t, answers.Limits{})
	flow := func(host, id string) *pb.Event {
		ev := execution(now, host, "curl")
		ev.Type = "network.flow"
		ev.Body = &pb.Event_Network{Network: &pb.NetworkActivity{CommunityId: id}}
		return ev
	}
	st.add(t, flow("web-1", "1:abc="))
	st.add(t, flow("web-2", "1:abc="))
	st.add(t, flow("web-1", "1:def="))
	st.flush(t)
	got, err := st.Event(t.Context(), &pb.EventRequest{})
	if err != nil || !slices.Equal(offsets(got.GetRelated()), []uint64{1}) {
		t.Errorf("related %v, %v", offsets(got.GetRelated()), err)
	}
}

func TestFieldNamesAndValues(t *testing.T) {
	st := newStore(t, answers.Limits{})
	for i := range 30 {
		ev := execution(now.Add(-time.Duration(i)*time.Minute), "web-1", fmt.Sprintf("p%d", i%3))
		if i < 10 {
			ev.Labels = map[string]string{"site": "ber"}
		}
		st.add(t, ev)
	}
	st.flush(t)
	names, err := st.FieldNames(t.Context(), &pb.FieldNamesRequest{Filter: query("process.name:p1")})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, f := range names.GetFields() {
		counts[f.GetValue()] = f.GetCount()
	}
	for name, want := range map[string]uint64{"message": 10, "process.name": 10, "host": 10, "labels": 10, "offset": 0, "_stream": 0, "_msg": 0} {
		if counts[name] != want {
			t.Errorf("%s in %d, want %d", name, counts[name], want)
		}
	}
	values, err := st.FieldValues(t.Context(), &pb.FieldValuesRequest{Field: "process.name", Filter: query("labels:*"), Limit: 2})
	if got := fmt.Sprint(values.GetFacet().GetValues(), values.GetFacet().GetDistinct()); err != nil || got != `[value:"p0" count:4 value:"p1" count:3] 3` && got != `[value:"p0"  count:4 value:"p1"  count:3] 3` {
		t.Errorf("%s, %v", got, err)
	}
	values, err = st.FieldValues(t.Context(), &pb.FieldValuesRequest{Field: "message", Prefix: "p2 s"})
	if err != nil || len(values.GetFacet().GetValues()) != 1 || values.GetFacet().GetValues()[0].GetCount() != 10 {
		t.Errorf("with a prefix: %v, %v", values, err)
	}
	if _, err := st.FieldValues(t.Context(), &pb.FieldValuesRequest{Field: "prozess"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no field: %v", err)
	}
}

// TestEventOfTwoLogs: offsets begin anew when the hub's log was replaced. What was shown
// of late is meant, then what is of the log that is read, whenever it was.
func TestEventOfTwoLogs(t *testing.T) {
	st := newStore(t, answers.Limits{})
	for i := range 5 {
		st.add(t, execution(now.Add(-time.Duration(5-i)*time.Minute), "web-1", fmt.Sprintf("old-%d", i)))
	}
	st.flush(t)
	st.next, st.log, st.writer.Log = 0, 1, 1
	for i := range 3 { // their host's clock is behind
		st.add(t, execution(now.Add(-time.Duration(50-i)*time.Hour), "web-1", fmt.Sprintf("new-%d", i)))
	}
	st.next++ // a reading that is left out
	st.flush(t)
	if got, err := st.Event(t.Context(), &pb.EventRequest{Offset: 3}); status.Code(err) != codes.NotFound {
		t.Errorf("offset 3, which the new log has passed, is %v, %v", got, err)
	}
	nameOf := func(offset uint64) string {
		t.Helper()
		got, err := st.Event(t.Context(), &pb.EventRequest{Offset: offset, Neighbours: 9})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(got.GetBefore()) + len(got.GetAfter()); n != 7 {
			t.Errorf("event %d has %d neighbours of 7", offset, n)
		}
		ev, err := event.Decode(got.GetEvent().GetEvent())
		if err != nil {
			t.Fatal(err)
		}
		return ev.GetProcess().GetProcess().GetName()
	}
	if got := nameOf(1); got != "new-1" {
		t.Errorf("offset 1 is %s", got)
	}
	if got, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Filter: query("process.name:=old-2")}); err != nil || len(got.GetEvents()) != 1 {
		t.Fatal(got, err)
	}
	if got := nameOf(2); got != "old-2" {
		t.Errorf("offset 2, shown a moment ago, is %s", got)
	}
	if got := nameOf(4); got != "old-4" { // the new log does not reach so far
		t.Errorf("offset 4 is %s", got)
	}
}
