package answers_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
	"github.com/amoskys/amoskys/internal/store/enginetest"
)

// health is what an agent says of itself.
func health(at time.Time, agent string, dropped, refused uint64) *pb.Event {
	return &pb.Event{
		Type: "agent.health", Time: timestamppb.New(at), Host: &pb.Host{Name: "web-1"}, Agent: &pb.Agent{Id: agent},
		Body: &pb.Event_AgentHealth{AgentHealth: &pb.AgentHealth{EventsDroppedTotal: dropped, ErrorsTotal: dropped + refused}},
	}
}

func TestLacks(t *testing.T) {
	st := newStore(t, answers.Limits{})
	hours := func(n int) time.Time { return now.Add(-time.Duration(n) * time.Hour) }
	for i := range 49 {
		st.add(t, execution(hours(48-i), "web-1", "curl")) // offset i was 48-i hours ago
	}
	for i, drops := range []uint64{7, 7, 10, 2, 2, 5} { // 3, then it began anew: 2 and 3
		st.add(t, health(hours(12-2*i), "proc_agent", drops, 0))
	}
	st.add(t, health(hours(11), "flow_agent", 0, 0))
	st.add(t, health(hours(3), "flow_agent", 0, 4))
	st.add(t, health(hours(2), "quiet_agent", 9, 0)) // whenever that was
	st.flush(t)
	st.hub = &pb.StatusResponse{Log: &pb.LogStatus{Losses: []*pb.LogLoss{
		{Id: 1, FromOffset: 20, ToOffset: 23, NoticedTime: timestamppb.New(hours(24)), Reason: "the disk was exchanged"},
		{Id: 2, FromOffset: 45, ToOffset: 45, NoticedTime: timestamppb.New(now), Reason: "a segment is missing"},
	}}}
	st.gaps = []answers.Gap{{From: 19, To: 25, Reason: "damaged", Noticed: hours(23)}} // which the loss is part of
	st.set(func(s *pb.StoreStatus) {
		s.Days = []*pb.StoreDay{
			{Day: "2026-05-10", State: "ok"}, {Day: "2026-05-09", State: "rebuilding"}, {Day: "2026-05-08", State: "set_aside", Reason: "bloom.bin is cut"},
		}
		s.Retention, s.OldestTime = durationpb.New(48*time.Hour), timestamppb.New(hours(48))
	})
	for name, tc := range map[string]struct {
		since, until int // hours ago
		want         []string
	}{
		"the last hours": {12, 0, []string{
			"log 0 events from offset 45 on are gone: a segment is missing",
			"agent 8 the agent dropped events that its spool had no room for",
			"hub 4 the hub refused events of the agent",
		}},
		"yesterday": {36, 20, []string{
			"store 0 2026-05-09 is being rebuilt from the log",
			"log 6 offsets 19 to 24 are gone: damaged",
		}},
		"long ago": {60, 40, []string{
			"store 0 2026-05-08 is set aside, damaged: bloom.bin is cut",
			"store 0 events from before 2026-05-08 12:00:00 UTC are not kept any more",
		}},
	} {
		got, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Since: timestamppb.New(hours(tc.since)), Until: timestamppb.New(hours(tc.until))})
		if err != nil {
			t.Fatal(err)
		}
		text := lackTexts(got.GetLacks())
		for _, want := range tc.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks\n%s\nand not %s", name, text, want)
			}
		}
		for _, place := range []string{"store", "agent", "hub"} {
			wanted := slices.ContainsFunc(tc.want, func(w string) bool { return strings.HasPrefix(w, place) })
			if !wanted && strings.Contains("\n"+text, "\n"+place) {
				t.Errorf("%s lacks something of %s:\n%s", name, place, text)
			}
		}
	}
	st.set(func(s *pb.StoreStatus) { s.LagEvents, s.State, s.Reason = 12, "degraded", "the disk is full" })
	got, err := st.FieldNames(t.Context(), &pb.FieldNamesRequest{Since: timestamppb.New(hours(1))})
	if err != nil || !strings.Contains(lackTexts(got.GetLacks()), "store 12 the log has them, and they are not stored yet: the disk is full") {
		t.Errorf("lacks %s, %v", lackTexts(got.GetLacks()), err)
	}
}

// TestLacksWhileReadAgain: what the engine had before it ended, and is given again, is told
// as long as it is fewer than before, be it ever so little.
func TestLacksWhileReadAgain(t *testing.T) {
	st := newStore(t, answers.Limits{})
	for _, step := range []struct {
		next uint64
		want string
	}{{40, ""}, {30, "store 10 the log has them, and they are not stored yet"}, {39, "store 1 the log has them, and they are not stored yet"}, {40, ""}, {45, ""}} {
		st.set(func(s *pb.StoreStatus) { s.NextOffset = step.next })
		got, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Since: timestamppb.New(now.Add(-time.Hour))})
		if err != nil || lackTexts(got.GetLacks()) != step.want {
			t.Errorf("at %d: lacks %q, %v, want %q", step.next, lackTexts(got.GetLacks()), err, step.want)
		}
	}
	// A later page counts as stored what the first one did, whatever came since.
	for i := range 4 {
		st.add(t, execution(now.Add(-time.Duration(i)*time.Minute), "web-1", "curl"))
	}
	st.flush(t)
	ask := &pb.SearchEventsRequest{Since: timestamppb.New(now.Add(-time.Hour)), Limit: 2}
	first, err := st.SearchEvents(t.Context(), ask)
	if err != nil || first.GetNextPage() == "" {
		t.Fatalf("%v, %v", first, err)
	}
	st.set(func(s *pb.StoreStatus) { s.NextOffset = 60 })
	if _, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{}); err != nil {
		t.Fatal(err)
	}
	ask.Page = first.GetNextPage()
	if second, err := st.SearchEvents(t.Context(), ask); err != nil || len(second.GetLacks()) > 0 {
		t.Errorf("the second page lacks %q, %v", lackTexts(second.GetLacks()), err)
	}
}

// TestLacksWhileTheLogIsNotRead: how much there is that nobody here heard of is not known,
// and no answer that it may belong to passes for whole.
func TestLacksWhileTheLogIsNotRead(t *testing.T) {
	st := newStore(t, answers.Limits{})
	read := now.Add(-2 * time.Hour)
	for name, tc := range map[string]struct {
		why   string
		since time.Time
		until time.Time // of the question
		want  string
	}{
		"read":           {"", time.Time{}, now, ""},
		"never read":     {"no hub", time.Time{}, now, "store 0 the log is not read yet, and may have any number more: no hub"},
		"not any more":   {"no hub", read, now, "store 0 the log was last read at 2026-05-10 10:00:00 UTC, is not now, and may have any number more: no hub"},
		"asked for long": {"no hub", read, read.Add(-2 * time.Hour), ""},
	} {
		st.unread = func() (string, time.Time) { return tc.why, tc.since }
		got, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Since: timestamppb.New(now.Add(-9 * time.Hour)), Until: timestamppb.New(tc.until)})
		if err != nil || lackTexts(got.GetLacks()) != tc.want {
			t.Errorf("%s: lacks %q, %v, want %q", name, lackTexts(got.GetLacks()), err, tc.want)
		}
	}
}

// TestDamagedDay: the engine dies of a day, which is set aside; the others answer, and
// say that it is missing.
func TestDamagedDay(t *testing.T) {
	o := enginetest.Options(t, filepath.Join(t.TempDir(), "store"))
	first, stop := enginetest.Run(t, o)
	st := newStoreOver(first, answers.Limits{})
	for i := range 48 {
		st.add(t, execution(now.Add(-time.Duration(i)*time.Hour), "web-1", "curl"))
	}
	st.flush(t)
	stop()
	parts, err := filepath.Glob(filepath.Join(o.Path, "engine/partitions/20260509/datadb/*/metadata.json"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("no parts: %v", err)
	}
	if err := os.WriteFile(parts[0], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second, _ := enginetest.Run(t, o)
	st = newStoreOver(second, answers.Limits{})
	st.next = 48
	st.set(func(s *pb.StoreStatus) {
		s.NextOffset = 48
		for _, a := range second.State().SetAside {
			day, err := time.Parse("20060102", a.Day)
			if err != nil {
				t.Error(err)
			}
			s.Days = append(s.Days, &pb.StoreDay{Day: day.Format(time.DateOnly), State: "set_aside", Reason: "damaged"})
		}
	})
	got, err := st.SearchEvents(t.Context(), &pb.SearchEventsRequest{Limit: 1_000})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetTotal() != 24 || len(got.GetEvents()) != 24 || lackTexts(got.GetLacks()) != "store 0 2026-05-09 is set aside, damaged: damaged" {
		t.Errorf("%d of %d events, lacks %s", len(got.GetEvents()), got.GetTotal(), lackTexts(got.GetLacks()))
	}
}

func TestSeries(t *testing.T) {
	st := newStore(t, answers.Limits{})
	for i := range 600 {
		st.add(t, execution(now.Add(-time.Duration(i)*time.Second), "web-1", "curl"))
	}
	seen := health(now.Add(-200*time.Second), "flow", 0, 0)
	seen.Host, seen.Observer = &pb.Host{Name: "printer"}, &pb.Host{Name: "web-2"}
	st.add(t, seen)
	st.flush(t)
	got, err := st.Series(t.Context(), &pb.SeriesRequest{
		Names: []string{answers.SeriesEvents, answers.SeriesAgentEvents, answers.SeriesHostEvents, "latency_ms"},
		Since: timestamppb.New(now.Add(-10 * time.Minute)), Step: durationpb.New(100 * time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	// Steps begin at multiples of their length, and what is not over is left out.
	if want := time.Date(2026, 5, 10, 11, 50, 0, 0, time.UTC); !got.GetStart().AsTime().Equal(want) || got.GetStep().AsDuration() != 100*time.Second {
		t.Errorf("from %v in steps of %v", got.GetStart().AsTime(), got.GetStep().AsDuration())
	}
	var lines []string
	for _, s := range got.GetSeries() {
		lines = append(lines, s.GetName()+" "+s.GetLabels()["type"]+s.GetLabels()["agent"]+"/"+s.GetLabels()["host"]+" "+s.GetUnit())
		total := 0.0
		for _, v := range s.GetValues() {
			total += v * 100
		}
		if want := map[bool]float64{true: 499, false: 1}[strings.Contains(lines[len(lines)-1], "proc") || strings.HasSuffix(lines[len(lines)-1], "/web-1 1/s")]; math.Abs(total-want) > 1 {
			t.Errorf("%s: %v events, want about %v", lines[len(lines)-1], total, want)
		}
	}
	want := []string{
		"events_per_second agent.health/ 1/s", "events_per_second process.execution/ 1/s",
		"agent_events_per_second flow/web-2 1/s", "agent_events_per_second proc_agent/web-1 1/s",
		"host_events_per_second /web-1 1/s", "host_events_per_second /web-2 1/s",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("series %q, want %q", lines, want)
	}
	if _, err := st.Series(t.Context(), &pb.SeriesRequest{Since: timestamppb.New(now.AddDate(0, -1, 0)), Step: durationpb.New(time.Second)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("too many points: %v", err)
	}
}

// TestSeriesBeforeTheFirstEvent: nothing is known of the time before the store's first
// event, which is no reason to say that nothing happened; and an older one that came in
// since is shown.
func TestSeriesBeforeTheFirstEvent(t *testing.T) {
	st := newStore(t, answers.Limits{})
	for i := range 300 {
		st.add(t, execution(now.Add(-time.Duration(i)*time.Second), "web-1", "curl"))
	}
	st.flush(t)
	values := func() []float64 {
		t.Helper()
		got, err := st.Series(t.Context(), &pb.SeriesRequest{
			Names: []string{answers.SeriesEvents}, Since: timestamppb.New(now.Add(-20 * time.Minute)), Step: durationpb.New(time.Minute),
		})
		if err != nil || len(got.GetSeries()) != 1 {
			t.Fatal(got, err)
		}
		return got.GetSeries()[0].GetValues()
	}
	known := func(list []float64) (from int) {
		for i, v := range list {
			if math.IsNaN(v) {
				from = i + 1
			}
		}
		return from
	}
	st.set(func(s *pb.StoreStatus) { s.OldestTime = timestamppb.New(now.Add(-5 * time.Minute)) })
	if list := values(); known(list) != 15 || list[16] == 0 {
		t.Errorf("of 20 minutes the first %d are not known: %v", known(list), list)
	}
	st.add(t, execution(now.Add(-10*time.Minute), "web-1", "curl"))
	st.flush(t)
	if list := values(); known(list) != 10 {
		t.Errorf("with an older one the first %d are not known: %v", known(list), list)
	}
}

// TestSeriesOfManyHosts: those with the most events have series of their own.
func TestSeriesOfManyHosts(t *testing.T) {
	st := newStore(t, answers.Limits{Bytes: 300 << 10})
	for i := range 6_000 {
		host := fmt.Sprintf("host-%03d", i%200)
		if i%3 == 0 {
			host = "busy"
		}
		st.add(t, execution(now.Add(-time.Duration(i+3)*100*time.Millisecond), host, "curl"))
	}
	st.flush(t)
	got, err := st.Series(t.Context(), &pb.SeriesRequest{Names: []string{answers.SeriesHostEvents}})
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, s := range got.GetSeries() {
		for _, v := range s.GetValues() {
			sums[s.GetLabels()["host"]] += v * got.GetStep().AsDuration().Seconds()
		}
	}
	total := 0.0
	for _, n := range sums {
		total += n
	}
	if len(sums) != 51 || sums["busy"] < 1_950 || sums["other"] < 2_000 || total < 5_900 || total > 6_000 {
		t.Errorf("%d series of %v events: busy %v, other %v", len(sums), total, sums["busy"], sums["other"])
	}
}
