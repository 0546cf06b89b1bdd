package hub

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/spans"
	"github.com/amoskys/amoskys/internal/spans/spanstest"
)

// TestTraceOfBatch: each batch is a trace of its own, with what it waited for and what became
// of it, and leads to the trace of whoever publishes.
func TestTraceOfBatch(t *testing.T) {
	c := spanstest.Start(t)
	to := spans.Default()
	to.Endpoint = c.URL
	var r *spans.Recorder
	h := startHub(t, "", func(o *Options, _ *StorageOptions) {
		var err error
		r, err = spans.New(spans.Options{Config: to, SampleRatio: 1, Service: "hub", Logger: o.Logger, Registerer: o.Registry, Every: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		o.Spans = r
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	const theirs = "0af7651916cd43dd8448eb211c80319c"
	s, err := pb.NewEventBusClient(h.dial(t, "agent")).Publish(metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+theirs+"-b7ad6b7169203331-01"))
	if err != nil {
		t.Fatal(err)
	}
	batch := &pb.PublishRequest{ProducerId: sixteen(1), Sequence: 1, Events: [][]byte{makeEvent(t, "a"), makeEvent(t, "b")}}
	for _, outcome := range []string{"stored", "duplicate"} {
		if err := s.Send(batch); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
		n := 1
		if outcome == "stored" {
			n = 4
		}
		got := c.Wait(t, n)
		all := got["publish batch"]
		if all.Service != "amoskys-hub" || all.Parent != "" || all.Trace == theirs || len(all.Links) != 1 || all.Links[0] != theirs {
			t.Errorf("the batch: %+v", all)
		}
		if all.Attributes["amoskys.outcome"] != outcome || all.Attributes["amoskys.publisher"] == "" {
			t.Errorf("what became of it: %v", all.Attributes)
		}
		var steps time.Duration
		for _, name := range []string{"admit", "append and sync", "acknowledge in order"} {
			step, made := got[name]
			if made != (outcome == "stored") || made && step.Parent != all.ID {
				t.Errorf("%s of a batch that is a %s: %+v", name, outcome, step)
			}
			steps += step.Took
		}
		if outcome == "stored" && steps != all.Took {
			t.Errorf("the steps take %s, all %s", steps, all.Took)
		}
	}
}

// TestNoTracesCostNothing: a batch of a hub without traces allocates nothing for them.
func TestNoTracesCostNothing(t *testing.T) {
	var off *batchSpans
	p, s := &publication{}, &slot{}
	if n := testing.AllocsPerRun(100, func() {
		off.answered(p, s, s.received)
		p.links = off.ofCaller(context.Background())
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkTraceOfBatch is what a batch costs for its trace: without traces, where it is left
// out by the ratio, and where it is recorded, for a collector that is away.
func BenchmarkTraceOfBatch(b *testing.B) {
	to := spans.Default()
	to.Endpoint = "http://127.0.0.1:9"
	for name, ratio := range map[string]float64{"off": -1, "left out": 0, "recorded": 1} {
		b.Run(name, func(b *testing.B) {
			var x *batchSpans
			if ratio >= 0 {
				r, err := spans.New(spans.Options{Config: to, SampleRatio: ratio, Service: "hub"})
				if err != nil {
					b.Fatal(err)
				}
				x = newBatchSpans(r)
			}
			now := time.Now()
			p := &publication{}
			s := &slot{received: now, at: steps{now, now}, outcome: outcomeStored}
			b.ReportAllocs()
			for b.Loop() {
				x.answered(p, s, now)
			}
		})
	}
}
