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

	"github.com/amoskys/amoskys/internal/dial"
	"github.com/amoskys/amoskys/internal/identity"
	"github.com/amoskys/amoskys/internal/reader"
)

// Options says what to follow and how to show it.
type Options struct {
	Hub     string         // host:port
	Files   identity.Files // of a role that may subscribe
	Request reader.Request
	Dial    dial.Func // opens connections; nil means without a proxy
	Limit   uint64    // stop after so many events; 0 for no limit
	// Print shows one event, Notice a line about the stream itself: that it waits, a
	// gap, a lost connection and its return.
	Print  func(*reader.Event) error
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

const (
	// commitEvery is how often at most a cursor moves while events come.
	commitEvery   = time.Second
	commitTimeout = 5 * time.Second
)

// Run follows until ctx ends, the limit is reached or, with NoFollow, the tail.
// It returns nil then, and an error for what trying again cannot mend, or when the
// very first connection fails.
func Run(ctx context.Context, o Options) error {
	conn, err := connect(&o)
	if err != nil {
		return err
	}
	defer conn.Close()
	f := &follower{o: &o, hub: reader.NewRemote(conn), left: o.Limit, quiet: true}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		before := f.progress
		err := f.once(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, errLimit), errors.Is(err, io.EOF):
			if err := f.commit(context.WithoutCancel(ctx)); err != nil {
				return fmt.Errorf("move the cursor: %w", o.explain(err))
			}
			return nil
		case !f.connected, !temporary(err):
			return fmt.Errorf("follow events: %w", o.explain(err))
		}
		if f.progress != before {
			pause = firstPause
		}
		if !f.lost { // once, however often it is tried
			o.Notice(fmt.Sprintf("lost the hub (%v), trying again", o.explain(err)))
		}
		f.lost = true
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func connect(o *Options) (*grpc.ClientConn, error) {
	host, _, err := net.SplitHostPort(o.Hub)
	if err != nil {
		return nil, fmt.Errorf("address of the hub %q: %w", o.Hub, err)
	}
	cfg, err := identity.ClientConfig(o.Files, identity.ClientOptions{ServerName: host})
	if err != nil {
		return nil, err
	}
	return dial.NewClient(o.Hub, o.Dial, credentials.NewTLS(cfg), append(reader.BulkOptions(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 2, MaxDelay: lastPause},
			MinConnectTimeout: 10 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	)...)
}

// follower keeps the place between attempts.
type follower struct {
	o         *Options
	hub       *reader.Remote
	connected bool   // once at least
	lost      bool   // and not back yet
	quiet     bool   // nothing was shown yet, nor said that nothing is there
	progress  uint64 // batches received
	left      uint64
	next      uint64 // all before was shown, if moved says so
	moved     bool   // since the cursor was
	committed time.Time
}

// once subscribes and reads until the stream ends.
func (f *follower) once(ctx context.Context) error {
	feed, _, err := f.hub.Open(ctx, f.o.Request)
	if err != nil {
		return err
	}
	defer func() { _ = feed.Close() }() // of a stream that is done with
	for {
		b, err := feed.Next(ctx)
		if err != nil {
			return err
		}
		f.connected = true
		f.progress++
		if f.lost {
			f.lost = false
			f.o.Notice("the hub is back")
		}
		if err := f.show(b); err != nil {
			return err
		}
		if f.quiet && b.Next >= b.Tail && !f.o.Request.NoFollow {
			f.quiet = false
			f.o.Notice("waiting for events (Ctrl-C ends)")
		}
		if time.Since(f.committed) >= commitEvery {
			if err := f.commit(ctx); err != nil {
				return err
			}
		}
	}
}

// show shows what of a batch was not shown before: where a cursor stands behind that,
// the hub sends it again.
func (f *follower) show(b *reader.Batch) error {
	if b.Tail > 0 && b.Tail < f.next {
		f.next = 0 // the log is another, and its offsets begin anew
	}
	if g := b.Gap; g != nil && g.To > f.next {
		f.o.Notice(fmt.Sprintf("offsets %d to %d are gone: %s", g.From, g.To-1, g.Reason))
	}
	for i := range b.Events {
		e := &b.Events[i]
		if e.Offset < f.next {
			continue
		}
		f.quiet = false
		if err := f.o.Print(e); err != nil {
			return printError{err}
		}
		f.resume(e.Offset + 1)
		if f.left > 0 {
			if f.left--; f.left == 0 {
				return errLimit
			}
		}
	}
	f.resume(max(f.next, b.Next))
	return nil
}

// resume makes the next attempt start behind what has been shown.
func (f *follower) resume(next uint64) {
	f.o.Request.Start, f.o.Request.Resume = reader.Start{Offset: next}, true
	f.next, f.moved = next, true
}

// commit moves the cursor, where there is one, behind what has been shown.
func (f *follower) commit(ctx context.Context) error {
	if f.o.Request.Cursor == "" || !f.moved {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := f.hub.Commit(ctx, f.o.Request.Cursor, f.next); err != nil {
		return err
	}
	f.moved, f.committed = false, time.Now()
	return nil
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
	if said, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok {
		err = said
	}
	if o.Explain != nil {
		return o.Explain(err)
	}
	if s, ok := status.FromError(err); ok {
		return errors.New(s.Message())
	}
	return err
}
