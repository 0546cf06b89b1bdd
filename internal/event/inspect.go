package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Why Inspect refuses an event.
var (
	ErrMalformed = errors.New("not a well-formed event")
	ErrNoID      = errors.New("event has no id of 16 bytes")
	ErrNoTime    = errors.New("event has no time")
	ErrNoType    = errors.New("event has no type")
)

// MaxTypeLen bounds Event.type, in bytes: it becomes an index key and a label.
const MaxTypeLen = 128

// maxDepth bounds the nesting of messages; the deepest event has five levels.
const maxDepth = 16

// Envelope is what routing needs of an event. Its slices alias the encoded
// event and live as long as that does.
type Envelope struct {
	ID ID
	// UnixNano is Event.time in nanoseconds since 1970.
	UnixNano int64
	Type     []byte
	Severity pb.Severity
	// The names are as the event gives them; Normalise brings them into the form
	// in which names are compared.
	AgentID, AgentKind, HostName, ObserverName []byte
	// Which of the fields are there that not every sender may set, at whatever
	// place and however often.
	HasObserver, HasAbout, HasPublisher, HasFinding, HasAudit bool
	// The time's two numbers while the event is walked.
	seconds, nanos int64
}

// Normalise brings the names of agent and hosts into the form in which they are
// compared and shown. It allocates only for a name with capitals.
func (e *Envelope) Normalise() {
	e.AgentID, e.HostName, e.ObserverName = hostname.NormalBytes(e.AgentID), hostname.NormalBytes(e.HostName), hostname.NormalBytes(e.ObserverName)
}

// Inspect walks the wire form of one event and returns its envelope. It
// allocates nothing. The errors are ErrMalformed, ErrNoID, ErrNoTime and
// ErrNoType, possibly wrapped; an event without error is certain to unmarshal
// as *pb.Event, and its times and durations to have a form in JSON.
func Inspect(b []byte) (Envelope, error) {
	var e Envelope
	if err := walk(b, eventShape(), 0, &e); err != nil {
		return Envelope{}, err
	}
	e.UnixNano = unixNano(e.seconds, e.nanos)
	switch {
	case e.ID == ID{}:
		return Envelope{}, ErrNoID
	case e.UnixNano == noTime:
		return Envelope{}, ErrNoTime
	case len(e.Type) == 0:
		return Envelope{}, ErrNoType
	case len(e.Type) > MaxTypeLen:
		return Envelope{}, fmt.Errorf("%w: type is %d bytes long, at most %d are allowed", ErrNoType, len(e.Type), MaxTypeLen)
	}
	return e, nil
}

// noTime marks an event without time; 1970-01-01 itself is taken for none.
const noTime = 0

func walk(b []byte, s *shape, depth int, e *Envelope) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: nested deeper than %d messages", ErrMalformed, maxDepth)
	}
	for len(b) > 0 {
		num, typ, n := consumeTag(b)
		if n < 0 {
			return malformed(s, num)
		}
		b = b[n:]
		var f field
		if int(num) < len(s.fields) {
			f = s.fields[num]
		}
		if typ != protowire.BytesType {
			n = protowire.ConsumeFieldValue(num, typ, b)
			if n < 0 {
				return malformed(s, num)
			}
			if typ == protowire.VarintType && (s.top || s.limits != nil) {
				if err := number(s, num, b, e); err != nil {
					return err
				}
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return malformed(s, num)
		}
		b = b[n:]
		if err := check(v, f, num, s, depth, e); err != nil {
			return err
		}
	}
	return nil
}

// number looks at a varint of a message of which some matter.
func number(s *shape, num protowire.Number, b []byte, e *Envelope) error {
	v, _ := protowire.ConsumeVarint(b)
	switch {
	case s.top && num == 4:
		e.takeSeverity(v)
	case s.limits != nil && !s.limits.allow(num, v):
		return fmt.Errorf("%w: a %s is out of range", ErrMalformed, s.name)
	}
	return nil
}

func (e *Envelope) takeSeverity(v uint64) { e.Severity = pb.Severity(v) }

// consumeTag is protowire.ConsumeTag with a short cut for one-byte tags, and for the
// field numbers that the decoder allows: protowire takes larger ones.
func consumeTag(b []byte) (protowire.Number, protowire.Type, int) {
	if t := b[0]; t < 0x80 && t >= 8 {
		return protowire.Number(t >> 3), protowire.Type(t & 7), 1
	}
	num, typ, n := protowire.ConsumeTag(b)
	if num > protowire.MaxValidNumber {
		return num, typ, -1
	}
	return num, typ, n
}

// check looks at one length-delimited value.
func check(v []byte, f field, num protowire.Number, s *shape, depth int, e *Envelope) error {
	switch {
	case f.kind == kindString:
		if !utf8.Valid(v) {
			return fmt.Errorf("%w: field %d of %s is not UTF-8", ErrMalformed, num, s.name)
		}
	case f.kind == kindMessage:
		// Envelope fields are taken only at the top; below it e is a dummy.
		if err := walk(v, f.sub, depth+1, e); err != nil {
			return err
		}
	case f.packed:
		if !packedOK(v, f.wire) {
			return malformed(s, num)
		}
	}
	if s.top {
		return e.take(num, v)
	}
	return nil
}

// take keeps what the envelope needs of a top-level field. As in the decoder,
// the last of a repeated scalar wins and repeated messages merge.
func (e *Envelope) take(num protowire.Number, v []byte) error {
	switch int32(num) {
	case 1:
		e.ID = ID{}
		if len(v) != IDSize {
			return fmt.Errorf("%w: it has %d", ErrNoID, len(v))
		}
		copy(e.ID[:], v)
	case 2:
		takeTime(v, &e.seconds, &e.nanos)
	case 3:
		e.Type = v
	case 5:
		firstStrings(v, &e.AgentID, &e.AgentKind)
	case 6:
		firstStrings(v, &e.HostName, nil)
	case 9:
		e.HasObserver = true
		firstStrings(v, &e.ObserverName, nil)
	case 10:
		e.HasAbout = true
	case 11:
		e.HasPublisher = true
	case 27:
		e.HasFinding = true
	case 30:
		e.HasAudit = true
	}
	return nil
}

// firstStrings sets one and two, unless it is nil, to the last occurrence of
// fields 1 and 2 of a message that has been found well formed, and leaves them
// where it has none.
func firstStrings(b []byte, one, two *[]byte) {
	for len(b) > 0 {
		num, typ, n := consumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return
		}
		if typ == protowire.BytesType {
			switch {
			case num == 1:
				*one, _ = protowire.ConsumeBytes(b)
			case num == 2 && two != nil:
				*two, _ = protowire.ConsumeBytes(b)
			}
		}
		b = b[n:]
	}
}

// lastNanoSecond is the last second, in the year 2262, of which not all nanoseconds
// since 1970 fit into an int64.
const lastNanoSecond = 9_223_372_036

// takeTime sets what a Timestamp says that has been found well formed and in range,
// and leaves what it does not say as an earlier occurrence had it.
func takeTime(b []byte, seconds, nanos *int64) {
	for len(b) > 0 {
		num, typ, n := consumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return
		}
		if typ == protowire.VarintType {
			v, _ := protowire.ConsumeVarint(b)
			switch int32(num) {
			case 1:
				*seconds = int64(v)
			case 2:
				*nanos = int64(int32(v)) // the decoder cuts it so
			}
		}
		b = b[n:]
	}
}

// unixNano is a time in nanoseconds since 1970, or the last that an int64 holds.
func unixNano(seconds, nanos int64) int64 {
	if seconds < 0 {
		return noTime
	}
	if seconds >= lastNanoSecond {
		return 1<<63 - 1
	}
	return seconds*1e9 + nanos
}

func packedOK(v []byte, wire protowire.Type) bool {
	switch wire { //nolint:exhaustive // only these three can be packed
	case protowire.Fixed64Type:
		return len(v)%8 == 0
	case protowire.Fixed32Type:
		return len(v)%4 == 0
	}
	for len(v) > 0 {
		_, n := binary.Uvarint(v)
		if n <= 0 {
			return false
		}
		v = v[n:]
	}
	return true
}

func malformed(s *shape, num protowire.Number) error {
	return fmt.Errorf("%w: bad encoding in %s near field %d", ErrMalformed, s.name, num)
}

// TypeString returns the type without copying; it lives as long as the
// encoded event does.
func (e *Envelope) TypeString() string {
	return unsafe.String(unsafe.SliceData(e.Type), len(e.Type)) //nolint:gosec // read only, and bounded by the doc comment
}
