package admit

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// IDSize is the length of a producer id, in bytes.
const IDSize = 16

// Why a whole request is refused: but for ErrNoRoom the sender is broken, and its
// stream ends.
var (
	ErrMalformed     = errors.New("publish request is not well formed")
	ErrTooManyEvents = errors.New("publish request holds too many events")
	ErrTooManyBad    = errors.New("publish request holds too many events that are refused")
	ErrUnknownCodec  = errors.New("publish request is packed by a codec that the hub does not know")
	// ErrNoRoom says that Room gave none. The request may be a good one.
	ErrNoRoom = errors.New("no room to unpack the publish request")
	// ErrTooLarge says so in the words of gRPC about a message that is too long:
	// agents of ours give such a batch up, and would send it for ever else.
	ErrTooLarge = errors.New("publish request is larger than max when unpacked")
)

// maxRefused bounds the refusals of a request, each of which is counted and told: of
// 65,536 empty events the answer cost another agent half a second. Agents of ours
// send at most 500 events at a time.
const maxRefused = 4096

// maxDetails bounds how many refusals of a request carry a text, so that a
// hostile request cannot ask for a huge answer.
const maxDetails = 16

// Field numbers of PublishRequest.
const (
	fieldProducerID = 1
	fieldSequence   = 2
	fieldEvents     = 3
	fieldCompressed = 4
	fieldCodec      = 5
)

// Rules is what a request is held against.
type Rules struct {
	// Host is the host that the sender's certificate names, in normal form. Events
	// are its own, or else say that it observed them.
	Host string
	// AgentID is the agent that sends, in normal form; events that name another
	// are refused. Empty allows any of the host.
	AgentID string
	// Observes allows events about other hosts and devices: the certificate names
	// kinds of agents that watch others.
	Observes bool
	// Maker decides which types of events the sender makes.
	Maker event.Maker
	// MaxEventBytes and MaxEvents bound one event and one request.
	MaxEventBytes, MaxEvents int
	// MaxUnpackedBytes bounds the events of a packed request together.
	MaxUnpackedBytes int
	// MaxSkew is how far an event's time may be from the hub's clock before it
	// is counted as skewed; such events are accepted.
	MaxSkew time.Duration
}

// Refusal says why one event of a request is not stored.
type Refusal struct {
	Index  uint32
	Reason pb.RefusalReason
	Detail string
}

// Request is what the walk found in a PublishRequest. One Request is used over
// and over; what it points to is valid until Release, and as long as the pieces that
// were parsed.
type Request struct {
	// HasProducer says whether ProducerID and Sequence make the batch idempotent.
	HasProducer bool
	ProducerID  [IDSize]byte
	Sequence    uint64
	// Count is how many events are accepted, and Bytes the length of their fields
	// (tag, length, bytes) as they stood in the request, unpacked where it was packed.
	Count, Bytes int
	// Payload is these fields, or what Codec makes of them; Stored is its length.
	Payload [][]byte
	Codec   codec.Codec
	Stored  int
	// Refused lists the others in order.
	Refused []Refusal
	// Skewed counts accepted events whose time is far from now.
	Skewed int

	// Room is asked before anything is unpacked. Parse does not change it; nil gives
	// room to all.
	Room Room

	walker  *event.Walker // while events are walked
	scratch []byte
	idSize  int
	index   uint32      // of the event that comes next
	most    int         // events that this request may have
	came    codec.Codec // field 5
	packed  [][]byte    // field 4
	has     bool        // field 4 is there
}

// Parse walks a request that came in pieces. On error nothing of it may be
// stored. It allocates only what it can reuse, for refusals, and for a packed batch
// of which some events are refused. After ErrNoRoom the producer and the sequence are
// known, and nothing else.
func (r *Request) Parse(pieces [][]byte, rules *Rules, now time.Time) error {
	r.Forget()
	r.most = rules.MaxEvents
	if err := r.walk(pieces, rules, now); err != nil {
		return err
	}
	if err := r.checkProducer(); err != nil {
		return err
	}
	if err := r.checkPacked(); err != nil {
		return err
	}
	if r.has {
		return r.parsePacked(rules, now)
	}
	r.Bytes = lengthOf(r.Payload)
	r.Stored = r.Bytes
	return nil
}

// walk reads the request, and its events unless they are packed.
func (r *Request) walk(pieces [][]byte, rules *Rules, now time.Time) error {
	r.takeWalker()
	defer r.returnWalker()
	c := newCursor(pieces)
	run := position{-1, 0} // where the present run of accepted events began
	for c.left > 0 {
		c.rest() // steps over the end of a piece, so that runs begin where bytes are
		start := c.at
		tag, size := c.uvarint()
		if size == 0 {
			return fmt.Errorf("%w: bad tag", ErrMalformed)
		}
		keep := false
		if tag == codec.EventsTag && size == 1 {
			var err error
			if keep, err = r.event(&c, rules, now); err != nil {
				return err
			}
		} else if err := r.other(&c, tag); err != nil {
			return err
		}
		switch {
		case keep && run.piece < 0:
			run = start
		case !keep && run.piece >= 0:
			r.Payload = c.between(r.Payload, run, start)
			run.piece = -1
		}
	}
	if run.piece >= 0 {
		r.Payload = c.between(r.Payload, run, c.at)
	}
	return nil
}

// keepPieces is how many pieces and refusals a Request has room for while it is idle. An
// agent's batch comes in up to twenty, and nothing of it is refused.
const keepPieces = 64

// Forget lets go of the whole request and keeps its memory for the next, unless that is
// much: a Request may be idle for long.
func (r *Request) Forget() {
	const keep = 64 << 10
	if cap(r.scratch) > keep {
		r.scratch = nil
	}
	r.Release()
	clear(r.Refused)
	*r = Request{
		Payload: atMost(r.Payload), Refused: atMost(r.Refused), packed: atMost(r.packed),
		Room: r.Room, scratch: r.scratch,
	}
}

// atMost is the memory of a slice, unless that is more than is kept.
func atMost[T any](s []T) []T {
	if cap(s) > keepPieces {
		return nil
	}
	return s[:0]
}

// Release lets go of Payload and of the pieces that were parsed, before their bytes
// change. All else stays.
func (r *Request) Release() {
	clear(r.Payload)
	clear(r.packed)
	r.Payload, r.packed = r.Payload[:0], r.packed[:0]
}

// walkers are used by one Parse at a time: an idle stream holds none.
var walkers = sync.Pool{New: func() any { return new(event.Walker) }} //nolint:gochecknoglobals // holds nothing of anybody

func (r *Request) takeWalker() { r.walker = walkers.Get().(*event.Walker) } //nolint:forcetypeassert // nothing else is in it

func (r *Request) returnWalker() {
	r.walker.Forget()
	walkers.Put(r.walker)
	r.walker = nil
}

func (r *Request) checkProducer() error {
	switch {
	case r.idSize == 0:
		return nil
	case r.idSize != IDSize:
		return fmt.Errorf("%w: producer_id has %d bytes, not %d", ErrMalformed, r.idSize, IDSize)
	case r.ProducerID == [IDSize]byte{}:
		return fmt.Errorf("%w: producer_id is all zero", ErrMalformed)
	case r.Sequence == 0:
		return fmt.Errorf("%w: sequence must count from 1 when there is a producer_id", ErrMalformed)
	}
	r.HasProducer = true
	return nil
}

// event reads the event behind an events tag and decides on it.
func (r *Request) event(c *cursor, rules *Rules, now time.Time) (keep bool, err error) {
	n, size := c.uvarint()
	if err := r.checkLength(n, size, c.left); err != nil {
		return false, err
	}
	if n > uint64(rules.MaxEventBytes) {
		c.skip(int(n))
		return false, r.refuse(tooLarge(int(n), rules))
	}
	joined := len(c.rest()) < int(n)
	b := c.take(int(n), &r.scratch)
	keep, err = r.decide(b, rules, now)
	if joined {
		r.walker.Forget() // the scratch takes the next one that comes in pieces
	}
	return keep, err
}

// checkLength looks at the length of the next event: its number, of how many bytes it
// is, and how many bytes are left behind it.
func (r *Request) checkLength(n uint64, size, left int) error {
	switch {
	case int(r.index) >= r.most:
		return fmt.Errorf("%w: at most %d are allowed", ErrTooManyEvents, r.most)
	case size == 0 || n > uint64(left):
		return fmt.Errorf("%w: event %d is cut off", ErrMalformed, r.index)
	case size != uvarintSize(n):
		// The log keeps the field as it came and counts on the one shortest form.
		return fmt.Errorf("%w: the length of event %d is not in its shortest form", ErrMalformed, r.index)
	}
	return nil
}

// decide judges the next event.
func (r *Request) decide(b []byte, rules *Rules, now time.Time) (keep bool, err error) {
	envelope, refusal := judge(b, rules, r.walker.Inspect)
	if refusal != nil {
		return false, r.refuse(*refusal)
	}
	if rules.Skewed(&envelope, now) {
		r.Skewed++
	}
	r.Count++
	r.index++
	return true, nil
}

// refuse notes that the next event is not stored. An error says that too many are not.
func (r *Request) refuse(refusal Refusal) error {
	refusal.Index = r.index
	if len(r.Refused) >= maxDetails {
		refusal.Detail = ""
	}
	r.Refused = append(r.Refused, refusal)
	r.index++
	if len(r.Refused) > maxRefused {
		return fmt.Errorf("%w: more than %d, the first, number %d, because: %s", ErrTooManyBad, maxRefused, r.Refused[0].Index, r.Refused[0].Detail)
	}
	return nil
}

// other reads any field but an event.
func (r *Request) other(c *cursor, tag uint64) error {
	number, wire := tag>>3, protowire.Type(tag&7)
	if number == 0 || number > uint64(protowire.MaxValidNumber) {
		return fmt.Errorf("%w: field number %d", ErrMalformed, number)
	}
	if number == fieldEvents && wire == protowire.BytesType {
		return fmt.Errorf("%w: the tag of an event is not in its shortest form", ErrMalformed)
	}
	switch wire {
	case protowire.VarintType:
		v, size := c.uvarint()
		if size == 0 {
			return fmt.Errorf("%w: bad number in field %d", ErrMalformed, number)
		}
		switch number {
		case fieldSequence:
			r.Sequence = v
		case fieldCodec:
			return r.takeCodec(v)
		}
		return nil
	case protowire.Fixed32Type:
		return skipField(c, number, 4)
	case protowire.Fixed64Type:
		return skipField(c, number, 8)
	case protowire.BytesType:
		n, size := c.uvarint()
		if size == 0 || n > uint64(c.left) {
			return fmt.Errorf("%w: field %d is cut off", ErrMalformed, number)
		}
		switch number {
		case fieldProducerID:
		case fieldCompressed:
			return r.takePacked(c, int(n))
		default:
			return skipField(c, number, int(n))
		}
		r.idSize = int(n)
		if n != IDSize {
			return skipField(c, number, int(n))
		}
		copy(r.ProducerID[:], c.take(IDSize, &r.scratch))
		return nil
	default:
		return fmt.Errorf("%w: field %d has wire type %d", ErrMalformed, number, wire)
	}
}

func skipField(c *cursor, number uint64, n int) error {
	if n > c.left {
		return fmt.Errorf("%w: field %d is cut off", ErrMalformed, number)
	}
	c.skip(n)
	return nil
}

// uvarintSize is the length of the shortest encoding of v.
func uvarintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// Skewed reports whether an event's time is further from now than MaxSkew.
func (rules *Rules) Skewed(e *event.Envelope, now time.Time) bool {
	return rules.MaxSkew > 0 && time.Duration(now.UnixNano()-e.UnixNano).Abs() > rules.MaxSkew
}

func tooLarge(n int, rules *Rules) Refusal {
	return Refusal{
		Reason: pb.RefusalReason_REFUSAL_REASON_TOO_LARGE,
		Detail: fmt.Sprintf("event has %d bytes, at most %d are allowed", n, rules.MaxEventBytes),
	}
}
