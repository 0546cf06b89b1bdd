package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
)

// ReadOptions say what readers are measured over.
type ReadOptions struct {
	Events   uint64        // of the log that is read
	Batch    int           // events of a record
	Codec    codec.Codec   // of the records
	Readers  int           // that read together, in the last case
	Rounds   int           // how often each case is measured; the median counts
	Duration time.Duration // of one case in one round
	Dir      string        // under which the hub's files are made
	// Command runs a hub, as in HubOptions. Baseline, if set, runs one of another build,
	// over a log of its own that is not packed: its reader of Deliveries is what the others
	// are held against.
	Command, Baseline []string
	// Profile, when set, is a file to which the hub's CPU profile is written, of the case of
	// one reader that splits blocks.
	Profile string
	// Progress, if set, is told before each step what is done in it.
	Progress func(step string)
}

// tell says what is done next.
func (o *ReadOptions) tell(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// Check returns what is wrong with the options.
func (o *ReadOptions) Check() error {
	for _, rule := range []struct {
		ok   bool
		text string
	}{
		{o.Events >= 1 && o.Events <= 20_000_000, "events must be from 1 to 20000000"},
		{o.Readers >= 1 && o.Readers <= 64, "readers must be from 1 to 64"},
		{o.Rounds >= 1 && o.Rounds <= 100, "rounds must be from 1 to 100"},
		{o.Duration > 0, "duration must be above 0"},
	} {
		if !rule.ok {
			return errors.New(rule.text)
		}
	}
	fill := o.fill(nil, o.Codec)
	return fill.Check()
}

// fill is the load that fills a log.
func (o *ReadOptions) fill(command []string, packed codec.Codec) HubOptions {
	return HubOptions{
		Agents: fillers, Batch: o.Batch, InFlight: 4, Duration: 1, Codec: packed, Packed: true, Dir: o.Dir, Command: command,
	}
}

const fillers = 8

// Names of the cases, which are those of the JSON.
const (
	readDeliveries = "deliveries" // of events, by protobuf: the way of old
	readEvents     = "events"     // the same by reader.Remote
	readSplit      = "split"      // whole blocks, split into events
	readBlocks     = "blocks"     // whole blocks, untouched
	readTogether   = "together"   // several that split
)

// readCase is one way to read.
type readCase struct {
	name    string
	readers int
	// read reads the log once from its beginning and counts into events.
	read func(ctx context.Context, conn *grpc.ClientConn, events *atomic.Uint64) error
}

func (o *ReadOptions) cases() []readCase {
	split := func(ctx context.Context, conn *grpc.ClientConn, n *atomic.Uint64) error {
		return readLog(ctx, reader.NewRemote(conn), false, n)
	}
	return []readCase{
		{readDeliveries, 1, readByProto},
		{readEvents, 1, func(ctx context.Context, conn *grpc.ClientConn, n *atomic.Uint64) error {
			return readLog(ctx, reader.NewRemote(withoutBlocks{conn}), false, n)
		}},
		{readSplit, 1, split},
		{readBlocks, 1, func(ctx context.Context, conn *grpc.ClientConn, n *atomic.Uint64) error {
			return readLog(ctx, reader.NewRemote(conn), true, n)
		}},
		{readTogether, o.Readers, split},
	}
}

// readLog reads the log once with the readers' runtime, as any consumer does.
func readLog(ctx context.Context, source reader.Source, blocks bool, events *atomic.Uint64) error {
	var failed error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := reader.New(reader.Options{
		Name: "bench", Source: source, Logger: obs.Discard(), Blocks: blocks, NoFollow: true,
		Consumer: reader.Func(func(_ context.Context, b *reader.Batch) error {
			n := uint64(len(b.Events))
			for i := range b.Blocks {
				n += uint64(b.Blocks[i].Count)
			}
			events.Add(n)
			return nil
		}),
		Wait: func(ctx context.Context, _ time.Duration) error { // whatever fails is not to be measured
			failed = errors.New("the reader could not go on")
			cancel()
			return ctx.Err()
		},
	})
	if err != nil {
		return err
	}
	return errors.Join(r.Run(ctx), failed)
}

// withoutBlocks is a connection to a hub that seems not to know blocks.
type withoutBlocks struct{ *grpc.ClientConn }

// NewStream opens a stream whose request does not ask for blocks.
func (c withoutBlocks) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, o ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := c.ClientConn.NewStream(ctx, desc, method, o...)
	return streamWithoutBlocks{s}, err
}

type streamWithoutBlocks struct{ grpc.ClientStream }

// SendMsg sends the request.
func (s streamWithoutBlocks) SendMsg(m any) error {
	if ask, ok := m.(*pb.SubscribeRequest); ok {
		ask.Blocks = false
	}
	return s.ClientStream.SendMsg(m)
}

// RunRead fills a log and measures its readers.
func RunRead(ctx context.Context, o ReadOptions) (*ReadResult, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	m, err := newReadHub(ctx, &o, o.Command, o.Codec)
	if err != nil {
		return nil, err
	}
	defer m.close()
	base := m
	if len(o.Baseline) > 0 {
		if base, err = newReadHub(ctx, &o, o.Baseline, codec.None); err != nil {
			return nil, fmt.Errorf("the hub to compare with: %w", err)
		}
		defer base.close()
	}
	taken := map[string][]ReadCase{}
	for round := range o.Rounds {
		for i, c := range o.cases() {
			from, profile := m, ""
			if c.name == readDeliveries {
				from = base
			}
			if c.name == readSplit && round == 0 {
				profile = o.Profile
			}
			o.tell("reading: %s (%d of %d)", c.name, len(o.cases())*round+i+1, len(o.cases())*o.Rounds)
			one, err := from.measure(ctx, c, profile)
			if err != nil {
				return nil, fmt.Errorf("measure %s: %w", c.name, err)
			}
			taken[c.name] = append(taken[c.name], *one)
		}
	}
	r := &ReadResult{Bench: "read", Events: m.events, Batch: o.Batch, Codec: o.Codec.String(), Rounds: o.Rounds, Compared: len(o.Baseline) > 0}
	for _, c := range o.cases() {
		all := taken[c.name]
		slices.SortFunc(all, func(a, b ReadCase) int { return cmp.Compare(a.EventsPerSecond, b.EventsPerSecond) })
		r.Cases = append(r.Cases, all[len(all)/2])
	}
	return r, nil
}

// readHub is a hub with a log to read.
type readHub struct {
	o      *ReadOptions
	child  *hubChild
	events uint64
}

func newReadHub(ctx context.Context, o *ReadOptions, command []string, packed codec.Codec) (*readHub, error) {
	load := o.fill(command, packed)
	o.tell("filling a log with %d events", o.Events)
	child, err := startChild(ctx, &load)
	if err != nil {
		return nil, fmt.Errorf("start a hub to measure: %w", err)
	}
	h := &readHub{o: o, child: child}
	load.Target, load.Home = child.ready.Addr, child.home
	if h.events, err = fillLog(ctx, &load, o.Events); err != nil {
		child.kill()
		return nil, fmt.Errorf("fill the log: %w", err)
	}
	return h, nil
}

func (h *readHub) close() { h.child.kill() }

// fillLog publishes at least so many events, and returns how many.
func fillLog(ctx context.Context, o *HubOptions, events uint64) (uint64, error) {
	host, _, err := net.SplitHostPort(o.Target)
	if err != nil {
		return 0, fmt.Errorf("target %q: %w", o.Target, err)
	}
	who, err := newHosts(o, host)
	if err != nil {
		return 0, err
	}
	defer who.remove()
	clients, err := newClients(o, who, &phase{})
	if err != nil {
		return 0, err
	}
	for _, c := range clients {
		defer func() { _ = c.conn.Close() }()
	}
	acked := func() (n uint64) {
		for _, c := range clients {
			n += c.acked.Load()
		}
		return n
	}
	stop := make(chan struct{})
	group, running := errgroup.WithContext(ctx)
	for _, c := range clients {
		group.Go(func() error { return c.run(running, stop) })
	}
	group.Go(func() error {
		defer close(stop)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for acked() < events {
			select {
			case <-tick.C:
			case <-running.Done():
				return nil // whoever failed tells why
			}
		}
		return nil
	})
	err = group.Wait()
	return acked(), err
}

// measure has a case's readers read for the time of a case, again and again from the
// beginning, after one of them has read the log once for the page cache and the
// connections.
func (h *readHub) measure(ctx context.Context, c readCase, profile string) (*ReadCase, error) {
	var events atomic.Uint64
	conns := make([]*grpc.ClientConn, c.readers)
	for i := range conns {
		var err error
		if conns[i], err = h.connect(c.name); err != nil {
			return nil, err
		}
		defer func() { _ = conns[i].Close() }()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, running := errgroup.WithContext(ctx)
	warm := make(chan struct{}, c.readers)
	for _, conn := range conns {
		group.Go(func() error {
			for first := true; running.Err() == nil; first = false {
				if err := c.read(running, conn, &events); err != nil && running.Err() == nil {
					return err
				}
				if first {
					warm <- struct{}{}
				}
			}
			return nil
		})
	}
	select {
	case <-warm:
	case <-running.Done():
	}
	one, err := h.take(running, c, &events, profile)
	cancel()
	if failed := group.Wait(); failed != nil && !errors.Is(failed, context.Canceled) {
		return nil, failed
	}
	return one, err
}

func (h *readHub) take(ctx context.Context, c readCase, events *atomic.Uint64, profile string) (*ReadCase, error) {
	before, err := h.child.read(ctx)
	if err != nil {
		return nil, err
	}
	begin, own, had := time.Now(), cpuSeconds(), events.Load()
	if profile != "" {
		if err := h.child.profile(ctx, profile, h.o.Duration); err != nil {
			return nil, err
		}
	} else {
		timer := time.NewTimer(h.o.Duration)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	n, seconds := float64(events.Load()-had), time.Since(begin).Seconds()
	ownAfter := cpuSeconds()
	after, err := h.child.read(ctx)
	if err != nil {
		return nil, err
	}
	return &ReadCase{
		Name: c.name, Readers: c.readers, EventsPerSecond: n / seconds,
		HubCPUPerMillion: (after.cpuSeconds - before.cpuSeconds) / n * 1e6, ClientCPUPerMillion: (ownAfter - own) / n * 1e6,
		RSSBytes: int64(after.rssBytes),
	}, nil
}

// connect makes a connection of an operator: as the clients of old had it, or for bulk.
func (h *readHub) connect(name string) (*grpc.ClientConn, error) {
	host, _, err := net.SplitHostPort(h.child.ready.Addr)
	if err != nil {
		return nil, err
	}
	cfg, err := clientOf(h.child.home, identity.RoleOperator, host)
	if err != nil {
		return nil, err
	}
	var bulk []grpc.DialOption
	if name != readDeliveries {
		bulk = reader.BulkOptions()
	}
	return dial.NewClient(h.child.ready.Addr, nil, credentials.NewTLS(cfg), bulk...)
}
