package event

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// ErrNotSettable says that an attribute lies in a message that repeats, so that its
// values do not tell which of the messages they belong to.
var ErrNotSettable = errors.New("the attribute lies in messages that repeat")

// Set sets the attribute in ev to texts as Value.Append writes them, but durations to
// integer nanoseconds. Several are for an attribute that repeats. The error is
// ErrNotSettable, or names the attribute and the text that is no value of it.
func (f *Field) Set(ev *pb.Event, texts ...string) error {
	m, fd, err := f.holder(ev)
	if err != nil {
		return err
	}
	if !fd.IsList() {
		if len(texts) != 1 || fd.IsMap() {
			return fmt.Errorf("set %s: it takes one value, not %d", f.Name, len(texts))
		}
		v, err := f.parse(fd, texts[0])
		if err != nil {
			return fmt.Errorf("set %s: %w", f.Name, err)
		}
		m.Set(fd, v)
		return nil
	}
	list := m.Mutable(fd).List()
	for _, text := range texts {
		v, err := f.parse(fd, text)
		if err != nil {
			return fmt.Errorf("set %s: %w", f.Name, err)
		}
		list.Append(v)
	}
	return nil
}

// SetEntries sets entries of a map attribute.
func (f *Field) SetEntries(ev *pb.Event, entries map[string]string) error {
	m, fd, err := f.holder(ev)
	if err != nil {
		return err
	}
	if !fd.IsMap() {
		return fmt.Errorf("set %s: it is no map", f.Name)
	}
	to := m.Mutable(fd).Map()
	for k, v := range entries {
		to.Set(protoreflect.ValueOfString(k).MapKey(), protoreflect.ValueOfString(v))
	}
	return nil
}

// holder makes the messages above the attribute.
func (f *Field) holder(ev *pb.Event) (protoreflect.Message, protoreflect.FieldDescriptor, error) {
	m, last := ev.ProtoReflect(), len(f.steps)-1
	for _, fd := range f.steps[:last] {
		if fd.IsList() {
			return nil, nil, fmt.Errorf("set %s: %w", f.Name, ErrNotSettable)
		}
		m = m.Mutable(fd).Message()
	}
	return m, f.steps[last], nil
}

// parse is the inverse of Value.Append, with durations in nanoseconds.
func (f *Field) parse(fd protoreflect.FieldDescriptor, text string) (protoreflect.Value, error) {
	switch fd.Kind() { //nolint:exhaustive // the others are numbers
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(text), nil
	case protoreflect.BytesKind:
		id, err := parseBytes(text)
		return protoreflect.ValueOfBytes(id), err
	case protoreflect.EnumKind:
		return f.parseEnum(text)
	case protoreflect.BoolKind:
		b, err := strconv.ParseBool(text)
		return protoreflect.ValueOfBool(b), err
	case protoreflect.MessageKind:
		if fd.Message().FullName() == timestampName {
			at, err := time.Parse(time.RFC3339Nano, text)
			return protoreflect.ValueOfMessage(timestamppb.New(at).ProtoReflect()), err
		}
		n, err := strconv.ParseInt(text, 10, 64)
		return protoreflect.ValueOfMessage(durationpb.New(time.Duration(n)).ProtoReflect()), err
	}
	return parseNumber(fd, text)
}

func parseNumber(fd protoreflect.FieldDescriptor, text string) (protoreflect.Value, error) {
	switch fd.Kind() {
	case protoreflect.Int32Kind:
		n, err := strconv.ParseInt(text, 10, 32)
		return protoreflect.ValueOfInt32(int32(n)), err
	case protoreflect.Int64Kind:
		n, err := strconv.ParseInt(text, 10, 64)
		return protoreflect.ValueOfInt64(n), err
	case protoreflect.Uint32Kind:
		n, err := strconv.ParseUint(text, 10, 32)
		return protoreflect.ValueOfUint32(uint32(n)), err
	case protoreflect.Uint64Kind:
		n, err := strconv.ParseUint(text, 10, 64)
		return protoreflect.ValueOfUint64(n), err
	default:
		x, err := strconv.ParseFloat(text, 64)
		return protoreflect.ValueOfFloat64(x), err
	}
}

// parseEnum reads a value's word, or the number of one without a name.
func (f *Field) parseEnum(text string) (protoreflect.Value, error) {
	if n, ok := f.numbers[text]; ok {
		return protoreflect.ValueOfEnum(n), nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n)), err
}

// parseBytes is the inverse of IDString.
func parseBytes(text string) ([]byte, error) {
	if len(text) == len("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") && text[8] == '-' {
		id, err := ParseID(text)
		return id[:], err
	}
	return hex.DecodeString(text) //nolint:wrapcheck // Set says whose text it is
}
