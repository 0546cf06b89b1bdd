package admit

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// IDSize is the length of a producer id, in bytes.
const IDSize = 16

// Why a whole request is refused: the sender is broken and its stream ends.
var (
	ErrMalformed     = errors.New("publish request is not well formed")
	ErrTooManyEvents = errors.New("publish request holds too many events")
)

// maxDetails bounds how many refusals of a request carry a text, so that a
// hostile request cannot ask for a huge answer.
const maxDetails = 16

// auditTypes begin the types of the audit trail, which the hub alone writes: who
// could publish them could forge it.
const auditTypes = "audit."

// Field numbers of PublishRequest.
const (
	fieldProducerID = 1
	fieldSequence   = 2
	fieldEvents     = 3

	eventsTag = fieldEvents<<3 | byte(protowire.BytesType)
)

// Rules is what a request is held against.
type Rules struct {
	// AgentID is the agent that sends; events that name another are refused.
	// Empty allows any.
	AgentID string
	// MaxEventBytes and MaxEvents bound one event and one request.
	MaxEventBytes, MaxEvents int
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
// and over; what it points to is valid until the next Parse and as long as the
// pieces that were parsed.
type Request struct {
	// HasProducer says whether ProducerID and Sequence make the batch idempotent.
	HasProducer bool
	ProducerID  [IDSize]byte
	Sequence    uint64
	// Count is how many events are accepted, Payload their fields as they stood
	// in the request (tag, length, bytes), and Bytes its length.
	Count   int
	Payload [][]byte
	Bytes   int
	// Refused lists the others in order.
	Refused []Refusal
	// Skewed counts accepted events whose time is far from now.
	Skewed int

	scratch []byte
	idSize  int
}

// Parse walks a request that came in pieces. On error nothing of it may be
// stored. It allocates only what it can reuse, and for refusals.
func (r *Request) Parse(pieces [][]byte, rules *Rules, now time.Time) error {
	r.reset()
	c := newCursor(pieces)
	run := position{-1, 0} // where the present run of accepted events began
	var index uint32
	for c.left > 0 {
		c.rest() // steps over the end of a piece, so that runs begin where bytes are
		start := c.at
		tag, size := c.uvarint()
		if size == 0 {
			return fmt.Errorf("%w: bad tag", ErrMalformed)
		}
		keep := false
		if tag == uint64(eventsTag) && size == 1 {
			if int(index) >= rules.MaxEvents {
				return fmt.Errorf("%w: at most %d are allowed", ErrTooManyEvents, rules.MaxEvents)
			}
			var err error
			if keep, err = r.event(&c, rules, index, now); err != nil {
				return err
			}
			index++
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
	for _, p := range r.Payload {
		r.Bytes += len(p)
	}
	return r.checkProducer()
}

// reset forgets the last request and keeps its memory, unless that was huge.
func (r *Request) reset() {
	const keep = 64 << 10
	if cap(r.scratch) > keep {
		r.scratch = nil
	}
	clear(r.Payload)
	clear(r.Refused)
	*r = Request{Payload: r.Payload[:0], Refused: r.Refused[:0], scratch: r.scratch}
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
func (r *Request) event(c *cursor, rules *Rules, index uint32, now time.Time) (keep bool, err error) {
	n, size := c.uvarint()
	if size == 0 || n > uint64(c.left) {
		return false, fmt.Errorf("%w: event %d is cut off", ErrMalformed, index)
	}
	if size != uvarintSize(n) {
		// The log keeps the field as it came and counts on the one shortest form.
		return false, fmt.Errorf("%w: the length of event %d is not in its shortest form", ErrMalformed, index)
	}
	if n > uint64(rules.MaxEventBytes) {
		c.skip(int(n))
		r.refuse(index, tooLarge(int(n), rules))
		return false, nil
	}
	b := c.take(int(n), &r.scratch)
	envelope, refusal := Judge(b, rules)
	if refusal != nil {
		r.refuse(index, *refusal)
		return false, nil
	}
	if rules.Skewed(&envelope, now) {
		r.Skewed++
	}
	r.Count++
	return true, nil
}

func (r *Request) refuse(index uint32, refusal Refusal) {
	refusal.Index = index
	if len(r.Refused) >= maxDetails {
		refusal.Detail = ""
	}
	r.Refused = append(r.Refused, refusal)
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
		if number == fieldSequence {
			r.Sequence = v
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
		if number != fieldProducerID {
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

func reasonOf(err error) pb.RefusalReason {
	switch {
	case errors.Is(err, event.ErrNoID):
		return pb.RefusalReason_REFUSAL_REASON_NO_ID
	case errors.Is(err, event.ErrNoTime):
		return pb.RefusalReason_REFUSAL_REASON_NO_TIME
	case errors.Is(err, event.ErrNoType):
		return pb.RefusalReason_REFUSAL_REASON_NO_TYPE
	default:
		return pb.RefusalReason_REFUSAL_REASON_MALFORMED
	}
}

// Judge decides on one encoded event. The refusal's index is 0.
func Judge(b []byte, rules *Rules) (event.Envelope, *Refusal) {
	if len(b) > rules.MaxEventBytes {
		refusal := tooLarge(len(b), rules)
		return event.Envelope{}, &refusal
	}
	envelope, err := event.Inspect(b)
	if err != nil {
		return event.Envelope{}, &Refusal{Reason: reasonOf(err), Detail: err.Error()}
	}
	if bytes.HasPrefix(envelope.Type, []byte(auditTypes)) {
		return event.Envelope{}, &Refusal{
			Reason: pb.RefusalReason_REFUSAL_REASON_WRONG_AGENT,
			Detail: fmt.Sprintf("events of type %.64q are the hub's own", envelope.Type),
		}
	}
	if rules.AgentID != "" && len(envelope.AgentID) > 0 && string(envelope.AgentID) != rules.AgentID {
		return event.Envelope{}, &Refusal{
			Reason: pb.RefusalReason_REFUSAL_REASON_WRONG_AGENT,
			Detail: fmt.Sprintf("event names agent %.64q, its sender is %q", envelope.AgentID, rules.AgentID),
		}
	}
	return envelope, nil
}

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
