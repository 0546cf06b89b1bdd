package answers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/logsql"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// Bounds on what comes with one event.
const (
	maxNeighbours = 100
	maxRelated    = 50
)

// near is how far around an event's time it is looked for, where that is known.
const near = int64(time.Second)

// Event returns one event, its neighbours on the same host by time, and events of the
// same flow or process, or of the same kind on the host where it has neither.
// NOT_FOUND: the store does not hold that offset.
func (s *Service) Event(ctx context.Context, req *pb.EventRequest) (*pb.EventResponse, error) {
	ctx, end, err := s.begin(ctx, light)
	if err != nil {
		return nil, err
	}
	defer end()
	response, err := s.event(ctx, req)
	return response, s.closing(err)
}

// onTheWay is how long the look at one event waits for it to be stored: who sees it live
// may ask for it before the engine has it.
const (
	onTheWay  = 5 * time.Second
	lookEvery = 50 * time.Millisecond
	// farthest is how far behind what is stored an event may be that is waited for.
	farthest = 1_000
)

// awaitStored returns what is stored once the event of an offset is, or after onTheWay.
func (s *Service) awaitStored(ctx context.Context, offset uint64) (place, error) {
	late := time.NewTimer(onTheWay)
	defer late.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		stored, _, err := s.stored(ctx)
		if err != nil || stored.next > offset || offset-stored.next > farthest {
			return stored, err
		}
		select {
		case <-ctx.Done():
			return stored, s.fault(ctx, ctx.Err())
		case <-late.C:
			return stored, nil
		case <-look.C:
		}
	}
}

func (s *Service) event(ctx context.Context, req *pb.EventRequest) (*pb.EventResponse, error) {
	stored, err := s.awaitStored(ctx, req.GetOffset())
	if err != nil {
		return nil, err
	}
	at, ok, err := s.timeOf(ctx, req.GetOffset())
	if err != nil {
		return nil, err
	}
	if !ok && req.GetOffset() >= stored.next {
		return nil, status.Errorf(codes.NotFound, "event %d is not stored yet: the store has what came before offset %d", req.GetOffset(), stored.next)
	}
	me := key{at, req.GetOffset()}
	var found map[key]*pb.StoredEvent
	if ok {
		if found, err = s.load(ctx, []key{me}); err != nil {
			return nil, err
		}
	}
	e := found[me]
	if e == nil {
		return nil, s.notStored(req.GetOffset())
	}
	response := &pb.EventResponse{Event: e}
	var attrs event.Attrs
	if err := attrs.ReadStored(e.GetEvent(), e.GetPublisher()); err != nil {
		return response, nil //nolint:nilerr // an event of a newer kind is shown alone
	}
	host := textOf(&attrs, "host")
	if n := int(min(req.GetNeighbours(), maxNeighbours)); n > 0 {
		if response.Before, err = s.around(ctx, hostIs(host), page{n: n, behind: &me}); err != nil {
			return nil, err
		}
		slices.Reverse(response.Before)
		if response.After, err = s.around(ctx, hostIs(host), page{n: n, behind: &me, oldestFirst: true}); err != nil {
			return nil, err
		}
	}
	related, err := relation(&attrs, host)
	if err != nil {
		return nil, err
	}
	// Of two logs two events may have the same offset.
	itself := fmt.Sprintf(" !(_time:[%s, %s) \"offset\":=%d)", stamp(at), stamp(at+1), req.GetOffset())
	response.Related, err = s.around(ctx, related+itself, page{n: maxRelated})
	return response, err
}

// timeOf finds when the event of an offset was. Offsets begin anew in each log that the
// hub has had, so there may be several:
//
//	one that was shown of late    is meant
//	one of the log that is read   is meant, as those that come in live are of it: where the
//	                              store has passed over it, there is none
//	others                        the newest, where that log does not reach so far
func (s *Service) timeOf(ctx context.Context, offset uint64) (at int64, ok bool, err error) {
	if at, known := s.places.find(offset); known {
		if at, ok, err = s.timeIn(ctx, []span{{at - near, at + near}}, offset, ""); ok || err != nil {
			return at, ok, err
		}
	}
	q, err := s.inWords(ctx, "", span{noSince, noUntil})
	if err != nil {
		return 0, false, err
	}
	if q.log > 0 {
		if at, ok, err = s.timeIn(ctx, q.held, offset, fmt.Sprintf(" \"log\":=%d", q.log)); ok || err != nil || offset < q.next {
			return at, ok, err
		}
	}
	return s.timeIn(ctx, q.held, offset, "")
}

// timeIn is when the newest event of an offset was, among those that a filter finds.
func (s *Service) timeIn(ctx context.Context, held []span, offset uint64, filter string) (at int64, ok bool, err error) {
	for _, r := range slices.Backward(held) {
		text := fmt.Sprintf("_time:[%s, %s) \"offset\":=%d%s | fields _time, offset | sort by (_time desc) limit 1", stamp(r.since), stamp(r.until), offset, filter)
		err := s.ask(ctx, vlogs.Query{Text: text}, func(fields []vlogs.Field) error {
			k, err := keyOf(fields)
			at, ok = k.time, true
			return err
		})
		if ok || err != nil {
			if err == nil {
				s.places.note([]key{{at, offset}})
			}
			return at, ok, err
		}
	}
	return 0, false, nil
}

// around reads a page of what is stored, whenever it was.
func (s *Service) around(ctx context.Context, filter string, p page) ([]*pb.StoredEvent, error) {
	q, err := s.inWords(ctx, filter, span{noSince, noUntil})
	if err != nil {
		return nil, err
	}
	keys, _, err := s.find(ctx, q, p)
	if err != nil {
		return nil, err
	}
	events, read, err := s.fetch(ctx, keys, maxPageBytes/4)
	s.places.note(keys[:read])
	return events, err
}

func hostIs(host string) string { return "host:=" + quoted(host) }

// relation is a filter for events of the same flow or process as one that has the
// attributes, or of the same type on the host where it has neither.
func relation(attrs *event.Attrs, host string) (string, error) {
	refs := entity.Of(attrs)
	for _, role := range []entity.Role{entity.RoleFlow, entity.RoleProcess} {
		for _, r := range refs {
			if r.Role != role || r.Key.Query() == "" {
				continue
			}
			q, err := logsql.Parse(r.Key.Query())
			if err != nil {
				return "", fmt.Errorf("look for %s: %w", r.Key, err)
			}
			return "(" + q.Engine() + ")", nil
		}
	}
	filter := hostIs(host)
	for _, name := range []string{"process.pid", "type"} {
		if value := textOf(attrs, name); value != "" && value != "0" {
			return filter + " " + name + ":=" + quoted(value), nil
		}
	}
	return filter, nil
}

// textOf is the first value of a field.
func textOf(attrs *event.Attrs, name string) string {
	field, _, ok := event.FieldByName(name)
	if !ok {
		return ""
	}
	for i := range attrs.List {
		if attrs.List[i].ID == field.ID {
			return string(attrs.List[i].Value.Append(nil))
		}
	}
	return ""
}

// errStop ends a query of which enough is known.
var errStop = errors.New("enough")
