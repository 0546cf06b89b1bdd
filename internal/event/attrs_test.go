package event_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/eventtest"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// decodedAttrs is what Attrs must find, read by reflection from the decoded event.
func decodedAttrs(ev *pb.Event) map[string]any {
	out := map[string]any{}
	for _, f := range event.FieldCatalog() {
		if f.Type == event.FieldMap {
			for _, key := range mapKeys(ev.ProtoReflect(), strings.Split(f.Path, ".")) {
				if vs := f.Lookup(ev, key); len(vs) > 0 && key != "" {
					out[f.Name+"."+key] = vs[len(vs)-1]
				} else if key == "" {
					out[f.Name+"."] = emptyKey(ev.ProtoReflect(), strings.Split(f.Path, "."))
				}
			}
			continue
		}
		switch vs := f.Lookup(ev, ""); len(vs) {
		case 0:
		case 1:
			out[f.Name] = vs[0]
		default:
			out[f.Name] = vs
		}
	}
	return out
}

// eachMapIn calls do with each map at path.
func eachMapIn(m protoreflect.Message, path []string, do func(protoreflect.Map)) {
	fd := m.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	switch v := m.Get(fd); {
	case !m.Has(fd):
	case fd.IsMap():
		do(v.Map())
	case fd.IsList():
		for i := range v.List().Len() {
			eachMapIn(v.List().Get(i).Message(), path[1:], do)
		}
	default:
		eachMapIn(v.Message(), path[1:], do)
	}
}

func mapKeys(m protoreflect.Message, path []string) (keys []string) {
	eachMapIn(m, path, func(m protoreflect.Map) {
		m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
			keys = append(keys, k.String())
			return true
		})
	})
	slices.Sort(keys)
	return slices.Compact(keys)
}

// emptyKey is the last value of the empty key, which Lookup takes for "any".
func emptyKey(m protoreflect.Message, path []string) (out any) {
	eachMapIn(m, path, func(m protoreflect.Map) {
		if v := m.Get(protoreflect.ValueOfString("").MapKey()); v.IsValid() {
			out = v.String()
		}
	})
	return out
}

func sameAttrs(t *testing.T, encoded []byte) {
	t.Helper()
	ev, err := event.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	want := decodedAttrs(ev)
	var a event.Attrs
	if err := a.Read(encoded); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for i := range a.List {
		attr := &a.List[i]
		name, v := event.FieldCatalog()[attr.ID].Name, attr.Value.Any()
		if attr.Key != nil {
			got[name+"."+string(attr.Key)] = v
			continue
		}
		switch before := got[name].(type) {
		case nil:
			got[name] = v
		case []any:
			got[name] = append(before, v)
		default:
			got[name] = []any{before, v}
		}
	}
	options := cmp.Options{cmp.Comparer(func(x, y float64) bool { return x == y || x != x && y != y })}
	if diff := cmp.Diff(want, got, options); diff != "" {
		t.Errorf("attributes (-decoded +read):\n%s", diff)
	}
	// The decoded event holds its maps in no order: only what is encoded again can
	// be compared with Flatten.
	if diff := cmp.Diff(want, event.Fields(ev), options); diff != "" {
		t.Errorf("Fields (-want +got):\n%s", diff)
	}
	text := a.AppendJSON(nil, event.SchemaNative)
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if len(object) != len(got) {
		t.Errorf("%d names in JSON, want %d: %s", len(object), len(got), text)
	}
	for name, v := range got {
		raw, err := json.Marshal(jsonForm(v))
		if err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, object[name]); diff != "" {
			t.Errorf("%s in JSON (-want +got):\n%s", name, diff)
		}
	}
	for i := range a.List {
		v := &a.List[i].Value
		if text := string(v.Append(nil)); text != shown(v.Any()) {
			t.Errorf("%s as text is %q, want %q", event.FieldCatalog()[a.List[i].ID].Name, text, shown(v.Any()))
		}
	}
}

// jsonForm is what JSON can hold.
func jsonForm(v any) any {
	switch x := v.(type) {
	case time.Time:
		return x.Format(time.RFC3339Nano)
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Sprint(x)
		}
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = jsonForm(x[i])
		}
		return out
	}
	return v
}

func shown(v any) string {
	switch x := v.(type) {
	case time.Time:
		return x.Format(time.RFC3339Nano)
	case float64:
		form := byte('f')
		if size := math.Abs(x); size != 0 && (size < 1e-6 || size >= 1e21) {
			form = 'e'
		}
		return strconv.FormatFloat(x, form, -1, 64)
	}
	return fmt.Sprint(v)
}

func TestAttrsAreThoseOfTheDecodedEvent(t *testing.T) {
	for _, ev := range append(eventtest.Filled(), sample(), &pb.Event{}) {
		t.Run(fmt.Sprintf("%T", ev.GetBody()), func(t *testing.T) { sameAttrs(t, encoded(t, ev)) })
	}
}

// TestAttrsOfOddEncodings: what the decoder makes of fields that stand twice.
func TestAttrsOfOddEncodings(t *testing.T) {
	join := func(events ...*pb.Event) (out []byte) {
		for _, ev := range events {
			out = append(out, encoded(t, ev)...)
		}
		return out
	}
	entry := func(key, value string) []byte {
		b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), key)
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), value)
		return protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), b)
	}
	wrongType := protowire.AppendVarint(protowire.AppendTag(encoded(t, sample()), 8, protowire.VarintType), 5)
	snmp := func(values ...float64) *pb.Event {
		return &pb.Event{Body: &pb.Event_Snmp{Snmp: &pb.SnmpReading{CpuPercent: values}}}
	}
	unpacked := protowire.AppendFixed64(protowire.AppendTag(nil, 10, protowire.Fixed64Type), math.Float64bits(2.5))
	unpacked = append(unpacked, protowire.AppendBytes(protowire.AppendTag(nil, 10, protowire.BytesType),
		protowire.AppendFixed64(protowire.AppendFixed64(nil, 0), math.Float64bits(7)))...)
	for name, in := range map[string][]byte{
		"a text twice":          join(&pb.Event{Message: "one"}, &pb.Event{Message: "two"}),
		"merged messages":       join(&pb.Event{Host: &pb.Host{Name: "a", Id: "1"}}, &pb.Event{Host: &pb.Host{Name: "b", Arch: "x"}}),
		"merged times":          join(&pb.Event{Time: &timestamppb.Timestamp{Seconds: 5}}, &pb.Event{Time: &timestamppb.Timestamp{Nanos: 7}}),
		"one body for another":  join(eventtest.Filled()[0], eventtest.Filled()[1]),
		"merged bodies":         join(eventtest.Filled()[0], eventtest.Filled()[0]),
		"maps in any order":     slices.Concat(entry("b", "1"), entry("a", "2"), entry("b", "3")),
		"an empty entry":        {7<<3 | 2, 0},
		"a key alone":           {7<<3 | 2, 3, 1<<3 | 2, 1, 'k'},
		"zeros written out":     {4 << 3, 0, 8<<3 | 2, 0},
		"another wire type":     wrongType,
		"packed and not":        protowire.AppendBytes(protowire.AppendTag(nil, 25, protowire.BytesType), unpacked),
		"packed":                encoded(t, snmp(1, 0, math.NaN())),
		"an enum cut to 32 bit": protowire.AppendVarint(protowire.AppendTag(nil, 4, protowire.VarintType), 1<<32|3),
		"an empty body":         {0xa2, 0x01, 0},
	} {
		t.Run(name, func(t *testing.T) { sameAttrs(t, in) })
	}
}

// TestAttrsOfMutatedEvents: whatever the hub admits reads as it decodes.
func TestAttrsOfMutatedEvents(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one goroutine")
	}
	random := rand.New(rand.NewPCG(1, 2))
	events := eventtest.Filled()
	admitted := 0
	for range 20_000 {
		in := encoded(t, events[random.IntN(len(events))])
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
			admitted++
			sameAttrs(t, in)
		}
	}
	if admitted < 1_000 {
		t.Errorf("only %d mutations were admitted", admitted)
	}
}

func TestAttrsRefuseWhatIsCut(t *testing.T) {
	var a event.Attrs
	whole := encoded(t, sample())
	for n := range whole {
		if _, err := event.Decode(whole[:n]); err != nil && a.Read(whole[:n]) == nil {
			t.Errorf("%d of %d bytes were read", n, len(whole))
		}
	}
}

func TestStoredEventsHaveAPublisher(t *testing.T) {
	var a event.Attrs
	ev := sample()
	ev.Host.Name, ev.Agent.Id, ev.Observer = "WEB-1.", "Proc_Agent", &pb.Host{Name: " VM"}
	if err := a.ReadStored(encoded(t, ev), "spiffe://amoskys.local/agent/vm"); err != nil {
		t.Fatal(err)
	}
	text := string(a.AppendJSON(nil, event.SchemaECS))
	for _, want := range []string{`"publisher":"spiffe://amoskys.local/agent/vm"`, `"host.name":"web-1"`, `"agent.id":"proc_agent"`, `"observer.name":"vm"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
	event.Attribute(ev, "spiffe://amoskys.local/agent/vm")
	if want, err := event.FlatJSON(ev, event.SchemaECS); err != nil || string(want) != text {
		t.Errorf("Attribute gives %s, %v", want, err)
	}
}

// TestLabelsAreUnique: two attributes that one event can have never share a name.
func TestLabelsAreUnique(t *testing.T) {
	for _, schema := range []event.Schema{event.SchemaNative, event.SchemaECS, event.SchemaOCSF} {
		for _, ev := range eventtest.Filled() {
			var a event.Attrs
			if err := a.Read(encoded(t, ev)); err != nil {
				t.Fatal(err)
			}
			by := map[string]event.FieldID{}
			for _, attr := range a.List {
				label := event.FieldCatalog()[attr.ID].Label(schema)
				if other, taken := by[label]; taken && other != attr.ID {
					t.Errorf("%s: %q is %s and %s", schema, label, event.FieldCatalog()[other].Path, event.FieldCatalog()[attr.ID].Path)
				}
				by[label] = attr.ID
			}
		}
	}
}

// TestAttrsAllocateNothing: neither reading nor printing, once they have grown.
func TestAttrsAllocateNothing(t *testing.T) {
	var a event.Attrs
	for _, ev := range []*pb.Event{sample(), {Labels: map[string]string{"site": "ams"}}} {
		in := encoded(t, ev)
		var out []byte
		read := func() {
			if err := a.Read(in); err != nil {
				t.Fatal(err)
			}
			for i := range a.List {
				out = a.List[i].Value.Append(out[:0])
			}
		}
		read()
		if n := testing.AllocsPerRun(100, read); n > 1 { // the text of an id
			t.Errorf("%v allocations", n)
		}
	}
}

func FuzzAttrs(f *testing.F) {
	for _, ev := range append(eventtest.Filled(), sample()) {
		b, err := event.Encode(ev)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, err := event.Inspect(in); err != nil {
			var a event.Attrs
			_ = a.Read(in) // of what is not admitted, only that it ends
			return
		}
		sameAttrs(t, in)
	})
}

// BenchmarkAttrs compares reading an encoded event's attributes with decoding it
// and asking by reflection for each.
func BenchmarkAttrs(b *testing.B) {
	in, err := event.Encode(recorded())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		var a event.Attrs
		for b.Loop() {
			if err := a.Read(in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		var a event.Attrs
		var out []byte
		for b.Loop() {
			if err := a.Read(in); err != nil {
				b.Fatal(err)
			}
			out = a.AppendJSON(out[:0], event.SchemaECS)
		}
	})
	b.Run("inspect", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := event.Inspect(in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("reflect", func(b *testing.B) {
		b.ReportAllocs()
		ev, err := event.Decode(in)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			out := map[string]any{}
			for _, f := range event.FieldCatalog() {
				if vs := f.Lookup(ev, ""); len(vs) > 0 {
					out[f.Name] = vs[0]
				}
			}
		}
	})
}

// recorded is like what the process agent sends of a process of a server.
func recorded() *pb.Event {
	ev := sample()
	ev.Agent.Version = "0.1.0"
	ev.Host = &pb.Host{
		Name: "web-1", Id: "3f2a9c0d51e84b7f9d3c2b1a0f9e8d7c", Ip: []string{"192.0.2.10", "2001:db8::10"},
		OsType: "linux", OsVersion: "Debian GNU/Linux 12 (bookworm)", Arch: "amd64",
	}
	p := ev.GetProcess()
	p.Process = &pb.Process{
		Pid: 4242, Uid: "0b5f3a6c9d8e7f10", Ppid: 1, Name: "nginx", Executable: "/usr/sbin/nginx", CmdLine: "nginx: worker process",
		WorkingDirectory: "/", CreatedTime: timestamppb.New(when), SessionId: "4242",
		User:   &pb.User{Name: "www-data", Uid: "33", GroupName: "www-data", Gid: "33"},
		Cgroup: "/system.slice/nginx.service",
	}
	p.Parent = &pb.Process{Pid: 1, Uid: "a1b2c3d4e5f60718", Name: "systemd", Executable: "/usr/lib/systemd/systemd"}
	p.Usage = &pb.ProcessUsage{
		CpuPercent: 12.5, RssBytes: 48 << 20, VszBytes: 160 << 20, FileDescriptors: proto.Uint32(64), Threads: 4,
		State: pb.ProcessState_PROCESS_STATE_SLEEPING, CpuUser: durationpb.New(93 * time.Second), CpuSystem: durationpb.New(21 * time.Second),
		ReadBytes: 123456, WriteBytes: 654321,
	}
	return ev
}
