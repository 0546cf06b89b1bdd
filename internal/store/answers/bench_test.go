package answers_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
)

// benchEvents is how many events of one day the questions are about.
const benchEvents = 200_000

// BenchmarkQuestions asks what pages ask, of a day of 40 hosts.
func BenchmarkQuestions(b *testing.B) {
	st := newStore(b, answers.Limits{})
	for i := range benchEvents {
		ev := execution(now.Add(-24*time.Hour+time.Duration(i)*(24*time.Hour/benchEvents)), fmt.Sprintf("web-%d", i%40), []string{"curl", "bash", "sshd", "cron", "python3"}[i*7%5])
		if i%benchEvents == benchEvents/2 {
			ev.Message = "needle"
		}
		ev.GetProcess().Process.Pid = uint32(i)
		ev.GetProcess().Process.Uid = fmt.Sprint(i / 3)
		st.add(b, ev)
	}
	st.flush(b)
	since := timestamppb.New(now.Add(-24 * time.Hour))
	for _, q := range []struct {
		name string
		req  *pb.SearchEventsRequest
	}{
		{"the last 100", &pb.SearchEventsRequest{NoTotal: true}},
		{"the last 100 of a host", &pb.SearchEventsRequest{NoTotal: true, Filter: &pb.Filter{Hosts: []string{"web-7"}}}},
		{"the last 1000", &pb.SearchEventsRequest{NoTotal: true, Limit: 1_000}},
		{"the first 100", &pb.SearchEventsRequest{NoTotal: true, OldestFirst: true}},
		{"a rare word in a field", &pb.SearchEventsRequest{NoTotal: true, Filter: query("message:needle")}},
		{"a rare word in any field", &pb.SearchEventsRequest{NoTotal: true, Filter: query("needle")}},
		{"a common word in a field", &pb.SearchEventsRequest{NoTotal: true, Filter: query("process.name:curl")}},
		{"total and histogram", &pb.SearchEventsRequest{Limit: 1, HistogramBuckets: 120, Since: since}},
		{"facets", &pb.SearchEventsRequest{Limit: 1, Facets: []string{"host", "type", "agent", "process.name", "severity"}, Since: since}},
		{"what the page asks first", &pb.SearchEventsRequest{HistogramBuckets: 120, Facets: []string{"host", "type", "agent", "process.name", "severity"}, Since: since}},
	} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := st.SearchEvents(b.Context(), q.req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("an event with neighbours", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := st.Event(b.Context(), &pb.EventRequest{Offset: uint64(benchEvents - 1 - i%benchEvents), Neighbours: 10}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("series of an hour", func(b *testing.B) {
		for b.Loop() {
			if _, err := st.Series(b.Context(), &pb.SeriesRequest{Names: []string{answers.SeriesEvents, answers.SeriesAgentEvents, answers.SeriesHostEvents}, Since: timestamppb.New(now.Add(-time.Hour))}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
