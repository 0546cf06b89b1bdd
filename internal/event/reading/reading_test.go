package reading_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/reading"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

var epoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// made completes an event of an agent on host h1.
func made(typ string, ev *pb.Event) *pb.Event {
	ev.Id = []byte("0123456789abcdef")
	ev.Time = timestamppb.New(epoch)
	ev.Type = typ
	if ev.GetAgent() == nil {
		ev.Agent = &pb.Agent{Id: "Some_Agent", Kind: "some"}
	}
	if ev.GetHost() == nil && ev.GetObserver() == nil {
		ev.Host = &pb.Host{Name: "H1."}
	}
	return ev
}

// sample is a reading of a process.
func sample(pid uint32, cpu float64, memory uint64) *pb.Event {
	fds := uint32(7)
	return made(event.TypeProcessSample, &pb.Event{
		Severity: pb.Severity_SEVERITY_INFORMATIONAL,
		Agent:    &pb.Agent{Id: "proc_agent", Kind: "proc", Version: "1"},
		Host:     &pb.Host{Name: "h1", Id: "0123456789abcdef", Ip: []string{"10.0.0.1"}, OsType: "linux"},
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{
			Action:  pb.ProcessAction_PROCESS_ACTION_SAMPLE,
			Process: &pb.Process{Pid: pid, Uid: fmt.Sprintf("uid%d", pid), Name: "nginx", Executable: "/usr/sbin/nginx", CmdLine: "nginx -g daemon off"},
			Usage: &pb.ProcessUsage{
				CpuPercent: cpu, RssBytes: memory, VszBytes: 3 << 20, FileDescriptors: &fds, Threads: 3,
				State: pb.ProcessState_PROCESS_STATE_SLEEPING, ReadBytes: 11, WriteBytes: 12,
			},
		}},
	})
}

func encode(tb testing.TB, ev *pb.Event) []byte {
	tb.Helper()
	b, err := event.Encode(ev)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// text writes a set as Prometheus would show it.
func text(s *reading.Set) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s@%s kind=%s subject=%s ended=%v monitored=%v dropped=%d at %s\n", s.Agent, s.Host, s.Kind, s.Subject, s.Ended, s.Monitored, s.Dropped, s.Time.UTC().Format(time.TimeOnly))
	for _, x := range s.Samples {
		b.WriteString(x.Name + "{")
		for i, l := range x.Labels {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, "%s=%q", l.Name, l.Value)
		}
		fmt.Fprintf(&b, "} %v %v\n", x.Value, x.Kind)
	}
	return b.String()
}

func metric(name string, value float64, typ pb.MetricType, labels ...string) *pb.Metric {
	m := &pb.Metric{Name: name, Value: value, Type: typ, Labels: map[string]string{}}
	for i := 0; i < len(labels); i += 2 {
		m.Labels[labels[i]] = labels[i+1]
	}
	return m
}

func batch(metrics ...*pb.Metric) *pb.Event {
	return made(event.TypeMetricBatch, &pb.Event{Body: &pb.Event_Metrics{Metrics: &pb.MetricBatch{Metrics: metrics}}})
}

func TestRead(t *testing.T) {
	exit := sample(42, 0, 0)
	exit.Type = event.TypeProcessExit
	exit.GetProcess().Action = pb.ProcessAction_PROCESS_ACTION_TERMINATE
	watched := sample(42, 2.5, 1<<20)
	watched.Labels = map[string]string{reading.LabelMonitored: "true", "site": "a"}
	watched.GetProcess().GetProcess().Uid = ""
	watched.GetProcess().Usage = &pb.ProcessUsage{CpuPercent: 2.5, RssBytes: 1 << 20, State: pb.ProcessState_PROCESS_STATE_ZOMBIE}
	gauge, counter := pb.MetricType_METRIC_TYPE_GAUGE, pb.MetricType_METRIC_TYPE_COUNTER
	for name, c := range map[string]struct {
		ev   *pb.Event
		want string
	}{
		"sample": {sample(42, 12.5, 1<<20), `proc_agent@h1 kind=proc subject=uid42 ended=false monitored=false dropped=0 at 12:00:00
process_cpu_percent{pid="42",process="nginx"} 12.5 gauge
process_memory_bytes{pid="42",process="nginx"} 1.048576e+06 gauge
process_file_descriptors{pid="42",process="nginx"} 7 gauge
process_thread_count{pid="42",process="nginx"} 3 gauge
process_state{pid="42",process="nginx",state="sleeping"} 1 gauge
process_read_bytes_total{pid="42",process="nginx"} 11 counter
process_write_bytes_total{pid="42",process="nginx"} 12 counter
`},
		"little is known": {watched, `proc_agent@h1 kind=proc subject=42 ended=false monitored=true dropped=0 at 12:00:00
process_cpu_percent{pid="42",process="nginx"} 2.5 gauge
process_memory_bytes{pid="42",process="nginx"} 1.048576e+06 gauge
process_thread_count{pid="42",process="nginx"} 0 gauge
process_state{pid="42",process="nginx",state="zombie"} 1 gauge
`},
		"exit": {exit, "proc_agent@h1 kind=proc subject=uid42 ended=true monitored=false dropped=0 at 12:00:00\n"},
		"batch": {batch(
			metric("node_load1", 0.5, gauge, "zone", "b", "cpu", "all"), metric("app.requests_total", 7, counter, "empty", "", "agent", "other", "a-b", "c"),
			metric("grows", 1, counter), metric("9:lives", math.Inf(1), gauge), metric("process_cpu_percent", 3, counter), metric("flow_duration_seconds_bucket", 3, counter, "le", "1.0"),
		), `some_agent@h1 kind=some subject= ended=false monitored=false dropped=0 at 12:00:00
node_load1{cpu="all",zone="b"} 0.5 gauge
app_requests_total{a_b="c",exported_agent="other"} 7 counter
grows{} 1 unknown
_9_lives{} +Inf gauge
process_cpu_percent{} 3 gauge
flow_duration_seconds_bucket{le="1.0"} 3 histogram
`},
		"label bombs": {batch(
			metric("", 1, gauge), metric(strings.Repeat("n", reading.MaxName+1), 1, gauge),
			metric("a", 1, gauge, strings.Repeat("n", reading.MaxLabelName+1), "v"), metric("a", 1, gauge, "__name__", "b"),
			metric("a", 1, gauge, "x.y", "1", "x-y", "2"), metric("a", 1, gauge, many(reading.MaxLabels+1)...),
			metric("a", 1, gauge, "a", strings.Repeat("a", 256), "b", strings.Repeat("b", 256), "c", strings.Repeat("c", 256), "d", strings.Repeat("d", 252)),
			metric("a", 1, gauge, "v", strings.Repeat("é", reading.MaxLabelValue)),
			metric("a", 2, gauge, "v", strings.Repeat("é", reading.MaxLabelValue)),
		), `some_agent@h1 kind=some subject= ended=false monitored=false dropped=8 at 12:00:00
a{v="` + strings.Repeat("é", reading.MaxLabelValue/2) + `"} 1 gauge
`},
	} {
		t.Run(name, func(t *testing.T) {
			var r reading.Reader
			for range 2 { // its memory is used again
				s, ok := r.Read(encode(t, c.ev), "")
				if !ok {
					t.Fatal("nothing is read")
				}
				if diff := cmp.Diff(c.want, text(s)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// many are labels, as pairs of name and value.
func many(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint("l", i), "v")
	}
	return all
}

func TestNothingToRead(t *testing.T) {
	start := sample(42, 1, 1)
	start.Type = event.TypeProcessExecution
	timeless := sample(42, 1, 1)
	timeless.Time = nil
	b := encode(t, sample(42, 1, 1))
	var r reading.Reader
	for name, encoded := range map[string][]byte{
		"start": encode(t, start), "no time": encode(t, timeless), "cut": b[:len(b)-1], "nothing": nil,
		"no body": encode(t, made(event.TypeProcessSample, &pb.Event{})), "text": []byte("no event"),
	} {
		if s, ok := r.Read(encoded, ""); ok {
			t.Errorf("%s: %s", name, text(s))
		}
	}
}

// TestWho: the series of what is observed are the observer's, and an event that names no
// agent is its certificate's.
func TestWho(t *testing.T) {
	observed := batch(metric("a", 1, 0))
	observed.Observer = &pb.Host{Name: "Watcher"}
	nameless := batch(metric("a", 1, 0))
	nameless.Agent = &pb.Agent{}
	for _, c := range []struct {
		ev              *pb.Event
		publisher, want string
	}{
		{batch(metric("a", 1, 0)), "spiffe://amoskys/agent/h1/other", "some_agent@h1"},
		{observed, "", "some_agent@watcher"},
		{nameless, "spiffe://amoskys/agent/h1/other", "other@h1"},
		{nameless, "spiffe://amoskys/node/h1", "unknown@h1"},
		{nameless, "?", "unknown@h1"},
	} {
		var r reading.Reader
		s, ok := r.Read(encode(t, c.ev), c.publisher)
		if !ok || s.Agent+"@"+s.Host != c.want {
			t.Errorf("%v: %v, want %s", s, ok, c.want)
		}
	}
}

// TestStaleNaN: nobody can end a series of ours with a value.
func TestStaleNaN(t *testing.T) {
	var r reading.Reader
	s, _ := r.Read(encode(t, batch(metric("a", math.Float64frombits(0x7ff0000000000002), 0))), "")
	if got := math.Float64bits(s.Samples[0].Value); got != math.Float64bits(math.NaN()) {
		t.Errorf("%#x", got)
	}
}

// TestTooManySamples: what is beyond the bound is counted.
func TestTooManySamples(t *testing.T) {
	metrics := make([]*pb.Metric, reading.MaxSamples+5)
	for i := range metrics {
		metrics[i] = metric(fmt.Sprint("a", i), 1, 0)
	}
	var r reading.Reader
	s, ok := r.Read(encode(t, batch(metrics...)), "")
	if !ok || len(s.Samples) != reading.MaxSamples || s.Dropped != 5 {
		t.Errorf("%d samples, %d dropped", len(s.Samples), s.Dropped)
	}
}

func TestSampleIsReadWithoutAllocations(t *testing.T) {
	b := encode(t, sample(42, 12.5, 1<<20))
	var r reading.Reader
	if n := testing.AllocsPerRun(100, func() { r.Read(b, "") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReadProcessSample(b *testing.B) {
	encoded := encode(b, sample(42, 12.5, 1<<20))
	var r reading.Reader
	b.ReportAllocs()
	b.SetBytes(int64(len(encoded)))
	for b.Loop() {
		r.Read(encoded, "spiffe://amoskys/agent/h1/proc_agent")
	}
}
