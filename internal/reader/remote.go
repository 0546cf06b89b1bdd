package reader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/stream"
)

// Remote reads the log of a hub by gRPC, with the role of the connection's
// certificate. The cursor's name is the hub's to complete. It is the one place that
// calls Subscribe: without a filter it asks for whole blocks as they are stored, and
// splits them here, so that the hub has next to nothing to do for an event.
type Remote struct {
	conn    grpc.ClientConnInterface
	cursors pb.CursorsClient
	tail    atomic.Uint64
}

var _ Source = (*Remote)(nil)

// NewRemote returns a source behind a connection, which the caller closes.
func NewRemote(conn grpc.ClientConnInterface) *Remote {
	return &Remote{conn: conn, cursors: pb.NewCursorsClient(conn)}
}

// BulkOptions are those of a connection by which much is read: windows of 4 MiB, which
// are this side's memory when its consumer is slower than the hub.
func BulkOptions() []grpc.DialOption {
	const window, buffer = 4 << 20, 128 << 10
	return []grpc.DialOption{
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window), grpc.WithReadBufferSize(buffer),
	}
}

// largestMessage is more than any hub sends.
const largestMessage = 64 << 20

// errHubEnded is what a stream that follows should not do.
var errHubEnded = errors.New("the hub ended the subscription")

// Open implements Source. Where a cursor stands, the first delivery tells: until then
// it is not known, and waited for.
func (r *Remote) Open(ctx context.Context, req Request) (Feed, stream.Offset, error) {
	ctx, cancel := context.WithCancel(ctx)
	s, err := r.subscribe(ctx, ask(&req))
	if err != nil {
		cancel()
		return nil, 0, fmt.Errorf("subscribe: %w", err)
	}
	f := &remoteFeed{
		remote: r, stream: s, cancel: cancel, trouble: req.Trouble, follow: !req.NoFollow,
		assembler: newAssembler(&req, nil, req.Start.Offset),
	}
	if f.trouble == nil {
		f.trouble = func(error) {}
	}
	return f, req.Start.Offset, nil
}

// ask words a request for the hub.
func ask(req *Request) *pb.SubscribeRequest {
	ask := &pb.SubscribeRequest{
		Cursor: req.Cursor, Hold: req.Hold, Filter: req.Filter, MaxBatch: uint32(max(req.MaxEvents, 0)), NoFollow: req.NoFollow,
	}
	if event.NewSelector(req.Filter) == nil && req.Filter.GetQuery() == "" {
		ask.Blocks = true
		for _, c := range codec.Known() {
			ask.Codecs = append(ask.Codecs, pb.Codec(c))
		}
	}
	switch {
	case req.Cursor != "" && !req.Move: // begins where the cursor is; what was had is left out
	case req.Start.Tail:
		ask.Start = &pb.SubscribeRequest_FromTail{FromTail: true}
	case !req.Start.Time.IsZero():
		ask.Start = &pb.SubscribeRequest_FromTime{FromTime: timestamppb.New(req.Start.Time)}
	case req.Start.Offset > 0 || req.Resume: // else the hub begins at the oldest event
		ask.Start = &pb.SubscribeRequest_FromOffset{FromOffset: req.Start.Offset}
	}
	return ask
}

// subscribe is the generated client's Subscribe, whose answers stay encoded.
func (r *Remote) subscribe(ctx context.Context, ask *pb.SubscribeRequest) (grpc.ClientStream, error) {
	s, err := r.conn.NewStream(ctx, subscribeDesc(), pb.EventBus_Subscribe_FullMethodName,
		grpc.ForceCodecV2(newRawCodec()), grpc.MaxCallRecvMsgSize(largestMessage))
	if err != nil {
		return nil, err
	}
	if err := s.SendMsg(ask); err != nil && !errors.Is(err, io.EOF) {
		return nil, err // io.EOF: receiving says why
	}
	return s, s.CloseSend()
}

func subscribeDesc() *grpc.StreamDesc {
	all := pb.EventBus_ServiceDesc.Streams
	i := slices.IndexFunc(all, func(d grpc.StreamDesc) bool { return d.StreamName == "Subscribe" })
	return &all[i]
}

// Commit implements Source.
func (r *Remote) Commit(ctx context.Context, cursor string, off stream.Offset) error {
	_, err := r.cursors.CommitCursor(ctx, &pb.CommitCursorRequest{Cursor: cursor, Offset: off})
	return err
}

// Tail implements Source.
func (r *Remote) Tail() stream.Offset { return r.tail.Load() }

// rawCodec leaves a message that is received into a *frame encoded.
type rawCodec struct{ encoding.CodecV2 }

func newRawCodec() rawCodec { return rawCodec{encoding.GetCodecV2(grpcproto.Name)} }

// frame is a message that was received. Its bytes are used again for the next.
type frame struct{ bytes []byte }

// Unmarshal copies what came, once.
func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	if cap(f.bytes) > keepBytes {
		f.bytes = nil // a huge one went through
	}
	f.bytes = slices.Grow(f.bytes[:0], data.Len())[:data.Len()]
	data.CopyTo(f.bytes)
	return nil
}

// remoteFeed turns deliveries into batches.
type remoteFeed struct {
	assembler

	remote  *Remote
	stream  grpc.ClientStream
	cancel  context.CancelFunc
	trouble func(error)
	follow  bool

	message  frame
	delivery delivery
	open     bool // delivery has not been walked to its end
	item     item
	pending  bool           // item is not in a batch to its end
	split    []stream.Entry // blocks whose events are in the batch
	held     int            // bytes that they were unpacked into
}

// Close implements Feed.
func (f *remoteFeed) Close() error {
	f.cancel()
	f.release()
	return nil
}

// Next implements Feed. Its own stream's context ends it.
func (f *remoteFeed) Next(ctx context.Context) (*Batch, error) {
	f.release()
	f.begin()
	if f.gap == nil && !f.open {
		if err := f.receive(ctx); err != nil {
			return nil, err
		}
	}
	for f.open && f.gap == nil && !f.full() && f.held < keepBytes {
		if err := f.step(); err != nil {
			return nil, fmt.Errorf("receive: %w", err)
		}
	}
	if f.gap != nil && f.empty() {
		return f.pass(f.delivery.tail), nil
	}
	return f.done(f.delivery.tail), nil
}

// receive waits for the next delivery.
func (f *remoteFeed) receive(ctx context.Context) error {
	err := f.stream.RecvMsg(&f.message)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF) && !f.follow:
		return io.EOF
	case errors.Is(err, io.EOF):
		return errHubEnded
	case err == nil:
		err = f.delivery.open(f.message.bytes)
	}
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	f.open = true
	f.trouble(nil)
	f.remote.tail.Store(f.delivery.tail)
	return nil
}

// step takes the next event, block or part of a block into the batch.
func (f *remoteFeed) step() (err error) {
	if !f.pending {
		if f.pending, err = f.delivery.read(&f.item); err != nil {
			return err
		}
	}
	switch gap := f.delivery.gap; {
	case !f.pending:
		f.end()
	case gap != nil && gap.To <= f.item.first():
		f.noteGap()
	case f.item.isBlock:
		f.takeBlock(&f.item.block)
	default:
		f.takeEvent(&f.item.event)
		f.pending = false
	}
	return nil
}

// takeEvent takes an event that the hub sent by itself.
func (f *remoteFeed) takeEvent(e *Event) {
	if e.Offset < f.next {
		return
	}
	if f.match != nil && !f.match.Match(e.Encoded, e.Publisher, e.Offset, e.Logged) {
		f.next = e.Offset + 1
		return
	}
	f.addEvent(e)
}

// takeBlock takes what fits of a block and was not had before.
func (f *remoteFeed) takeBlock(block *stream.Entry) {
	if block.Next <= f.next {
		f.pending = false
		return
	}
	if f.pending = !f.addEntry(block); f.pending || f.blocks {
		return
	}
	if fields, err := block.Fields(); err == nil {
		f.held += len(fields) // more than its events, if there is something else in it
	}
	f.split = append(f.split, *block)
	*block = stream.Entry{}
}

// noteGap has a delivery's gap come next, unless it was had before.
func (f *remoteFeed) noteGap() {
	if gap := f.delivery.gap; gap != nil && gap.To > f.next {
		gap.From = min(gap.From, gap.To) // else it would count as nearly all there is
		f.gap, f.next = gap, max(f.next, gap.From)
	}
	f.delivery.gap = nil
}

// end leaves a delivery that has been walked.
func (f *remoteFeed) end() {
	f.open = false
	if f.noteGap(); f.gap == nil {
		f.next = max(f.next, f.delivery.next)
	}
}

// release lets go of what the events of the last batch lie in.
func (f *remoteFeed) release() {
	for i := range f.split {
		f.split[i].Release()
	}
	clear(f.split)
	f.split, f.held = f.split[:0], 0
}

// causeOf keeps labels bounded, whatever a hub says.
func causeOf(word string) stream.Cause {
	if c := stream.Cause(word); slices.Contains(stream.Causes(), c) {
		return c
	}
	return stream.CauseDamaged
}
