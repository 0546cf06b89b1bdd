package stream

import (
	"encoding/binary"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/amoskys/amoskys/internal/codec"
)

// Limits of a record.
const (
	// MaxEvents is how many events a record may hold, so that an offset can be made
	// of a record's number and 16 bits.
	MaxEvents = 1 << 16
	// MaxPublisherBytes is how long a publisher's name may be.
	MaxPublisherBytes = 255
	// MaxUnpackedBytes is how long a record's events may be together: what a log can
	// store of them when they are not packed, its own bytes included.
	MaxUnpackedBytes = 64<<20 - 1024
)

// Record is a batch to append. Submit copies the struct; the buffers behind
// Payload belong to the log until done is called.
type Record struct {
	Publisher  string    // identity from the certificate, at most MaxPublisherBytes
	ProducerID [16]byte  // idempotence of publishing, zero when unused
	Sequence   uint64    // the producer's number of this batch, 0 when unused
	Received   time.Time // when the batch arrived
	Count      int       // events in Payload, 1 to MaxEvents
	// Payload is pieces whose concatenation is a protobuf message with the
	// events in field 3 (repeated bytes: tag 0x1a, length, bytes), or what Codec makes
	// of one. It must unpack to at most MaxUnpackedBytes; that is for whoever appends
	// to check, the log keeps it as it is.
	Payload [][]byte
	Codec   codec.Codec
}

// Check says what of a record no log can store, as far as that shows without unpacking
// it: its limits, a codec that is not known, and a length that what is packed says to
// have and cannot. The error is ErrInvalid.
func (r *Record) Check() error {
	stored := 0
	for _, p := range r.Payload {
		stored += len(p)
	}
	unpacked := stored
	if r.Codec != codec.None {
		var err error
		if unpacked, err = r.Codec.Size(beginning(r.Payload)); err != nil {
			return fmt.Errorf("%d events: %w: %w", r.Count, ErrInvalid, err)
		}
	}
	switch {
	case r.Count < 1 || r.Count > unpacked || r.Count > MaxEvents:
		return fmt.Errorf("%d events in %d bytes: %w", r.Count, unpacked, ErrInvalid)
	case r.Codec != codec.None && unpacked > MaxUnpackedBytes:
		return fmt.Errorf("%d bytes of events: %w", unpacked, ErrInvalid)
	case len(r.Publisher) > MaxPublisherBytes:
		return fmt.Errorf("publisher with a name of %d bytes: %w", len(r.Publisher), ErrInvalid)
	}
	return nil
}

// beginning returns the first bytes of pieces, as many as a codec needs to say a length.
func beginning(pieces [][]byte) []byte {
	if len(pieces) > 0 && len(pieces[0]) >= binary.MaxVarintLen64 {
		return pieces[0]
	}
	var b []byte
	for _, p := range pieces {
		if b = append(b, p[:min(len(p), binary.MaxVarintLen64)]...); len(b) >= binary.MaxVarintLen64 {
			break
		}
	}
	return b
}

// Entry is a record read from the log, which is also the block in which its events
// are stored: Payload may be kept or sent on as it is, together with Codec, Count,
// First, Received and Publisher. It and its Payload are valid until the next call on
// the Reader that returned it.
type Entry struct {
	First      Offset // offset of the first event in Payload
	Next       Offset // where to go on behind the entry
	Count      int    // events in Payload, numbered First, First+1 and so on
	Publisher  string
	ProducerID [16]byte
	Sequence   uint64
	Received   time.Time // the events' logged time
	Codec      codec.Codec
	Payload    []byte

	// From leaves out what was not asked for: events below it.
	From Offset

	fields   []byte // Payload unpacked
	unpacked *[]byte
}

// buffers are what packed entries unpack into.
var buffers = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // holds nothing of anybody

// keepBytes is the size of a buffer above which it is not kept. The largest record that a
// hub takes is a little more than 1 MiB unpacked, unless its configuration says more, and
// a hundred bytes may unpack to that: a reader that made a buffer for each would be ahead
// of the collector.
const keepBytes = 2 << 20

// Fields returns the fields of the entry's events one behind the other, as they were
// before they were packed. They are valid as long as the entry is, and until Release.
// The error is that of a codec: the payload is not what it makes.
func (e *Entry) Fields() ([]byte, error) {
	switch {
	case e.Codec == codec.None:
		return e.Payload, nil
	case e.fields != nil:
		return e.fields, nil
	case e.unpacked == nil:
		e.unpacked = buffers.Get().(*[]byte) //nolint:forcetypeassert // nothing else is in it
	}
	b, err := e.Codec.Unpack((*e.unpacked)[:0], e.Payload, MaxUnpackedBytes)
	if err != nil {
		return nil, err
	}
	*e.unpacked, e.fields = b, b
	return b, nil
}

// Held is how many bytes Fields and Events have unpacked into that Release gives back.
func (e *Entry) Held() int {
	if e.unpacked == nil {
		return 0
	}
	return cap(*e.unpacked)
}

// Release gives back what Fields and Events have unpacked into. A Reader calls it
// before it fills an entry anew and before it waits.
func (e *Entry) Release() {
	if e.unpacked != nil && cap(*e.unpacked) <= keepBytes {
		buffers.Put(e.unpacked)
	}
	e.unpacked, e.fields = nil, nil
}

// Events iterates over the encoded events with their offsets. When a reader
// was opened at an offset in the middle of an entry, the entry's earlier
// events are left out. Other fields of the payload are skipped, and so is what
// exceeds Count; a payload that is no protobuf message, or does not unpack (Fields
// says why), ends the iteration early. The events are valid as long as Fields.
func (e *Entry) Events() iter.Seq2[Offset, []byte] {
	return func(yield func(Offset, []byte) bool) {
		fields, err := e.Fields()
		if err != nil {
			return
		}
		at := e.First
		for p := fields; len(p) > 0 && at < e.First+Offset(e.Count); {
			field, value, rest, ok := nextField(p)
			if !ok {
				return
			}
			p = rest
			if field != codec.EventsTag>>3 {
				continue
			}
			if at >= e.From && !yield(at, value) {
				return
			}
			at++
		}
	}
}

// Missing returns the gap of the events that the entry should hold from next on and
// does not give back, nil where there are none. Whoever has been through Events asks
// with the offset behind the last event that it got.
func (e *Entry) Missing(next Offset) *Gap {
	next, end := max(next, e.First, e.From), e.First+Offset(e.Count)
	if next >= end {
		return nil
	}
	reason := "damaged: the record holds fewer events than it says"
	if _, err := e.Fields(); err != nil {
		reason = "damaged: the record does not unpack: " + err.Error()
	}
	return &Gap{From: next, To: end, Cause: CauseDamaged, Reason: reason}
}

// nextField reads one protobuf field from p; value is nil unless the field is
// length-delimited.
func nextField(p []byte) (field uint64, value, rest []byte, ok bool) {
	tag, n := binary.Uvarint(p)
	if n <= 0 {
		return 0, nil, nil, false
	}
	p = p[n:]
	var skip uint64
	switch tag & 7 {
	case 0:
		_, n := binary.Uvarint(p)
		if n <= 0 {
			return 0, nil, nil, false
		}
		skip = uint64(n)
	case 1:
		skip = 8
	case 2:
		size, n := binary.Uvarint(p)
		if n <= 0 || size > uint64(len(p)-n) {
			return 0, nil, nil, false
		}
		value = p[n : n+int(size) : n+int(size)]
		skip = uint64(n) + size
	case 5:
		skip = 4
	default:
		return 0, nil, nil, false
	}
	if skip > uint64(len(p)) {
		return 0, nil, nil, false
	}
	return tag >> 3, value, p[skip:], true
}
