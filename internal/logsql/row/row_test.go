package row_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/bench/corpus"
	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/eventtest"
	"github.com/amoskys/amoskys/internal/logsql/row"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const publisher = "spiffe://amoskys.local/agent/web-1/proc"

// field is one that came back from the engine.
type field struct{ Name, Value string }

func bounds() row.Bounds { return row.Bounds{Past: 30 * 24 * time.Hour, Future: 24 * time.Hour} }

func logged(ev *pb.Event) time.Time { return event.Time(ev).Add(time.Second) }

func encode(t testing.TB, ev *pb.Event) []byte {
	t.Helper()
	b, err := event.Encode(ev)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// back is what the engine gives back of a row.
func back(r *row.Row) []field {
	out := []field{{row.Time, time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano)}, {"_stream", "{}"}, {"_stream_id", "0"}}
	for _, f := range r.Fields {
		out = append(out, field{f.Name, string(f.Value)})
	}
	return out
}

func value(r *row.Row, name string) string {
	for _, f := range r.Fields {
		if f.Name == name {
			return string(f.Value)
		}
	}
	return ""
}

// roundTrip holds the event made of a row against that of the log.
func roundTrip(t *testing.T, w *row.Writer, encoded []byte, received time.Time) *row.Row {
	t.Helper()
	want, err := event.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	event.Attribute(want, publisher)
	r, err := w.Row(encoded, publisher, 4711, received)
	if err != nil {
		t.Fatal(err)
	}
	checkShape(t, r)
	stored, err := row.Event(back(r))
	if err != nil {
		t.Fatalf("%v in %v", err, back(r))
	}
	if stored.GetOffset() != 4711 || stored.GetPublisher() != publisher || !stored.GetLoggedTime().AsTime().Equal(received) {
		t.Errorf("offset, publisher and time are %v", stored)
	}
	got, err := event.Decode(stored.GetEvent())
	if err != nil {
		t.Fatal(err)
	}
	event.Attribute(got, stored.GetPublisher())
	if r.Whole && !proto.Equal(got, want) {
		t.Errorf("the event came back as\n%v\nwant\n%v\nrow %v", got, want, back(r))
	}
	return r
}

// checkShape holds what every row promises.
func checkShape(t *testing.T, r *row.Row) {
	t.Helper()
	names, seen, size := row.Names(), map[string]bool{}, 0
	for _, f := range r.Fields {
		if seen[f.Name] || len(f.Value) == 0 || len(f.Name) > 128 || !slices.Contains(names, f.Name) {
			t.Errorf("field %q with %d bytes: twice, empty, too long or not of the closed set", f.Name, len(f.Value))
		}
		seen[f.Name] = true
		size += len(f.Name) + len(f.Value) + 6
	}
	if size > 2<<20-200 {
		t.Errorf("the row has %d bytes, which the engine drops", size)
	}
}

func TestEveryFieldComesBack(t *testing.T) {
	w := row.NewWriter(bounds())
	for _, ev := range eventtest.Filled() {
		roundTrip(t, w, encode(t, ev), logged(ev))
	}
}

// TestEachFieldOfTheCatalogueAlone walks the catalogue: an attribute that is added to
// the proto and the table is in rows and comes back without a change here.
func TestEachFieldOfTheCatalogueAlone(t *testing.T) {
	w := row.NewWriter(bounds())
	for _, f := range event.FieldCatalog() {
		t.Run(f.Name, func(t *testing.T) {
			if f.Path == "publisher" {
				return
			}
			ev := &pb.Event{Id: bytes.Repeat([]byte{7}, event.IDSize), Type: "a.b", Time: timestamppb.New(time.Unix(1_700_000_000, 5))}
			for _, full := range eventtest.Filled() {
				if copyPath(ev.ProtoReflect(), full.ProtoReflect(), strings.Split(f.Path, ".")) {
					break
				}
			}
			r := roundTrip(t, w, encode(t, ev), logged(ev))
			name := f.Name
			switch f.Path {
			case "time":
				return
			case "message":
				name = row.Message
			}
			if value(r, name) == "" {
				t.Errorf("the row has no %s: %v", name, back(r))
			}
		})
	}
}

// copyPath copies one attribute; lists on the way get one message.
func copyPath(to, from protoreflect.Message, path []string) bool {
	fd := from.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	switch {
	case !from.Has(fd):
		return false
	case len(path) == 1:
		to.Set(fd, from.Get(fd))
		return true
	case fd.IsList():
		return copyPath(to.Mutable(fd).List().AppendMutable().Message(), from.Get(fd).List().Get(0).Message(), path[1:])
	}
	return copyPath(to.Mutable(fd).Message(), from.Get(fd).Message(), path[1:])
}

// TestRecordedEventsAreWholeByTheirAttributes: the bytes of an event in its row would
// take twice the disk.
func TestRecordedEventsAreWholeByTheirAttributes(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine")
	}
	w := row.NewWriter(bounds())
	all, err := corpus.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	encoded, exact, fields, size := 0, 0, 0, 0
	for _, b := range all {
		ev, err := event.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		r := roundTrip(t, w, b, logged(ev))
		if value(r, row.Encoded) != "" {
			encoded++
		}
		if value(r, row.Exact) != "" {
			exact++
		}
		fields += len(r.Fields)
		for _, f := range r.Fields {
			size += len(f.Name) + len(f.Value)
		}
	}
	t.Logf("%d events: %d with their bytes, %d with exact values, %.1f fields and %.0f bytes a row", len(all), encoded, exact,
		float64(fields)/float64(len(all)), float64(size)/float64(len(all)))
	if encoded*100 > len(all) {
		t.Errorf("%d of %d rows have the event's bytes", encoded, len(all))
	}
}

func TestWhatAttributesDoNotTell(t *testing.T) {
	base := func(change func(ev *pb.Event)) []byte {
		ev := &pb.Event{Id: bytes.Repeat([]byte{7}, event.IDSize), Type: "a.b", Time: timestamppb.New(time.Unix(1_700_000_000, 5)), Severity: 2}
		change(ev)
		return encode(t, ev)
	}
	w := row.NewWriter(bounds())
	exact := map[string]bool{
		"a long decimal": true, "a version with zero": true, "bars": true, "a bar": true, "an odd address": true, "no day": true, "minus zero": true,
	}
	for name, c := range map[string]struct {
		in      []byte
		encoded bool
	}{
		"plain":               {base(func(ev *pb.Event) { ev.Message = "m" }), false},
		"an empty message":    {base(func(ev *pb.Event) { ev.Host = &pb.Host{} }), true},
		"an empty body":       {base(func(ev *pb.Event) { ev.Body = &pb.Event_Process{Process: &pb.ProcessActivity{}} }), true},
		"an unknown field":    {append(base(func(*pb.Event) {}), 0xf8, 0x3f, 1), true},
		"a list":              {base(func(ev *pb.Event) { ev.Host = &pb.Host{Ip: []string{"a", "", "[\"]\n\x00"}} }), false},
		"a list of one":       {base(func(ev *pb.Event) { ev.Host = &pb.Host{Ip: []string{"a"}} }), false},
		"labels":              {base(func(ev *pb.Event) { ev.Labels = map[string]string{"": "", "b\"": "\\", "a": "x"} }), false},
		"a decimal":           {base(usage(12.25)), false},
		"a long decimal":      {base(usage(100.0 / 3)), false},
		"a version":           {base(func(ev *pb.Event) { ev.Host = &pb.Host{OsVersion: "22.04"} }), false},
		"a version with zero": {base(func(ev *pb.Event) { ev.Host = &pb.Host{OsVersion: "22.10"} }), false},
		"bars":                {base(func(ev *pb.Event) { ev.Message = "1_000" }), false},
		"a bar":               {base(func(ev *pb.Event) { ev.Message = "_" }), false},
		"an odd address":      {base(func(ev *pb.Event) { ev.Message = "1a.2.3.4" }), false},
		"an address":          {base(func(ev *pb.Event) { ev.Message = "192.0.2.1" }), false},
		"a build":             {base(func(ev *pb.Event) { ev.Message = "10.0.26100.1" }), false},
		"no day":              {base(func(ev *pb.Event) { ev.Message = "2026-02-30T00:00:00.000Z" }), false},
		"a day":               {base(func(ev *pb.Event) { ev.Message = "2026-02-28T00:00:00.000Z" }), false},
		"minus zero":          {base(func(ev *pb.Event) { ev.Message = "-0" }), false},
		"leading zeros":       {base(func(ev *pb.Event) { ev.Message = "007" }), false},
		"a dash":              {base(func(ev *pb.Event) { ev.Message = "-" }), false},
		"the largest number":  {base(func(ev *pb.Event) { ev.Message = "18446744073709551615" }), false},
		"a time of own": {base(func(ev *pb.Event) {
			ev.Body = &pb.Event_Snmp{Snmp: &pb.SnmpReading{Uptime: durationpb.New(93*time.Second + 7)}}
		}), false},
		"an endless time": {base(func(ev *pb.Event) {
			ev.Body = &pb.Event_Snmp{Snmp: &pb.SnmpReading{Uptime: &durationpb.Duration{Seconds: 315_576_000_000}}}
		}), true},
		"a repeated message": {base(func(ev *pb.Event) {
			ev.Body = &pb.Event_Device{Device: &pb.DeviceInventory{Ports: []*pb.Port{{Port: 22}}}}
		}), true},
		"a publisher of its own": {base(func(ev *pb.Event) { ev.Publisher = "me" }), false},
		"names":                  {base(func(ev *pb.Event) { ev.Host = &pb.Host{Name: " WEB-1."}; ev.Agent = &pb.Agent{Id: "Proc"} }), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := roundTrip(t, w, c.in, time.Unix(1_700_000_001, 0))
			if got := value(r, row.Exact) != ""; got != exact[name] {
				t.Errorf("exact %q", value(r, row.Exact))
			}
			if got := value(r, row.Encoded) != ""; got != c.encoded || r.Cut || !r.Whole {
				t.Errorf("encoded %v, want %v; cut %v, whole %v: %v", got, c.encoded, r.Cut, r.Whole, back(r))
			}
		})
	}
}

// Versions and the like are texts, and are found as what they are.
func TestTextsThatLookLikeNumbersStay(t *testing.T) {
	w := row.NewWriter(bounds())
	tried := 0
	for _, f := range event.FieldCatalog() {
		if f.Type != event.FieldKeyword || f.Repeats() || len(f.Values) > 0 || slices.Contains([]string{"type", "publisher"}, f.Path) {
			continue
		}
		for _, text := range []string{"1.0", "22.10", "01", "1e3", "-0", "0.10", "1_000", "3.14159265358979323846"} {
			ev := &pb.Event{Id: bytes.Repeat([]byte{7}, event.IDSize), Type: "a.b", Time: timestamppb.New(time.Unix(1_700_000_000, 5))}
			if f.Set(ev, text) != nil {
				continue // an id
			}
			tried++
			r := roundTrip(t, w, encode(t, ev), time.Unix(1_700_000_001, 0))
			name := f.Name
			if f.Path == "message" {
				name = row.Message
			}
			if got := value(r, name); got != text {
				t.Errorf("%s %q stands in the row as %q", f.Name, text, got)
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d texts were tried", tried)
	}
}

func usage(cpu float64) func(ev *pb.Event) {
	return func(ev *pb.Event) {
		ev.Body = &pb.Event_Process{Process: &pb.ProcessActivity{Usage: &pb.ProcessUsage{CpuPercent: cpu}}}
	}
}

func TestTimesOutOfBounds(t *testing.T) {
	received := time.Date(2026, 11, 27, 0, 0, 1, 0, time.UTC)
	w := row.NewWriter(bounds())
	for name, c := range map[string]struct {
		at   time.Time
		kept bool
	}{
		"a moment ago":   {received.Add(-time.Second), true},
		"yesterday":      {received.Add(-24 * time.Hour), true},
		"30 days ago":    {received.Add(-30 * 24 * time.Hour), true},
		"31 days ago":    {received.Add(-31 * 24 * time.Hour), false},
		"in 24 hours":    {received.Add(24 * time.Hour), true},
		"in 25 hours":    {received.Add(25 * time.Hour), false},
		"the first year": {time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), false},
		"1970":           {time.Unix(0, 1), false},
		"1677":           {time.Date(1677, 9, 21, 0, 12, 43, 145224192, time.UTC), false},
		"2262":           {time.Date(2262, 4, 11, 23, 47, 16, 854775807, time.UTC), false},
		"9999":           {time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), false},
	} {
		t.Run(name, func(t *testing.T) {
			ev := &pb.Event{Id: bytes.Repeat([]byte{7}, event.IDSize), Type: "a.b", Time: timestamppb.New(c.at)}
			r := roundTrip(t, w, encode(t, ev), received)
			want, own := received.UnixNano(), c.at.Format(time.RFC3339Nano)
			if c.kept {
				want, own = c.at.UnixNano(), ""
			}
			if r.Time != want || value(r, row.EventTime) != own {
				t.Errorf("time %d and own %q, want %d and %q", r.Time, value(r, row.EventTime), want, own)
			}
		})
	}
}

func TestLargeEvents(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine")
	}
	w := row.NewWriter(bounds())
	received := time.Unix(1_700_000_001, 0)
	for name, c := range map[string]struct {
		change     func(ev *pb.Event)
		cut, whole bool
	}{
		"a text of 1 MB":        {func(ev *pb.Event) { ev.Message = strings.Repeat("é", 500_000) }, false, true},
		"an odd text of 1 MB":   {func(ev *pb.Event) { ev.Message, ev.Host = strings.Repeat("é", 500_000), &pb.Host{} }, true, true},
		"a list of 1 MB":        {func(ev *pb.Event) { ev.Host = &pb.Host{Ip: slices.Repeat([]string{"é\x01"}, 200_000)} }, true, true},
		"a text of 1.8 MB":      {func(ev *pb.Event) { ev.Message = strings.Repeat("x", 1_800_000) }, false, true},
		"a text of 8 MB":        {func(ev *pb.Event) { ev.Message = strings.Repeat("é", 4_000_000) }, true, false},
		"two texts of 1 MB":     {func(ev *pb.Event) { ev.Message = strings.Repeat("x", 1_000_000); longLine(ev) }, true, false},
		"a list of 8 MB":        {func(ev *pb.Event) { ev.Host = &pb.Host{Ip: slices.Repeat([]string{"abc"}, 1_600_000)} }, true, false},
		"labels of 8 MB":        {func(ev *pb.Event) { ev.Labels = map[string]string{"a": strings.Repeat("x", 8_000_000)} }, true, false},
		"messages of 1.3 MB":    {ports(1_300_000), true, false},
		"messages of 200 KB":    {ports(200_000), false, true},
		"an agent with 100 KB":  {func(ev *pb.Event) { ev.Agent = &pb.Agent{Id: strings.Repeat("x", 100_000)} }, false, true},
		"20,000 labels":         {labels(20_000), false, true},
		"200,000 bombed labels": {labels(200_000), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			ev := &pb.Event{Id: bytes.Repeat([]byte{7}, event.IDSize), Type: "a.b", Time: timestamppb.New(received)}
			c.change(ev)
			r := roundTrip(t, w, encode(t, ev), received)
			if r.Cut != c.cut || r.Whole != c.whole || (value(r, row.Cut) != "") != c.cut {
				t.Errorf("cut %v (%s), whole %v", r.Cut, value(r, row.Cut), r.Whole)
			}
		})
	}
}

func longLine(ev *pb.Event) {
	ev.Body = &pb.Event_Process{Process: &pb.ProcessActivity{Process: &pb.Process{CmdLine: strings.Repeat("y", 1_000_000)}}}
}

func ports(size int) func(ev *pb.Event) {
	return func(ev *pb.Event) {
		ev.Body = &pb.Event_Device{Device: &pb.DeviceInventory{Ports: []*pb.Port{{Port: 22, Banner: strings.Repeat("b", size)}, {Port: 23}}}}
	}
}

func labels(n int) func(ev *pb.Event) {
	return func(ev *pb.Event) {
		ev.Labels = map[string]string{}
		for i := range n {
			ev.Labels[time.Duration(i).String()] = "value"
		}
	}
}

func TestRowsOfMutatedEvents(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	events := eventtest.Filled()
	w := row.NewWriter(bounds())
	for range 5_000 {
		in := encode(t, events[random.IntN(len(events))])
		for range 1 + random.IntN(3) {
			switch at := random.IntN(len(in)); random.IntN(3) {
			case 0:
				in[at] ^= 1 << random.IntN(8)
			case 1:
				in[at] = byte(random.IntN(256))
			default:
				in = slices.Concat(in, in[at:])
			}
		}
		if _, err := event.Inspect(in); err == nil {
			roundTrip(t, w, in, time.Unix(1_700_000_000, 0))
		}
	}
}

func FuzzRow(f *testing.F) {
	for _, ev := range eventtest.Filled() {
		f.Add(encode(f, ev))
	}
	w := row.NewWriter(bounds())
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := event.Inspect(in); err != nil {
			_, _ = w.Row(in, publisher, 1, time.Unix(1, 0)) // only that it ends
			return
		}
		roundTrip(t, w, in, time.Unix(1_700_000_000, 0))
	})
}

// FuzzEvent: whatever the engine gives back, Event ends with an event or an error.
func FuzzEvent(f *testing.F) {
	f.Add("_time", "2026-01-01T00:00:00Z", "host.ip", `["a"]`, "labels", `{"a":"b"}`)
	f.Add("offset", "7", "logged", "8", "encoded", "AAAA")
	f.Fuzz(func(_ *testing.T, a, b, c, d, e, g string) {
		_, _ = row.Event([]field{
			{a, b}, {c, d}, {e, g}, {row.Time, "2026-01-01T00:00:00Z"}, {row.Offset, "1"}, {row.Logged, "1"},
		})
	})
}

func TestRowsAllocateNothing(t *testing.T) {
	all, err := corpus.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	w := row.NewWriter(bounds())
	received := time.Unix(1_700_000_000, 0)
	i := 0
	one := func() {
		if _, err := w.Row(all[i%len(all)], publisher, uint64(i), received); err != nil {
			t.Fatal(err)
		}
		i++
	}
	for range all {
		one()
	}
	if n := testing.AllocsPerRun(len(all), one); n > 0 {
		t.Errorf("%v allocations an event", n)
	}
}

func TestPartOfARowIsNoEvent(t *testing.T) {
	for name, fields := range map[string][]field{
		"nothing":     nil,
		"no offset":   {{row.Time, "2026-01-01T00:00:00Z"}, {row.Logged, "1"}},
		"no time":     {{row.Offset, "1"}, {row.Logged, "1"}},
		"a bad time":  {{row.Time, "yesterday"}, {row.Offset, "1"}, {row.Logged, "1"}},
		"a bad value": {{row.Time, "2026-01-01T00:00:00Z"}, {row.Offset, "1"}, {row.Logged, "1"}, {"pid", "x"}},
		"a bad list":  {{row.Time, "2026-01-01T00:00:00Z"}, {row.Offset, "1"}, {row.Logged, "1"}, {"host.ip", "x"}},
	} {
		if ev, err := row.Event(fields); err == nil {
			t.Errorf("%s: %v", name, ev)
		}
	}
}

func BenchmarkRow(b *testing.B) {
	all, err := corpus.Recorded()
	if err != nil {
		b.Fatal(err)
	}
	received := time.Unix(1_700_000_000, 0)
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		w, i := row.NewWriter(bounds()), 0
		for b.Loop() {
			if _, err := w.Row(all[i%len(all)], publisher, uint64(i), received); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("event", func(b *testing.B) {
		b.ReportAllocs()
		w, rows := row.NewWriter(bounds()), [][]field{}
		for i := range min(len(all), 1000) {
			r, err := w.Row(all[i], publisher, uint64(i), received)
			if err != nil {
				b.Fatal(err)
			}
			rows = append(rows, back(r))
		}
		i := 0
		for b.Loop() {
			if _, err := row.Event(rows[i%len(rows)]); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}
