package hub

import (
	"context"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/mem"
)

// Bounds on the large buffers of Deliveries: what is being filled, and what gRPC has
// and the clients have not read. A quick reader has two or three. Where slow ones have
// them all, the others get small Deliveries, which cost the hub more CPU and no more
// memory than readers of events do.
const (
	largeBytes           = blockBytes + blockHead
	largeBytesOfIdentity = 6 << 20
	largeBytesOfAll      = 16 << 20
)

// largeBuffers hands out large buffers within their bounds.
type largeBuffers struct {
	free sync.Pool // of *[]byte with largeBytes

	mu  sync.Mutex // guards what follows
	all int64      // bytes that are out
	of  map[string]int64
}

func newLargeBuffers() *largeBuffers { return &largeBuffers{of: map[string]int64{}} }

// take returns a buffer for at least size bytes, nil when there is no room for it.
func (l *largeBuffers) take(c caller, size int) *largeBuffer {
	b := &largeBuffer{from: l, who: c.Publisher, size: max(size, largeBytes)}
	if !l.enter(b.who, int64(b.size)) {
		return nil
	}
	if b.size == largeBytes {
		b.bytes, _ = l.free.Get().(*[]byte)
	}
	if b.bytes == nil {
		fresh := make([]byte, b.size)
		b.bytes = &fresh
	}
	// With a connection gRPC drops what is queued for it without a word.
	b.unlink = context.AfterFunc(c.life, func() { b.leave() })
	return b
}

// enter reports whether there is room for n bytes, and takes it. What is larger than a
// bound passes alone, where messages may be so large.
func (l *largeBuffers) enter(who string, n int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all+n > max(largeBytesOfAll, n) || l.of[who]+n > max(largeBytesOfIdentity, n) {
		return false
	}
	l.all += n
	l.of[who] += n
	return true
}

func (l *largeBuffers) leave(who string, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all -= n
	if l.of[who] -= n; l.of[who] == 0 {
		delete(l.of, who)
	}
}

// used returns how many bytes are out, and how many of them the identity has that has
// most.
func (l *largeBuffers) used() (all, most int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.of {
		most = max(most, n)
	}
	return l.all, most
}

// largeBuffer is one that is out. It is the pool of its own bytes, by which it learns
// that gRPC is done with them.
type largeBuffer struct {
	from   *largeBuffers
	who    string
	size   int
	bytes  *[]byte
	unlink func() bool // from the end of the connection
	left   atomic.Bool
}

var _ mem.BufferPool = (*largeBuffer)(nil)

// give is the buffer for gRPC, with what has been filled in.
func (b *largeBuffer) give(filled []byte) mem.Buffer {
	*b.bytes = filled
	return mem.NewBuffer(b.bytes, b)
}

// Get is not asked for.
func (*largeBuffer) Get(n int) *[]byte {
	b := make([]byte, n)
	return &b
}

// Put takes the buffer back from gRPC.
func (b *largeBuffer) Put(*[]byte) { b.release() }

// release gives the buffer back.
func (b *largeBuffer) release() {
	b.unlink()
	if b.leave() && cap(*b.bytes) == largeBytes {
		*b.bytes = (*b.bytes)[:largeBytes]
		b.from.free.Put(b.bytes)
	}
}

// abandon gives back the room of a buffer that gRPC may have dropped: what is handed to
// it for a stream that its client has just ended is never freed.
func (b *largeBuffer) abandon() {
	b.unlink()
	b.leave()
}

// isBack reports whether the room was given back.
func (b *largeBuffer) isBack() bool { return b.left.Load() }

// leave gives the room back, and reports whether it was this call that did. Bytes of
// which only the room was given back are the collector's: gRPC may still have them.
func (b *largeBuffer) leave() bool {
	if b.left.Swap(true) {
		return false
	}
	b.from.leave(b.who, int64(b.size))
	return true
}
