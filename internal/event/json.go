package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

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
	encoded, err := Encode(ev)
	if err != nil {
		return nil, err
	}
	var a Attrs
	if err := a.Read(encoded); err != nil {
		return nil, err
	}
	return a.AppendJSON(nil, s), nil
}

// AppendJSON appends the attributes as one flat object with the names of a schema,
// keys sorted. It puts List into that order. An attribute that repeats is an array.
func (a *Attrs) AppendJSON(dst []byte, s Schema) []byte {
	names := compiled().names(s)
	slices.SortStableFunc(a.List, func(x, y Attr) int {
		if c := names[x.ID].rank - names[y.ID].rank; c != 0 {
			return c
		}
		return bytes.Compare(x.Key, y.Key)
	})
	dst = append(dst, '{')
	for i := 0; i < len(a.List); {
		end := i + 1
		for end < len(a.List) && a.List[end].ID == a.List[i].ID && bytes.Equal(a.List[end].Key, a.List[i].Key) {
			end++
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendMember(dst, names[a.List[i].ID].text, a.List[i:end])
		i = end
	}
	return append(dst, '}')
}

// appendMember appends one name with its values. Of an entry that several maps
// have, the last counts.
func appendMember(dst []byte, name string, values []Attr) []byte {
	if values[0].Key != nil {
		dst = appendJSONString(dst, append(append([]byte(name), '.'), values[0].Key...))
		return values[len(values)-1].Value.AppendJSON(append(dst, ':'))
	}
	dst = append(append(append(dst, '"'), name...), '"', ':')
	if len(values) == 1 {
		return values[0].Value.AppendJSON(dst)
	}
	dst = append(dst, '[')
	for i := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = values[i].Value.AppendJSON(dst)
	}
	return append(dst, ']')
}
