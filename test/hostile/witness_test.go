//go:build linux

package hostile_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// witness is another agent: it sends a small batch each ten milliseconds and notes
// how long its acknowledgement takes.
type witness struct {
	mu    sync.Mutex // guards took and since
	took  []time.Duration
	since time.Time // when the batch was sent that has no acknowledgement; zero without one
}

const witnessEvery = 10 * time.Millisecond

func startWitness(t *testing.T, p *program) *witness {
	t.Helper()
	w := &witness{}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := pb.NewEventBusClient(p.dial(t, p.certificate(t, identity.RoleAgent, "witness"))).Publish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var batch pb.PublishRequest
	if err := proto.Unmarshal(batchOf("witness", 4000, 300), &batch); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.run(ctx, stream, &batch) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the other agent: %v", err)
		}
	})
	return w
}

func (w *witness) run(ctx context.Context, stream pb.EventBus_PublishClient, batch *pb.PublishRequest) error {
	tick := time.NewTicker(witnessEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		begin := time.Now()
		w.mu.Lock()
		w.since = begin
		w.mu.Unlock()
		err := stream.Send(batch)
		if err == nil {
			_, err = stream.Recv()
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("its stream ended: %w", err)
		}
		w.mu.Lock()
		w.took = append(w.took, time.Since(begin))
		w.since = time.Time{}
		w.mu.Unlock()
	}
}

func (w *witness) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took = w.took[:0]
}

// p99 tells what 99 of a hundred acknowledgements took since reset, one that is
// being waited for included.
func (w *witness) p99() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Clone(w.took)
	if !w.since.IsZero() {
		all = append(all, time.Since(w.since))
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)*99/100]
}

// fill puts into the hub what large answers are made of: events, and a node with as
// many agents as it may have.
func (p *program) fill(t *testing.T) {
	t.Helper()
	stream, err := pb.NewEventBusClient(p.dial(t, p.certificate(t, identity.RoleAgent, "filler"))).Publish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, shape := range [][3]int{{256 << 10, 1000, 100}, {900 << 10, 800 << 10, 30}} {
		for range shape[2] {
			var batch pb.PublishRequest
			if err := proto.Unmarshal(batchOf("filler", shape[0], shape[1]), &batch); err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(&batch); err != nil {
				t.Fatal(err)
			}
			if ack, err := stream.Recv(); err != nil || ack.GetStatus() != pb.PublishAck_STATUS_OK || int(ack.GetAccepted()) != len(batch.GetEvents()) {
				t.Fatalf("fill the hub: %v, %v", ack, err)
			}
		}
	}
	control, err := pb.NewFleetClient(p.dial(t, p.certificate(t, identity.RoleNode, "filler"))).Control(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hello := &pb.NodeHello{NodeId: "filler", Host: &pb.Host{Name: "filler"}}
	for i := range 256 {
		hello.Agents = append(hello.Agents, &pb.AgentStatus{Id: fmt.Sprint("agent_", i), Detail: strings.Repeat("d", 2000)})
	}
	if err := control.Send(&pb.NodeMessage{Message: &pb.NodeMessage_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
}
