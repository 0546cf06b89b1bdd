package row

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// ErrNotWhole says that a row lacks what every event has, as one of which only some
// fields were asked for does.
var ErrNotWhole = errors.New("the row is not a whole event: ask for all of its fields")

// text is a field of a row as the engine gives it back.
type text struct{ Name, Value string }

// Event makes the event of a row again, from the fields that the engine gave back, in
// any order. It is equal to the one of the log, with its names as event.Attribute
// brings them, unless its row says that it was cut and not whole. Fields under other
// names than those of the closed set are passed over.
func Event[F ~struct{ Name, Value string }](fields []F) (*pb.StoredEvent, error) {
	b := builder{out: &pb.StoredEvent{}, event: &pb.Event{}}
	for i := range fields {
		if err := b.take(text(fields[i])); err != nil {
			return nil, err
		}
	}
	if b.failed != nil && b.encoded == nil && !b.cut {
		return nil, b.failed
	}
	return b.finish()
}

// builder gathers what the fields of one row say.
type builder struct {
	out      *pb.StoredEvent
	event    *pb.Event
	encoded  []byte // the event's own bytes
	at       *timestamppb.Timestamp
	own      *timestamppb.Timestamp // where the row's time is not the event's
	hasPlace bool
	cut      bool
	exact    map[string]string
	failed   error // why the attributes do not make the event
}

// attributes are the fields of the catalogue by their names in rows.
var attributes = sync.OnceValue(func() map[string]*event.Field { //nolint:gochecknoglobals // immutable once built
	by := map[string]*event.Field{}
	for _, f := range event.FieldCatalog() {
		if name := columnOf(f); name != "" && name != Publisher {
			by[name] = f
		}
	}
	return by
})

func (b *builder) take(f text) (err error) {
	if f.Value == "" {
		return nil
	}
	switch f.Name {
	case Time:
		b.at, err = parseTime(f.Value)
	case EventTime:
		b.own, err = parseTime(f.Value)
	case Offset:
		b.out.Offset, err = strconv.ParseUint(f.Value, 10, 64)
		b.hasPlace = true
	case Logged:
		var n int64
		n, err = strconv.ParseInt(f.Value, 10, 64)
		b.out.LoggedTime = timestamppb.New(time.Unix(0, n))
	case Publisher:
		b.out.Publisher = f.Value
	case Encoded:
		b.encoded, err = base64.RawStdEncoding.DecodeString(f.Value)
	case Exact:
		err = json.Unmarshal([]byte(f.Value), &b.exact)
	case Cut:
		b.cut = true
	default:
		if attribute := attributes()[f.Name]; attribute != nil {
			if err := b.set(attribute, f.Value); err != nil && b.failed == nil {
				b.failed = fmt.Errorf("make the event of a row: %w", err)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("make the event of a row: %s: %w", f.Name, err)
	}
	return nil
}

func parseTime(v string) (*timestamppb.Timestamp, error) {
	at, err := time.Parse(time.RFC3339Nano, v)
	return timestamppb.New(at), err
}

// set sets an attribute to what a field says.
func (b *builder) set(f *event.Field, v string) error {
	switch {
	case f.Type == event.FieldMap:
		var entries map[string]string
		if err := json.Unmarshal([]byte(v), &entries); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		return f.SetEntries(b.event, entries) //nolint:wrapcheck // it names the attribute
	case f.Repeats():
		texts, err := elements(v)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		return f.Set(b.event, texts...) //nolint:wrapcheck // it names the attribute
	}
	return f.Set(b.event, mend(v)) //nolint:wrapcheck // it names the attribute
}

// elements returns the values of an array as texts.
func elements(v string) ([]string, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(v), &raw); err != nil {
		return nil, err
	}
	texts := make([]string, len(raw))
	for i, r := range raw {
		texts[i] = string(r)
		if r[0] == '"' {
			if err := json.Unmarshal(r, &texts[i]); err != nil {
				return nil, err
			}
		}
	}
	return texts, nil
}

func (b *builder) finish() (*pb.StoredEvent, error) {
	switch {
	case !b.hasPlace || b.at == nil || b.out.GetLoggedTime() == nil:
		return nil, ErrNotWhole
	case b.encoded != nil:
		b.out.Event = b.encoded
		return b.out, nil
	case b.own != nil:
		b.event.Time = b.own
	default:
		b.event.Time = b.at
	}
	for name, v := range b.exact {
		if f := attributes()[name]; f != nil {
			if err := f.Set(b.event, v); err != nil {
				return nil, fmt.Errorf("make the event of a row: %s: %w", Exact, err)
			}
		}
	}
	var err error
	b.out.Event, err = event.Encode(b.event)
	return b.out, err
}
