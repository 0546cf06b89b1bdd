package hub

import (
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func benchHub(b *testing.B) *testHub {
	b.Helper()
	home := newHome(b)
	h, err := openHub(home)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := h.stopNow(); err != nil {
			b.Error(err)
		}
	})
	return h
}

func (h *testHub) benchDial(b *testing.B, name string) *grpc.ClientConn {
	b.Helper()
	return dialFiles(b, h.Addr().String(), identity.FilesFor(h.home.Certs(), name))
}

// BenchmarkPublishEvent is one event at a time, each on disk before the next.
func BenchmarkPublishEvent(b *testing.B) {
	h := benchHub(b)
	client := pb.NewEventBusClient(h.benchDial(b, "agent"))
	ev := &pb.Event{Time: now(), Host: ownHost, Type: "process.execution", Message: strings.Repeat("x", 300)}
	for i := 0; b.Loop(); i++ {
		ev.Id = sixteen(i + 1)
		if _, err := client.PublishEvent(b.Context(), ev); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSubscribe reads events that are in the log.
func BenchmarkSubscribe(b *testing.B) {
	h := benchHub(b)
	s := publishStream(b, h.benchDial(b, "agent"), "")
	const total = 100_000
	r := &pb.PublishRequest{}
	for range 1000 {
		r.Events = append(r.Events, makeEvent(b, strings.Repeat("x", 300)))
	}
	for range total / 1000 {
		exchange(b, s, r)
	}
	conn := h.benchDial(b, "operator")
	for b.Loop() {
		events, _, _ := subscribeAll(b, conn, &pb.SubscribeRequest{NoFollow: true, Start: &pb.SubscribeRequest_FromOffset{}})
		if len(events) != total {
			b.Fatalf("%d events", len(events))
		}
	}
	b.ReportMetric(float64(b.N)*total/b.Elapsed().Seconds(), "events/s")
}
