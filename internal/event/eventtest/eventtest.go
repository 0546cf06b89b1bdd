// Package eventtest makes events for tests of what carries all of their fields.
package eventtest

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Filled returns one event for each body, with every field set, lists twice.
func Filled() []*pb.Event {
	body := (&pb.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("body")
	events := make([]*pb.Event, 0, body.Fields().Len())
	for i := range body.Fields().Len() {
		ev := &pb.Event{}
		fill(ev.ProtoReflect(), body.Fields().Get(i), new(int))
		ev.Id = bytes.Repeat([]byte{byte(i + 1)}, event.IDSize)
		ev.Time = timestamppb.New(time.Date(2025, 11, 3, 10, 0, 0, 123456789, time.UTC))
		events = append(events, ev)
	}
	return events
}

func fill(m protoreflect.Message, body protoreflect.FieldDescriptor, n *int) {
	fds := m.Descriptor().Fields()
	for i := range fds.Len() {
		fd := fds.Get(i)
		if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() && fd != body {
			continue
		}
		switch {
		case fd.IsMap():
			for _, k := range []string{"b", "a.c", ""} {
				*n++
				m.Mutable(fd).Map().Set(protoreflect.ValueOfString(k).MapKey(), protoreflect.ValueOfString(fmt.Sprint("v", *n)))
			}
		case fd.IsList():
			for range 2 {
				list := m.Mutable(fd).List()
				if fd.Kind() == protoreflect.MessageKind {
					fill(list.AppendMutable().Message(), body, n)
				} else {
					list.Append(some(fd, n))
				}
			}
		case fd.Kind() == protoreflect.MessageKind:
			fill(m.Mutable(fd).Message(), body, n)
		default:
			m.Set(fd, some(fd, n))
		}
	}
}

func some(fd protoreflect.FieldDescriptor, n *int) protoreflect.Value {
	*n++
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprintf("<%s>\n\"%d\" é", fd.Name(), *n))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(bytes.Repeat([]byte{byte(*n)}, 16))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(*n%9 + 1)) // some are unknown
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(-*n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(*n))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(math.MaxUint32 - uint32(*n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(math.MaxUint64 - uint64(*n))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64([]float64{1e-9, 1e22, 12.5, math.Inf(1), math.NaN(), math.Copysign(0, -1)}[*n%6])
	default:
		panic("fill: " + fd.Kind().String())
	}
}
