package event

import (
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// shape is one message at one place of the event, such as the user of the parent
// of a process: Inspect checks by it, and Attrs reads by it. Fields from 1 to
// len(fields)-1 are known; others are checked for well-formedness alone.
type shape struct {
	fields []field
	// leaves say what the value of a field is, at the same index.
	leaves []leaf
	top    bool
	name   protoreflect.Name
	// limits are set for timestamps and durations.
	limits *limits
	// places is how many messages lie at and below the Event; set at the top.
	places int
}

type field struct {
	wire   protowire.Type
	kind   fieldKind
	packed bool
	sub    *shape
	// place numbers the messages of an Event, for Walker.
	place int
}

type fieldKind uint8

const (
	kindUnknown fieldKind = iota
	kindPlain
	kindString
	kindMessage
)

// leaf is a field that the table maps: an attribute, or a message that leads to
// some.
type leaf struct {
	id   FieldID
	kind leafKind
	// once fields may stand in a message a single time; oneof fields a single one
	// of all. A second one would overwrite or be merged with the first.
	once, oneof bool
	// presence fields count when they are zero, too.
	presence bool
	enum     []string // by number; others show the number
}

type leafKind uint8

const (
	leafNone leafKind = iota // unknown, or not mapped
	leafGroup
	leafMap
	leafText
	leafBytes
	leafEnum
	leafBool
	leafInt32
	leafInt64
	leafUint32
	leafUint64
	leafDouble
	leafTime
	leafDuration
)

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

const (
	timestampName = "google.protobuf.Timestamp"
	durationName  = "google.protobuf.Duration"
)

func limitsOf(name protoreflect.FullName) *limits {
	switch name {
	case timestampName:
		return &limits{firstSecond, lastSecond}
	case durationName:
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

// eventShape is built once from the generated descriptors and the table.
var eventShape = sync.OnceValue(func() *shape { //nolint:gochecknoglobals // immutable once built
	ids := map[string]FieldID{}
	for _, f := range compiled().fields {
		ids[f.Path] = f.ID
	}
	s := shapeOf((&pb.Event{}).ProtoReflect().Descriptor(), "", ids)
	s.top = true
	s.places = s.number(0)
	return s
})

// number gives each message below s its place, from next on, and returns the next.
func (s *shape) number(next int) int {
	for i := range s.fields {
		if f := &s.fields[i]; f.sub != nil {
			f.place = next
			next = f.sub.number(next + 1)
		}
	}
	return next
}

// shapeOf describes the messages from d down; the Event message has no cycles.
func shapeOf(d protoreflect.MessageDescriptor, path string, ids map[string]FieldID) *shape {
	s := &shape{name: d.Name(), limits: limitsOf(d.FullName())}
	fds := d.Fields()
	for i := range fds.Len() {
		fd := fds.Get(i)
		n := int(fd.Number())
		for len(s.fields) <= n {
			s.fields, s.leaves = append(s.fields, field{}), append(s.leaves, leaf{})
		}
		at := path + string(fd.Name())
		s.fields[n] = fieldOf(fd, at+".", ids)
		if s.limits == nil {
			s.leaves[n] = leafOf(fd, at, ids)
		}
	}
	return s
}

func fieldOf(fd protoreflect.FieldDescriptor, path string, ids map[string]FieldID) field {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return field{wire: protowire.BytesType, kind: kindMessage, sub: shapeOf(fd.Message(), path, ids)}
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

func leafOf(fd protoreflect.FieldDescriptor, path string, ids map[string]FieldID) leaf {
	l := leaf{kind: leafKindOf(fd), once: !fd.IsList() && !fd.IsMap(), oneof: fd.ContainingOneof() != nil && !fd.HasOptionalKeyword()}
	l.presence = fd.HasPresence() || fd.IsList()
	if l.kind == leafGroup {
		return l
	}
	id, mapped := ids[path]
	if !mapped {
		return leaf{}
	}
	l.id = id
	if l.kind == leafEnum {
		l.enum = enumNames(fd.Enum())
	}
	return l
}

func leafKindOf(fd protoreflect.FieldDescriptor) leafKind {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		switch {
		case fd.IsMap():
			return leafMap
		case fd.Message().FullName() == timestampName:
			return leafTime
		case fd.Message().FullName() == durationName:
			return leafDuration
		}
		return leafGroup
	case protoreflect.StringKind:
		return leafText
	case protoreflect.BytesKind:
		return leafBytes
	case protoreflect.EnumKind:
		return leafEnum
	case protoreflect.BoolKind:
		return leafBool
	case protoreflect.Int32Kind:
		return leafInt32
	case protoreflect.Int64Kind:
		return leafInt64
	case protoreflect.Uint32Kind:
		return leafUint32
	case protoreflect.Uint64Kind:
		return leafUint64
	case protoreflect.DoubleKind:
		return leafDouble
	default:
		// A kind that no event uses yet: a new one is added here and in attrs.go.
		panic("event: no attribute has kind " + fd.Kind().String())
	}
}

// enumNames lists the texts of an enumeration's values by number. Ours are small
// and without gaps.
func enumNames(ed protoreflect.EnumDescriptor) []string {
	var names []string
	values := ed.Values()
	for i := range values.Len() {
		n := values.Get(i).Number()
		for len(names) <= int(n) {
			names = append(names, "")
		}
		names[n] = enumText(ed, n)
	}
	return names
}
