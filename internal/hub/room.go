package hub

import (
	"context"
	"errors"
	"time"

	"github.com/amoskys/amoskys/internal/hub/admit"
)

// Bounds on what is in memory of batches and events that came, in bytes.
const (
	// arrivedOfIdentity is for messages as they came, packed or not, until they are
	// stored.
	arrivedOfIdentity = 32 << 20
	// unpackedOfIdentity and unpackedOfAll are for the events of packed batches while
	// they are walked. That waits for nobody and keeps a processor busy, so little is
	// enough for all. A message of a hundred bytes may hold as much as the largest that
	// is not packed: of those, the share lets an identity have one at a time, which is
	// one processor, and of an agent's usual batches twenty.
	unpackedOfIdentity = 1 << 20
	unpackedOfAll      = 32 << 20
)

// rooms are what a batch needs on its way into the log. Nobody waits for one while
// having the next:
//
//	arrived   the message as it came     until it is stored   without: RETRY
//	unpacked  what it is when unpacked   while it is walked   waits, then RETRY
//	queue     what the log is to write   until it is stored   waits, then RETRY
type rooms struct {
	arrived         *shares
	unpacked, queue room
	patience        time.Duration // how long is waited
}

// newRooms returns rooms for a queue of so many bytes, and messages of at most so many
// bytes: where these are large, a few of them fit all the same.
func newRooms(queue, message int64, patience time.Duration) rooms {
	return rooms{
		arrived:  newShares(max(arrivedOfIdentity, 4*message)),
		unpacked: newRoom(max(unpackedOfIdentity, message), max(unpackedOfAll, 8*message)),
		queue:    newRoom(max(queue/2, 1), queue),
		patience: patience,
	}
}

// room is a bound for all with a share of it for each identity, so that the senders
// wait in turn and none can have all of it.
type room struct {
	own *shares
	all *admit.Gate
}

func newRoom(own, all int64) room { return room{newShares(own), admit.NewGate(all)} }

// enter waits for n bytes. The errors are those of admit.Gate.
func (r room) enter(ctx context.Context, who string, n int64, patience time.Duration) error {
	err := r.own.enter(ctx, who, n, patience)
	if err == nil {
		if err = r.all.Enter(ctx, n, patience); err == nil {
			return nil
		}
		r.own.leave(who, n)
	}
	return err
}

// leave gives n bytes back.
func (r room) leave(who string, n int64) {
	r.all.Leave(n)
	r.own.leave(who, n)
}

// used returns how many bytes all have.
func (r room) used() int64 {
	bytes, _ := r.all.Used()
	return bytes
}

// errUnpackBusy says that a packed batch found no room to be unpacked in time.
var errUnpackBusy = errors.New("no room to unpack")

// unpacking is a slot as the room for what it unpacks to.
type unpacking slot

var _ admit.Room = (*unpacking)(nil)

// Enter waits for room. What waits has arrived, and counts as such from here on.
func (u *unpacking) Enter(n int64) error {
	s := (*slot)(u)
	if err := s.arrive(); err != nil {
		return err
	}
	b := s.of.bus
	if err := b.rooms.unpacked.enter(s.of.stream.Context(), s.of.sender.publisher, n, b.rooms.patience); err != nil {
		return errors.Join(errUnpackBusy, err)
	}
	return nil
}

// Leave gives it back.
func (u *unpacking) Leave(n int64) { u.of.bus.rooms.unpacked.leave(u.of.sender.publisher, n) }

// arrive counts the message as arrived, once. There is room for it or not: waiting
// itself takes memory.
func (s *slot) arrive() error {
	if s.here {
		return nil
	}
	err := s.of.bus.rooms.arrived.enter(s.of.stream.Context(), s.of.sender.publisher, s.size, 0)
	s.here = err == nil
	return err
}

// enter waits for room in the log's queue.
func (s *slot) enter() error {
	if err := s.arrive(); err != nil {
		return err
	}
	r := &s.of.bus.rooms
	return r.queue.enter(s.of.stream.Context(), s.of.sender.publisher, int64(s.request.Stored), r.patience)
}

func (s *slot) leave() { s.of.bus.rooms.queue.leave(s.of.sender.publisher, int64(s.request.Stored)) }

// free lets go of the message and of all that points into it. It may be called twice.
func (s *slot) free() {
	s.request.Release()
	s.message.free()
	if s.here {
		s.here = false
		s.of.bus.rooms.arrived.leave(s.of.sender.publisher, s.size)
	}
}
