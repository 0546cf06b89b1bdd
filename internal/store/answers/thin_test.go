package answers_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
)

// TestAnswersSayThatReadingsAreThinned: where readings may be among what was asked for, in
// a range of which some were left out, and nowhere else.
func TestAnswersSayThatReadingsAreThinned(t *testing.T) {
	st := newStore(t, answers.Limits{})
	st.add(t, execution(now.Add(-time.Hour), "web-1", "a"))
	st.next++
	st.flush(t)
	st.set(func(s *pb.StoreStatus) {
		s.Thinned, s.Days = 1, []*pb.StoreDay{{Day: "2026-05-10", State: "ok", Events: 1, Thinned: 1}, {Day: "2026-05-09", State: "ok", Events: 1}}
	})
	yesterday := timestamppb.New(now.Add(-13 * time.Hour))
	for _, tc := range []struct {
		name string
		req  *pb.SearchEventsRequest
		want bool
	}{
		{"all", &pb.SearchEventsRequest{}, true},
		{"readings", &pb.SearchEventsRequest{Filter: query("type:=process.sample")}, true},
		{"words", &pb.SearchEventsRequest{Filter: query("host:web-1 bash")}, true},
		{"types", &pb.SearchEventsRequest{Filter: &pb.Filter{Types: []string{"process."}}}, true},
		{"what readings lead to", &pb.SearchEventsRequest{Filter: query("type:=process.execution host:in(cpu:>90 | fields host)")}, true},
		{"others", &pb.SearchEventsRequest{Filter: query("type:=process.execution")}, false},
		{"other types", &pb.SearchEventsRequest{Filter: &pb.Filter{Types: []string{"process.exit", "flow."}}}, false},
		{"both", &pb.SearchEventsRequest{Filter: &pb.Filter{Types: []string{"process."}, Query: "type:=process.exit"}}, false},
		{"grave ones", &pb.SearchEventsRequest{Filter: &pb.Filter{MinSeverity: pb.Severity_SEVERITY_MEDIUM}}, false},
		{"the day before", &pb.SearchEventsRequest{Until: yesterday}, false},
	} {
		if got, err := st.SearchEvents(t.Context(), tc.req); err != nil || got.GetThinned() != tc.want || len(got.GetLacks()) > 0 {
			t.Errorf("%s: thinned is %v, lacks %v, %v", tc.name, got.GetThinned(), got.GetLacks(), err)
		}
	}
	_, err := st.Event(t.Context(), &pb.EventRequest{Offset: 1})
	if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "amoskys tail --from 1 --limit 1") {
		t.Errorf("a reading that was left out: %v", err)
	}
}
