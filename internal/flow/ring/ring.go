// Package ring keeps the newest packets on disk, up to a size, so that those of one
// flow can be saved when somebody asks for them later.
//
// Frames come from the goroutines of captures, each by a Feed of its own, in chunks of
// memory of which there are so many; where none is free, frames are dropped and counted.
// One goroutine, that of Run, writes chunks into segments, and removes the oldest
// segment where the next chunk would be too much. Nothing that captures ever waits for
// the disk.
//
//	capture ──Add──▶ Feed ──full──▶ Run ──write──▶ segment 7 (open)
//	   ▲                │                           segments 6, 5, 4 (sealed)
//	   └──────free──────┘                           segment 3 is removed
//
// A segment is a file NUMBER.pcap of the classic format with times in nanoseconds, of
// frames of one link type, which other programs read as well. Beside it, in memory, lies
// which flows it has, so that a search reads those segments only that have the flow. What
// an earlier process wrote is searched whole the first time.
package ring

import (
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/vfs"
)

// LeastBytes is the smallest ring.
const LeastBytes = 4 << 20

const (
	// segments is how many a full ring has, about; what is removed at once is one.
	segments = 16
	// A segment is never smaller or larger than this, but for its last chunk.
	leastSegment = 256 << 10
	mostSegment  = 32 << 20
	// maxFlows is how many flows a segment remembers by name; one that has more is
	// searched whole.
	maxFlows = 65_536
	// retryLeast and retryMost bound the pause after a write that failed; it doubles.
	retryLeast = time.Second
	retryMost  = 30 * time.Second
)

// Options set up a Ring.
type Options struct {
	// Dir is a folder of the ring's own; it is made, closed to other users.
	Dir string
	// MaxBytes is how large all files together may be, at least LeastBytes.
	MaxBytes int64
	// MinFree is how many bytes of the disk others shall have: while fewer are free the
	// ring does not grow, and removes as much as it writes.
	MinFree uint64
	// Snap is how many bytes of a frame are kept; 0 is capture.DefaultSnap.
	Snap int
	// Feeds is how many there will be; 0 is 1.
	Feeds int
	// Seed is that of Community IDs.
	Seed uint16
	// Condition is told, in the goroutine of Run, of a fault that the ring lives with,
	// and of its end with nil. Nil is not told.
	Condition func(error)
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	free func(dir string) (uint64, error) // seam for disks that fill
	open func(path string) (file, error)  // and for those that fail
}

// file is what a segment is written to.
type file interface {
	Write(b []byte) (int, error)
	Truncate(size int64) error
	Close() error
}

// Ring keeps packets. Save may be called from any goroutine, Run from one.
type Ring struct {
	o     Options
	size  int64 // of a segment
	hash  maphash.Seed
	empty chan *chunk // of which the memory is free
	full  chan *chunk
	made  atomic.Int64 // chunks there are
	stats counters

	mu       sync.Mutex // guards what follows; held shortly
	segments []*segment // oldest first; the last may be open
	total    int64      // bytes of all

	// Of the goroutine of Run.
	out    file // the open segment, nil without
	seen   map[entity.FlowID]struct{}
	next   uint64 // number of the next segment
	disk   disk
	pause  time.Duration // after the last write, which failed; else 0
	retry  time.Time
	fault  string // what Condition was told
	wanted int    // chunks that there may be
}

// counters are of all feeds together.
type counters struct {
	packets, queue, disk, failed atomic.Uint64
	errors                       atomic.Uint64
	low                          atomic.Bool
}

// Stats are counts since the ring was opened.
type Stats struct {
	// Packets were written. Those of the others were not: the queue was full, the disk
	// had too little room, or writing failed.
	Packets, DroppedQueue, DroppedDisk, DroppedError uint64
	// Errors are writes, and removals of old segments, that failed.
	Errors uint64
	// Bytes is the size of all files now.
	Bytes int64
	// LowDisk says that fewer than MinFree bytes are free.
	LowDisk bool
	// Oldest is the time of the oldest packet, in Unix nanoseconds; 0 without any.
	Oldest int64
}

// Open takes what an earlier process left, cuts what was torn off its end, and makes
// room if the ring is to be smaller now. The caller has made sure that no other process
// has the folder.
func Open(o Options) (*Ring, error) {
	o.MaxBytes = max(o.MaxBytes, LeastBytes)
	if o.Snap <= 0 {
		o.Snap = capture.DefaultSnap
	}
	o.Snap = min(o.Snap, capture.MaxSnap)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Condition == nil {
		o.Condition = func(error) {}
	}
	if o.free == nil {
		o.free = vfs.OS{}.FreeBytes
	}
	if o.open == nil {
		o.open = createFile
	}
	r := &Ring{
		o: o, size: min(max(o.MaxBytes/segments, leastSegment), mostSegment), hash: maphash.MakeSeed(),
		wanted: spareChunks + 2*max(1, o.Feeds),
	}
	r.empty, r.full = make(chan *chunk, r.wanted), make(chan *chunk, r.wanted)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for packets: %w", err)
	}
	if err := os.Chmod(o.Dir, 0o700); err != nil { //nolint:gosec // a folder, for its owner alone
		return nil, fmt.Errorf("make folder for packets: %w", err)
	}
	if err := r.recover(); err != nil {
		return nil, err
	}
	for r.total > o.MaxBytes && len(r.segments) > 0 {
		if err := r.removeOldest(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Remove takes away what a ring has left in a folder. A folder that is not there is no
// error.
func Remove(dir string) error {
	names, err := segmentFiles(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var errs []error
	for _, n := range names {
		errs = append(errs, os.Remove(filepath.Join(dir, n.name)))
	}
	if err = errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("remove packets that are kept no more: %w", err)
	}
	return nil
}

func createFile(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

// Stats may be asked at any time.
func (r *Ring) Stats() Stats {
	s := Stats{
		Packets: r.stats.packets.Load(), DroppedQueue: r.stats.queue.Load(), DroppedDisk: r.stats.disk.Load(),
		DroppedError: r.stats.failed.Load(), Errors: r.stats.errors.Load(), LowDisk: r.stats.low.Load(),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Bytes = r.total
	for _, g := range r.segments {
		if g.first != 0 {
			s.Oldest = g.first
			break
		}
	}
	return s
}
