package parquet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/eventtest"
	own "github.com/amoskys/amoskys/internal/parquet"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func stored(t testing.TB, i int, ev *pb.Event) *pb.StoredEvent {
	t.Helper()
	ev.Publisher = "" // the record tells it, and the hub refuses events that do
	encoded, err := event.Encode(ev)
	if err != nil {
		t.Fatal(err)
	}
	return &pb.StoredEvent{
		Offset: uint64(i), LoggedTime: timestamppb.New(time.Unix(1_700_000_000, int64(i))), Publisher: "spiffe://amoskys.local/agent/web-1", Event: encoded,
	}
}

// jsonLine is what the export of JSON lines has of an event.
func jsonLine(t *testing.T, e *pb.StoredEvent) map[string]any {
	t.Helper()
	var attrs event.Attrs
	if err := attrs.ReadStored(e.GetEvent(), e.GetPublisher()); err != nil {
		t.Fatal(err)
	}
	line := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(attrs.AppendJSON(nil, event.SchemaNative)))
	decoder.UseNumber()
	if err := decoder.Decode(&line); err != nil {
		t.Fatal(err)
	}
	line["offset"] = json.Number(fmt.Sprint(e.GetOffset()))
	line["logged_time"] = e.GetLoggedTime().AsTime().Format(time.RFC3339Nano)
	return line
}

// read returns the rows of a file, as JSON lines would have them.
func read(t *testing.T, file []byte) []map[string]any {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	for _, group := range f.RowGroups() {
		reader := group.Rows()
		buffer := make([]parquet.Row, 16)
		for {
			n, err := reader.ReadRows(buffer)
			for _, row := range buffer[:n] {
				rows = append(rows, object(t, f.Schema(), row))
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// object makes one JSON object of a row.
func object(t *testing.T, schema *parquet.Schema, row parquet.Row) map[string]any {
	t.Helper()
	out := map[string]any{}
	var key string
	row.Range(func(leaf int, values []parquet.Value) bool {
		path := schema.Columns()[leaf]
		node, _ := schema.Lookup(path...)
		name := path[0]
		var list []any
		for _, v := range values {
			if v.IsNull() {
				continue
			}
			switch x := plain(node.Node, v); {
			case len(path) == 3 && path[2] == "key":
				key += v.String() + "\x00"
			case len(path) == 3 && path[2] == "value":
				var k string
				k, key, _ = strings.Cut(key, "\x00")
				out[name+"."+k] = x
			case name == own.Other:
				var more map[string]any
				decoder := json.NewDecoder(strings.NewReader(v.String()))
				decoder.UseNumber()
				if err := decoder.Decode(&more); err != nil {
					t.Fatal(err)
				}
				maps.Copy(out, more)
			default:
				list = append(list, x)
			}
		}
		switch len(list) {
		case 0:
		case 1:
			out[name] = list[0]
		default:
			out[name] = list
		}
		return true
	})
	return out
}

func plain(node parquet.Node, v parquet.Value) any {
	kind := node.Type().String()
	switch {
	case strings.HasPrefix(kind, "TIMESTAMP"):
		return time.Unix(0, v.Int64()).UTC().Format(time.RFC3339Nano)
	case kind == "INT(64,false)":
		return json.Number(fmt.Sprint(v.Uint64()))
	case v.Kind() == parquet.Int64:
		return json.Number(fmt.Sprint(v.Int64()))
	case v.Kind() == parquet.Double:
		return v.Double()
	case v.Kind() == parquet.Boolean:
		return v.Boolean()
	}
	return string(v.ByteArray())
}

// same compares a value of JSON with one of a file.
func same(a, b any) bool {
	if x, ok := b.(float64); ok {
		switch y := a.(type) {
		case json.Number:
			n, err := y.Float64()
			return err == nil && n == x
		case string: // what JSON has no number for
			return fmt.Sprint(x) == y || math.IsNaN(x) && y == "NaN" || math.IsInf(x, 0) && strings.Contains(y, "Inf")
		}
	}
	if list, ok := a.([]any); ok {
		other, ok := b.([]any)
		if !ok || len(list) != len(other) {
			return false
		}
		for i := range list {
			if !same(list[i], other[i]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

func compare(t *testing.T, events []*pb.StoredEvent, file []byte) {
	t.Helper()
	rows := read(t, file)
	if len(rows) != len(events) {
		t.Fatalf("%d rows of %d events", len(rows), len(events))
	}
	for i, e := range events {
		want, got := jsonLine(t, e), rows[i]
		for name, value := range want {
			if !same(value, got[name]) {
				t.Errorf("event %d: %s is %v in JSON and %v in Parquet", i, name, value, got[name])
			}
		}
		for name := range got {
			if _, ok := want[name]; !ok {
				t.Errorf("event %d: %s is in Parquet alone: %v", i, name, got[name])
			}
		}
	}
}

func write(t *testing.T, events []*pb.StoredEvent, fields []*event.Field) []byte {
	t.Helper()
	var out bytes.Buffer
	w := own.NewWriter(&out, fields)
	for _, e := range events {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestAsJSONLines: a file has exactly what the JSON lines of the same events have,
// with all columns or with few, and the rest beside them.
func TestAsJSONLines(t *testing.T) {
	var events []*pb.StoredEvent
	for i, ev := range eventtest.Filled() {
		events = append(events, stored(t, i, ev))
	}
	events = append(events, stored(t, 1<<40, &pb.Event{
		Id: []byte("0123456789abcdef"), Type: "process.execution", Time: timestamppb.New(time.Unix(1<<36, 5)),
		Labels: map[string]string{"site": "berlin", "": "empty", "a.b": "ü"},
		Host:   &pb.Host{Name: "web-1", Ip: []string{"192.0.2.1", "2001:db8::1"}},
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{Process: &pb.Process{
			Pid: 7, Args: []string{"sh", "", "-c"},
		}}},
	}))
	compare(t, events, write(t, events, nil))
	compare(t, events, write(t, events, own.Fields([]string{"type", "host.ip", "labels", "pid", "nosuch"})))
}

// TestTypes: numbers are numbers and times are times.
func TestTypes(t *testing.T) {
	file := write(t, nil, nil)
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"time": "TIMESTAMP", "offset": "INT(64,FALSE)", "pid": "INT(64,FALSE)", "cpu": "DOUBLE", "host.ip": "LIST", "labels": "KEY_VALUE",
		"process.name": "STRING", "severity": "STRING",
	} {
		got := ""
		for _, field := range f.Schema().Fields() {
			if field.Name() == name {
				got = strings.ToUpper(field.Type().String())
				if !field.Leaf() {
					got = strings.ToUpper(field.String())
				}
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s is %s, not %s", name, got, want)
		}
	}
}

// TestCut: no beginning of a file passes for a whole one.
func TestCut(t *testing.T) {
	var events []*pb.StoredEvent
	for i, ev := range eventtest.Filled() {
		events = append(events, stored(t, i, ev))
	}
	file := write(t, events, nil)
	for n := 0; n < len(file); n += 1 + len(file)/97 {
		if _, err := parquet.OpenFile(bytes.NewReader(file[:n]), int64(n)); err == nil {
			t.Errorf("%d of %d bytes are opened", n, len(file))
		}
	}
}

// TestUnreadable: what is no event is kept as it is.
func TestUnreadable(t *testing.T) {
	rows := read(t, write(t, []*pb.StoredEvent{{Offset: 3, Event: []byte("\xff\xff")}}, nil))
	if len(rows) != 1 || rows[0]["encoded"] != "\xff\xff" || rows[0]["unreadable"] == nil || rows[0]["offset"] != json.Number("3") {
		t.Errorf("%v", rows)
	}
}

// counter counts bytes, and the most that came at once.
type counter struct{ bytes, writes int }

func (c *counter) Write(b []byte) (int, error) {
	c.bytes += len(b)
	c.writes++
	return len(b), nil
}

// TestGroups: what was written goes out while more comes, in groups of bounded size.
func TestGroups(t *testing.T) {
	var out bytes.Buffer
	w := own.NewWriter(&out, own.Fields([]string{"message", "type"}))
	ev := &pb.Event{Id: []byte("0123456789abcdef"), Type: "process.execution", Time: timestamppb.New(time.Unix(1_700_000_000, 0))}
	random := uint64(1)
	most, last := 0, 0
	for i := range 3_000 {
		text := make([]byte, 8_000) // does not pack
		for j := range text {
			random = random*6364136223846793005 + 1442695040888963407
			text[j] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[random>>58]
		}
		ev.Message = string(text)
		if err := w.Write(stored(t, i, ev)); err != nil {
			t.Fatal(err)
		}
		most = max(most, i*8_000*3/4-out.Len())
		if out.Len() > last {
			last = out.Len()
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil || len(f.RowGroups()) < 2 || f.NumRows() != 3_000 {
		t.Errorf("%d groups of %d rows, %v", len(f.RowGroups()), f.NumRows(), err)
	}
	if most > 12<<20 || last == 0 {
		t.Errorf("%d bytes were held at once", most)
	}
}

// BenchmarkWrite writes events with all that they may have.
func BenchmarkWrite(b *testing.B) {
	e := stored(b, 1, eventtest.Filled()[0])
	var out counter
	w := own.NewWriter(&out, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(e); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}
