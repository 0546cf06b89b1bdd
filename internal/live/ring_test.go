package live_test

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/live"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// What runs already is the engine's parser, whose packages start goroutines as they load.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

var epoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func id(n int) []byte {
	return fmt.Appendf(make([]byte, 0, 16), "%016x", n)[:16]
}

// sample is a reading of one process of host h1, n milliseconds after epoch.
func sample(n int) *pb.Event {
	return &pb.Event{
		Id: id(n), Time: timestamppb.New(epoch.Add(time.Duration(n) * time.Millisecond)), Type: event.TypeProcessSample,
		Severity: pb.Severity_SEVERITY_INFORMATIONAL,
		Agent:    &pb.Agent{Id: "proc_agent", Kind: "proc", Version: "1"},
		Host:     &pb.Host{Name: fmt.Sprintf("h%d", n%3), Id: "0123456789abcdef", Ip: []string{"10.0.0.1"}, OsType: "linux"},
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{
			Action: pb.ProcessAction_PROCESS_ACTION_SAMPLE,
			Process: &pb.Process{
				Pid: uint32(1000 + n%200), Uid: fmt.Sprintf("uid-%d-end", n%200), Name: fmt.Sprintf("worker%d", n%200),
				Executable: fmt.Sprintf("/usr/lib/worker/worker%d", n%200),
				CmdLine:    fmt.Sprintf("/usr/lib/worker/worker%d --config /etc/Worker/main.conf --job %d", n%200, n),
				User:       &pb.User{Name: "daemon", Uid: "1"},
			},
			Usage: &pb.ProcessUsage{CpuPercent: float64(n%100) + 0.5, RssBytes: uint64(n) << 10, Threads: 4},
		}},
	}
}

func encode(tb testing.TB, ev *pb.Event) []byte {
	tb.Helper()
	b, err := event.Encode(ev)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func batchOf(first uint64, received time.Time, events ...[]byte) live.Batch {
	return live.Batch{
		First: first, Count: len(events), Publisher: "spiffe://test/agent/h1", Received: received,
		Events: iter.Seq2[uint64, []byte](func(yield func(uint64, []byte) bool) {
			for i, e := range events {
				if !yield(first+uint64(i), e) {
					return
				}
			}
		}),
	}
}

// add takes one event of a time.
func add(tb testing.TB, ring *live.Ring, offset uint64, at time.Time) {
	tb.Helper()
	ev := sample(int(offset))
	ev.Time = timestamppb.New(at)
	ring.Add(batchOf(offset, at, encode(tb, ev)))
}

// filled is a ring of n samples at offsets 0 to n-1, in batches of 100.
func filled(tb testing.TB, n int, o live.RingOptions) *live.Ring {
	tb.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return epoch.Add(time.Duration(n) * time.Millisecond) }
	}
	ring := live.NewRing(o)
	for from := 0; from < n; from += 100 {
		var events [][]byte
		for i := from; i < min(from+100, n); i++ {
			events = append(events, encode(tb, sample(i)))
		}
		ring.Add(batchOf(uint64(from), epoch.Add(time.Duration(from)*time.Millisecond), events...))
	}
	return ring
}

func search(tb testing.TB, ring *live.Ring, req *pb.SearchEventsRequest) *pb.SearchEventsResponse {
	tb.Helper()
	response, err := ring.Search(context.Background(), req)
	if err != nil {
		tb.Fatal(err)
	}
	return response
}

func query(q string) *pb.Filter { return &pb.Filter{Query: q} }

func offsets(events []*pb.StoredEvent) []uint64 {
	out := []uint64{}
	for _, e := range events {
		out = append(out, e.GetOffset())
	}
	return out
}

func TestSearchAgreesWithDecodingEverything(t *testing.T) {
	const n = 3000
	ring := filled(t, n, live.RingOptions{})
	for _, tc := range []struct {
		filter *pb.Filter
		want   int // a mistake in the test itself shows here
	}{
		{nil, n},
		{query("*"), n},
		{query("type:process.sample"), n},
		{query("type:process.sample host:h1"), 1000},
		{query("host:in(h1,h2)"), 2000},
		{query("host:H1 OR host:h2"), 2000},
		{query("-host:h1"), 2000},
		{query("NOT (host:h1 OR host:h2)"), 1000},
		{query("severity:>=low"), 0},
		{query("severity:informational"), n},
		{query("worker77"), 15},
		{query("WORKER77"), 15},
		{query(`"job 1234"`), 1},
		{query("worker77 host:h1"), 5},
		{query("process.name:worker77"), 15},
		{query("process.name:worker7*"), 165},
		{query("process.name:in(worker7,worker8)"), 30},
		{query("pid:1077"), 15},
		{query("cpu:>98"), 60},
		{query("worker77 OR worker78"), 30},
		{query("-worker77"), n - 15},
		{query("nothinglikethis"), 0},
		{query("process.name:nothinglikethis"), 0},
		{query("/etc/Worker/main.conf"), n},
		{query("informational host:h0"), 1000},
		{query("worker host:h1"), 1000},
		{query("WORKER and main.conf host:in(h1,h2)"), 2000},
		{query("worker77 pid:1077"), 15},
		{query("worker host:h9"), 0},
		{query("1077"), 15},
		{query("b9"), 0},
		{query("worker 0123456789abcdef linux"), n},
		{&pb.Filter{Types: []string{"process."}, Hosts: []string{"h1"}, Query: "worker77"}, 5},
		{&pb.Filter{Types: []string{"process"}}, 0},
		{&pb.Filter{Agents: []string{"proc_agent"}, MinSeverity: pb.Severity_SEVERITY_INFORMATIONAL}, n},
		{&pb.Filter{MinSeverity: pb.Severity_SEVERITY_HIGH}, 0},
		{&pb.Filter{Agents: []string{"other"}}, 0},
	} {
		got := search(t, ring, &pb.SearchEventsRequest{Filter: tc.filter, Limit: 1000})
		if got.GetTotal() != uint64(tc.want) {
			t.Errorf("%v: %d events, want %d", tc.filter, got.GetTotal(), tc.want)
		}
		if len(got.GetEvents()) != min(tc.want, 1000) {
			t.Errorf("%v: %d returned", tc.filter, len(got.GetEvents()))
		}
	}
}

func TestSearchPagesNewestFirst(t *testing.T) {
	ring := filled(t, 2500, live.RingOptions{})
	req := &pb.SearchEventsRequest{Limit: 3, Filter: query("host:h1")}
	var seen []uint64
	for range 3 {
		got := search(t, ring, req)
		seen = append(seen, offsets(got.GetEvents())...)
		req.BeforeOffset = seen[len(seen)-1]
	}
	if diff := cmp.Diff([]uint64{2497, 2494, 2491, 2488, 2485, 2482, 2479, 2476, 2473}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestSearchRangeHistogramAndFacets(t *testing.T) {
	ring := filled(t, 10_000, live.RingOptions{})
	got := search(t, ring, &pb.SearchEventsRequest{
		Since: timestamppb.New(epoch.Add(2 * time.Second)), Until: timestamppb.New(epoch.Add(5*time.Second - 1)),
		HistogramBuckets: 3, Facets: []string{"type", "host", "severity", "agent", "process.name"}, Limit: 1,
	})
	if got.GetTotal() != 3000 || got.GetScanned() == 0 {
		t.Fatalf("total %d, scanned %d", got.GetTotal(), got.GetScanned())
	}
	if diff := cmp.Diff([]uint64{1000, 1000, 1000}, got.GetHistogram().GetCounts()); diff != "" {
		t.Error(diff)
	}
	if start := got.GetHistogram().GetStart().AsTime(); !start.Equal(epoch.Add(2 * time.Second)) {
		t.Errorf("histogram starts at %v", start)
	}
	facets := map[string]map[string]uint64{}
	for _, f := range got.GetFacets() {
		facets[f.GetField()] = map[string]uint64{"distinct": f.GetDistinct()}
		for _, v := range f.GetValues()[:min(3, len(f.GetValues()))] {
			facets[f.GetField()][v.GetValue()] = v.GetCount()
		}
	}
	want := map[string]map[string]uint64{
		"type":         {"distinct": 1, "process.sample": 3000},
		"host":         {"distinct": 3, "h0": 1000, "h1": 1000, "h2": 1000},
		"severity":     {"distinct": 1, "informational": 3000},
		"agent":        {"distinct": 1, "proc_agent": 3000},
		"process.name": {"distinct": 200, "worker0": 15, "worker1": 15, "worker10": 15},
	}
	if diff := cmp.Diff(want, facets); diff != "" {
		t.Error(diff)
	}
}

func TestSearchRefuses(t *testing.T) {
	ring := filled(t, 10, live.RingOptions{})
	for name, req := range map[string]*pb.SearchEventsRequest{
		"syntax":      {Filter: query("host:")},
		"field":       {Filter: query("no.such:1")},
		"facet":       {Facets: []string{"no.such"}},
		"many facets": {Facets: make([]string, 50)},
	} {
		if _, err := ring.Search(t.Context(), req); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ring.Search(cancelled, &pb.SearchEventsRequest{}); status.Code(err) != codes.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRingIsBoundedByCountAndBytes(t *testing.T) {
	ring := filled(t, 6_000, live.RingOptions{MaxEvents: 3_000})
	stats := ring.Stats()
	if stats.Events > 3_000 || stats.Events < 3_000-1024 {
		t.Errorf("%d events of at most 3000", stats.Events)
	}
	st := ring.Status()
	if st.GetNextOffset() != 6_000 || st.GetEvents() != uint64(stats.Events) || st.GetOldestTime() == nil {
		t.Errorf("status %v", st)
	}
	small := filled(t, 6_000, live.RingOptions{MaxBytes: 2 << 20})
	if got := small.Stats(); got.Bytes > 2<<20 || got.Events == 0 {
		t.Errorf("%d bytes, %d events", got.Bytes, got.Events)
	}
}

func TestRingSkipsDuplicatesAndMalformed(t *testing.T) {
	ring := live.NewRing(live.RingOptions{})
	one := encode(t, sample(1))
	ring.Add(batchOf(10, epoch, one, []byte("garbage"), encode(t, sample(2))))
	ring.Add(batchOf(13, epoch, one))
	want := live.Stats{Events: 2, Duplicates: 1, Malformed: 1, Bytes: ring.Stats().Bytes}
	if diff := cmp.Diff(want, ring.Stats()); diff != "" {
		t.Error(diff)
	}
	got := search(t, ring, &pb.SearchEventsRequest{})
	if diff := cmp.Diff([]uint64{12, 10}, offsets(got.GetEvents())); diff != "" {
		t.Error(diff)
	}
	if s := got.GetEvents()[0]; s.GetPublisher() != "spiffe://test/agent/h1" || !s.GetLoggedTime().AsTime().Equal(epoch) {
		t.Errorf("stored %v", s)
	}
}

func TestRingSamplesAFlood(t *testing.T) {
	now := epoch
	recorder := live.NewRecorder(live.RecorderOptions{Now: func() time.Time { return now }})
	ring := live.NewRing(live.RingOptions{
		MaxEvents: 1000, MaxRate: 100, Recorder: recorder, Now: func() time.Time { return now },
	})
	for b := range 30 {
		var events [][]byte
		for i := range 100 {
			events = append(events, encode(t, sample(b*100+i)))
		}
		ring.Add(batchOf(uint64(b*100), now, events...))
	}
	stats := ring.Stats()
	if stats.Skipped != 2000 || ring.Status().GetState() != live.StateSampled {
		t.Errorf("skipped %d, state %s", stats.Skipped, ring.Status().GetState())
	}
	now = now.Add(time.Minute)
	if got := ring.Status().GetState(); got != live.StateOK {
		t.Errorf("a minute later: %s", got)
	}
	series, err := recorder.Series(t.Context(), &pb.SeriesRequest{Names: []string{live.SeriesEvents}})
	if err != nil {
		t.Fatal(err)
	}
	var total float64
	for _, v := range series.GetSeries()[0].GetValues() {
		if v == v {
			total += v * series.GetStep().AsDuration().Seconds()
		}
	}
	if total != 3000 {
		t.Errorf("counted %v events of 3000", total)
	}
}

func TestSearchWhileFed(t *testing.T) {
	ring := live.NewRing(live.RingOptions{MaxEvents: 2000})
	var wg sync.WaitGroup
	wg.Go(func() {
		for from := 0; from < 4_000; from += 50 {
			var events [][]byte
			for i := from; i < from+50; i++ {
				events = append(events, encode(t, sample(i)))
			}
			ring.Add(batchOf(uint64(from), epoch, events...))
		}
	})
	for _, q := range []string{"", "worker77", "host:h1", "process.name:worker3"} {
		wg.Go(func() {
			for range 6 {
				got := search(t, ring, &pb.SearchEventsRequest{Filter: query(q), Facets: []string{"host", "pid"}, HistogramBuckets: 10})
				events := offsets(got.GetEvents())
				for i := 1; i < len(events); i++ {
					if events[i] >= events[i-1] {
						t.Errorf("not newest first: %v", events)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestEventAndRelated(t *testing.T) {
	ring := filled(t, 5000, live.RingOptions{})
	got, err := ring.Event(t.Context(), &pb.EventRequest{Offset: 2500, Neighbours: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetEvent().GetOffset() != 2500 {
		t.Errorf("event %d", got.GetEvent().GetOffset())
	}
	if diff := cmp.Diff([]uint64{2494, 2497}, offsets(got.GetBefore())); diff != "" {
		t.Error("before", diff)
	}
	if diff := cmp.Diff([]uint64{2503, 2506}, offsets(got.GetAfter())); diff != "" {
		t.Error("after", diff)
	}
	// The same process (n % 200) on the same host (n % 3), without the event itself.
	if diff := cmp.Diff([]uint64{4900, 4300, 3700, 3100, 1900, 1300, 700, 100}, offsets(got.GetRelated())); diff != "" {
		t.Error("related", diff)
	}
	for _, missing := range []uint64{5000, 1 << 60} {
		if _, err := ring.Event(t.Context(), &pb.EventRequest{Offset: missing}); status.Code(err) != codes.NotFound {
			t.Errorf("event %d: %v", missing, err)
		}
	}
	if _, err := live.NewRing(live.RingOptions{}).Event(t.Context(), &pb.EventRequest{}); status.Code(err) != codes.NotFound {
		t.Errorf("in an empty ring: %v", err)
	}
}

func TestRelatedByFlowPidAndType(t *testing.T) {
	ring := live.NewRing(live.RingOptions{})
	plain := func(n int, typ string, change func(*pb.Event)) []byte {
		ev := &pb.Event{Id: id(n), Time: timestamppb.New(epoch), Type: typ, Host: &pb.Host{Name: "h"}}
		change(ev)
		return encode(t, ev)
	}
	flow := func(cid string) func(*pb.Event) {
		return func(ev *pb.Event) { ev.Body = &pb.Event_Network{Network: &pb.NetworkActivity{CommunityId: cid}} }
	}
	pid := func(p uint32) func(*pb.Event) {
		return func(ev *pb.Event) {
			ev.Body = &pb.Event_File{File: &pb.FileActivity{Actor: &pb.Process{Pid: p}}}
		}
	}
	none := func(*pb.Event) {}
	ring.Add(batchOf(0, epoch,
		plain(0, "flow.created", flow("1:abc")), plain(1, "flow.ended", flow("1:abc")), plain(2, "flow.ended", flow("1:xyz")),
		plain(3, "file.create", pid(7)), plain(4, "file.modify", pid(7)), plain(5, "file.modify", pid(8)),
		plain(6, "metric.batch", none), plain(7, "metric.batch", none)))
	for offset, want := range map[uint64][]uint64{0: {1}, 2: {}, 3: {4}, 5: {}, 6: {7}} {
		got, err := ring.Event(t.Context(), &pb.EventRequest{Offset: offset})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, offsets(got.GetRelated())); diff != "" {
			t.Errorf("of %d: %s", offset, diff)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	ring := filled(b, 100_000, live.RingOptions{MaxBytes: 1 << 30})
	search(b, ring, &pb.SearchEventsRequest{Filter: query("warm")})
	for _, q := range []string{
		"", "worker", "process.name:worker*", "type:process.sample", "host:h1 type:process.sample", "worker77", "process.name:worker77", "pid:1077", "cpu:>98", "nothing",
	} {
		b.Run("q="+q, func(b *testing.B) {
			for b.Loop() {
				search(b, ring, &pb.SearchEventsRequest{
					Filter: query(q), HistogramBuckets: 60, Facets: []string{"type", "host", "severity"},
				})
			}
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	var events [][]byte
	for i := range 100 {
		events = append(events, encode(b, sample(i)))
	}
	ring := live.NewRing(live.RingOptions{MaxRate: 1e12, Recorder: live.NewRecorder(live.RecorderOptions{})})
	batch := batchOf(0, time.Now(), events...)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i := range events {
			n++
			copy(events[i][2:18], id(n))
		}
		ring.Add(batch)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
