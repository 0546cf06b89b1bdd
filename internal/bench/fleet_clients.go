package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/agent/uplink"
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/config"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/node"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// fleetClients are the nodes and agents of many hosts in one process.
type fleetClients struct {
	o     *FleetOptions
	addr  string
	hosts []fleetHost

	// busy bounds the handshakes at once. On real hosts each has a processor of its
	// own and answers within a round trip; here thousands would share two, and wait
	// for each other so long that the hub took them for stalled.
	busy chan struct{}

	connected atomic.Int64
	tries     atomic.Uint64
}

// handshakesAtOnce is more than the hub does at once for one network, so that
// its line is in use.
const handshakesAtOnce = 128

// fleetHost is one host: its name, and the folder of its certificates.
type fleetHost struct {
	name string
	home config.Home
	tls  *tls.Config // of its agents, which share a certificate
}

// newFleetClients issues a certificate for each node, and one for the agents of
// each host.
func newFleetClients(o *FleetOptions, hub *fleetHub, dir string) (*fleetClients, error) {
	authority, err := newIssuer(hub.home.Certs())
	if err != nil {
		return nil, err
	}
	f := &fleetClients{o: o, addr: hub.addr, busy: make(chan struct{}, handshakesAtOnce)}
	for i := range o.Hosts {
		h := fleetHost{name: fmt.Sprintf("host-%05d", i)}
		h.home = config.Home(filepath.Join(dir, h.name))
		if err := authority.issue(h.home, h.name, identity.RoleNode, identity.RoleAgent); err != nil {
			return nil, err
		}
		if h.tls, err = clientOf(h.home, identity.RoleAgent, "127.0.0.1"); err != nil {
			return nil, err
		}
		f.hosts = append(f.hosts, h)
	}
	return f, nil
}

// run lets all nodes and agents connect, again and again, until ctx ends.
func (f *fleetClients) run(ctx context.Context, group *sync.WaitGroup) {
	for i := range f.hosts {
		h := &f.hosts[i]
		connect := f.node(h)
		group.Go(func() { f.keep(ctx, node.Pause, connect) })
		for n := range f.o.Agents {
			agent := fmt.Sprintf("agent_%d", n)
			group.Go(func() {
				f.keep(ctx, agentPause, func(ctx context.Context) error { return f.agent(ctx, h, agent) })
			})
		}
	}
}

// keep serves one session after the other, with the pauses of the real client.
func (f *fleetClients) keep(ctx context.Context, pause func(attempt int) time.Duration, session func(context.Context) error) {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		f.tries.Add(1)
		if err := session(ctx); errors.Is(err, errWasConnected) {
			attempt = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause(attempt)):
		}
	}
}

func agentPause(attempt int) time.Duration { return uplink.Pause(attempt, uplink.LongestPause) }

// errWasConnected ends a session that stood.
var errWasConnected = errors.New("the connection was lost")

// node returns what holds the control stream of a host, with the node's own code
// for connecting.
func (f *fleetClients) node(h *fleetHost) func(context.Context) error {
	host, port, _ := net.SplitHostPort(f.addr)
	config := dial.DefaultHub("node")
	config.Host = host
	config.Port, _ = strconv.Atoi(port)
	connect := node.Connector(config, h.home, obs.Discard())
	hello := &pb.NodeHello{NodeId: h.name, Host: &pb.Host{Name: h.name}, Version: "bench"}
	for n := range f.o.Agents {
		hello.Agents = append(hello.Agents, &pb.AgentStatus{
			Id: fmt.Sprintf("agent_%d", n), Kind: "proc", State: pb.AgentState_AGENT_STATE_RUNNING, Pid: uint32(1000 + n),
		})
	}
	return func(ctx context.Context) error {
		f.busy <- struct{}{}
		stream, err := connect(ctx)
		<-f.busy
		if err != nil {
			return err
		}
		defer stream.Close()
		stop := context.AfterFunc(ctx, stream.Close)
		defer stop()
		if err := stream.Send(&pb.NodeMessage{Message: &pb.NodeMessage_Hello{Hello: hello}}); err != nil {
			return err
		}
		f.connected.Add(1)
		defer f.connected.Add(-1)
		for {
			if _, err := stream.Recv(); err != nil {
				return errWasConnected
			}
		}
	}
}

// agent holds one publishing stream, and has it acknowledged once.
func (f *fleetClients) agent(ctx context.Context, h *fleetHost, id string) error {
	conn, err := dial.NewClient(f.addr, nil, credentials.NewTLS(h.tls),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10),
		grpc.WithDisableRetry(), grpc.WithIdleTimeout(0),
	)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, identity.MetadataAgent, id))
	defer cancel()
	f.busy <- struct{}{}
	stream, err := pb.NewEventBusClient(conn).Publish(ctx)
	<-f.busy
	if err != nil {
		return err
	}
	request, err := oneEvent(h.name, id)
	if err != nil {
		return err
	}
	if err := stream.Send(request); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	f.connected.Add(1)
	defer f.connected.Add(-1)
	_, err = stream.Recv()
	return errors.Join(errWasConnected, err)
}

// oneEvent is a batch of one event of an agent.
func oneEvent(host, agent string) (*pb.PublishRequest, error) {
	t, err := newTemplate(host, agent, 1, 400, time.Now())
	if err != nil {
		return nil, err
	}
	numbers, err := newNumbering()
	if err != nil {
		return nil, err
	}
	r := request{body: (&synthetic{t, numbers}).Append(nil, 1, time.Now())}
	var producer [16]byte
	if _, err := rand.Read(producer[:]); err != nil {
		return nil, fmt.Errorf("make producer id: %w", err)
	}
	r.prepare(&producer, 1, codec.None)
	request := &pb.PublishRequest{}
	return request, proto.Unmarshal(append(append([]byte(nil), r.header...), r.body...), request)
}

// await waits until as many are connected.
func (f *fleetClients) await(ctx context.Context, want int) error {
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for f.connected.Load() != int64(want) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d are connected: %w", f.connected.Load(), want, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// known checks that the hub lists every agent as connected.
func (f *fleetClients) known(ctx context.Context, hub *fleetHub) error {
	secure, err := identity.ClientConfig(identity.FilesFor(hub.home.Certs(), "operator"), identity.ClientOptions{ServerName: "127.0.0.1"})
	if err != nil {
		return err
	}
	conn, err := dial.NewClient(f.addr, nil, credentials.NewTLS(secure), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	for connected := 0; ; connected = 0 {
		list, err := pb.NewFleetClient(conn).ListAgents(ctx, &pb.ListAgentsRequest{})
		if err != nil {
			return fmt.Errorf("list agents: %w", err)
		}
		for _, a := range list.GetAgents() {
			if a.GetNodeConnected() {
				connected++
			}
		}
		if connected == f.o.Hosts*f.o.Agents {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the hub lists %d of %d agents as connected", connected, f.o.Hosts*f.o.Agents)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
