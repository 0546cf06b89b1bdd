package fleet_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/amoskys/amoskys/internal/hub/fleet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/state"
)

// control is a Control stream without a network: the messages of one node.
type control struct {
	grpc.ServerStream
	tb       testing.TB
	messages chan *pb.NodeMessage
}

func (c *control) Context() context.Context   { return c.tb.Context() }
func (*control) SetHeader(metadata.MD) error  { return nil }
func (*control) SendHeader(metadata.MD) error { return nil }
func (*control) SetTrailer(metadata.MD)       {}
func (*control) Send(*pb.NodeCommand) error   { return nil }
func (c *control) Recv() (*pb.NodeMessage, error) {
	select {
	case m, open := <-c.messages:
		if !open {
			return nil, io.EOF
		}
		return m, nil
	case <-c.tb.Context().Done():
		return nil, c.tb.Context().Err()
	}
}

// crowd is many nodes of three agents each, connected to one service by real
// Control messages, without TLS.
type crowd struct {
	service *fleet.Service
	nodes   []*control
	served  sync.WaitGroup
}

func crowdHello(i int) *pb.NodeMessage {
	name := fmt.Sprintf("host-%05d", i)
	return &pb.NodeMessage{Message: &pb.NodeMessage_Hello{Hello: &pb.NodeHello{
		NodeId: name, Host: &pb.Host{Name: name}, Version: "1",
		Agents: []*pb.AgentStatus{running("proc_agent"), running("flow_agent"), running("host_agent")},
	}}}
}

func newCrowd(tb testing.TB, service *fleet.Service, size int) *crowd {
	tb.Helper()
	c := &crowd{service: service}
	for i := range size {
		n := &control{tb: tb, messages: make(chan *pb.NodeMessage, 2)}
		n.messages <- crowdHello(i)
		c.nodes = append(c.nodes, n)
	}
	return c
}

// join lets every node connect and waits until all of their agents are there.
func (c *crowd) join(tb testing.TB) {
	tb.Helper()
	for _, n := range c.nodes {
		c.served.Go(func() { _ = c.service.Control(n) })
	}
	c.await(tb, func(a *pb.AgentStatus) bool { return a.GetNodeConnected() })
}

// leave ends every stream and waits until all agents are marked as gone.
func (c *crowd) leave(tb testing.TB) {
	tb.Helper()
	for _, n := range c.nodes {
		close(n.messages)
	}
	c.served.Wait()
	c.await(tb, func(a *pb.AgentStatus) bool { return !a.GetNodeConnected() })
}

func (c *crowd) await(tb testing.TB, is func(*pb.AgentStatus) bool) {
	tb.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		got, err := c.service.ListAgents(tb.Context(), &pb.ListAgentsRequest{})
		if err != nil {
			tb.Fatal(err)
		}
		as := 0
		for _, a := range got.GetAgents() {
			if is(a) {
				as++
			}
		}
		if as == 3*len(c.nodes) {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	tb.Fatal("not all agents in a minute")
}

func newService(tb testing.TB, store fleet.Store) *fleet.Service {
	tb.Helper()
	service, err := fleet.New(tb.Context(), fleet.Options{Store: store})
	if err != nil {
		tb.Fatal(err)
	}
	return service
}

// noStore keeps nothing.
type noStore struct{}

func (noStore) Agents(context.Context) ([]state.Agent, error)      { return nil, nil }
func (noStore) PutAgents(context.Context, []state.Agent) error     { return nil }
func (noStore) DeleteAgents(context.Context, []state.Agent) error  { return nil }
func (noStore) Hosts(context.Context) ([]state.Host, error)        { return nil, nil }
func (noStore) PutHosts(context.Context, []state.Host) error       { return nil }
func (noStore) DeleteHosts(context.Context, []string) error        { return nil }
func (noStore) SetDesired(_ context.Context, _, _, _ string) error { return nil }

// fleetSize is the number of nodes that one hub promises to keep up with.
func fleetSize() int {
	if raceEnabled {
		return 2_000
	}
	return 20_000
}

// TestWholeFleetComesAndGoes: after a restart of the hub, and after the loss of
// a network, every node comes or goes at once (a tenth of them, but for
// AMOSKYS_TEST_FLEET=full). None of it may wait for a look
// at all the others, nor may those who watch and the database fall behind.
func TestWholeFleetComesAndGoes(t *testing.T) {
	f := newFixture(t, openState(t))
	size := fleetSize() / 10
	if os.Getenv("AMOSKYS_TEST_FLEET") == "full" {
		size = fleetSize()
	}
	watch, err := f.client.WatchAgents(t.Context(), &pb.WatchAgentsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := watch.Recv(); err != nil || !first.GetSnapshot() {
		t.Fatalf("first: %v, %v", first, err)
	}
	c := newCrowd(t, f.service, size)
	noteTime(t, "connect", func() { c.join(t) })
	noteTime(t, "watch", func() { watched(t, watch, 3*size, true) })
	noteTime(t, "store", func() {
		if err := f.service.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
	noteTime(t, "gauges", func() {
		readings := 0
		f.service.Gauges(func(string, string, map[string]string, float64) { readings++ })
		if readings != 2*256 {
			t.Errorf("%d readings", readings)
		}
	})
	noteTime(t, "leave", func() { c.leave(t) })
	noteTime(t, "watch", func() { watched(t, watch, 3*size, false) })
	noteTime(t, "store", func() {
		if err := f.service.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if known, err := f.db.Agents(t.Context()); err != nil || len(known) != 3*size {
		t.Errorf("%d agents stored, %v", len(known), err)
	}
	f.service.Gauges(func(string, string, map[string]string, float64) { t.Error("a gauge of an agent that is gone") })
}

// noteTime runs do and says how long it took. How long it may take is a bar of
// BenchmarkFleetConnects, which is measured on a machine at rest.
func noteTime(t *testing.T, what string, do func()) {
	t.Helper()
	start := time.Now()
	do()
	t.Logf("%s: %v", what, time.Since(start))
}

// watched reads changes until as many agents are connected, or are not.
func watched(t *testing.T, watch grpc.ServerStreamingClient[pb.WatchAgentsResponse], want int, connected bool) {
	t.Helper()
	seen := map[string]bool{}
	for len(seen) < want {
		got, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range got.GetAgents() {
			if a.GetNodeConnected() == connected {
				seen[a.GetHost()+"/"+a.GetId()] = true
			}
		}
	}
}

// sizes of fleets; time for each node must not grow with their number.
var sizes = []int{1_000, 20_000}

// BenchmarkFleetConnects measures how long it takes until a whole fleet of three
// agents a node is back, and until it has left.
func BenchmarkFleetConnects(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint("nodes=", size), func(b *testing.B) {
			var join, leave time.Duration
			for range b.N {
				c := newCrowd(b, newService(b, noStore{}), size)
				start := time.Now()
				c.join(b)
				joined := time.Now()
				c.leave(b)
				join, leave = join+joined.Sub(start), leave+time.Since(joined)
			}
			b.ReportMetric(join.Seconds()/float64(b.N), "s/connect")
			b.ReportMetric(leave.Seconds()/float64(b.N), "s/leave")
		})
	}
}

// BenchmarkGauges measures one pass, which the live view makes each second.
func BenchmarkGauges(b *testing.B) {
	c := newCrowd(b, newService(b, noStore{}), fleetSize())
	c.join(b)
	for b.Loop() {
		c.service.Gauges(func(string, string, map[string]string, float64) {})
	}
	c.leave(b)
}

// BenchmarkFlush measures how long it takes to store a whole fleet that changed.
func BenchmarkFlush(b *testing.B) {
	db, err := state.Open(b.Context(), state.Options{File: b.TempDir() + "/state.db"})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for b.Loop() {
		b.StopTimer()
		c := newCrowd(b, newService(b, db), fleetSize())
		c.join(b)
		b.StartTimer()
		if err := c.service.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		c.leave(b)
		b.StartTimer()
	}
}
