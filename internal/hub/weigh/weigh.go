// Package weigh judges an encoded protobuf message before it is decoded: how many
// bytes its objects would take, and how many elements each of its lists has. A
// message costs far more in memory than on the wire (an empty AgentStatus is two
// bytes there and 350 here), so a bound on its length alone bounds nothing.
//
// A Plan is made once of a message type, by its descriptor. Its Check walks the
// encoded bytes once and allocates nothing.
package weigh

import (
	"errors"
	"fmt"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Why a message is not decoded.
var (
	ErrMalformed = errors.New("message is not well formed")
	ErrTooHeavy  = errors.New("message is too large")
)

// Limits bound one message and all that is in it.
type Limits struct {
	// Decoded is the most bytes that its objects may take, as estimated.
	Decoded int
	// Elements is the most elements of any of its lists, unless Lists names
	// another number for it by its full name, such as amoskys.v1.NodeHello.agents.
	Elements int
	Lists    map[protoreflect.FullName]int
}

// maxDepth bounds messages within messages. Ours have at most five.
const maxDepth = 16

// Costs of what is not in a message's own struct, in bytes: estimates of what the
// Go runtime sets aside, rather too high than too low.
const (
	costObject   = 16  // of each allocation, for its rounding up
	costSlot     = 48  // of a list's element that is a string, with the list's spare room
	costPointer  = 16  // the same for one that is a message or number
	costOneof    = 32  // the box of a oneof's choice
	costMapEntry = 320 // of a map's entry, as if it were the map's only one
)

// Plan knows what a message of one type costs.
type Plan struct {
	name   protoreflect.FullName
	size   int // of its struct
	limits *Limits
	fields []field // by number; those beyond or without a kind are unknown
}

type kind uint8

const (
	unknown kind = iota
	number       // any scalar of a fixed size
	text         // string or bytes
	message      // or a map's entry
)

// field is what a plan knows of one field.
type field struct {
	kind kind
	list bool
	slot uint8  // which counter counts a list's elements
	bit  uint64 // which bit tells that a message which comes once was met
	once int    // cost of each occurrence
	most int    // elements of a list
	sub  *Plan
	wire protowire.Type // of one element; a list of numbers may be packed as well
}

// listsCounted is how many lists of one message are counted apart; those beyond
// share the last counter.
const listsCounted = 16

// NewPlan makes the plan of a message type and of all that it holds.
func NewPlan(d protoreflect.MessageDescriptor, limits Limits) *Plan {
	return planOf(d, &limits, map[protoreflect.FullName]*Plan{})
}

// planOf makes a plan, once for each type: messages may hold their own kind.
func planOf(d protoreflect.MessageDescriptor, limits *Limits, plans map[protoreflect.FullName]*Plan) *Plan {
	if p := plans[d.FullName()]; p != nil {
		return p
	}
	p := &Plan{name: d.FullName(), size: structSize(d), limits: limits}
	plans[d.FullName()] = p
	all := d.Fields()
	slot, bit := 0, 0
	for i := range all.Len() {
		fd := all.Get(i)
		for int(fd.Number()) >= len(p.fields) {
			p.fields = append(p.fields, field{})
		}
		f := fieldOf(fd, limits, plans)
		if f.list {
			f.slot = uint8(min(slot, listsCounted-1))
			slot++
		} else if f.kind == message {
			f.bit = 1 << min(bit, 63)
			bit++
		}
		p.fields[fd.Number()] = f
	}
	return p
}

// structSize estimates a message's struct from its fields: what generated code
// makes of them, and its own state.
func structSize(d protoreflect.MessageDescriptor) int {
	size := 48 // state, unknown fields, cached size
	for i := range d.Fields().Len() {
		switch fd := d.Fields().Get(i); {
		case fd.IsList() || fd.Kind() == protoreflect.BytesKind:
			size += 24
		case fd.Kind() == protoreflect.StringKind:
			size += 16
		default:
			size += 8
		}
	}
	return size
}

func fieldOf(fd protoreflect.FieldDescriptor, limits *Limits, plans map[protoreflect.FullName]*Plan) field {
	f := field{list: fd.Cardinality() == protoreflect.Repeated, most: limits.Elements}
	if most, ok := limits.Lists[fd.FullName()]; ok {
		f.most = most
	}
	switch fd.Kind() {
	case protoreflect.MessageKind:
		f.kind, f.wire, f.sub = message, protowire.BytesType, planOf(fd.Message(), limits, plans)
		f.once = costObject
		if fd.IsMap() {
			f.once = costMapEntry
		}
	case protoreflect.StringKind, protoreflect.BytesKind:
		f.kind, f.wire, f.once = text, protowire.BytesType, costObject
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		f.kind, f.wire = number, protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		f.kind, f.wire = number, protowire.Fixed64Type
	case protoreflect.GroupKind:
		return field{} // refused by its wire type
	default:
		f.kind, f.wire = number, protowire.VarintType
	}
	switch {
	case f.list && f.kind == text:
		f.once += costSlot
	case f.list:
		f.once += costPointer
	case fd.HasOptionalKeyword():
		f.once += costObject
	}
	if fd.ContainingOneof() != nil {
		f.once += costOneof
	}
	return f
}

// Check walks an encoded message of the plan's type. Its errors wrap ErrMalformed
// or ErrTooHeavy and say what is wrong in words for the sender.
func (p *Plan) Check(b []byte) error {
	left := p.limits.Decoded
	return p.walk(b, &left, maxDepth)
}

// met is what a walk has met of one message.
type met struct {
	elements [listsCounted]int // of its lists
	single   uint64            // the bits of the messages that come once
}

// walk takes the cost of one message from left.
func (p *Plan) walk(b []byte, left *int, depth int) error {
	if depth == 0 {
		return fmt.Errorf("%w: %s is nested too deeply", ErrTooHeavy, p.name)
	}
	if err := p.pay(left, p.size); err != nil {
		return err
	}
	var met met
	for len(b) > 0 {
		num, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: bad tag in %s", ErrMalformed, p.name)
		}
		tag := n
		var f *field
		if int(num) < len(p.fields) && p.fields[num].kind != unknown {
			f = &p.fields[num]
		}
		value := b[n:]
		var inner []byte
		switch wire {
		case protowire.BytesType:
			inner, n = protowire.ConsumeBytes(value)
		case protowire.VarintType, protowire.Fixed32Type, protowire.Fixed64Type:
			n = protowire.ConsumeFieldValue(num, wire, value)
		default:
			n = -1 // a group, which proto3 does not have, or nonsense
		}
		if n < 0 {
			return fmt.Errorf("%w: field %d of %s is cut off or of a wrong type", ErrMalformed, num, p.name)
		}
		b = value[n:]
		if err := p.field(f, wire, inner, tag+n, &met, left, depth); err != nil {
			return err
		}
	}
	return nil
}

// field takes the cost of one field, known or not, from left.
func (p *Plan) field(f *field, wire protowire.Type, inner []byte, size int, met *met, left *int, depth int) error {
	elements := 1
	switch {
	case f == nil, f.wire != wire && (f.kind != number || !f.list || wire != protowire.BytesType):
		return p.pay(left, 2*size) // kept as it came, in a slice that grows
	case f.wire != wire:
		elements = packed(inner, f.wire)
	}
	if f.list {
		met.elements[f.slot] += elements
		if met.elements[f.slot] > f.most {
			return fmt.Errorf("%w: %s has more than %d elements in one list", ErrTooHeavy, p.name, f.most)
		}
	} else if f.kind == message {
		// A decoder would merge both, and their lists with them.
		if met.single&f.bit != 0 {
			return fmt.Errorf("%w: %s holds %s twice", ErrMalformed, p.name, f.sub.name)
		}
		met.single |= f.bit
	}
	if err := p.pay(left, elements*f.once); err != nil {
		return err
	}
	switch f.kind {
	case text:
		return p.pay(left, len(inner))
	case message:
		return f.sub.walk(inner, left, depth-1)
	default:
		return nil
	}
}

func (p *Plan) pay(left *int, cost int) error {
	if *left -= cost; *left < 0 {
		return fmt.Errorf("%w: it would take more than %d bytes once decoded", ErrTooHeavy, p.limits.Decoded)
	}
	return nil
}

// packed counts the numbers of a packed list.
func packed(b []byte, wire protowire.Type) int {
	switch wire {
	case protowire.Fixed32Type:
		return len(b) / 4
	case protowire.Fixed64Type:
		return len(b) / 8
	default:
		n := 0
		for _, c := range b {
			n += 1 - bits.Len8(c)/8 // the last byte of a number has no top bit
		}
		return n
	}
}
