package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"time"

	"github.com/amoskys/amoskys/internal/entity"
	"github.com/amoskys/amoskys/internal/flow/capture"
	"github.com/amoskys/amoskys/internal/flow/packet"
)

// End says that no feed is used any more: Run returns once all is written.
func (r *Ring) End() { close(r.full) }

// Run writes what the feeds bring, until End.
func (r *Ring) Run() error {
	for c := range r.full {
		r.write(c)
		r.empty <- c // there is room for all chunks
	}
	return r.seal()
}

// write puts a chunk into the open segment, or counts why not.
func (r *Ring) write(c *chunk) {
	n := uint64(len(c.entries))
	now := r.o.Now()
	if r.pause > 0 && now.Before(r.retry) {
		r.stats.failed.Add(n)
		return
	}
	fits, err := r.makeRoom(int64(len(c.data) + fileHead))
	if err == nil && !fits {
		r.stats.disk.Add(n)
		r.tell()
		return
	}
	if err == nil {
		err = r.append(c)
	}
	if err != nil {
		r.stats.errors.Add(1)
		r.stats.failed.Add(n)
		r.pause = min(max(2*r.pause, retryLeast), retryMost)
		r.retry = now.Add(r.pause)
		_ = r.seal() // another segment is tried
		r.dropEmpty()
		r.condition(fmt.Errorf("packets are not kept: %w", err))
		return
	}
	r.pause = 0
	r.stats.packets.Add(n)
	r.tell()
}

// tell tells of a disk that has little room, or that all is well.
func (r *Ring) tell() {
	if r.disk.limit < 0 {
		r.condition(nil)
		return
	}
	r.condition(fmt.Errorf("the disk has less free than spool.min_free_mb: the ring of packets stays at %d of %d MiB",
		r.disk.limit>>20, r.o.MaxBytes>>20))
}

// condition tells a fault when it changes.
func (r *Ring) condition(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != r.fault {
		r.fault = text
		r.o.Condition(err)
	}
}

// append writes a chunk, into a new segment where the open one is full or of another
// link type.
func (r *Ring) append(c *chunk) error {
	if r.out != nil {
		r.mu.Lock()
		open := r.segments[len(r.segments)-1]
		over := open.link != c.link || open.bytes >= r.size
		r.mu.Unlock()
		if over {
			if err := r.seal(); err != nil {
				return err
			}
		}
	}
	if r.out == nil {
		if err := r.begin(c.link); err != nil {
			return err
		}
	}
	r.mu.Lock()
	open := r.segments[len(r.segments)-1]
	size := open.bytes
	r.mu.Unlock()
	if _, err := r.out.Write(c.data); err != nil {
		// Half a chunk is as good as none; where it stays, the next Open cuts it.
		return errors.Join(err, r.out.Truncate(size))
	}
	flows := r.newFlows(c, open)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range c.entries {
		open.cover(c.entries[i].time)
	}
	open.flows = append(open.flows, flows...)
	open.bytes += int64(len(c.data))
	r.total += int64(len(c.data))
	return nil
}

// newFlows are the hashes of flows in c that the open segment had not.
func (r *Ring) newFlows(c *chunk, open *segment) []uint64 {
	var flows []uint64
	for i := range c.entries {
		id := c.entries[i].id
		if _, known := r.seen[id]; known {
			continue
		}
		if len(r.seen) >= maxFlows {
			r.mu.Lock()
			open.whole = true
			r.mu.Unlock()
			return nil
		}
		r.seen[id] = struct{}{}
		flows = append(flows, maphash.String(r.hash, id.CommunityID()))
	}
	return flows
}

// fileHead is the length of a file's header in bytes.
const fileHead = 24

// begin opens a new segment.
func (r *Ring) begin(link packet.Link) error {
	path := filepath.Join(r.o.Dir, segmentName(r.next))
	out, err := r.o.open(path)
	if err != nil {
		return err
	}
	r.next++
	head := header(link)
	if _, err := out.Write(head[:]); err != nil {
		return errors.Join(err, out.Close(), os.Remove(path))
	}
	r.out, r.seen = out, map[entity.FlowID]struct{}{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.segments = append(r.segments, &segment{path: path, link: link, bytes: fileHead, known: true})
	r.total += fileHead
	return nil
}

// header is that of a file, with times in nanoseconds (draft-ietf-opsawg-pcap,
// section 4).
func header(link packet.Link) (h [fileHead]byte) {
	binary.LittleEndian.PutUint32(h[0:], magicNano)
	binary.LittleEndian.PutUint16(h[4:], 2)
	binary.LittleEndian.PutUint16(h[6:], 4)
	binary.LittleEndian.PutUint32(h[16:], capture.MaxSnap)
	binary.LittleEndian.PutUint32(h[20:], uint32(link))
	return h
}

const magicNano = 0xa1b23c4d

// seal closes the open segment.
func (r *Ring) seal() error {
	if r.out == nil {
		return nil
	}
	out := r.out
	r.out, r.seen = nil, nil
	if err := out.Close(); err != nil {
		return fmt.Errorf("close packets: %w", err)
	}
	return nil
}

// dropEmpty removes the newest segment where a fault has left it without a frame, so that
// they do not grow in number while the fault lasts.
func (r *Ring) dropEmpty() {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.segments) - 1
	if last < 0 || r.segments[last].bytes > fileHead {
		return
	}
	_ = os.Remove(r.segments[last].path) // the next start does
	r.segments = r.segments[:last]
	r.total -= fileHead
}

// makeRoom removes the oldest segments until n bytes more are within the limit. It is
// false where they can never be.
func (r *Ring) makeRoom(n int64) (bool, error) {
	limit := r.limit(n)
	for {
		r.mu.Lock()
		total, left := r.total, len(r.segments)
		r.mu.Unlock()
		switch {
		case total+n <= limit:
			return true, nil
		case left == 0:
			return false, nil
		case left == 1:
			if err := r.seal(); err != nil {
				return false, err
			}
		}
		if err := r.removeOldest(); err != nil {
			return false, err
		}
	}
}

// removeOldest removes the first segment, which is not open.
func (r *Ring) removeOldest() error {
	r.mu.Lock()
	oldest := r.segments[0]
	r.mu.Unlock()
	if err := os.Remove(oldest.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the oldest packets: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.segments = r.segments[1:]
	r.total -= oldest.bytes
	return nil
}

// Bounds on how stale the view of the disk's room may be.
const (
	lookEvery = time.Second
	lookBytes = 4 << 20
)

// disk is what the ring knows of the room beside it.
type disk struct {
	looked time.Time
	free   int64 // then
	added  int64 // by the ring since
	limit  int64 // how large the ring may be while there is too little room; below 0 while there is not
}

// limit is how large the ring may be, with the n bytes that are to come.
func (r *Ring) limit(n int64) int64 {
	d := &r.disk
	if r.o.MinFree == 0 {
		d.limit = -1
		return r.o.MaxBytes
	}
	if now := r.o.Now(); d.looked.IsZero() || now.Sub(d.looked) >= lookEvery || d.added >= lookBytes {
		free, err := r.o.free(r.o.Dir)
		if err != nil {
			d.limit = -1
			return r.o.MaxBytes // the disk itself says when it is full
		}
		if d.looked.IsZero() {
			d.limit = -1
		}
		d.looked, d.free, d.added = now, int64(min(free, 1<<62)), 0
	}
	spare := d.free - d.added - int64(min(r.o.MinFree, 1<<62))
	d.added += n
	switch {
	case spare >= n:
		d.limit = -1
	case d.limit < 0:
		r.mu.Lock()
		d.limit = r.total
		r.mu.Unlock()
	}
	r.stats.low.Store(d.limit >= 0)
	if d.limit >= 0 {
		return min(r.o.MaxBytes, d.limit)
	}
	return r.o.MaxBytes
}
