package vlogs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Series is how many rows there were over time, of one set of values.
type Series struct {
	Fields map[string]string // the values; empty where nothing was grouped by
	Times  []time.Time       // begin of each step that has rows, in order
	Counts []uint64          // of each
	Total  uint64
}

// Hits counts the rows that q's filter finds in steps of time, grouped by fields. With
// most > 0 the groups with fewer rows are summed up in one without values. Steps begin
// at multiples of step since 1970. q.Limit is not used.
func (c *Client) Hits(ctx context.Context, q Query, step time.Duration, fields []string, most int) ([]Series, error) {
	args := q.args()
	args.Set("step", inNanos(step))
	args["field"] = fields
	if most > 0 {
		args.Set("fields_limit", strconv.Itoa(most))
	}
	var answer struct {
		Hits []struct {
			Fields     map[string]string `json:"fields"`
			Timestamps []time.Time       `json:"timestamps"`
			Values     []uint64          `json:"values"`
			Total      uint64            `json:"total"`
		} `json:"hits"`
	}
	if err := c.getJSON(ctx, "/select/logsql/hits", args, &answer); err != nil {
		return nil, err
	}
	out := make([]Series, 0, len(answer.Hits))
	for _, h := range answer.Hits {
		if len(h.Timestamps) != len(h.Values) {
			return nil, fmt.Errorf("%w: %d times and %d counts", ErrBroken, len(h.Timestamps), len(h.Values))
		}
		out = append(out, Series{Fields: h.Fields, Times: h.Timestamps, Counts: h.Values, Total: h.Total})
	}
	return out, nil
}

// Value is a value and how many rows have it.
type Value struct {
	Text string `json:"value"`
	Hits uint64 `json:"hits"`
}

// Facet is a field with its most frequent values.
type Facet struct {
	Field  string
	Values []Value // most frequent first
}

// FacetBounds are what Facets leaves out. Zero values are the engine's defaults.
type FacetBounds struct {
	Values    int  // of a field that are returned; 10
	MaxValues int  // a field with more different values is left out; 1000
	MaxLength int  // a field with a longer value is left out, in bytes; 128
	Constant  bool // fields with the same value in all rows are not left out
}

// Facets are the most frequent values of all fields of the rows that q finds.
func (c *Client) Facets(ctx context.Context, q Query, b FacetBounds) ([]Facet, error) {
	args := q.args()
	setPositive(args, "limit", b.Values)
	setPositive(args, "max_values_per_field", b.MaxValues)
	setPositive(args, "max_value_len", b.MaxLength)
	if b.Constant {
		args.Set("keep_const_fields", "1")
	}
	var answer struct {
		Facets []struct {
			Field  string `json:"field_name"`
			Values []struct {
				Text string `json:"field_value"`
				Hits uint64 `json:"hits"`
			} `json:"values"`
		} `json:"facets"`
	}
	if err := c.getJSON(ctx, "/select/logsql/facets", args, &answer); err != nil {
		return nil, err
	}
	out := make([]Facet, 0, len(answer.Facets))
	for _, f := range answer.Facets {
		facet := Facet{Field: f.Field, Values: make([]Value, 0, len(f.Values))}
		for _, v := range f.Values {
			facet.Values = append(facet.Values, Value(v))
		}
		out = append(out, facet)
	}
	return out, nil
}

// FieldNames are the names of the fields of rows that q finds, with how many rows may
// have them: the engine counts whole blocks. Only those that contain part.
func (c *Client) FieldNames(ctx context.Context, q Query, part string) ([]Value, error) {
	args := q.args()
	if part != "" {
		args.Set("filter", part)
	}
	return c.values(ctx, "/select/logsql/field_names", args)
}

// FieldValues are the values of a field in rows that q finds. Only those that contain
// part. With more than q.Limit of them, which of them, and their hits, are arbitrary:
// ErrLimit says so, beside the values.
func (c *Client) FieldValues(ctx context.Context, q Query, field, part string) ([]Value, error) {
	args := q.args()
	args.Set("field", field)
	if part != "" {
		args.Set("filter", part)
	}
	setPositive(args, "limit", q.Limit)
	values, err := c.values(ctx, "/select/logsql/field_values", args)
	// At the limit the engine sets all hits to zero.
	if err == nil && q.Limit > 0 && len(values) >= q.Limit && values[0].Hits == 0 {
		err = ErrLimit
	}
	return values, err
}

func (c *Client) values(ctx context.Context, path string, args url.Values) ([]Value, error) {
	var answer struct {
		Values []Value `json:"values"`
	}
	err := c.getJSON(ctx, path, args, &answer)
	return answer.Values, err
}

// Point is a value of a statistic at a time.
type Point struct {
	Time  time.Time
	Value string // a number, or a text such as that of min over names
}

// StatsSeries is one statistic over time.
type StatsSeries struct {
	Name   string            // of the function's result, such as "count(*)"
	Fields map[string]string // what was grouped by
	Points []Point
}

// StatsRange computes the stats pipe at the end of q for each step of time.
func (c *Client) StatsRange(ctx context.Context, q Query, step time.Duration) ([]StatsSeries, error) {
	args := q.args()
	args.Set("step", inNanos(step))
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string    `json:"metric"`
				Values [][2]json.RawMessage `json:"values"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := c.getJSON(ctx, "/select/logsql/stats_query_range", args, &answer); err != nil {
		return nil, err
	}
	out := make([]StatsSeries, 0, len(answer.Data.Result))
	for _, r := range answer.Data.Result {
		s := StatsSeries{Name: r.Metric["__name__"], Fields: r.Metric, Points: make([]Point, 0, len(r.Values))}
		delete(s.Fields, "__name__")
		for _, v := range r.Values {
			var seconds float64
			var text string
			if json.Unmarshal(v[0], &seconds) != nil || json.Unmarshal(v[1], &text) != nil {
				return nil, fmt.Errorf("%w: a point %s %s", ErrBroken, v[0], v[1])
			}
			s.Points = append(s.Points, Point{Time: time.UnixMilli(int64(seconds * 1000)).UTC(), Value: text})
		}
		out = append(out, s)
	}
	return out, nil
}

func setPositive(args url.Values, name string, n int) {
	if n > 0 {
		args.Set(name, strconv.Itoa(n))
	}
}

// inNanos is a duration as the engine reads it.
func inNanos(d time.Duration) string { return strconv.FormatInt(d.Nanoseconds(), 10) + "ns" }
