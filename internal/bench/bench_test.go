package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/app"
	"github.com/amoskys/amoskys/internal/bench/corpus"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// The test binary runs a hub instead of tests when its second argument is a home.
const childArg = "-amoskys-hub-child"

// It runs `amoskys hub` when its first argument is this, and the last a home.
const fleetChildArg = "-amoskys-fleet-child"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childArg {
		if err := RunHubChild(context.Background(), config.Home(os.Args[2]), os.Stdin, os.Stdout); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
		}
		return
	}
	if len(os.Args) == 4 && os.Args[1] == fleetChildArg {
		env := cli.System()
		env.Home = config.Home(os.Args[3])
		if err := app.RunHub(context.Background(), env); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // the query language starts some when loaded
}

// TestRunFleet: a small fleet is back after its hub was killed.
func TestRunFleet(t *testing.T) {
	o := FleetOptions{Hosts: 5, Agents: 2, Dir: t.TempDir(), Command: []string{os.Args[0], fleetChildArg}, Timeout: time.Minute}
	r, err := RunFleet(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Connections != 15 || r.ReturnSeconds <= 0 || r.ConnectSeconds <= 0 || r.HubCPUSeconds <= 0 || r.RSSBytes < 1<<20 || r.Tries < 15 {
		t.Errorf("result %+v", r)
	}
	var b strings.Builder
	if err := r.Write(&b); err != nil || !strings.Contains(b.String(), "back after restart") {
		t.Errorf("text: %v\n%s", err, b.String())
	}
	left, err := os.ReadDir(o.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for name, spoil := range map[string]func(*FleetOptions){
		"hosts": func(o *FleetOptions) { o.Hosts = 0 }, "agents": func(o *FleetOptions) { o.Agents = 31 }, "timeout": func(o *FleetOptions) { o.Timeout = 0 },
	} {
		bad := o
		spoil(&bad)
		if err := bad.Check(); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func TestRunHub(t *testing.T) {
	for name, tt := range map[string]struct {
		change    func(*HubOptions)
		leastSize float64 // of an event in the log
		want      HubResult
	}{
		"synthetic":  {func(o *HubOptions) { o.Size = 400 }, 400, HubResult{Mode: "batches", Load: "synthetic", EventBytes: 400, Codec: "none", Size: 400}},
		"unary":      {func(o *HubOptions) { o.Size, o.Unary = 400, true }, 400, HubResult{Mode: "single events", Load: "synthetic", EventBytes: 400, Codec: "none", Size: 400}},
		"recorded":   {func(*HubOptions) {}, 300, HubResult{Mode: "batches", Load: "recorded", Codec: "none"}},
		"one by one": {func(o *HubOptions) { o.Unary = true }, 300, HubResult{Mode: "single events", Load: "recorded", Codec: "none"}},
		"packed": {
			func(o *HubOptions) { o.Codec = codec.S2 }, 50,
			HubResult{Mode: "batches", Load: "recorded", Codec: "s2", CompressionCounted: true},
		},
		"packed before": {
			func(o *HubOptions) { o.Codec, o.Packed = codec.S2, true }, 50,
			HubResult{Mode: "batches", Load: "recorded", Codec: "s2", MadeBefore: true},
		},
		"made before": {func(o *HubOptions) { o.Packed = true }, 300, HubResult{Mode: "batches", Load: "recorded", Codec: "none", MadeBefore: true}},
	} {
		t.Run(name, func(t *testing.T) {
			o := HubOptions{
				Agents: 3, Batch: 20, InFlight: 2,
				Duration: 300 * time.Millisecond, Warmup: 100 * time.Millisecond,
				Dir: t.TempDir(), Command: []string{os.Args[0], childArg},
			}
			tt.change(&o)
			r, err := RunHub(t.Context(), o, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkHubResult(t, r)
			got := HubResult{
				Mode: r.Mode, Load: r.Load, Codec: r.Codec, EventBytes: r.EventBytes, Size: r.Size,
				MadeBefore: r.MadeBefore, CompressionCounted: r.CompressionCounted,
			}
			if tt.want.Size == 0 {
				got.Size, got.EventBytes = 0, 0
			}
			// In so short a run what is on its way at both ends counts.
			if got != tt.want || r.LogBytesPerEvent < 0.8*tt.leastSize || tt.want.Codec != "none" && r.LogBytesPerEvent > 250 {
				t.Errorf("result %+v", r)
			}
			left, err := os.ReadDir(o.Dir)
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// checkHubResult looks at what every run has.
func checkHubResult(t *testing.T, r *HubResult) {
	t.Helper()
	if r.Events == 0 || r.EventsPerSecond <= 0 || r.Ack.P50 <= 0 || r.Ack.P999 < r.Ack.P99 || r.Ack.P99 < r.Ack.P50 ||
		r.Syncs == 0 || r.RSSBytes < 1<<20 || r.EventBytes <= 0 || r.LogBytes == 0 {
		t.Errorf("result %+v", r)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		`"bench":"hub"`, `"seconds":`, `"events":`, `"events_per_second":`, `"ack_ms":{"p50":`, `"p99":`, `"p999":`, `"cpu_seconds":`,
		`"rss_bytes":`, `"log_bytes":`, `"size":`, `"codec":`, `"event_bytes":`, `"compression_counted":`, `"log_bytes_per_event":`,
	} {
		if !strings.Contains(string(text), key) {
			t.Errorf("%s is not in %s", key, text)
		}
	}
	var b strings.Builder
	if err := r.Write(&b); err != nil || !strings.Contains(b.String(), "events/s") {
		t.Errorf("text: %v\n%s", err, b.String())
	}
}

func TestRunHubAgainstATarget(t *testing.T) {
	o := HubOptions{
		Agents: 2, Batch: 10, Size: 200, InFlight: 4, Duration: 200 * time.Millisecond,
		Dir: t.TempDir(), Command: []string{os.Args[0], childArg},
	}
	child, err := startChild(t.Context(), &o)
	if err != nil {
		t.Fatal(err)
	}
	defer child.kill()
	o.Target, o.Home = child.ready.Addr, child.home
	r, err := RunHub(t.Context(), o, nil)
	if err != nil || r.Events == 0 || r.Target != o.Target || r.CPUSeconds != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	o.Target = "127.0.0.1:1"
	if _, err := RunHub(t.Context(), o, nil); err == nil {
		t.Error("nobody listens, and no error")
	}
	if err := child.stop(); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	good := HubOptions{Agents: 100, Batch: 100, Size: 400, InFlight: 2, Duration: time.Second}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*HubOptions){
		"agents": func(o *HubOptions) { o.Agents = 0 }, "batch": func(o *HubOptions) { o.Batch = 0 },
		"small": func(o *HubOptions) { o.Size = 10 }, "inflight": func(o *HubOptions) { o.InFlight = 100 },
		"duration": func(o *HubOptions) { o.Duration = 0 }, "warmup": func(o *HubOptions) { o.Warmup = -1 },
		"both": func(o *HubOptions) { o.Batch, o.Size = 65536, 1000 }, "recorded, too many": func(o *HubOptions) { o.Batch, o.Size = 65536, 0 },
		"packed, synthetic": func(o *HubOptions) { o.Codec = codec.S2 },
		"packed, single":    func(o *HubOptions) { o.Codec, o.Size, o.Unary = codec.S2, 0, true },
		"before, single":    func(o *HubOptions) { o.Packed, o.Unary = true, true },
	} {
		o := good
		spoil(&o)
		if err := o.Check(); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

// TestTemplate: events are exactly as long as asked for, good, and each has its
// own id.
func TestTemplate(t *testing.T) {
	sizes := []int{}
	for size := 85; size < 700; size++ {
		sizes = append(sizes, size)
	}
	sizes = append(sizes, 16_383, 16_384, 16_500, 1<<20)
	for _, size := range sizes {
		tpl, err := newTemplate("bench", "bench_001", 3, size, time.Unix(1_800_000_000, 999_999_999))
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		n, err := newNumbering()
		if err != nil {
			t.Fatal(err)
		}
		load := &synthetic{tpl, n}
		r := request{body: load.Append(nil, 3, time.Now())}
		r.prepare(&[16]byte{1}, 7, codec.None)
		var got pb.PublishRequest
		if err := proto.Unmarshal(append(append([]byte(nil), r.header...), r.body...), &got); err != nil {
			t.Fatal(err)
		}
		if got.GetSequence() != 7 || len(got.GetEvents()) != 3 {
			t.Fatalf("request %v", &got)
		}
		seen := map[event.ID]bool{}
		for _, b := range got.GetEvents() {
			e, err := event.Inspect(b)
			if err != nil || len(b) != size {
				t.Fatalf("size %d: event of %d bytes: %v", size, len(b), err)
			}
			seen[e.ID] = true
		}
		single := load.AppendEvent(nil, time.Now())
		if e, err := event.Inspect(single); err != nil || len(single) != size {
			t.Fatalf("size %d: single event of %d bytes: %v", size, len(single), err)
		} else {
			seen[e.ID] = true
		}
		if len(seen) != 4 {
			t.Fatalf("%d ids in 4 events", len(seen))
		}
	}
}

// TestPackedBody: what is packed is what would have stood there, and its codec is named.
func TestPackedBody(t *testing.T) {
	events, err := corpus.Load("bench-00000", agentName(7))
	if err != nil {
		t.Fatal(err)
	}
	load, err := events.NewSender("bench-00000", agentName(7), 3)
	if err != nil {
		t.Fatal(err)
	}
	fields := load.Append(nil, 40, time.Now())
	r := request{body: appendBody(nil, fields, codec.S2)}
	r.prepare(&[16]byte{1}, 7, codec.S2)
	var got pb.PublishRequest
	if err := proto.Unmarshal(append(append([]byte(nil), r.header...), r.body...), &got); err != nil {
		t.Fatal(err)
	}
	raw, err := codec.Codec(got.GetCodec()).Unpack(nil, got.GetCompressed(), len(fields))
	if err != nil || !bytes.Equal(raw, fields) || got.GetSequence() != 7 || len(got.GetEvents()) != 0 {
		t.Errorf("unpacked %d bytes of %d: %v, sequence %d", len(raw), len(fields), err, got.GetSequence())
	}
}

// TestNoCodec: a hub that does not say what it takes gets nothing packed.
func TestNoCodec(t *testing.T) {
	for name, header := range map[string]metadata.MD{
		"says nothing": {}, "another": metadata.Pairs(codec.Metadata, "zstd"), "takes none": metadata.Pairs(codec.Metadata, ""),
	} {
		c := client{o: &HubOptions{Codec: codec.S2}}
		if err := c.awaitCodec(&headerStream{md: header}, func() {}); !errors.Is(err, errNoCodec) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := client{o: &HubOptions{Codec: codec.S2}}
	if err := c.awaitCodec(&headerStream{md: metadata.Pairs(codec.Metadata, "zstd, s2")}, func() {}); err != nil {
		t.Error(err)
	}
}

// headerStream is a stream of which the header has come.
type headerStream struct {
	grpc.ClientStream

	md metadata.MD
}

func (s *headerStream) Header() (metadata.MD, error) { return s.md, nil }

func TestAckParse(t *testing.T) {
	b, err := proto.Marshal(&pb.PublishAck{
		Sequence: 5, Status: pb.PublishAck_STATUS_RETRY, FirstOffset: 9, Accepted: 3, Reason: "full",
		Refused: []*pb.RefusedEvent{{Index: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var a ack
	if err := a.parse(b); err != nil || a != (ack{sequence: 5, status: pb.PublishAck_STATUS_RETRY, first: 9, accepted: 3, refused: true}) {
		t.Errorf("%+v, %v", a, err)
	}
	for n := range len(b) - 1 {
		_ = a.parse(b[:n]) // must not panic
	}
}

func TestHistogram(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var h, other histogram
	if h.quantile(0.5) != 0 {
		t.Error("an empty one has a median")
	}
	var values []float64
	for i := range 20_000 {
		ms := random.ExpFloat64() * 40
		values = append(values, ms)
		to := &h
		if i%2 == 0 {
			to = &other
		}
		to.add(time.Duration(ms * float64(time.Millisecond)))
	}
	h.merge(&other)
	slices.Sort(values)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999} {
		want := values[int(q*float64(len(values)))]
		if got := h.quantile(q); got < want*0.95 || got > want*1.05 {
			t.Errorf("quantile %v: %v, the values say %v", q, got, want)
		}
	}
	for us := uint64(0); us < 1<<34; us = us*9/8 + 1 {
		if i := slot(us); lower(i) > us || lower(i+1) <= us {
			t.Fatalf("%d µs is in the bucket from %d to %d", us, lower(i), lower(i+1))
		}
	}
}
