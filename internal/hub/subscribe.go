package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/wal"
)

// Bounds on one Delivery. Its bytes stay below the pool's and HTTP/2's common
// sizes, so that a slow reader costs two such buffers and no more.
const (
	deliveryBytes     = 30 << 10
	deliveryEvents    = 512
	deliveryMaxEvents = 4096
)

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
// client that stays connected for long confirms with a second, short Subscribe
// with the same cursor and from_offset, which it may end at once.
func (b *bus) Subscribe(req *pb.SubscribeRequest, stream grpc.ServerStreamingServer[pb.Delivery]) error {
	ctx := stream.Context()
	c, err := callerOf(ctx)
	if err != nil {
		return err
	}
	m, err := newMatcher(req.GetFilter())
	if err != nil {
		b.metrics.fail("bad_subscription")
		return status.Error(codes.InvalidArgument, err.Error())
	}
	name, from, err := b.start(ctx, c, req)
	if err != nil {
		return err
	}
	reader, err := b.log.NewReader(from)
	if err != nil {
		return logStatus(err)
	}
	d := &delivery{
		bus: b, stream: stream, reader: reader, matcher: m, next: from, sent: from,
		most: deliveryEvents, sentAt: b.now(), follow: !req.GetNoFollow(),
	}
	if n := int(req.GetMaxBatch()); n > 0 {
		d.most = min(n, deliveryMaxEvents)
	}
	d.entry = b.subscriptions.add(&subscription{
		identity: c.Publisher, cursor: name, hold: req.GetHold() && name != "", from: from, since: d.sentAt,
	})
	b.logger.Debug("subscription began", obs.KeyIdentity, c.Publisher, obs.KeyOffset, from, obs.KeyCursor, name)
	err = d.run(ctx)
	b.subscriptions.remove(d.entry)
	if err := reader.Close(); err != nil {
		b.logger.Warn("subscription left a file open", obs.KeyError, err)
	}
	return err
}

// start finds the first offset that is wanted, and moves the cursor.
func (b *bus) start(ctx context.Context, c caller, req *pb.SubscribeRequest) (cursor string, from wal.Offset, err error) {
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
		if from, err = offsetAt(ctx, b.log, start.FromTime.AsTime()); err != nil {
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
	if err := b.subscriptions.mayOpen(name, b.log.Cursors()); err != nil {
		b.metrics.fail("too_many_cursors")
		return "", 0, err
	}
	cur, err := b.log.Cursor(name, req.GetHold())
	if err != nil {
		return "", 0, logStatus(err)
	}
	defer func() { err = errors.Join(err, cur.Close()) }()
	if req.GetStart() == nil {
		return name, min(cur.Offset(), stat.NextOffset), nil
	}
	if err := cur.Commit(from); err != nil {
		b.limiter.log("cursor_commit", "cursor not moved", slog.String(obs.KeyCursor, name), slog.Any(obs.KeyError, err))
		return "", 0, logStatus(err)
	}
	return name, from, nil
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
	case errors.Is(err, wal.ErrClosed):
		return errStopping
	case errors.Is(err, wal.ErrDiskFull), errors.Is(err, wal.ErrReadOnly):
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
	reader  *wal.Reader
	matcher *matcher
	entry   *subscription
	most    int
	follow  bool

	buf    []byte     // events of the Delivery that is being filled, encoded
	count  int        // of them
	logged []byte     // logged_time of the present record, encoded
	next   wal.Offset // everything before it was looked at
	sent   wal.Offset // next as the client knows it
	sentAt time.Time
	atTail bool   // the client knows that it has reached the tail
	looked int    // records since the clock was read
	lost   string // reason of a bad place that was met, until a record follows
}

// run sends until the client leaves, the hub stops or, without follow, the tail.
func (d *delivery) run(ctx context.Context) error {
	for {
		e, ok, err := d.reader.TryNext()
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

// record looks at one record. Offsets that are missing before it are a gap.
func (d *delivery) record(e *wal.Entry) error {
	if e.Kind != wal.KindEvents {
		return nil
	}
	if e.First > d.next {
		if err := d.gap(e.First, d.whyGone()); err != nil {
			return err
		}
	}
	d.lost = ""
	d.logged = appendTime(d.logged[:0], e.Received)
	for offset, encoded := range e.Events() {
		if offset < d.next {
			continue
		}
		if !d.matcher.match(encoded) {
			d.next = offset + 1
			continue
		}
		if d.count > 0 && (d.count >= d.most || len(d.buf)+len(encoded) > deliveryBytes) {
			if err := d.flush(nil); err != nil {
				return err
			}
		}
		d.buf = appendStored(d.buf, offset, d.logged, e.Publisher, encoded)
		d.count++
		d.next = offset + 1
	}
	d.next = max(d.next, e.First+wal.Offset(e.Count))
	return d.progress()
}

// whyGone says why offsets are missing.
func (d *delivery) whyGone() string {
	if d.lost != "" && len(d.reader.Gaps()) == 0 {
		return d.lost
	}
	return "removed by retention"
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

// tail sends what there is when the end of the log is reached.
func (d *delivery) tail() error {
	if at := d.reader.Offset(); at > d.next {
		return d.gap(at, d.whyGone())
	}
	if d.count == 0 && d.next == d.sent && d.atTail {
		return nil
	}
	d.atTail = true
	return d.flush(nil)
}

// damage turns a bad place of the log into a gap; any other error ends the stream.
func (d *delivery) damage(err error) error {
	bad, ok := errors.AsType[*wal.CorruptionError](err)
	if !ok {
		return logStatus(err)
	}
	d.bus.limiter.log("damaged_log", "subscription met damage in the log",
		slog.String(obs.KeySegment, bad.Segment), slog.Uint64(obs.KeyOffset, bad.First), slog.String(obs.KeyReason, bad.Reason))
	d.lost = "damaged: " + clip(bad.Reason)
	if bad.Next <= d.next {
		return nil // what follows tells how much is missing
	}
	return d.gap(bad.Next, d.lost)
}

// gap tells the client that the offsets up to to are gone.
func (d *delivery) gap(to wal.Offset, reason string) error {
	if err := d.flushEvents(); err != nil {
		return err
	}
	g := &pb.Gap{FromOffset: d.next, ToOffset: to, Reason: reason}
	d.next = to
	return d.flush(g)
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
	out := message{data: mem.BufferSlice{mem.Copy(d.buf, mem.DefaultBufferPool())}}
	err := d.stream.SendMsg(&out)
	if err != nil {
		return err
	}
	d.bus.metrics.sent.Add(float64(d.count))
	d.entry.delivered(d.next, d.count)
	if cap(d.buf) > 4*deliveryBytes {
		d.buf = nil // a huge event went through
	}
	d.buf, d.count, d.sent, d.sentAt = d.buf[:0], 0, d.next, d.bus.now()
	return nil
}
