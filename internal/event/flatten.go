package event

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Schema chooses the names that Flatten gives.
type Schema string

// Schemas.
const (
	// SchemaNative uses Field.Name.
	SchemaNative Schema = "json"
	SchemaECS    Schema = "ecs"
	SchemaOCSF   Schema = "ocsf"
)

// Fields flattens an event to its set attributes under their native names:
// strings, float64 or uint64/int64 numbers, booleans, times (time.Time),
// durations (seconds as float64), or slices of those where an attribute
// repeats. Whoever has the encoded event reads Attrs from it instead.
func Fields(ev *pb.Event) map[string]any { return Flatten(ev, SchemaNative) }

// Flatten is Fields with the names of a schema. Attributes without a name in
// the schema keep their native one. An event that cannot be encoded has none.
func Flatten(ev *pb.Event, s Schema) map[string]any {
	out := map[string]any{}
	encoded, err := Encode(ev)
	if err != nil {
		return out
	}
	var a Attrs
	if a.Read(encoded) != nil {
		return out
	}
	names := compiled().names(s)
	for i := range a.List {
		attr := &a.List[i]
		name := names[attr.ID].text
		if attr.Key != nil {
			out[name+"."+string(attr.Key)] = attr.Value.Any()
			continue
		}
		switch before := out[name].(type) {
		case nil:
			out[name] = attr.Value.Any()
		case []any:
			out[name] = append(before, attr.Value.Any())
		default:
			out[name] = []any{before, attr.Value.Any()}
		}
	}
	return out
}

// Lookup returns the values of the field in ev, none when it is not set. key
// names the entry of a map field; empty means the values of all entries.
func (f *Field) Lookup(ev *pb.Event, key string) []any {
	if f.Type == FieldMap {
		var out []any
		f.eachEntry(ev, func(k, v string) {
			if key == "" || key == k {
				out = append(out, v)
			}
		})
		return out
	}
	return collect(nil, ev.ProtoReflect(), f.steps)
}

func collect(out []any, m protoreflect.Message, steps []protoreflect.FieldDescriptor) []any {
	fd := steps[0]
	if !m.Has(fd) {
		return out
	}
	v := m.Get(fd)
	if fd.IsList() {
		l := v.List()
		for i := range l.Len() {
			if len(steps) > 1 {
				out = collect(out, l.Get(i).Message(), steps[1:])
				continue
			}
			out = append(out, scalar(fd, l.Get(i)))
		}
		return out
	}
	if len(steps) > 1 {
		return collect(out, v.Message(), steps[1:])
	}
	return append(out, scalar(fd, v))
}

// scalar converts one leaf value.
func scalar(fd protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch fd.Kind() { //nolint:exhaustive // the others are numbers, handled below
	case protoreflect.EnumKind:
		return enumText(fd.Enum(), v.Enum())
	case protoreflect.BytesKind:
		return IDString(v.Bytes())
	case protoreflect.MessageKind:
		switch x := v.Message().Interface().(type) {
		case *timestamppb.Timestamp:
			return x.AsTime().UTC()
		case *durationpb.Duration:
			return x.AsDuration().Seconds()
		}
		return nil
	}
	switch x := v.Interface().(type) {
	case int32:
		return int64(x)
	case uint32:
		return uint64(x)
	default:
		return x
	}
}

func (f *Field) eachEntry(ev *pb.Event, do func(k, v string)) {
	eachMap(ev.ProtoReflect(), f.steps, func(m protoreflect.Map) {
		byKey := map[string]string{}
		m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			byKey[k.String()] = v.String()
			return true
		})
		for _, k := range sortedKeys(byKey) {
			do(k, byKey[k])
		}
	})
}

func eachMap(m protoreflect.Message, steps []protoreflect.FieldDescriptor, do func(protoreflect.Map)) {
	fd := steps[0]
	if !m.Has(fd) {
		return
	}
	v := m.Get(fd)
	switch {
	case fd.IsMap():
		do(v.Map())
	case fd.IsList():
		l := v.List()
		for i := range l.Len() {
			eachMap(l.Get(i).Message(), steps[1:], do)
		}
	default:
		eachMap(v.Message(), steps[1:], do)
	}
}

// Time returns when the event happened, the zero time when it does not say.
func Time(ev *pb.Event) time.Time {
	if ev.GetTime() == nil {
		return time.Time{}
	}
	return ev.GetTime().AsTime()
}

// SeverityText is "informational", "low", "medium", "high", "critical" or
// "unknown".
func SeverityText(s pb.Severity) string {
	if s <= pb.Severity_SEVERITY_UNSPECIFIED || s > pb.Severity_SEVERITY_CRITICAL {
		return "unknown"
	}
	return enumText(s.Descriptor(), s.Number())
}
