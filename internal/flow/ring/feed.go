package ring

import (
	"encoding/binary"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/flow/packet"
	"github.com/amoskys/amoskys/internal/flow/track"
)

const (
	// chunkBytes is when a chunk goes to be written; it may have one frame more.
	chunkBytes = 256 << 10
	// spareChunks is how many chunks there are beside two for each feed.
	spareChunks = 24
	// recordHead is the length of a record's header in bytes (draft-ietf-opsawg-pcap,
	// section 5).
	recordHead = 16
)

// chunk is some frames of one link type, as they will lie in a segment.
type chunk struct {
	link    packet.Link
	data    []byte
	entries []entry // of each frame
}

// entry is what is known of a frame in a chunk.
type entry struct {
	time int64
	size int // of its record
	id   entity.FlowID
}

// Feed brings the frames of one capture. One goroutine uses it.
type Feed struct {
	r *Ring
	c *chunk
}

// Feed returns a new one.
func (r *Ring) Feed() *Feed { return &Feed{r: r} }

// Add copies a frame with an IP packet in it, or drops and counts it where there is no
// memory for it. It does not wait.
func (f *Feed) Add(frame *packet.Frame, p *packet.Packet) {
	if f.c != nil && (f.c.link != frame.Link || len(f.c.data) >= chunkBytes) {
		f.Flush()
	}
	seconds := frame.Time / 1e9
	if f.c == nil {
		f.c = f.r.takeChunk()
	}
	if f.c == nil || frame.Time < 0 || seconds > 1<<32-1 {
		f.r.stats.queue.Add(1)
		return
	}
	f.c.link = frame.Link
	data := frame.Data[:min(len(frame.Data), f.r.o.Snap)]
	var h [recordHead]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(seconds))
	binary.LittleEndian.PutUint32(h[4:], uint32(frame.Time%1e9))
	binary.LittleEndian.PutUint32(h[8:], uint32(len(data)))
	binary.LittleEndian.PutUint32(h[12:], max(frame.Wire, uint32(len(frame.Data))))
	f.c.data = append(append(f.c.data, h[:]...), data...)
	f.c.entries = append(f.c.entries, entry{frame.Time, recordHead + len(data), track.IDOf(p, f.r.o.Seed)})
}

// Flush hands what was added to be written. It is called a few times a second, so that
// what is saved is not older.
func (f *Feed) Flush() {
	if f.c == nil || len(f.c.entries) == 0 {
		return
	}
	f.r.full <- f.c // there is room for all chunks
	f.c = nil
}

// takeChunk returns a chunk that is free, or nil.
func (r *Ring) takeChunk() *chunk {
	var c *chunk
	select {
	case c = <-r.empty:
	default:
		if r.made.Add(1) > int64(r.wanted) {
			r.made.Add(-1)
			return nil
		}
		c = &chunk{}
	}
	c.data, c.entries = c.data[:0], c.entries[:0]
	return c
}
