// Package tail follows the hub's log from outside and prints what it gets: what
// `amoskys tail` does. It reconnects by itself and goes on where it was.
package tail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Options says what to follow and how to show it.
type Options struct {
	Hub     string         // host:port
	Files   identity.Files // of a role that may subscribe
	Request *pb.SubscribeRequest
	Limit   uint64 // stop after so many events; 0 for no limit
	// Print shows one event, Notice a line about the stream itself: a gap, a lost
	// connection.
	Print  func(*pb.StoredEvent) error
	Notice func(string)
	// Explain words an error of a call for people; nil gives what the hub said.
	Explain func(error) error
}

// errLimit ends a run that has shown enough.
var errLimit = errors.New("limit reached")

// Bounds on the pause before a new attempt.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Run follows until ctx ends, the limit is reached or, with no_follow, the tail.
// It returns nil then, and an error for what trying again cannot mend, or when the
// very first connection fails.
func Run(ctx context.Context, o Options) error {
	conn, err := dial(&o)
	if err != nil {
		return err
	}
	defer conn.Close()
	f := &follower{o: &o, client: pb.NewEventBusClient(conn), left: o.Limit}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		before := f.progress
		err := f.once(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, errLimit), errors.Is(err, io.EOF):
			return nil
		case !f.connected, !temporary(err):
			return fmt.Errorf("follow events: %w", o.explain(err))
		}
		if f.progress != before {
			pause = firstPause
		}
		o.Notice(fmt.Sprintf("lost the hub (%v), trying again", o.explain(err)))
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func dial(o *Options) (*grpc.ClientConn, error) {
	host, _, err := net.SplitHostPort(o.Hub)
	if err != nil {
		return nil, fmt.Errorf("address of the hub %q: %w", o.Hub, err)
	}
	cfg, err := identity.ClientConfig(o.Files, identity.ClientOptions{ServerName: host})
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("dns:///"+o.Hub,
		grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 2, MaxDelay: lastPause},
			MinConnectTimeout: 10 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to the hub at %s: %w", o.Hub, err)
	}
	return conn, nil
}

// follower keeps the place between attempts.
type follower struct {
	o         *Options
	client    pb.EventBusClient
	connected bool   // once at least
	progress  uint64 // deliveries received
	left      uint64
}

// once subscribes and reads until the stream ends.
func (f *follower) once(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := f.client.Subscribe(ctx, f.o.Request)
	if err != nil {
		return err
	}
	for {
		d, err := stream.Recv()
		if err != nil {
			return err
		}
		f.connected = true
		f.progress++
		if g := d.GetGap(); g != nil {
			f.o.Notice(fmt.Sprintf("offsets %d to %d are gone: %s", g.GetFromOffset(), g.GetToOffset()-1, g.GetReason()))
		}
		for _, e := range d.GetEvents() {
			if err := f.o.Print(e); err != nil {
				return printError{err}
			}
			f.resume(e.GetOffset() + 1)
			if f.left > 0 {
				if f.left--; f.left == 0 {
					return errLimit
				}
			}
		}
		f.resume(d.GetNextOffset())
	}
}

// resume makes the next attempt start behind what has been shown.
func (f *follower) resume(next uint64) {
	f.o.Request.Start = &pb.SubscribeRequest_FromOffset{FromOffset: next}
}

// printError is a failure on our side of the stream, such as a closed pipe.
type printError struct{ error }

func (e printError) Unwrap() error { return e.error }

// temporary reports whether trying again can help.
func temporary(err error) bool {
	if _, ours := errors.AsType[printError](err); ours {
		return false
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.Internal, codes.Unknown, codes.DeadlineExceeded:
		return true
	default:
		return false
	}
}

// explain takes gRPC's words off an error, and says more where the caller can.
func (o *Options) explain(err error) error {
	if o.Explain != nil {
		return o.Explain(err)
	}
	if s, ok := status.FromError(err); ok {
		return errors.New(s.Message())
	}
	return err
}
