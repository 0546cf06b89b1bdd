package metrics

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is a log of readings that agents send.
type fleet struct {
	t   testing.TB
	log *streamtest.Model
	now time.Time // of the hub
	n   int
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	return &fleet{t: t, log: streamtest.NewModel(), now: time.Now().Add(-time.Hour).Truncate(time.Minute)}
}

// say has an event received now; its time is now, unless it says another.
func (f *fleet) say(events ...*pb.Event) {
	f.t.Helper()
	var payload []byte
	for _, ev := range events {
		f.n++
		ev.Id = fmt.Appendf(nil, "%016d", f.n)
		if ev.GetTime() == nil {
			ev.Time = timestamppb.New(f.now)
		}
		if ev.GetHost() == nil {
			ev.Host = &pb.Host{Name: "h1"}
		}
		b, err := event.Encode(ev)
		if err != nil {
			f.t.Fatal(err)
		}
		payload = protowire.AppendBytes(protowire.AppendTag(payload, 3, protowire.BytesType), b)
	}
	r := &stream.Record{Publisher: "spiffe://amoskys.local/agent/h1/proc_agent", Received: f.now, Count: len(events), Payload: [][]byte{payload}}
	if _, err := stream.Append(context.Background(), f.log, r); err != nil {
		f.t.Fatal(err)
	}
}

// after moves the hub's time on.
func (f *fleet) after(d time.Duration) *fleet {
	f.now = f.now.Add(d)
	return f
}

// process is a sample of a process, or its exit.
func process(pid uint32, cpu float64, memory uint64) *pb.Event {
	p := &pb.Process{Pid: pid, Uid: fmt.Sprint("uid", pid), Name: fmt.Sprint("p", pid)}
	return &pb.Event{
		Type: event.TypeProcessSample, Agent: &pb.Agent{Id: "proc_agent", Kind: "proc"},
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{Process: p, Usage: &pb.ProcessUsage{CpuPercent: cpu, RssBytes: memory, Threads: 1}}},
	}
}

func exit(pid uint32) *pb.Event {
	ev := process(pid, 0, 0)
	ev.Type = event.TypeProcessExit
	ev.GetProcess().Usage = nil
	return ev
}

// gauge is a batch of one metric.
func gauge(name string, value float64, label ...string) *pb.Event {
	m := &pb.Metric{Name: name, Value: value, Type: pb.MetricType_METRIC_TYPE_GAUGE, Labels: map[string]string{}}
	for i := 0; i < len(label); i += 2 {
		m.Labels[label[i]] = label[i+1]
	}
	return &pb.Event{
		Type: event.TypeMetricBatch, Agent: &pb.Agent{Id: "flow_agent", Kind: "flow"},
		Body: &pb.Event_Metrics{Metrics: &pb.MetricBatch{Metrics: []*pb.Metric{m}}},
	}
}

// run starts a database that reads the fleet's log, until the test or stop ends it.
func (f *fleet) run(t testing.TB, o Options) (db *DB, stop func()) {
	t.Helper()
	o.Source = &hub{reader.Local{Log: f.log}}
	o.readPause, o.openPause, o.saveEvery, o.reloadEvery = time.Millisecond, time.Millisecond, 5*time.Millisecond, time.Second
	return running(t, o)
}

// hub is a log as the hub serves it: reading begins where it is asked to, even behind the
// end.
type hub struct{ reader.Local }

// Open implements reader.Source.
func (h *hub) Open(ctx context.Context, r reader.Request) (reader.Feed, stream.Offset, error) {
	feed, from, err := h.Local.Open(ctx, r)
	if r.Move || r.Resume {
		from = r.Start.Offset
	}
	return feed, from, err
}

// running returns a database that runs until the test or stop ends it.
func running(t testing.TB, o Options) (db *DB, stop func()) {
	t.Helper()
	if o.Path == "" {
		o.Path = t.TempDir()
	}
	db, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	ended := false
	stop = func() {
		cancel()
		if ended {
			return
		}
		ended = true
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return db, stop
}

// until waits for something that other goroutines bring about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for nothing: %s", what)
		}
	}
}

// caughtUp waits until all of the log is written.
func (f *fleet) caughtUp(t testing.TB, db *DB) {
	t.Helper()
	until(t, "all is written", func() bool {
		db.mu.Lock()
		defer db.mu.Unlock()
		return db.opened != nil && db.broken == nil && db.next == f.log.Stat().NextOffset
	})
}

// values are the samples of a metric, of all series: "labels: seconds=value …", with
// seconds since the fleet's beginning.
func (f *fleet) values(t testing.TB, db *DB, name string, begin time.Time) string {
	t.Helper()
	q, err := db.Querier(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}()
	var lines []string
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
	for set.Next() {
		lines = append(lines, line(t, set.At(), begin))
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func line(t testing.TB, s storage.Series, begin time.Time) string {
	t.Helper()
	var words []string
	s.Labels().Range(func(l labels.Label) {
		if !slices.Contains([]string{model.MetricNameLabel, "agent", "host", "process"}, l.Name) {
			words = append(words, l.Name+"="+l.Value)
		}
	})
	text := strings.Join(words, ",") + ":"
	it := s.Iterator(nil)
	for it.Next() != chunkenc.ValNone {
		at, v := it.At()
		shown := strconv.FormatFloat(v, 'g', -1, 64)
		if value.IsStaleNaN(v) {
			shown = "stale"
		}
		text += fmt.Sprintf(" %g=%s", time.UnixMilli(at).Sub(begin).Seconds(), shown)
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(text, ":")
}
