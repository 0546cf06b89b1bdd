package answers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// sliceEvents is how many events of an export are in memory at once, and splitInto
// into how many parts a range with more of them is cut, at least.
const (
	sliceEvents = 4_000
	splitInto   = 64
)

// Export streams what matches, oldest first. It goes through time in slices, each of
// which is read whole, sorted and then sent, so that it needs the same little memory
// for ten events and for a billion, and the engine waits for nobody. It may take as
// long as its client likes.
func (s *Service) Export(req *pb.ExportRequest, stream grpc.ServerStreamingServer[pb.ExportResponse]) error {
	if err := s.away(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	leave, err := s.gate.enter(ctx, share{s.o.Caller(ctx), export})
	if err != nil {
		return err
	}
	defer leave()
	ctx, account := s.withAccount(ctx)
	defer account.release()
	return s.closing(s.export(ctx, account, req, stream))
}

func (s *Service) export(ctx context.Context, account *account, req *pb.ExportRequest, stream grpc.ServerStreamingServer[pb.ExportResponse]) error {
	q, err := s.question(ctx, req.GetFilter(), rangeOf(req.GetSince(), req.GetUntil()))
	if err != nil {
		return err
	}
	lacks, err := s.lacks(ctx, q)
	if err != nil {
		return err
	}
	x := &exporter{s: s, q: q, account: account, stream: stream, limit: req.GetLimit()}
	for _, r := range q.held {
		n, err := x.counted(ctx, r)
		if err != nil {
			return err
		}
		x.ranges, x.expected = append(x.ranges, ranged{r, n}), x.expected+n
	}
	if x.limit > 0 {
		x.expected = min(x.expected, x.limit)
	}
	if err := stream.Send(&pb.ExportResponse{Expected: x.expected, CompleteToOffset: q.next}); err != nil {
		return err //nolint:wrapcheck // gRPC's own, to gRPC
	}
	for _, r := range x.ranges {
		if err := x.send(ctx, r); errors.Is(err, errStop) {
			break
		} else if err != nil {
			return err
		}
	}
	if x.sent < x.expected {
		lacks = append(lacks, &pb.Lack{
			Place: placeStore, Count: x.expected - x.sent, Reason: "events were removed or set aside while they were exported",
		})
	}
	for _, l := range s.knownLacks(q) { // a node may have gone away since it began
		same := func(known *pb.Lack) bool {
			return known.GetReason() == l.GetReason() && proto.Equal(known.GetSince(), l.GetSince())
		}
		if len(lacks) < maxLacks && !slices.ContainsFunc(lacks, same) {
			lacks = append(lacks, l)
		}
	}
	return stream.Send(&pb.ExportResponse{Done: true, Lacks: lacks, CompleteToOffset: q.next, Thinned: s.thinned(q)}) //nolint:wrapcheck // gRPC's own, to gRPC
}

// ranged is a range with the number of matches in it.
type ranged struct {
	span
	n uint64
}

// exporter is one export.
type exporter struct {
	s       *Service
	q       *question
	account *account // of the slice that is in memory
	stream  grpc.ServerStreamingServer[pb.ExportResponse]
	ranges  []ranged

	limit, expected, sent uint64
}

// bounded gives one query of an export its time.
func (x *exporter) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, x.s.o.Limits.Time)
}

// patient asks again where others hold all the memory that answers may take, as long as
// one query may take: an export of hours is not to end over a page that somebody reads.
func (x *exporter) patient(ctx context.Context, ask func(context.Context) error) error {
	for began := time.Now(); ; {
		bounded, cancel := x.bounded(ctx)
		err := ask(bounded)
		cancel()
		if err == nil || !x.account.wasRefused() || time.Since(began) > x.s.o.Limits.Time {
			return err
		}
		x.account.release()
		select {
		case <-time.After(roomPause):
		case <-ctx.Done():
			return err
		}
	}
}

// roomPause is how long an export waits for room before it asks again.
const roomPause = time.Second

// counted counts the matches of a range.
func (x *exporter) counted(ctx context.Context, r span) (n uint64, err error) {
	ctx, cancel := x.bounded(ctx)
	defer cancel()
	text := x.q.text(r, true) + " | stats count() n"
	return n, x.s.ask(ctx, x.q.query(text), func(fields []vlogs.Field) (err error) {
		n, err = number(fields, "n")
		return err
	})
}

// send sends the events of a range, in slices if they are many.
func (x *exporter) send(ctx context.Context, r ranged) error {
	switch {
	case r.n == 0:
		return nil
	case r.n <= sliceEvents:
		return x.slice(ctx, r.span)
	case r.until-r.since <= 1:
		return x.instant(ctx, r.span)
	}
	parts, err := x.split(ctx, r.span)
	x.account.release() // 64 numbers
	if err != nil {
		return err
	}
	var open ranged // small parts that lie side by side are one slice
	for _, part := range parts {
		if open.n+part.n <= sliceEvents {
			if open.n == 0 {
				open.since = part.since
			}
			open.until, open.n = part.until, open.n+part.n
			continue
		}
		if err := x.send(ctx, open); err != nil {
			return err
		}
		open = ranged{}
		if part.n <= sliceEvents {
			open = part
			continue
		}
		if err := x.send(ctx, part); err != nil {
			return err
		}
	}
	return x.send(ctx, open)
}

// split counts the parts of a range, oldest first. Each is shorter than the range.
func (x *exporter) split(ctx context.Context, r span) ([]ranged, error) {
	ctx, cancel := x.bounded(ctx)
	defer cancel()
	step := max((r.until-r.since)/splitInto, 1)
	var parts []ranged
	text := fmt.Sprintf("%s | stats by (_time:%dns) count() n", x.q.text(r, true), step)
	err := x.s.ask(ctx, x.q.query(text), func(fields []vlogs.Field) error {
		at, err := instant(fields, fieldTime)
		if err != nil {
			return err
		}
		n, err := number(fields, "n")
		parts = append(parts, ranged{span{at, at + step}.clip(r), n})
		return err
	})
	slices.SortFunc(parts, func(a, b ranged) int { return cmp.Compare(a.since, b.since) })
	return parts, err
}

// slice sends the events of a short range. If they are too large together, it halves it.
func (x *exporter) slice(ctx context.Context, r span) error {
	var events []timed
	err := x.patient(ctx, func(ctx context.Context) error {
		events = nil
		return x.s.ask(ctx, x.q.query(x.q.text(r, true)+withoutStreams), func(fields []vlogs.Field) error {
			at, err := instant(fields, fieldTime)
			if err != nil {
				return err
			}
			e, err := x.s.eventOf(fields)
			events = append(events, timed{key{at, e.GetOffset()}, e})
			return err
		})
	})
	if errors.Is(err, errTooLarge) {
		events = nil
		x.account.release()
		if r.until-r.since <= 1 {
			return x.instant(ctx, r)
		}
		middle := r.since + (r.until-r.since)/2
		if err := x.slice(ctx, span{r.since, middle}); err != nil {
			return err
		}
		return x.slice(ctx, span{middle, r.until})
	}
	if err != nil {
		return err
	}
	slices.SortFunc(events, func(a, b timed) int { return a.compare(b.key) })
	list := make([]*pb.StoredEvent, len(events))
	for i := range events {
		list[i] = events[i].event
	}
	return x.deliver(list)
}

// timed is an event with its place in order.
type timed struct {
	key

	event *pb.StoredEvent
}

// instant sends the events of one instant, of which there are more than a slice
// holds: in pages, by offset.
func (x *exporter) instant(ctx context.Context, r span) error {
	one := *x.q
	one.held = []span{r}
	for p := (page{n: maxLimit, oldestFirst: true}); ; {
		var keys []key
		var more bool
		var events []*pb.StoredEvent
		var read int
		err := x.patient(ctx, func(ctx context.Context) (err error) {
			if keys, more, err = x.s.find(ctx, &one, p); err == nil {
				events, read, err = x.s.fetch(ctx, keys, maxPageBytes)
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := x.deliver(events); err != nil {
			return err
		}
		if !more && read == len(keys) {
			return nil
		}
		p.behind = &keys[read-1]
	}
}

// deliver sends events, and errStop when there are as many as were asked for.
func (x *exporter) deliver(events []*pb.StoredEvent) error {
	defer x.account.release()
	stop := false
	if x.limit > 0 && uint64(len(events)) >= x.limit-x.sent {
		events, stop = events[:x.limit-x.sent], true
	}
	for begin := 0; begin < len(events); {
		end, bytes := begin, 0
		for end < len(events) && (bytes < messageBytes || end == begin) {
			bytes += len(events[end].GetEvent()) + len(events[end].GetPublisher())
			end++
		}
		if err := x.stream.Send(&pb.ExportResponse{Events: events[begin:end]}); err != nil {
			return err //nolint:wrapcheck // gRPC's own, to gRPC
		}
		x.sent += uint64(end - begin)
		begin = end
	}
	if stop {
		return errStop
	}
	return nil
}
