package live_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/live"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// recording is a recorder with a clock, and its feed.
type recording struct {
	*live.Recorder
	feed *live.Feed
	now  time.Time
	n    int
}

func newRecording(o live.RecorderOptions) *recording { return newRecordingAt(epoch, o) }

func newRecordingAt(now time.Time, o live.RecorderOptions) *recording {
	r := &recording{now: now}
	o.Now = func() time.Time { return r.now }
	r.Recorder = live.NewRecorder(o)
	r.feed = live.NewFeed(r.Recorder)
	return r
}

// events counts n events of a type now.
func (r *recording) events(t *testing.T, typ string, n int) {
	t.Helper()
	var events [][]byte
	for range n {
		ev := sample(r.n)
		ev.Type = typ
		ev.Host.Name = "h"
		events = append(events, encode(t, ev))
		r.n++
	}
	r.feed.Count(r.now, n, batchOf(uint64(r.n-n), events...))
}

func (r *recording) read(t *testing.T, req *pb.SeriesRequest) string {
	t.Helper()
	got, err := r.Series(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{fmt.Sprintf("from %v each %v", got.GetStart().AsTime().Sub(epoch), got.GetStep().AsDuration())}
	for _, s := range got.GetSeries() {
		var values []string
		for _, v := range s.GetValues() {
			values = append(values, strings.ReplaceAll(fmt.Sprint(v), "NaN", "-"))
		}
		lines = append(lines, fmt.Sprint(s.GetName(), s.GetLabels(), " ", strings.Join(values, " ")))
	}
	return strings.Join(lines, "\n")
}

func names(step time.Duration, since time.Time, names ...string) *pb.SeriesRequest {
	return &pb.SeriesRequest{Names: names, Since: timestamppb.New(since), Step: durationpb.New(step)}
}

func gauge(v float64) live.Gauges {
	return func(emit func(name, unit string, labels map[string]string, value float64)) {
		emit("g", "1", nil, v)
	}
}

func TestSeriesOfCountsAndGauges(t *testing.T) {
	r := newRecording(live.RecorderOptions{})
	r.events(t, "a", 3)
	r.Sample(gauge(10))
	r.now = epoch.Add(2 * time.Second)
	r.events(t, "a", 5)
	r.events(t, "b", 1)
	r.Sample(gauge(20), gauge(0.384))
	r.now = epoch.Add(4 * time.Second)
	want := `from -2s each 1s
events_per_secondmap[type:a] - - 3 0 5 0
events_per_secondmap[type:b] - - 0 0 1 0
gmap[] - - 10 - 0.384 -
nonemap`
	got := r.read(t, names(time.Second, epoch.Add(-2*time.Second), live.SeriesEvents, "g", "none"))
	if diff := cmp.Diff(strings.TrimSuffix(want, "\nnonemap"), got); diff != "" {
		t.Error(diff)
	}
	want = `from 0s each 2s
agent_events_per_secondmap[agent:proc_agent host:h] 1.5 3
host_events_per_secondmap[host:h] 1.5 3
gmap[] 10 0.384`
	if diff := cmp.Diff(want, r.read(t, names(2*time.Second, epoch, live.SeriesAgentEvents, live.SeriesHostEvents, "g"))); diff != "" {
		t.Error(diff)
	}
}

func TestSeriesBeyondAQuarterOfAnHour(t *testing.T) {
	r := newRecording(live.RecorderOptions{})
	for range 120 { // 20 minutes of 10 events and a gauge of 4 every ten seconds
		r.events(t, "a", 10)
		r.Sample(gauge(4))
		r.now = r.now.Add(10 * time.Second)
	}
	want := "from 0s each 5m0s\nevents_per_secondmap[type:a] 1 1 1 1\ngmap[] 4 4 4 4"
	if diff := cmp.Diff(want, r.read(t, names(5*time.Minute, epoch, live.SeriesEvents, "g"))); diff != "" {
		t.Error(diff)
	}
	// Both rings are left behind.
	r.now = r.now.Add(7 * time.Hour)
	r.events(t, "a", 1)
	r.Sample(gauge(5))
	r.now = r.now.Add(10 * time.Second)
	got, err := r.Series(t.Context(), names(time.Hour, epoch, live.SeriesEvents, "g"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got.GetSeries() {
		for i, v := range s.GetValues()[:len(s.GetValues())-1] {
			if !math.IsNaN(v) && v != 0 {
				t.Errorf("%s has %v at %d after seven hours of silence", s.GetName(), v, i)
			}
		}
	}
	// A counter that has been silent for a quarter of an hour is left out.
	r.now = r.now.Add(20 * time.Minute)
	if got := r.read(t, names(time.Second, r.now.Add(-5*time.Second), live.SeriesEvents)); strings.Contains(got, "type") {
		t.Errorf("silent counter: %s", got)
	}
}

// TestHighest: of each step the highest value of a gauge, near and far; of counters the rate.
func TestHighest(t *testing.T) {
	r := newRecording(live.RecorderOptions{})
	for i := range 1200 {
		r.events(t, "a", 1)
		v := 1.0
		if i%600 == 17 {
			v = float64(i)
		}
		r.Sample(gauge(v))
		r.now = r.now.Add(time.Second)
	}
	for _, tt := range []struct {
		step  time.Duration
		since time.Duration
		want  string
	}{
		{time.Minute, 10 * time.Minute, "from 10m0s each 1m0s\nevents_per_second_highestmap[type:a] 1 1 1 1 1 1 1 1 1 1\ng_highestmap[] 617 1 1 1 1 1 1 1 1 1"},
		{5 * time.Minute, 0, "from 0s each 5m0s\nevents_per_second_highestmap[type:a] 1 1 1 1\ng_highestmap[] 17 1 617 1"},
	} {
		if diff := cmp.Diff(tt.want, r.read(t, names(tt.step, epoch.Add(tt.since), live.SeriesEvents+live.Highest, "g"+live.Highest))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestSeriesOfTheTailOfTheLog(t *testing.T) {
	r := newRecordingAt(epoch.Add(time.Minute), live.RecorderOptions{})
	var events [][]byte
	for i := range 30 {
		events = append(events, encode(t, sample(i)))
	}
	r.feed.Count(epoch.Add(50*time.Second), len(events), batchOf(0, events...)) // older than the recorder
	got := r.read(t, names(10*time.Second, epoch.Add(40*time.Second), live.SeriesEvents))
	if diff := cmp.Diff("from 40s each 10s\nevents_per_secondmap[type:process.sample] - 3", got); diff != "" {
		t.Error(diff)
	}
	// A clock that runs ahead does not make events of the future.
	ahead := encode(t, sample(1000))
	r.feed.Count(r.now.Add(time.Hour), 1, batchOf(30, ahead))
	r.now = r.now.Add(time.Second)
	got = r.read(t, names(time.Second, r.now.Add(-time.Second), live.SeriesEvents))
	if !strings.HasSuffix(got, " 1") {
		t.Errorf("event from a clock ahead: %s", got)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	r := newRecording(live.RecorderOptions{MaxSeries: 3})
	for i := range 10 {
		r.events(t, fmt.Sprint("type", i), 1)
	}
	r.Sample(func(emit func(name, unit string, labels map[string]string, value float64)) {
		for i := range 10 {
			emit("g", "1", map[string]string{"n": fmt.Sprint(i)}, 1)
		}
	})
	r.now = r.now.Add(time.Second)
	want := `from 0s each 1s
events_per_secondmap[type:other] 7
events_per_secondmap[type:type0] 1
events_per_secondmap[type:type1] 1
events_per_secondmap[type:type2] 1
gmap[n:0] 1
gmap[n:1] 1
gmap[n:2] 1`
	if diff := cmp.Diff(want, r.read(t, names(time.Second, epoch, live.SeriesEvents, "g"))); diff != "" {
		t.Error(diff)
	}
	r.now = r.now.Add(7 * time.Hour)
	r.events(t, "new", 1)
	r.now = r.now.Add(time.Second)
	if got := r.read(t, names(time.Second, r.now.Add(-time.Second), live.SeriesEvents)); !strings.Contains(got, "new") {
		t.Errorf("a series that was silent for long keeps its room: %s", got)
	}
}

func TestSeriesRefuses(t *testing.T) {
	r := newRecording(live.RecorderOptions{})
	for name, req := range map[string]*pb.SeriesRequest{
		"many names":  {Names: make([]string, 40)},
		"many points": names(time.Second, epoch.Add(-time.Hour), "a"),
	} {
		if name == "many points" {
			req.Step = durationpb.New(time.Nanosecond)
			req.Since = timestamppb.New(epoch.Add(-14 * time.Minute))
			if _, err := r.Series(t.Context(), req); err != nil {
				t.Errorf("a step below a second is a second: %v", err)
			}
			continue
		}
		if _, err := r.Series(t.Context(), req); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, req := range []*pb.SeriesRequest{
		{Names: []string{"a"}},
		{Names: []string{"a"}, Until: timestamppb.New(epoch.Add(-time.Minute))},
		{Names: []string{"a"}, Since: timestamppb.New(epoch.Add(time.Hour))},
		{Names: []string{"a"}, Since: &timestamppb.Timestamp{Seconds: math.MinInt64 / 4}},
		{Names: []string{"a"}, Until: &timestamppb.Timestamp{Seconds: math.MinInt64 / 4}},
		{Names: []string{"a"}, Step: durationpb.New(math.MaxInt64)},
	} {
		if got, err := r.Series(t.Context(), req); err != nil || got.GetStep().AsDuration() <= 0 {
			t.Errorf("%v: %v, %v", req, got, err)
		}
	}
}

func TestRecorderRunSamplesEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := live.NewRecorder(live.RecorderOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		began := time.Now()
		n := 0.0
		go func() {
			done <- r.Run(ctx, func(emit func(name, unit string, labels map[string]string, value float64)) {
				n++
				emit("n", "1", nil, n)
			})
		}()
		<-time.After(3500 * time.Millisecond)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		got, err := r.Series(context.Background(), names(time.Second, began, "n"))
		if err != nil {
			t.Fatal(err)
		}
		if v := got.GetSeries()[0].GetValues(); len(v) != 3 || v[1] != 1 || v[2] != 2 {
			t.Errorf("values %v", v)
		}
	})
}

// TestRatesAgree: what is shown of now is the mean of what the chart shows of the last
// half minute, and agents and types add up to it.
func TestRatesAgree(t *testing.T) {
	r := newRecording(live.RecorderOptions{})
	if got := r.Rate(); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	var sent int
	for second := range 60 {
		r.now = epoch.Add(time.Duration(second) * time.Second)
		for typ, n := range map[string]int{"process.sample": second % 7, "process.exit": second % 3, "hub.health": 1} {
			if n > 0 {
				r.events(t, typ, n)
			}
			if second >= 28 && second < 58 {
				sent += n
			}
		}
	}
	r.now = epoch.Add(59 * time.Second) // whose events still come
	want := float64(sent) / 30
	chart := func(name string) (sum float64) {
		got, err := r.Series(t.Context(), &pb.SeriesRequest{
			Names: []string{name}, Since: timestamppb.New(epoch.Add(28 * time.Second)), Until: timestamppb.New(epoch.Add(58 * time.Second)),
			Step: durationpb.New(time.Second),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range got.GetSeries() {
			for _, v := range s.GetValues() {
				sum += v / 30
			}
		}
		return sum
	}
	agent, _ := r.AgentRate("h", "proc_agent")
	for name, got := range map[string]float64{
		"now": r.Rate(), "the agent": agent, "types": chart("events_per_second"),
		"hosts": chart("host_events_per_second"), "agents": chart("agent_events_per_second"),
	} {
		if math.Abs(got-want) > 1e-4 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got, known := r.AgentRate("h", "nobody"); got != 0 || !known {
		t.Errorf("of nobody: %v, %v", got, known)
	}
}

// TestRateAmongOthersIsUnknown: of an agent that has no series of its own any more,
// nobody says that it sends nothing.
func TestRateAmongOthersIsUnknown(t *testing.T) {
	r := newRecording(live.RecorderOptions{MaxSeries: 1})
	for i, host := range []string{"h1", "h2"} {
		ev := sample(i)
		ev.Host.Name = host
		r.feed.Count(r.now, 1, batchOf(uint64(i), encode(t, ev)))
	}
	r.now = r.now.Add(10 * time.Second)
	if got, known := r.AgentRate("h1", "proc_agent"); got == 0 || !known {
		t.Errorf("of the first: %v, %v", got, known)
	}
	if got, known := r.AgentRate("h2", "proc_agent"); got != 0 || known {
		t.Errorf("of one among others: %v, %v", got, known)
	}
}

func TestSeriesStopWhenTheirCallerHasGone(t *testing.T) {
	recorder := live.NewRecorder(live.RecorderOptions{})
	recorder.Sample(func(emit func(name, unit string, labels map[string]string, value float64)) {
		for i := range 200 {
			emit("x", "1", map[string]string{"n": fmt.Sprint(i)}, 1)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := recorder.Series(ctx, &pb.SeriesRequest{Names: []string{"x"}}); status.Code(err) != codes.Canceled {
		t.Errorf("error %v", err)
	}
}
