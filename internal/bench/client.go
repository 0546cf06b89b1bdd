package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

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
	ids      numbering
	template *template

	acked   atomic.Uint64 // events, in all
	retried atomic.Uint64 // batches the hub did not take
	latency histogram     // of acks while measuring; the reading goroutine's
}

// newClient connects lazily; the first call dials.
func newClient(i int, o *HubOptions, cfg *tls.Config, p *phase, now time.Time) (*client, error) {
	c := &client{name: fmt.Sprintf("bench_%03d", i), o: o, phase: p}
	var err error
	if c.ids, err = newNumbering(); err != nil {
		return nil, err
	}
	if _, err := rand.Read(c.producer[:]); err != nil {
		return nil, fmt.Errorf("make producer id: %w", err)
	}
	batch := o.Batch
	if o.Unary {
		batch = 1
	}
	if c.template, err = newTemplate(c.name, batch, o.Size, now); err != nil {
		return nil, err
	}
	const buffer = 64 << 10
	c.conn, err = grpc.NewClient("passthrough:///"+o.Target,
		grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newRawCodec())),
		grpc.WithWriteBufferSize(buffer), grpc.WithReadBufferSize(buffer/2),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
	)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", c.name, err)
	}
	return c, nil
}

// answered counts one ack.
func (c *client) answered(sent time.Time, events uint64) {
	c.acked.Add(events)
	if c.phase.measuring.Load() {
		c.latency.add(time.Since(sent))
	}
}

// run publishes until stop is closed and everything sent is acknowledged.
func (c *client) run(ctx context.Context, stop <-chan struct{}) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "amoskys-agent-id", c.name)
	if c.o.Unary {
		return c.runUnary(ctx, stop)
	}
	stream, err := c.conn.NewStream(ctx, &pb.EventBus_ServiceDesc.Streams[0], pb.EventBus_Publish_FullMethodName)
	if err != nil {
		return fmt.Errorf("open stream of %s: %w", c.name, err)
	}
	free := make(chan *request, c.o.InFlight)
	sent := make(chan *request, c.o.InFlight)
	for range c.o.InFlight {
		free <- newRequest(c.template)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(sent)
		return c.send(ctx, stream, stop, free, sent)
	})
	group.Go(func() error { return c.receive(stream, free, sent) })
	return group.Wait()
}

func (c *client) send(ctx context.Context, stream grpc.ClientStream, stop <-chan struct{}, free <-chan *request, sent chan<- *request) error {
	for sequence := uint64(1); ; sequence++ {
		select {
		case <-stop:
			return stream.CloseSend()
		case <-ctx.Done():
			return nil // receive tells why
		case r := <-free:
			r.prepare(&c.producer, sequence, &c.ids)
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
		case a.status != pb.PublishAck_STATUS_OK || a.refused || a.accepted != uint64(len(r.ids)):
			return fmt.Errorf("%s: the hub stored %d of %d events: %+v", c.name, a.accepted, len(r.ids), a) //nolint:err113 // not for deciding on
		default:
			c.answered(r.sentAt, a.accepted)
		}
		free <- r
	}
	return nil
}

// runUnary sends one event at a time.
func (c *client) runUnary(ctx context.Context, stop <-chan struct{}) error {
	r := newRequest(c.template)
	skip := len(c.template.body) - c.o.Size // the field's tag and length
	for {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return nil // another client failed
		default:
		}
		var f frame
		r.prepare(&c.producer, 1, &c.ids)
		f.out = append(r.frame.out[:0], r.frame.out[1].Slice(skip, len(r.body)))
		begin := time.Now()
		if err := c.conn.Invoke(ctx, pb.EventBus_PublishEvent_FullMethodName, &f, &f); err != nil {
			return fmt.Errorf("publish of %s: %w", c.name, err)
		}
		c.answered(begin, 1)
	}
}
