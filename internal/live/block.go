package live

import (
	"math"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Sizes of a block. Small ones are dropped in small steps and searched from the
// newest with little to spare; large ones share more names.
const (
	blockEvents = 1 << 10
	blockBytes  = 1 << 20
)

// entry is the index of one event: what most searches need, without a pointer
// for the garbage collector to follow.
type entry struct {
	offset       uint64
	time, logged int64 // nanoseconds since 1970
	id           event.ID
	pos, size    uint32 // in block.data
	typ          uint16 // these are indices into block.names
	host         uint16
	agent        uint16
	publisher    uint16
	severity     uint8
}

const entryBytes = 72

// block is a run of events. It is appended to by one goroutine under the
// ring's lock; what is in it never changes.
type block struct {
	data    []byte
	entries []entry
	names   []string
	byName  map[string]uint16
	// minTime and maxTime bound the events' own times.
	minTime, maxTime int64
}

func newBlock() *block {
	return &block{
		entries: make([]entry, 0, blockEvents), byName: map[string]uint16{},
		minTime: math.MaxInt64, maxTime: math.MinInt64,
	}
}

func (b *block) full(size int) bool {
	return len(b.entries) == blockEvents || len(b.entries) > 0 && len(b.data)+size > blockBytes
}

// size is the memory that a block takes.
func (b *block) size() int64 {
	return int64(cap(b.data)) + blockEvents*entryBytes
}

func (b *block) append(offset uint64, encoded []byte, envelope *event.Envelope, batch Batch) {
	if b.data == nil {
		b.data = make([]byte, 0, 64<<10)
	}
	b.entries = append(b.entries, entry{
		offset: offset, time: envelope.UnixNano, logged: batch.Received.UnixNano(), id: envelope.ID,
		pos: uint32(len(b.data)), size: uint32(len(encoded)),
		typ: b.intern(envelope.Type), host: b.intern(envelope.HostName), agent: b.intern(envelope.AgentID),
		publisher: b.internString(batch.Publisher), severity: uint8(min(max(envelope.Severity, 0), 255)),
	})
	b.data = append(b.data, encoded...)
	b.minTime = min(b.minTime, envelope.UnixNano)
	b.maxTime = max(b.maxTime, envelope.UnixNano)
}

// intern returns the index of a name. A block has at most four names for each
// of its events, so 16 bits hold every index.
func (b *block) intern(name []byte) uint16 {
	if i, ok := b.byName[string(name)]; ok { // does not allocate
		return i
	}
	return b.internString(string(name))
}

func (b *block) internString(name string) uint16 {
	if i, ok := b.byName[name]; ok {
		return i
	}
	i := uint16(len(b.names))
	b.names = append(b.names, name)
	b.byName[name] = i
	return i
}

// blockView is a block as it was when a search began.
type blockView struct {
	data             []byte
	entries          []entry
	names            []string
	minTime, maxTime int64
}

func (v *blockView) raw(e *entry) []byte { return v.data[e.pos : e.pos+e.size] }

func (v *blockView) stored(e *entry) *pb.StoredEvent {
	return &pb.StoredEvent{
		Offset: e.offset, LoggedTime: timestamppb.New(time.Unix(0, e.logged)),
		Publisher: v.names[e.publisher], Event: v.raw(e),
	}
}
