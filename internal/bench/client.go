package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/bench/corpus"
	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// phase is what the clients' answers count for.
type phase struct{ measuring atomic.Bool }

// client is one agent with a connection of its own.
type client struct {
	name  string
	o     *HubOptions
	phase *phase
	conn  *grpc.ClientConn

	producer [16]byte
	load     load
	fields   []byte   // a batch before it is packed
	made     [][]byte // bodies made before the measurement
	turn     int      // of them

	// schedule, if set, says when batches go; without one they go as fast as they can.
	schedule *schedule
	host     string

	acked   atomic.Uint64 // events, in all
	thinned atomic.Uint64 // of them readings that no store keeps; counted where there is a schedule
	next    atomic.Uint64 // offset behind the newest of them
	retried atomic.Uint64 // batches the hub did not take
	latency histogram     // of acks while measuring; the reading goroutine's
}

// newClient makes a client that sends a load, with a certificate. It connects lazily; the
// first call dials.
func newClient(i int, o *HubOptions, cfg *tls.Config, load load, p *phase) (*client, error) {
	c := &client{name: agentName(i), o: o, load: load, phase: p}
	if _, err := rand.Read(c.producer[:]); err != nil {
		return nil, fmt.Errorf("make producer id: %w", err)
	}
	const buffer = 64 << 10
	dialer, err := dial.New("", o.Home)
	if err != nil {
		return nil, err
	}
	c.conn, err = dial.NewClient(o.Target, dialer.Dial, credentials.NewTLS(cfg),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newRawCodec())),
		grpc.WithWriteBufferSize(buffer), grpc.WithReadBufferSize(buffer/2),
		grpc.WithDisableRetry(),
	)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", c.name, err)
	}
	return c, nil
}

// madeBytes bounds what all clients make before the measurement.
const madeBytes = 256 << 20

// makeBatches makes bodies ahead: a round of all recorded events, as far as there is
// room, and at least two.
func (c *client) makeBatches() {
	rounds := 2
	if s, ok := c.load.(*corpus.Sender); ok {
		rounds = max(rounds, s.Len()/c.o.Batch)
	}
	for size, packed := 0, []byte(nil); len(c.made) < rounds && (len(c.made) < 2 || size < madeBytes/c.o.Agents); {
		c.fields = c.load.Append(c.fields[:0], c.o.Batch, time.Now())
		body := appendBody(packed[:0], c.fields, c.o.Codec)
		c.made, size, packed = append(c.made, slices.Clone(body)), size+len(body), body
	}
	c.fields = nil
}

// fill makes the next batch.
func (c *client) fill(r *request, sequence uint64) {
	r.events = c.o.Batch
	switch {
	case len(c.made) > 0:
		r.body = c.made[c.turn%len(c.made)]
		c.turn++
	case c.o.Codec == codec.None:
		r.body = c.load.Append(r.body[:0], c.o.Batch, time.Now())
	default:
		c.fields = c.load.Append(c.fields[:0], c.o.Batch, time.Now())
		r.body = appendBody(r.body[:0], c.fields, c.o.Codec)
		if c.schedule != nil {
			r.thinned = countThinned(c.fields)
		}
	}
	r.prepare(&c.producer, sequence, c.o.Codec)
}

// countThinned counts the readings of a batch that the store leaves out.
func countThinned(fields []byte) (n uint64) {
	for len(fields) > 0 {
		_, _, tag := protowire.ConsumeTag(fields)
		one, size := protowire.ConsumeBytes(fields[max(tag, 0):])
		if tag < 0 || size < 0 {
			return n
		}
		if _, thinned := event.ThinnedReading(one); thinned {
			n++
		}
		fields = fields[tag+size:]
	}
	return n
}

// answered counts one ack.
func (c *client) answered(sent time.Time, events, next uint64) {
	c.acked.Add(events)
	c.next.Store(max(c.next.Load(), next))
	if c.phase.measuring.Load() {
		c.latency.add(time.Since(sent))
	}
}

// run publishes until stop is closed and everything sent is acknowledged.
func (c *client) run(ctx context.Context, stop <-chan struct{}) error {
	ctx = metadata.AppendToOutgoingContext(ctx, identity.MetadataAgent, c.name)
	if c.o.Unary {
		return c.runUnary(ctx, stop)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.conn.NewStream(ctx, &pb.EventBus_ServiceDesc.Streams[0], pb.EventBus_Publish_FullMethodName)
	if err != nil {
		return fmt.Errorf("open stream of %s: %w", c.name, err)
	}
	free := make(chan *request, c.o.InFlight)
	sent := make(chan *request, c.o.InFlight)
	for range c.o.InFlight {
		free <- &request{}
	}
	if c.o.Codec != codec.None {
		if err := c.awaitCodec(stream, cancel); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(sent)
		return c.send(ctx, stream, stop, free, sent)
	})
	group.Go(func() error { return c.receive(stream, free, sent) })
	return group.Wait()
}

// errNoCodec says that the hub does not take batches as they would be packed.
var errNoCodec = errors.New("the hub does not say that it takes batches packed so (--compress none works with every hub)")

// codecPatience is how long a hub may take to say which codecs it takes.
const codecPatience = 10 * time.Second

// awaitCodec waits until the hub has said that it takes the codec. cancel ends the
// stream.
func (c *client) awaitCodec(stream grpc.ClientStream, cancel func()) error {
	patience := time.AfterFunc(codecPatience, cancel)
	header, err := stream.Header()
	switch {
	case !patience.Stop():
		return fmt.Errorf("%w: %s", errNoCodec, c.o.Codec)
	case err != nil:
		return fmt.Errorf("stream of %s: %w", c.name, err)
	case codec.Choose(header.Get(codec.Metadata)...) != c.o.Codec:
		return fmt.Errorf("%w: %s", errNoCodec, c.o.Codec)
	}
	return nil
}

func (c *client) send(ctx context.Context, stream grpc.ClientStream, stop <-chan struct{}, free <-chan *request, sent chan<- *request) error {
	begin := time.Now()
	for sequence := uint64(1); ; sequence++ {
		if c.schedule != nil && !c.schedule.await(ctx, stop, begin, sequence) {
			return stream.CloseSend()
		}
		select {
		case <-stop:
			return stream.CloseSend()
		case <-ctx.Done():
			return nil // receive tells why
		case r := <-free:
			c.fill(r, sequence)
			r.sentAt = time.Now()
			sent <- r
			if err := stream.SendMsg(&r.frame); err != nil {
				return nil //nolint:nilerr // receive gets the status that tells why
			}
		}
	}
}

func (c *client) receive(stream grpc.ClientStream, free chan<- *request, sent <-chan *request) error {
	var f frame
	var a ack
	for r := range sent {
		if err := stream.RecvMsg(&f); err != nil {
			return fmt.Errorf("stream of %s: %w", c.name, err)
		}
		if err := a.parse(f.in); err != nil {
			return fmt.Errorf("ack to %s: %w", c.name, err)
		}
		switch {
		case a.status == pb.PublishAck_STATUS_RETRY:
			// The load goes on with another batch: what counts is what was stored.
			c.retried.Add(1)
		case a.status != pb.PublishAck_STATUS_OK || a.refused || a.accepted != uint64(r.events):
			return fmt.Errorf("%s: the hub stored %d of %d events: %+v", c.name, a.accepted, r.events, a) //nolint:err113 // not for deciding on
		default:
			c.thinned.Add(r.thinned)
			c.answered(r.sentAt, a.accepted, a.first+a.accepted)
		}
		free <- r
	}
	return nil
}

// runUnary sends one event at a time.
func (c *client) runUnary(ctx context.Context, stop <-chan struct{}) error {
	var body []byte
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return nil // another client failed
		default:
		}
		body = c.load.AppendEvent(body[:0], time.Now())
		f := frame{out: mem.BufferSlice{mem.SliceBuffer(body)}}
		begin := time.Now()
		if err := c.conn.Invoke(ctx, pb.EventBus_PublishEvent_FullMethodName, &f, &f); err != nil {
			return fmt.Errorf("publish of %s: %w", c.name, err)
		}
		c.answered(begin, 1, 0)
	}
}
