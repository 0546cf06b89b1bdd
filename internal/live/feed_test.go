package live_test

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/live"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// sample is a reading of one process of host h0, h1 or h2, n milliseconds after epoch.
func sample(n int) *pb.Event {
	return &pb.Event{
		Id: fmt.Appendf(make([]byte, 0, 16), "%016x", n)[:16], Time: timestamppb.New(epoch.Add(time.Duration(n) * time.Millisecond)),
		Type: event.TypeProcessSample, Severity: pb.Severity_SEVERITY_INFORMATIONAL,
		Agent: &pb.Agent{Id: "proc_agent", Kind: "proc", Version: "1"},
		Host:  &pb.Host{Name: fmt.Sprintf("h%d", n%3), Id: "0123456789abcdef", Ip: []string{"10.0.0.1"}, OsType: "linux"},
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{
			Action: pb.ProcessAction_PROCESS_ACTION_SAMPLE, Process: &pb.Process{Pid: uint32(1000 + n%200)},
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

// batchOf yields encoded events with the offsets from first on.
func batchOf(first uint64, events ...[]byte) iter.Seq2[uint64, []byte] {
	return func(yield func(uint64, []byte) bool) {
		for i, e := range events {
			if !yield(first+uint64(i), e) {
				return
			}
		}
	}
}

// TestConsume: a batch of the reader's runtime holds blocks of several times, packed or
// not, of which the first may have been had in part and one is damaged.
func TestConsume(t *testing.T) {
	r := newRecording(live.RecorderOptions{})
	var b reader.Batch
	for i := range 3 {
		var fields []byte
		for j := range 2 {
			fields = protowire.AppendBytes(protowire.AppendTag(fields, 3, protowire.BytesType), encode(t, sample(2*i+j)))
		}
		e := stream.Entry{First: uint64(2 * i), Next: uint64(2*i + 2), Count: 2, Received: epoch.Add(time.Duration(i) * time.Second), Payload: fields}
		if i > 0 {
			e.Codec, e.Payload = codec.S2, codec.S2.Pack(nil, fields)
		}
		b.Blocks = append(b.Blocks, e)
	}
	b.Blocks[0].From, b.Next = 1, 8
	b.Blocks = append(b.Blocks, stream.Entry{First: 6, Next: 8, Count: 2, Codec: codec.S2, Payload: []byte("not packed")})
	r.now = epoch.Add(3 * time.Second)
	if err := r.feed.Consume(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	want := "from 0s each 1s\nevents_per_secondmap[type:process.sample] 1 2 2"
	if got := r.read(t, names(time.Second, epoch, live.SeriesEvents)); got != want || r.feed.Malformed() != 2 {
		t.Errorf("%s; %d malformed", got, r.feed.Malformed())
	}
	if err := r.feed.Consume(t.Context(), &reader.Batch{Events: make([]reader.Event, 1)}); err == nil {
		t.Error("events are taken for nothing")
	}
}

// TestFlood: of events that come faster than anybody could count one speaks for each
// batch, and all are counted.
func TestFlood(t *testing.T) {
	r := newRecording(live.RecorderOptions{})
	batch := slices.Repeat([][]byte{encode(t, sample(0))}, 50_000)
	for range 4 {
		r.feed.Count(r.now, len(batch), batchOf(0, batch...))
	}
	r.feed.Count(r.now, 7, batchOf(0, []byte("no event"), encode(t, sample(1))))
	r.now = epoch.Add(time.Second)
	want := "from 0s each 1s\nevents_per_secondmap[type:process.sample] 200007"
	if got := r.read(t, names(time.Second, epoch, live.SeriesEvents)); got != want || r.feed.Malformed() != 1 {
		t.Errorf("%s; %d malformed", got, r.feed.Malformed())
	}
	if live.StartOffset(10) != 0 || live.StartOffset(100_010) != 10 {
		t.Error("the log is not read from its tail")
	}
}

// TestHugeNamesStaySmall: a host's name may fill an event of a megabyte, and series
// outlive the events by hours.
func TestHugeNamesStaySmall(t *testing.T) {
	const most = 1 << 10
	r := newRecording(live.RecorderOptions{})
	for i := range 3 {
		ev := sample(i)
		ev.Host.Name = strings.Repeat("é", 1<<17) + fmt.Sprint(i)
		ev.Agent.Id = ev.Host.Name
		r.feed.Count(epoch, 1, batchOf(uint64(i), encode(t, ev)))
	}
	r.now = epoch.Add(time.Minute)
	series, err := r.Series(t.Context(), &pb.SeriesRequest{
		Names: []string{live.SeriesAgentEvents, live.SeriesHostEvents}, Step: durationpb.New(time.Second),
	})
	if err != nil || len(series.GetSeries()) == 0 {
		t.Fatalf("%v, %v", series, err)
	}
	for _, s := range series.GetSeries() {
		for name, value := range s.GetLabels() {
			if len(value) > most || !utf8.ValidString(value) {
				t.Errorf("label %s has %d bytes", name, len(value))
			}
		}
	}
}

func BenchmarkCount(b *testing.B) {
	r := newRecording(live.RecorderOptions{})
	events := make([][]byte, 1000)
	for i := range events {
		events[i] = encode(b, sample(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		r.now = r.now.Add(time.Second)
		r.feed.Count(r.now, len(events), batchOf(0, events...))
	}
}
