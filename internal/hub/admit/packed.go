package admit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/codec"
)

// Room bounds what is unpacked at a time.
type Room interface {
	// Enter waits for room for n bytes. Without an error Leave gives them back.
	Enter(n int64) error
	Leave(n int64)
}

// takeCodec reads field 5.
func (r *Request) takeCodec(v uint64) error {
	if v != uint64(codec.None) && !slices.ContainsFunc(codec.Known(), func(c codec.Codec) bool { return uint64(c) == v }) {
		return fmt.Errorf("%w: number %d, it takes %s", ErrUnknownCodec, v, codec.Announce(codec.Known()))
	}
	r.came = codec.Codec(v)
	return nil
}

// takePacked notes where field 4 lies, of n bytes.
func (r *Request) takePacked(c *cursor, n int) error {
	switch {
	case r.has:
		return fmt.Errorf("%w: compressed is there twice", ErrMalformed)
	case n == 0:
		return fmt.Errorf("%w: compressed is empty", ErrMalformed)
	}
	r.has = true
	c.rest() // steps over the end of a piece
	start := c.at
	c.skip(n)
	r.packed = c.between(r.packed, start, c.at)
	return nil
}

// checkPacked holds fields 3, 4 and 5 against each other.
func (r *Request) checkPacked() error {
	switch {
	case r.has && r.index > 0:
		return fmt.Errorf("%w: it holds both events and compressed", ErrMalformed)
	case r.has && r.came == codec.None:
		return fmt.Errorf("%w: compressed without codec", ErrMalformed)
	case !r.has && r.came != codec.None:
		return fmt.Errorf("%w: codec %s without compressed", ErrMalformed, r.came)
	}
	return nil
}

// What is random in an event's id takes nine bytes at least, however well it is packed.
// A message that holds an event in fewer repeats one, which costs its sender nothing,
// and the hub and all readers a walk. Tests of others may number their events.
const (
	leastPackedBytes = 4
	alwaysAllowed    = 1000 // twice of what our agents send at a time
)

// parsePacked unpacks the events and walks them.
func (r *Request) parsePacked(rules *Rules, now time.Time) error {
	r.most = min(rules.MaxEvents, max(alwaysAllowed, lengthOf(r.packed)/leastPackedBytes))
	size, err := r.unpackedSize(rules)
	if err != nil {
		return err
	}
	if r.Room != nil {
		need := int64(size)
		if len(r.packed) > 1 {
			need += int64(lengthOf(r.packed)) // joined first
		}
		if err := r.Room.Enter(need); err != nil {
			return fmt.Errorf("%w: %w", ErrNoRoom, err)
		}
		defer r.Room.Leave(need)
	}
	joined, packed := r.join()
	defer giveBuffer(joined)
	into := takeBuffer(size)
	defer giveBuffer(into)
	raw, err := r.came.Unpack((*into)[:0], packed, size)
	if err != nil {
		return fmt.Errorf("%w: compressed: %w", ErrMalformed, err)
	}
	if err := r.walkUnpacked(raw, rules, now); err != nil {
		return err
	}
	r.keepPacked(raw)
	return nil
}

// unpackedSize is how long the events say to be when unpacked, which is allowed.
func (r *Request) unpackedSize(rules *Rules) (int, error) {
	head := make([]byte, 0, binary.MaxVarintLen64) // where every codec has its length
	for _, p := range r.packed {
		head = append(head, p[:min(len(p), cap(head)-len(head))]...)
	}
	size, err := r.came.Size(head)
	switch {
	case errors.Is(err, codec.ErrTooLarge):
		return 0, fmt.Errorf("%w: at most %d bytes of events are allowed", ErrTooLarge, rules.MaxUnpackedBytes)
	case err != nil:
		return 0, fmt.Errorf("%w: compressed: %w", ErrMalformed, err)
	case size > rules.MaxUnpackedBytes:
		return 0, fmt.Errorf("%w: it says to hold %d bytes of events, at most %d are allowed", ErrTooLarge, size, rules.MaxUnpackedBytes)
	}
	return size, nil
}

// walkUnpacked is walk for events that lie one behind the other. Payload is then the
// runs of those that are accepted.
func (r *Request) walkUnpacked(raw []byte, rules *Rules, now time.Time) error {
	r.takeWalker()
	defer r.returnWalker()
	run := -1 // where the present run of accepted events began
	for at := 0; at < len(raw); {
		start := at
		if raw[at] != codec.EventsTag {
			return fmt.Errorf("%w: compressed holds something else than events behind event %d", ErrMalformed, r.index)
		}
		n, size := binary.Uvarint(raw[at+1:])
		at += 1 + size
		if err := r.checkLength(n, max(size, 0), len(raw)-at); err != nil {
			return err
		}
		b := raw[at : at+int(n)]
		at += int(n)
		keep, err := r.decide(b, rules, now)
		switch {
		case err != nil:
			return err
		case keep && run < 0:
			run = start
		case !keep && run >= 0:
			r.Payload = append(r.Payload, raw[run:start])
			run = -1
		}
	}
	if run >= 0 {
		r.Payload = append(r.Payload, raw[run:])
	}
	return nil
}

// keepPacked makes Payload what the log shall get: the bytes as they came when all
// events are accepted. Else those that are accepted are packed again, although that
// takes about as long as to walk them: as they lie, a message of a hundred bytes could
// put a megabyte into the log, and all of it would be held until it is there.
func (r *Request) keepPacked(raw []byte) {
	r.Bytes = lengthOf(r.Payload)
	switch {
	case r.Count == 0:
	case len(r.Refused) == 0:
		runs := r.Payload
		clear(runs) // or they hold what was unpacked until this Request is used again
		r.Payload, r.packed = r.packed, runs[:0]
		r.Codec = r.came
	default:
		kept := raw[:0]
		for _, run := range r.Payload {
			kept = append(kept, run...) // never further right than it lies
		}
		clear(r.Payload)
		r.Payload = append(r.Payload[:0], r.packAgain(kept))
		r.Codec = r.came
	}
	r.Stored = lengthOf(r.Payload)
}

func (r *Request) packAgain(raw []byte) []byte {
	b := takeBuffer(len(raw))
	defer giveBuffer(b)
	*b = r.came.Pack((*b)[:0], raw)
	return bytes.Clone(*b)
}

// join returns what came as one piece, and the buffer that it lies in when it came in
// several.
func (r *Request) join() (joined *[]byte, packed []byte) {
	if len(r.packed) == 1 {
		return nil, r.packed[0]
	}
	joined = takeBuffer(lengthOf(r.packed))
	*joined = (*joined)[:0]
	for _, p := range r.packed {
		*joined = append(*joined, p...)
	}
	return joined, *joined
}

func lengthOf(pieces [][]byte) (n int) {
	for _, p := range pieces {
		n += len(p)
	}
	return n
}

// Sizes of buffers: a batch of an agent is 256 KiB at most, and most are far smaller.
// Larger ones hold one large event, or come from a client that means harm: they are
// kept as well, since it sends a hundred bytes for each and the collector does not keep
// up with them, but apart, so that small batches do not hold them. What is larger than
// those is possible only where the configuration allows larger events.
const (
	bufferBytes      = 128 << 10
	usualBufferBytes = 512 << 10
	keepBufferBytes  = 2 << 20
)

var usualBuffers, largeBuffers = newBuffers(), newBuffers() //nolint:gochecknoglobals // they hold nothing of anybody

func newBuffers() *sync.Pool { return &sync.Pool{New: func() any { return new([]byte) }} }

// buffersOf returns the pool of buffers of n bytes, nil where they are not kept.
func buffersOf(n int) *sync.Pool {
	switch {
	case n <= usualBufferBytes:
		return usualBuffers
	case n <= keepBufferBytes:
		return largeBuffers
	}
	return nil
}

// takeBuffer returns a buffer with room for n bytes.
func takeBuffer(n int) *[]byte {
	pool := buffersOf(n)
	if pool == nil {
		b := make([]byte, 0, n)
		return &b
	}
	b := pool.Get().(*[]byte) //nolint:forcetypeassert // nothing else is in it
	if cap(*b) < n {          // rounded up, so that a buffer soon serves all
		*b = make([]byte, 0, (n+bufferBytes-1)/bufferBytes*bufferBytes)
	}
	return b
}

// giveBuffer takes a buffer back into which nothing points any more; nil is none.
func giveBuffer(b *[]byte) {
	if b == nil {
		return
	}
	if pool := buffersOf(cap(*b)); pool != nil {
		pool.Put(b)
	}
}
