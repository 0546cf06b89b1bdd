package event

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// ToJSON returns the event as proto3 JSON with field names as in the .proto
// files and the id as a UUID's text.
func ToJSON(ev *pb.Event) (json.RawMessage, error) {
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(ev)
	if err != nil {
		return nil, fmt.Errorf("print event as JSON: %w", err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("print event as JSON: %w", err)
	}
	if len(ev.GetId()) > 0 {
		m["id"], _ = json.Marshal(IDString(ev.GetId())) // a string always marshals
	}
	out, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("print event as JSON: %w", err)
	}
	return out, nil
}

// FlatJSON returns one flat object with the names of a schema, keys sorted,
// times as RFC 3339 with nanoseconds.
func FlatJSON(ev *pb.Event, s Schema) (json.RawMessage, error) {
	m := Flatten(ev, s)
	for k, v := range m {
		m[k] = jsonValue(v)
	}
	out, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("print event as JSON: %w", err)
	}
	return out, nil
}

func jsonValue(v any) any {
	switch x := v.(type) {
	case time.Time:
		return x.Format(time.RFC3339Nano)
	case float64:
		if x != x || x > 1e308 || x < -1e308 { // JSON has no NaN or infinity
			return fmt.Sprint(x)
		}
		return x
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = jsonValue(x[i])
		}
		return out
	default:
		return v
	}
}
