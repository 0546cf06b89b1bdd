package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

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
	AgentID  []byte
	HostName []byte
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

// shape says of each field of one message how to check it. Fields from 1 to
// len(fields)-1 are known; others are checked for well-formedness alone.
type shape struct {
	fields []field
	top    bool
	name   protoreflect.Name
	// limits are set for timestamps and durations.
	limits *limits
}

// limits bound the seconds of a Timestamp or Duration, as its documentation
// does; nanoseconds are below a second. Each field is held against them by
// itself, so they hold as well for a message that is merged from several. A
// negative duration is none that an event could tell of.
type limits struct{ least, most int64 }

const (
	firstSecond  = -62135596800 // 0001-01-01T00:00:00Z
	lastSecond   = 253402300799 // 9999-12-31T23:59:59Z
	mostDuration = 315576000000 // 10,000 years
	maxNanos     = 999_999_999
)

func limitsOf(name protoreflect.FullName) *limits {
	switch name {
	case "google.protobuf.Timestamp":
		return &limits{firstSecond, lastSecond}
	case "google.protobuf.Duration":
		return &limits{0, mostDuration}
	}
	return nil
}

// allow looks at one number of a Timestamp or Duration.
func (l *limits) allow(num protowire.Number, v uint64) bool {
	switch int32(num) {
	case 1:
		return int64(v) >= l.least && int64(v) <= l.most
	case 2:
		return int32(v) >= 0 && int32(v) <= maxNanos // the decoder cuts it so
	}
	return true
}

type field struct {
	wire   protowire.Type
	kind   fieldKind
	packed bool
	sub    *shape
}

type fieldKind uint8

const (
	kindUnknown fieldKind = iota
	kindPlain
	kindString
	kindMessage
)

// eventShape is built once from the generated descriptors.
var eventShape = sync.OnceValue(func() *shape { //nolint:gochecknoglobals // immutable once built
	s := shapeOf((&pb.Event{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]*shape{})
	s.top = true
	return s
})

func shapeOf(d protoreflect.MessageDescriptor, seen map[protoreflect.FullName]*shape) *shape {
	if s, ok := seen[d.FullName()]; ok {
		return s
	}
	s := &shape{name: d.Name(), limits: limitsOf(d.FullName())}
	seen[d.FullName()] = s
	fds := d.Fields()
	for i := range fds.Len() {
		fd := fds.Get(i)
		n := int(fd.Number())
		for len(s.fields) <= n {
			s.fields = append(s.fields, field{})
		}
		s.fields[n] = fieldOf(fd, seen)
	}
	return s
}

func fieldOf(fd protoreflect.FieldDescriptor, seen map[protoreflect.FullName]*shape) field {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return field{wire: protowire.BytesType, kind: kindMessage, sub: shapeOf(fd.Message(), seen)}
	case protoreflect.StringKind:
		return field{wire: protowire.BytesType, kind: kindString}
	case protoreflect.BytesKind:
		return field{wire: protowire.BytesType, kind: kindPlain}
	case protoreflect.DoubleKind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return field{wire: protowire.Fixed64Type, kind: kindPlain, packed: fd.IsList()}
	case protoreflect.FloatKind, protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return field{wire: protowire.Fixed32Type, kind: kindPlain, packed: fd.IsList()}
	default:
		return field{wire: protowire.VarintType, kind: kindPlain, packed: fd.IsList()}
	}
}

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
		e.Severity = pb.Severity(v)
	case s.limits != nil && !s.limits.allow(num, v):
		return fmt.Errorf("%w: a %s is out of range", ErrMalformed, s.name)
	}
	return nil
}

// consumeTag is protowire.ConsumeTag with a short cut for one-byte tags.
func consumeTag(b []byte) (protowire.Number, protowire.Type, int) {
	if t := b[0]; t < 0x80 && t >= 8 {
		return protowire.Number(t >> 3), protowire.Type(t & 7), 1
	}
	return protowire.ConsumeTag(b)
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
		e.UnixNano = timestampNano(v)
	case 3:
		e.Type = v
	case 5:
		if id, ok := firstString(v); ok {
			e.AgentID = id
		}
	case 6:
		if name, ok := firstString(v); ok {
			e.HostName = name
		}
	}
	return nil
}

// firstString returns the last occurrence of field 1 of a message that has
// been found well formed.
func firstString(b []byte) (out []byte, ok bool) {
	for len(b) > 0 {
		num, typ, n := consumeTag(b)
		if n < 0 {
			return out, ok
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return out, ok
		}
		if num == 1 && typ == protowire.BytesType {
			out, _ = protowire.ConsumeBytes(b)
			ok = true
		}
		b = b[n:]
	}
	return out, ok
}

func timestampNano(b []byte) int64 {
	var sec, nano int64
	for len(b) > 0 {
		num, typ, n := consumeTag(b)
		if n < 0 {
			return noTime
		}
		b = b[n:]
		if typ == protowire.VarintType {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return noTime
			}
			switch int32(num) {
			case 1:
				sec = int64(v)
			case 2:
				nano = int64(v)
			}
			b = b[n:]
			continue
		}
		n = protowire.ConsumeFieldValue(num, typ, b)
		if n < 0 {
			return noTime
		}
		b = b[n:]
	}
	if sec < 0 || sec > lastSecond || nano < 0 || nano > maxNanos {
		return noTime
	}
	if sec > 9_223_372_036 { // beyond int64 nanoseconds: the year 2262
		return 1<<63 - 1
	}
	return sec*1e9 + nano
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
