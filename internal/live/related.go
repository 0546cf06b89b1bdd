package live

import (
	"bytes"
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on what comes with one event.
const (
	maxNeighbours = 100
	maxRelated    = 50
)

// Event returns one event, its neighbours on the same host, and events of the
// same process or flow, or of the same kind on the host where it has neither.
// NOT_FOUND: the ring does not hold that offset.
func (r *Ring) Event(ctx context.Context, req *pb.EventRequest) (*pb.EventResponse, error) {
	views, _ := r.view()
	b, i, ok := find(views, req.GetOffset())
	if !ok {
		return nil, status.Errorf(codes.NotFound, "event %d is not in memory: it is older than what is held, or yet to come", req.GetOffset())
	}
	v, e := &views[b], &views[b].entries[i]
	neighbours := int(min(req.GetNeighbours(), maxNeighbours))
	response := &pb.EventResponse{Event: v.stored(e)}
	host := v.names[e.host]
	response.Before = collect(ctx, views, b, i, -1, neighbours, sameHost(host))
	slices.Reverse(response.Before)
	response.After = collect(ctx, views, b, i, +1, neighbours, sameHost(host))
	m := &matcher{plan: &plan{}}
	ev := m.decode(v, e)
	if ev == nil {
		return response, nil
	}
	match := relation(ev, v.names[e.typ], host)
	last := len(views) - 1
	response.Related = collect(ctx, views, last, len(views[last].entries), -1, maxRelated, func(v *blockView, other *entry) bool {
		return other.offset != req.GetOffset() && match(v, other)
	})
	if ctx.Err() != nil {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return response, nil
}

// find returns where the event of an offset is: its block and place in it.
func find(views []blockView, offset uint64) (b, i int, ok bool) {
	b, _ = slices.BinarySearchFunc(views, offset, func(v blockView, offset uint64) int {
		if v.entries[len(v.entries)-1].offset < offset {
			return -1
		}
		return 1
	})
	if b == len(views) {
		return 0, 0, false
	}
	i, ok = slices.BinarySearchFunc(views[b].entries, offset, func(e entry, offset uint64) int {
		switch {
		case e.offset < offset:
			return -1
		case e.offset > offset:
			return 1
		}
		return 0
	})
	return b, i, ok
}

type entryMatch func(v *blockView, e *entry) bool

// collect returns at most n events that match, from behind entry i of block b
// in the direction step, and what it has found when ctx ends.
func collect(ctx context.Context, views []blockView, b, i, step, n int, match entryMatch) []*pb.StoredEvent {
	var found []*pb.StoredEvent
	i += step
	for b >= 0 && b < len(views) {
		v := &views[b]
		for ; i >= 0 && i < len(v.entries); i += step {
			if len(found) >= n || i%checkEvery == 0 && ctx.Err() != nil {
				return found
			}
			if match(v, &v.entries[i]) {
				found = append(found, v.stored(&v.entries[i]))
			}
		}
		b += step
		if i = 0; step < 0 && b >= 0 {
			i = len(views[b].entries) - 1
		}
	}
	return found
}

func sameHost(host string) entryMatch {
	return func(v *blockView, e *entry) bool { return v.names[e.host] == host }
}

// relation returns what tells events of the same process, flow or kind.
func relation(ev *pb.Event, typ, host string) entryMatch {
	if id := ev.GetNetwork().GetCommunityId(); id != "" {
		return decoded(host, []byte(id), func(other *pb.Event) bool { return other.GetNetwork().GetCommunityId() == id })
	}
	if p := processOf(ev); p.GetUid() != "" {
		uid := p.GetUid()
		return decoded(host, []byte(uid), func(other *pb.Event) bool {
			return processOf(other).GetUid() == uid || other.GetProcess().GetParent().GetUid() == uid
		})
	} else if p.GetPid() != 0 {
		return decoded(host, nil, func(other *pb.Event) bool { return processOf(other).GetPid() == p.GetPid() })
	}
	return func(v *blockView, e *entry) bool { return v.names[e.typ] == typ && v.names[e.host] == host }
}

// processOf is the process that an event is about or that acted.
func processOf(ev *pb.Event) *pb.Process {
	switch {
	case ev.GetProcess() != nil:
		return ev.GetProcess().GetProcess()
	case ev.GetNetwork() != nil:
		return ev.GetNetwork().GetProcess()
	case ev.GetFile() != nil:
		return ev.GetFile().GetActor()
	case ev.GetAuthentication() != nil:
		return ev.GetAuthentication().GetActor()
	}
	return nil
}

// decoded matches events of a host that hold the bytes, if any, and satisfy
// same.
func decoded(host string, hold []byte, same func(*pb.Event) bool) entryMatch {
	m := &matcher{plan: &plan{}}
	return func(v *blockView, e *entry) bool {
		m.fresh = false
		if v.names[e.host] != host || hold != nil && !bytes.Contains(v.raw(e), hold) {
			return false
		}
		ev := m.decode(v, e)
		return ev != nil && same(ev)
	}
}
