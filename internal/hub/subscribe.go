package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// Bounds on one Delivery of events. Its bytes stay below the pool's and HTTP/2's common
// sizes, so that a slow reader costs two such buffers and no more. Blocks have larger
// ones while there is room for them (blocks.go).
const (
	deliveryBytes     = 30 << 10
	deliveryEvents    = 512
	deliveryMaxEvents = 4096
)

// queryRefused is what a client is told that sends a query, as those of before did.
const queryRefused = "the hub chooses events by types, agents, hosts and severity alone: a query is applied by who reads, " +
	"as amoskys tail and the dashboard do; update the program that sent one"

// progressEvery is how often a subscription whose filter matches nothing is told
// how far the hub has looked, and progressCheck how many records pass between
// looks at the clock.
const (
	progressEvery = time.Second
	progressCheck = 64
)

// Subscribe streams events in log order.
//
// A cursor is a durable place in the log under the caller's name. The hub never
// moves it for having sent something, since sent is not received: the client
// moves it, by naming it in a Subscribe with from_offset, which says "all before
// this offset is safe with me". That happens by itself when it reconnects; a
// client that stays connected confirms with CommitCursor.
func (b *bus) Subscribe(req *pb.SubscribeRequest, out grpc.ServerStreamingServer[pb.Delivery]) error {
	ctx := out.Context()
	c, err := callerOf(ctx)
	if err != nil {
		return err
	}
	if strings.TrimSpace(req.GetFilter().GetQuery()) != "" {
		return b.badSubscription("%s", queryRefused)
	}
	m := event.NewSelector(req.GetFilter())
	name, from, err := b.start(ctx, c, req)
	if err != nil {
		return err
	}
	d := &delivery{
		bus: b, stream: out, caller: c, matcher: m, next: from, sent: from,
		most: deliveryEvents, sentAt: b.now(), follow: !req.GetNoFollow(),
	}
	if req.GetBlocks() && m == nil {
		d.blocks = newBlockWanted(req.GetCodecs())
	}
	if d.reader, err = stream.Follow(ctx, b.log, from, d.patience()); err != nil {
		return logStatus(err)
	}
	if n := int(req.GetMaxBatch()); n > 0 {
		d.most = min(n, deliveryMaxEvents)
	}
	d.entry = b.subscriptions.add(&subscription{
		identity: c.Publisher, cursor: name, hold: req.GetHold() && name != "", from: from, since: d.sentAt,
	})
	b.logger.Debug("subscription began", obs.KeyIdentity, c.Publisher, obs.KeyOffset, from, obs.KeyCursor, name)
	err = d.run(ctx)
	d.letGo()
	if ctx.Err() != nil {
		d.abandon()
	}
	b.subscriptions.remove(d.entry)
	if err := d.reader.Close(); err != nil {
		b.logger.Warn("subscription left a file open", obs.KeyError, err)
	}
	return err
}

// start finds the first offset that is wanted, and moves the cursor.
func (b *bus) start(ctx context.Context, c caller, req *pb.SubscribeRequest) (cursor string, from stream.Offset, err error) {
	stat := b.log.Stat()
	switch start := req.GetStart().(type) {
	case *pb.SubscribeRequest_FromOffset:
		from = start.FromOffset
	case *pb.SubscribeRequest_FromTail:
		from = stat.NextOffset
	case *pb.SubscribeRequest_FromTime:
		if err := start.FromTime.CheckValid(); err != nil {
			return "", 0, b.badSubscription("from_time: %v", err)
		}
		if from, err = b.log.OffsetAt(ctx, start.FromTime.AsTime()); err != nil {
			return "", 0, logStatus(err)
		}
	default:
		from = stat.FirstOffset
	}
	if from > stat.NextOffset {
		return "", 0, status.Errorf(codes.OutOfRange, "offset %d is beyond the end of the log, which is %d", from, stat.NextOffset)
	}
	if req.GetCursor() == "" {
		return "", from, nil
	}
	name, err := cursorName(c.ID, req.GetCursor())
	if err != nil {
		return "", 0, b.badSubscription("%v", err)
	}
	at, err := b.openCursor(ctx, name, req.GetHold())
	if err != nil {
		return "", 0, err
	}
	if req.GetStart() == nil {
		return name, min(at, stat.NextOffset), nil
	}
	if err := b.log.CommitCursor(ctx, name, from); err != nil {
		b.limiter.Warn("cursor_commit", "cursor not moved", slog.String(obs.KeyCursor, name), slog.Any(obs.KeyError, err))
		return "", 0, logStatus(err)
	}
	return name, from, nil
}

// openCursor opens a cursor if there may be one more; one after the other, because
// each looks at how many there are.
func (b *bus) openCursor(ctx context.Context, name string, hold bool) (stream.Offset, error) {
	b.subscriptions.opening.Lock()
	defer b.subscriptions.opening.Unlock()
	if err := b.subscriptions.mayOpen(name, b.log.ListCursors()); err != nil {
		b.metrics.fail("too_many_cursors")
		return 0, err
	}
	at, err := b.log.OpenCursor(ctx, name, hold)
	if err != nil {
		return 0, logStatus(err)
	}
	return at, nil
}

func (b *bus) badSubscription(format string, args ...any) error {
	b.metrics.fail("bad_subscription")
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// logStatus is what a reader is told when the log cannot serve it.
func logStatus(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, stream.ErrClosed):
		return errStopping
	case errors.Is(err, stream.ErrFull), errors.Is(err, stream.ErrReadOnly):
		t := troubleOf(err)
		return status.Error(codes.Unavailable, t.text)
	default:
		return status.Error(codes.Unavailable, "the log cannot be read now")
	}
}

// delivery is one subscription at work. It owns one buffer.
type delivery struct {
	bus     *bus
	stream  grpc.ServerStream
	caller  caller
	reader  *stream.Follower
	matcher *event.Selector
	blocks  *blockWanted // nil for a client that gets events
	entry   *subscription
	most    int
	follow  bool

	buf    []byte         // events or blocks of the Delivery that is being filled, encoded
	large  *largeBuffer   // what buf lies in, nil where it is the delivery's own
	given  []*largeBuffer // that gRPC may still have
	count  int            // of the events in buf
	packed bool           // buf holds blocks
	logged []byte         // logged_time of the present record, encoded
	next   stream.Offset  // everything before it was looked at
	sent   stream.Offset  // next as the client knows it
	sentAt time.Time
	atTail bool // the client knows that it has reached the tail
	looked int  // records since the clock was read
}

// patience is how the delivery takes what cannot be read: the client gets what was
// read before, the status says why the rest is late, and nothing ends.
func (d *delivery) patience() stream.FollowOptions {
	o := stream.FollowOptions{Trouble: func(err error) {
		if err == nil {
			d.entry.trouble.Store(nil)
			return
		}
		d.bus.limiter.Warn("unreadable_log", "subscription cannot read the log now",
			slog.String(obs.KeyIdentity, d.entry.identity), slog.Uint64(obs.KeyOffset, d.reader.Offset()), slog.Any(obs.KeyError, err))
		why := "the log cannot be read now"
		d.entry.trouble.Store(&why)
		_ = d.flushEvents() // a client that has gone ends the context too
	}}
	if !d.follow {
		end := d.bus.log.Stat().NextOffset
		o.End = func() stream.Offset { return end }
	}
	return o
}

// run sends until the client leaves, the hub stops or, without follow, the tail.
func (d *delivery) run(ctx context.Context) error {
	for {
		e, ok, err := d.reader.TryNext(ctx)
		if err == nil && !ok {
			if err := d.tail(); err != nil {
				return err
			}
			if !d.follow {
				return nil
			}
			e, err = d.reader.Next(ctx)
		}
		if err != nil {
			if err := d.damage(err); err != nil {
				return err
			}
			continue
		}
		if err := d.record(e); err != nil {
			return err
		}
	}
}

// record looks at one record.
func (d *delivery) record(e *stream.Entry) (err error) {
	d.logged = appendTime(d.logged[:0], e.Received)
	if d.blocks != nil {
		err = d.block(e)
	} else {
		err = d.events(e)
	}
	if err != nil {
		return err
	}
	d.next = max(d.next, e.Next)
	return d.progress()
}

// events sends the events of a record that match.
func (d *delivery) events(e *stream.Entry) error {
	for again := true; again; {
		var err error
		if again, err = d.eventsOnce(e); err != nil {
			return err
		}
	}
	return d.missing(e)
}

// eventsOnce adds the record's events to Deliveries. It reports true where it has to go
// on from a record that is unpacked again.
func (d *delivery) eventsOnce(e *stream.Entry) (again bool, err error) {
	for offset, encoded := range e.Events() {
		if offset < d.next {
			continue
		}
		if !d.matcher.Match(encoded) {
			d.next = offset + 1
			continue
		}
		if d.count > 0 && (d.packed || d.count >= d.most || len(d.buf)+len(encoded) > deliveryBytes) {
			if kept, err := d.flushWithin(e); err != nil || !kept {
				return err == nil, err
			}
		}
		d.buf = appendStored(d.buf, offset, d.logged, e.Publisher, encoded)
		d.count++
		d.next = offset + 1
	}
	return false, nil
}

// flushWithin sends one Delivery in the middle of a record. A client that does not read
// holds that up, and with it what the record was unpacked into, which may be a megabyte of
// a record of a hundred bytes: it stays where there is room for it among the large
// buffers. Else it is let go of, and kept is false.
func (d *delivery) flushWithin(e *stream.Entry) (kept bool, err error) {
	held := int64(e.Held())
	if held > 0 {
		if !d.bus.large.enter(d.caller.Publisher, held) {
			e.Release()
			return false, d.flush(nil)
		}
		defer d.bus.large.leave(d.caller.Publisher, held)
	}
	return true, d.flush(nil)
}

// missing tells the client of what a record should hold and does not give back.
func (d *delivery) missing(e *stream.Entry) error {
	if gap := e.Missing(d.next); gap != nil {
		return d.damage(gap)
	}
	return nil
}

// progress tells the client now and then how far the hub has looked.
func (d *delivery) progress() error {
	if d.looked++; d.looked < progressCheck {
		return nil
	}
	d.looked = 0
	if d.bus.now().Sub(d.sentAt) < progressEvery {
		return nil
	}
	return d.flush(nil)
}

// tail sends what there is when the end of the log is reached. What follows may be
// long in coming, so nothing is held for it.
func (d *delivery) tail() error {
	if d.count == 0 && d.next == d.sent && d.atTail {
		return nil
	}
	d.atTail = true
	defer d.letGo()
	return d.flush(nil)
}

// damage tells the client of a gap; any other error ends the stream.
func (d *delivery) damage(err error) error {
	gap, ok := errors.AsType[*stream.Gap](err)
	if !ok {
		return logStatus(err)
	}
	if gap.Cause != stream.CauseRemoved {
		d.bus.limiter.Warn("damaged_log", "subscription met damage in the log", slog.String(obs.KeySegment, gap.Place),
			slog.Uint64(obs.KeyOffset, gap.From), slog.String(obs.KeyReason, gap.Reason))
	}
	if gap.To <= d.next {
		return nil
	}
	if err := d.flushEvents(); err != nil {
		return err
	}
	told := &pb.Gap{FromOffset: max(d.next, gap.From), ToOffset: gap.To, Reason: clip(gap.Reason), Cause: string(gap.Cause)}
	d.next = gap.To
	return d.flush(told)
}

func (d *delivery) flushEvents() error {
	if d.count == 0 {
		return nil
	}
	return d.flush(nil)
}

// flush sends one Delivery.
func (d *delivery) flush(g *pb.Gap) error {
	if g != nil {
		body, err := proto.Marshal(g)
		if err != nil {
			return fmt.Errorf("encode gap: %w", err)
		}
		d.buf = protowire.AppendBytes(protowire.AppendTag(d.buf, 3, protowire.BytesType), body)
	}
	d.buf = appendProgress(d.buf, d.next, max(d.next, d.bus.log.Stat().NextOffset))
	out := message{data: mem.BufferSlice{d.encoded()}}
	err := d.stream.SendMsg(&out)
	if err != nil {
		return err
	}
	d.bus.metrics.sent.Add(float64(d.count))
	d.entry.delivered(d.next, d.count, d.bus.now())
	d.count, d.packed, d.sent, d.sentAt = 0, false, d.next, d.bus.now()
	return nil
}

// encoded is what was filled, for gRPC, and leaves the delivery with nothing filled. A
// large buffer goes with it, unless there is little in it.
func (d *delivery) encoded() mem.Buffer {
	if d.large != nil && len(d.buf) > deliveryBytes {
		b := d.large.give(d.buf)
		d.given = append(slices.DeleteFunc(d.given, (*largeBuffer).isBack), d.large)
		d.buf, d.large = nil, nil
		return b
	}
	b := mem.Copy(d.buf, mem.DefaultBufferPool())
	if d.large == nil && cap(d.buf) > 4*deliveryBytes {
		d.buf = nil // a huge event went through
	}
	d.buf = d.buf[:0]
	return b
}
