package latest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/reading"
	"github.com/amoskys/amoskys/internal/live/latest"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// exporter is a page of values whose time is the test's.
type exporter struct {
	tb     testing.TB
	now    time.Time
	own    *prometheus.Registry
	values *latest.Values
	page   http.Handler
}

func newExporter(tb testing.TB, o latest.Options) *exporter {
	tb.Helper()
	x := &exporter{tb: tb, now: epoch, own: prometheus.NewRegistry()}
	o.Now = func() time.Time { return x.now }
	x.values = latest.New(o)
	x.own.MustRegister(x.values)
	x.page = latest.Page(x.own, x.values)
	return x
}

// event completes an event of an agent on host h1.
func made(agent, typ string, ev *pb.Event) *pb.Event {
	ev.Id, ev.Type, ev.Time = []byte("0123456789abcdef"), typ, timestamppb.New(epoch)
	ev.Agent, ev.Host = &pb.Agent{Id: agent, Kind: "some"}, &pb.Host{Name: "h1"}
	return ev
}

// sample is a reading of a process.
func sample(agent string, pid uint32, cpu float64) *pb.Event {
	fds := uint32(7)
	return made(agent, event.TypeProcessSample, &pb.Event{Body: &pb.Event_Process{Process: &pb.ProcessActivity{
		Action:  pb.ProcessAction_PROCESS_ACTION_SAMPLE,
		Process: &pb.Process{Pid: pid, Uid: fmt.Sprint("uid", pid), Name: "nginx", Executable: "/usr/sbin/nginx", CmdLine: "nginx -g daemon off;"},
		Usage: &pb.ProcessUsage{
			CpuPercent: cpu, RssBytes: 1 << 20, FileDescriptors: &fds, Threads: 3, State: pb.ProcessState_PROCESS_STATE_SLEEPING, ReadBytes: 1,
		},
	}}})
}

func metric(name string, value float64, labels ...string) *pb.Metric {
	m := &pb.Metric{Name: name, Value: value, Type: pb.MetricType_METRIC_TYPE_GAUGE, Labels: map[string]string{}}
	for i := 0; i < len(labels); i += 2 {
		m.Labels[labels[i]] = labels[i+1]
	}
	return m
}

func batch(agent string, metrics ...*pb.Metric) *pb.Event {
	return made(agent, event.TypeMetricBatch, &pb.Event{Body: &pb.Event_Metrics{Metrics: &pb.MetricBatch{Metrics: metrics}}})
}

func encode(tb testing.TB, ev *pb.Event) []byte {
	tb.Helper()
	b, err := event.Encode(ev)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// block is what the log has of events that came together at a time.
func block(tb testing.TB, received time.Time, events ...*pb.Event) stream.Entry {
	tb.Helper()
	var fields []byte
	for _, ev := range events {
		fields = protowire.AppendBytes(protowire.AppendTag(fields, 3, protowire.BytesType), encode(tb, ev))
	}
	return stream.Entry{Next: uint64(len(events)), Count: len(events), Received: received, Codec: codec.S2, Payload: codec.S2.Pack(nil, fields)}
}

// take has events come now.
func (x *exporter) take(events ...*pb.Event) {
	x.tb.Helper()
	b := &reader.Batch{Blocks: []stream.Entry{block(x.tb, x.now, events...)}}
	if err := x.values.Consume(x.tb.Context(), b); err != nil {
		x.tb.Fatal(err)
	}
}

// get asks for the page.
func (x *exporter) get(header ...string) *httptest.ResponseRecorder {
	x.tb.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	x.page.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		x.tb.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w
}

// lines are those of the page that begin with one of the prefixes, sorted.
func (x *exporter) lines(prefixes ...string) string {
	x.tb.Helper()
	var all []string
	for line := range strings.SplitSeq(x.get().Body.String(), "\n") {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p) }) {
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func (x *exporter) want(why, want string, prefixes ...string) {
	x.tb.Helper()
	if diff := cmp.Diff(strings.TrimSpace(want), x.lines(prefixes...)); diff != "" {
		x.tb.Errorf("%s: %s", why, diff)
	}
}

// TestProcess follows a process from its first reading to its end.
func TestProcess(t *testing.T) {
	x := newExporter(t, latest.Options{})
	x.take(sample("a", 1, 0.5), sample("a", 2, 1))
	x.want("first", `
process_cpu_percent{agent="a",host="h1",pid="1",process="nginx"} 0.5
process_cpu_percent{agent="a",host="h1",pid="2",process="nginx"} 1
process_file_descriptors{agent="a",host="h1",pid="1",process="nginx"} 7
process_file_descriptors{agent="a",host="h1",pid="2",process="nginx"} 7
process_memory_bytes{agent="a",host="h1",pid="1",process="nginx"} 1.048576e+06
process_memory_bytes{agent="a",host="h1",pid="2",process="nginx"} 1.048576e+06
process_state{agent="a",host="h1",pid="1",process="nginx",state="sleeping"} 1
process_state{agent="a",host="h1",pid="2",process="nginx",state="sleeping"} 1
process_thread_count{agent="a",host="h1",pid="1",process="nginx"} 3
process_thread_count{agent="a",host="h1",pid="2",process="nginx"} 3`, "process_")
	changed := sample("a", 1, 99)
	changed.GetProcess().GetUsage().State = pb.ProcessState_PROCESS_STATE_RUNNING
	changed.GetProcess().GetUsage().FileDescriptors = nil
	gone := sample("a", 2, 0)
	gone.Type = event.TypeProcessExit
	x.take(changed, gone)
	x.want("what a reading lacks ends", `
amoskys_exporter_agents 1
amoskys_exporter_series 4
process_cpu_percent{agent="a",host="h1",pid="1",process="nginx"} 99
process_memory_bytes{agent="a",host="h1",pid="1",process="nginx"} 1.048576e+06
process_state{agent="a",host="h1",pid="1",process="nginx",state="running"} 1
process_thread_count{agent="a",host="h1",pid="1",process="nginx"} 3`, "process_", "amoskys_exporter_series ", "amoskys_exporter_agents")
}

// TestSilence: an agent's series end five minutes after its last reading, those of one
// process or metric of an agent that goes on after fifteen.
func TestSilence(t *testing.T) {
	x := newExporter(t, latest.Options{})
	x.take(sample("a", 1, 1), batch("a", metric("m", 1)), batch("b", metric("m", 1)))
	x.now = x.now.Add(4 * time.Minute)
	x.take(batch("a", metric("n", 1)))
	x.now = x.now.Add(time.Minute)
	x.want("b is silent", `
m{agent="a",host="h1"} 1
n{agent="a",host="h1"} 1
process_cpu_percent{agent="a",host="h1",pid="1",process="nginx"} 1`, "m", "n", "process_cpu")
	for range 3 {
		x.now = x.now.Add(4 * time.Minute)
		x.take(batch("a", metric("n", 2)))
	}
	x.want("a tells of nothing else", `n{agent="a",host="h1"} 2`, "m", "n", "process_")
	x.now = x.now.Add(time.Hour)
	x.want("nobody tells anything", "amoskys_exporter_agents 0\namoskys_exporter_series 0", "m", "n", "process_", "amoskys_exporter_series ", "amoskys_exporter_agents")
}

// TestTop: at most 20 processes of an agent are shown, beside those that it was told to
// watch, and the others are counted.
func TestTop(t *testing.T) {
	x := newExporter(t, latest.Options{})
	for round := range 3 {
		for pid := range uint32(200) {
			ev := sample("a", pid, float64(pid))
			ev.Time = timestamppb.New(epoch.Add(time.Duration(round) * 15 * time.Second))
			if pid < 3 {
				ev.Labels = map[string]string{reading.LabelMonitored: "true"}
			}
			x.take(ev)
		}
	}
	page := x.lines("process_cpu_percent")
	if n := strings.Count(page, "\n") + 1; n != 23 || !strings.Contains(page, `pid="1"`) || !strings.Contains(page, `pid="199"`) {
		t.Errorf("%d processes:\n%s", n, page)
	}
	x.want("dropped", `amoskys_exporter_series_dropped{reason="process"} 885`, `amoskys_exporter_series_dropped{reason="process"}`)
}

// TestRoom: all series together are bounded, and nobody takes all.
func TestRoom(t *testing.T) {
	many := func(agent string, n int) *pb.Event {
		var all []*pb.Metric
		for i := range n {
			all = append(all, metric("m", float64(i), "i", fmt.Sprint(i)))
		}
		return batch(agent, all...)
	}
	counts := func(x *exporter) string {
		n := map[string]int{}
		for line := range strings.SplitSeq(x.lines("m{"), "\n") {
			_, rest, _ := strings.Cut(line, `agent="`)
			agent, _, _ := strings.Cut(rest, `"`)
			n[agent]++
		}
		return fmt.Sprint(n)
	}
	x := newExporter(t, latest.Options{MaxSeries: 30, MaxOfAgent: 20})
	x.take(many("greedy", 100))
	if got := counts(x); got != "map[greedy:20]" {
		t.Errorf("one agent: %s", got)
	}
	x.want("dropped", `amoskys_exporter_series_dropped{reason="room"} 80`, `amoskys_exporter_series_dropped{reason="room"}`)
	for range 3 {
		x.take(many("greedy", 100), many("other", 100), many("small", 5))
	}
	if got := counts(x); got != "map[greedy:15 other:10 small:5]" && got != "map[greedy:13 other:12 small:5]" && got != "map[greedy:12 other:13 small:5]" {
		t.Errorf("three agents: %s", got)
	}
	x.want("total", "amoskys_exporter_series 30", "amoskys_exporter_series ")
}

// TestNames: no agent's metric has a name that is the hub's, or that a format would mix up
// with another's.
func TestNames(t *testing.T) {
	x := newExporter(t, latest.Options{})
	seconds := prometheus.NewCounter(prometheus.CounterOpts{Name: "process_cpu_seconds_total", Help: "Of the hub."})
	x.own.MustRegister(seconds)
	x.take(sample("a", 1, 1), batch("b",
		metric("eventbus_queue_depth", 1), metric("amoskys_build_info", 1), metric("go_goroutines", 1), metric("up", 1),
		metric("process_cpu_seconds_total", 1), metric("process_cpu_seconds", 1), metric("process_cpu_percent_total", 1),
		metric("x", 1), metric("x_total", 1), metric("flow_duration_seconds", 1), metric("flow.bytes_in", 5, "q", "a\"b\\c\nd"),
	))
	x.get() // what a page leaves out, the next one tells
	x.want("names", `
amoskys_exporter_samples_dropped_total 4
amoskys_exporter_series 7
amoskys_exporter_series_dropped{reason="name"} 5
amoskys_exporter_series_dropped{reason="process"} 0
amoskys_exporter_series_dropped{reason="room"} 0
flow_bytes_in{agent="b",host="h1",q="a\"b\\c\nd"} 5
process_cpu_percent{agent="a",host="h1",pid="1",process="nginx"} 1
process_cpu_seconds_total 0
x{agent="b",host="h1"} 1`, "process_cpu", "x", "flow", "amoskys_exporter_s", "go_", "up", "eventbus")
}

// TestMonitorsCopy: what the monitor sees of the hub is not shown beside the hub's own.
func TestMonitorsCopy(t *testing.T) {
	x := newExporter(t, latest.Options{})
	x.take(made("eventbus", event.TypeHubHealth, &pb.Event{Body: &pb.Event_HubHealth{HubHealth: &pb.HubHealth{Reachable: true, LogState: "ok"}}}))
	x.want("nothing", "", "eventbus", "amoskys_eventbus")
}

// TestDamage: a block that does not unpack is counted, and the others are read.
func TestDamage(t *testing.T) {
	x := newExporter(t, latest.Options{})
	bad := stream.Entry{First: 6, Next: 8, Count: 2, Codec: codec.S2, Payload: []byte("not packed")}
	b := &reader.Batch{Blocks: []stream.Entry{bad, block(t, x.now, batch("a", metric("m", 1)))}}
	if err := x.values.Consume(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	x.want("the good one", "amoskys_exporter_malformed_blocks_total 1\nm{agent=\"a\",host=\"h1\"} 1", "m{", "amoskys_exporter_malformed")
	if err := x.values.Consume(t.Context(), &reader.Batch{Events: make([]reader.Event, 1)}); err == nil {
		t.Error("events are taken for nothing")
	}
	if latest.StartOffset(10) != 0 || latest.StartOffset(100_010) != 10 {
		t.Error("the log is not read from its tail")
	}
}

// TestAgentsOfOneHost: a host that speaks for agents without end takes no room from others.
func TestAgentsOfOneHost(t *testing.T) {
	x := newExporter(t, latest.Options{MaxAgents: 40})
	for i := range 100 {
		x.take(batch(fmt.Sprint("a", i), metric("m", 1)))
	}
	other := batch("a", metric("m", 2))
	other.Host.Name = "h2"
	x.take(other)
	if n := strings.Count(x.lines("m{"), "h1"); n != 32 {
		t.Errorf("%d agents of one host", n)
	}
	x.want("others", `m{agent="a",host="h2"} 2`, `m{agent="a",host="h2"}`)
	x.now = x.now.Add(6 * time.Minute)
	x.take(other) // those of h1 are silent
	x.take(batch("late", metric("m", 3)))
	x.want("later", `m{agent="late",host="h1"} 3`, `m{agent="late"`)
}

// TestBombsAreForgotten: an agent that has a new series in each batch costs a bounded
// amount of memory.
func TestBombsAreForgotten(t *testing.T) {
	x := newExporter(t, latest.Options{MaxSeries: 100})
	for i := range 5000 {
		x.take(batch("a", metric("m", 1, "i", fmt.Sprint(i))))
	}
	x.want("bounded", `
amoskys_exporter_samples_dropped_total 3967
amoskys_exporter_series 33
amoskys_exporter_series_dropped{reason="name"} 0
amoskys_exporter_series_dropped{reason="process"} 0
amoskys_exporter_series_dropped{reason="room"} 1000`, "amoskys_exporter_s")
}
