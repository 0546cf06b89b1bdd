package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
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
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

var when = time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC)

func sample() *pb.Event {
	return &pb.Event{
		Id:       bytes.Repeat([]byte{7}, 16),
		Time:     timestamppb.New(when),
		Type:     event.TypeProcessSample,
		Severity: pb.Severity_SEVERITY_LOW,
		Agent:    &pb.Agent{Id: "proc_agent", Kind: "proc"},
		Host:     &pb.Host{Name: "web-1", Ip: []string{"192.0.2.1", "2001:db8::1"}},
		Labels:   map[string]string{"site": "ams"},
		Body: &pb.Event_Process{Process: &pb.ProcessActivity{
			Action:  pb.ProcessAction_PROCESS_ACTION_SAMPLE,
			Process: &pb.Process{Pid: 42, Name: "nginx", CmdLine: "nginx: worker", User: &pb.User{Name: "www-data"}},
			Usage: &pb.ProcessUsage{
				CpuPercent: 12.5, RssBytes: 3 << 20, Threads: 4,
				State: pb.ProcessState_PROCESS_STATE_SLEEPING, CpuUser: durationpb.New(1500 * time.Millisecond),
			},
		}},
	}
}

func TestInspectReadsTheEnvelope(t *testing.T) {
	b, err := event.Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.Inspect(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.TypeString(); got != "process.sample" {
		t.Errorf("type %q", got)
	}
	if e.UnixNano != when.UnixNano() {
		t.Errorf("time %d, want %d", e.UnixNano, when.UnixNano())
	}
	if string(e.AgentID) != "proc_agent" || string(e.HostName) != "web-1" {
		t.Errorf("agent %q host %q", e.AgentID, e.HostName)
	}
	if e.Severity != pb.Severity_SEVERITY_LOW {
		t.Errorf("severity %v", e.Severity)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = event.Inspect(b) }); n != 0 {
		t.Errorf("Inspect allocates %v times", n)
	}
}

func TestInspectRefuses(t *testing.T) {
	edit := func(f func(*pb.Event)) []byte {
		ev := sample()
		f(ev)
		b, err := event.Encode(ev)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := edit(func(*pb.Event) {})
	badUTF8 := protowire.AppendBytes(protowire.AppendTag(bytes.Clone(good), 8, protowire.BytesType), []byte{0xff})
	nested := protowire.AppendBytes(protowire.AppendTag(bytes.Clone(good), 20, protowire.BytesType), []byte{0x12, 0x7f})
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"empty", nil, event.ErrNoID},
		{"no id", edit(func(e *pb.Event) { e.Id = nil }), event.ErrNoID},
		{"short id", edit(func(e *pb.Event) { e.Id = []byte{1, 2} }), event.ErrNoID},
		{"zero id", edit(func(e *pb.Event) { e.Id = make([]byte, 16) }), event.ErrNoID},
		{"no time", edit(func(e *pb.Event) { e.Time = nil }), event.ErrNoTime},
		{"time before 1970", edit(func(e *pb.Event) { e.Time = &timestamppb.Timestamp{Seconds: -5} }), event.ErrNoTime},
		{"nanoseconds too large", edit(func(e *pb.Event) { e.Time.Nanos = 1e9 }), event.ErrMalformed},
		{"no type", edit(func(e *pb.Event) { e.Type = "" }), event.ErrNoType},
		{"long type", edit(func(e *pb.Event) { e.Type = strings.Repeat("x", 129) }), event.ErrNoType},
		{"cut short", good[:len(good)-1], event.ErrMalformed},
		{"not UTF-8", badUTF8, event.ErrMalformed},
		{"bad nested message", nested, event.ErrMalformed},
		{"field number zero", append(bytes.Clone(good), 0x02, 0x00), event.ErrMalformed},
		{"random", []byte("\xde\xad\xbe\xef\x00\x01"), event.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := event.Inspect(tt.in); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestInspectKeepsUnknownFields(t *testing.T) {
	b, err := event.Encode(sample())
	if err != nil {
		t.Fatal(err)
	}
	b = protowire.AppendBytes(protowire.AppendTag(b, 4000, protowire.BytesType), []byte("from a newer agent"))
	b = protowire.AppendVarint(protowire.AppendTag(b, 99, protowire.VarintType), 7)
	if _, err := event.Inspect(b); err != nil {
		t.Errorf("unknown fields are refused: %v", err)
	}
}

// sameSender: what admission decides by is what a decoder sees, and nothing that
// a decoder sees goes unseen.
func sameSender(t *testing.T, e *event.Envelope, ev *pb.Event) {
	t.Helper()
	for _, name := range []struct {
		envelope []byte
		decoded  string
	}{
		{e.HostName, ev.GetHost().GetName()},
		{e.ObserverName, ev.GetObserver().GetName()},
		{e.AgentID, ev.GetAgent().GetId()},
		{e.AgentKind, ev.GetAgent().GetKind()},
	} {
		if string(name.envelope) != name.decoded {
			t.Fatalf("envelope has %q, decoded %q", name.envelope, name.decoded)
		}
	}
	for what, there := range map[string][2]bool{
		"observer": {ev.GetObserver() != nil, e.HasObserver}, "about": {ev.GetAbout() != nil, e.HasAbout},
		"publisher": {ev.GetPublisher() != "", e.HasPublisher}, "audit": {ev.GetAudit() != nil, e.HasAudit},
		"finding": {ev.GetFinding() != nil, e.HasFinding},
	} {
		if there[0] && !there[1] {
			t.Fatalf("%s goes unseen", what)
		}
	}
}

func FuzzInspect(f *testing.F) {
	b, err := event.Encode(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:20])
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{0xa2, 0x01, 0x02, 0x12, 0x7f})
	// Twice the host, the agent, the observer and the body: the last wins, or both merge.
	f.Add(slices.Concat(b, []byte("\x32\x04\x0a\x02vm\x32\x02\x2a\x00\x2a\x06\x0a\x01a\x12\x01k\x2a\x02\x0a\x00\x4a\x03\x0a\x01o\x4a\x00\xf2\x01\x00\xda\x01\x00\x52\x00\x5a\x01p")))
	// The nanoseconds, then the seconds of the time alone: both count.
	f.Add(slices.Concat(b, []byte("\x12\x02\x10\x05"), []byte("\x12\x06\x08\x90\xb2\xf0\xcc\x06")))
	// A time beyond what nanoseconds hold, then the seconds of one within.
	f.Add(slices.Concat(b, []byte("\x12\x06\x08\x80\xf8\x8a\x8b\x7f"), []byte("\x12\x02\x08\x30")))
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := event.Inspect(in)
		if err != nil {
			return
		}
		ev, err := event.Decode(in)
		if err != nil {
			t.Fatalf("accepted, but does not decode: %v", err)
		}
		if !bytes.Equal(ev.GetId(), e.ID[:]) || ev.GetType() != string(e.Type) {
			t.Fatalf("envelope %x %q, decoded %x %q", e.ID, e.Type, ev.GetId(), ev.GetType())
		}
		if at := ev.GetTime(); at.GetSeconds() < math.MaxInt64/1_000_000_000 && e.UnixNano != at.AsTime().UnixNano() {
			t.Fatalf("envelope at %d, decoded at %v", e.UnixNano, at)
		}
		sameSender(t, &e, ev)
		event.Fields(ev)
		if s := event.Summary(ev); len(s) > 310 {
			t.Fatalf("summary of %d bytes", len(s))
		}
		if j, err := event.FlatJSON(ev, event.SchemaECS); err != nil || !json.Valid(j) {
			t.Fatalf("not JSON: %s, %v", j, err)
		}
		if _, err := event.ToJSON(ev); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFieldsFlattens(t *testing.T) {
	got := event.Fields(sample())
	want := map[string]any{
		"id": "07070707-0707-0707-0707-070707070707", "time": when, "type": "process.sample", "severity": "low",
		"agent": "proc_agent", "agent.type": "proc", "host": "web-1", "host.ip": []any{"192.0.2.1", "2001:db8::1"},
		"labels.site": "ams", "action": "sample", "pid": uint64(42), "process.name": "nginx",
		"process.command_line": "nginx: worker", "process.user.name": "www-data", "cpu": 12.5, "rss": uint64(3 << 20),
		"threads": uint64(4), "state": "sleeping", "process.cpu.user.seconds": 1.5,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestFieldByName(t *testing.T) {
	tests := []struct{ name, path, key string }{
		{"host", "host.name", ""},
		{"host.name", "host.name", ""},
		{"device.hostname", "device.hostname", ""}, // ECS of a device wins over OCSF of the host
		{"process.command_line", "process.process.cmd_line", ""},
		{"process.cmd_line", "process.process.cmd_line", ""},
		{"process.process.cmd_line", "process.process.cmd_line", ""},
		{"labels.site", "labels", "site"},
		{"destination.port", "network.dst_endpoint.port", ""},
	}
	for _, tt := range tests {
		f, key, ok := event.FieldByName(tt.name)
		if !ok || f.Path != tt.path || key != tt.key {
			t.Errorf("%s: got %+v %q %v", tt.name, f, key, ok)
		}
	}
	if _, _, ok := event.FieldByName("no.such.field"); ok {
		t.Error("found a field that does not exist")
	}
	if got := event.Nearest("process.comand_line"); got != "process.command_line" {
		t.Errorf("nearest is %q", got)
	}
}

// TestTableIsComplete keeps the mapping and the message in step.
func TestTableIsComplete(t *testing.T) {
	mapped, names := map[string]int{}, map[string]string{}
	for _, f := range event.FieldCatalog() {
		mapped[f.Path]++
		if other, taken := names[f.Name]; taken {
			t.Errorf("%s and %s share the name %s", f.Path, other, f.Name)
		}
		names[f.Name] = f.Path
	}
	var leaves func(d protoreflect.MessageDescriptor, prefix string)
	leaves = func(d protoreflect.MessageDescriptor, prefix string) {
		for i := range d.Fields().Len() {
			fd := d.Fields().Get(i)
			path := prefix + string(fd.Name())
			isLeaf := fd.Kind() != protoreflect.MessageKind || fd.IsMap() ||
				strings.HasPrefix(string(fd.Message().FullName()), "google.protobuf.")
			if !isLeaf {
				leaves(fd.Message(), path+".")
				continue
			}
			if mapped[path] != 1 {
				t.Errorf("%s is in the table %d times", path, mapped[path])
			}
			delete(mapped, path)
		}
	}
	leaves((&pb.Event{}).ProtoReflect().Descriptor(), "")
	for path := range mapped {
		t.Errorf("the table names %s, which is no leaf of Event", path)
	}
}

func TestSummary(t *testing.T) {
	tests := []struct {
		name string
		ev   *pb.Event
		want string
	}{
		{"sample", sample(), "nginx (pid 42) 12.5% CPU, 3.0 MiB"},
		{"own message", &pb.Event{Message: "a\nb"}, "a b"},
		{"flow", &pb.Event{Body: &pb.Event_Network{Network: &pb.NetworkActivity{
			ProtocolName: "tcp", SrcEndpoint: &pb.Endpoint{Ip: "192.0.2.1", Port: 5}, DstEndpoint: &pb.Endpoint{Ip: "2001:db8::2", Port: 443},
			BytesIn: 2048,
		}}}, "tcp 192.0.2.1:5 → [2001:db8::2]:443, 2.0 kB"},
		{"sampled flow", &pb.Event{Body: &pb.Event_Network{Network: &pb.NetworkActivity{
			ProtocolName: "udp", SrcEndpoint: &pb.Endpoint{Ip: "192.0.2.1", Port: 5}, DstEndpoint: &pb.Endpoint{Ip: "192.0.2.2", Port: 53},
			BytesOut: 2048, SamplingRate: 100,
		}}}, "udp 192.0.2.1:5 → 192.0.2.2:53, about 2.0 kB (1 packet in 100 counted)"},
		{"login", &pb.Event{Body: &pb.Event_Authentication{Authentication: &pb.Authentication{
			Action: pb.AuthAction_AUTH_ACTION_LOGON, Status: pb.AuthStatus_AUTH_STATUS_FAILURE,
			User: &pb.User{Name: "root"}, SrcEndpoint: &pb.Endpoint{Ip: "192.0.2.9"}, Service: "sshd",
		}}}, "failure of logon by root from 192.0.2.9 (sshd)"},
		{"empty", &pb.Event{Type: "x.y"}, "x.y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := event.Summary(tt.ev); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOriginCompletes(t *testing.T) {
	o := event.Origin{Agent: &pb.Agent{Id: "a"}, Host: &pb.Host{Name: "h"}, Now: func() time.Time { return when }}
	ev := &pb.Event{Type: "x"}
	if err := o.Complete(ev); err != nil {
		t.Fatal(err)
	}
	b, err := event.Encode(ev)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := event.Inspect(b); err != nil {
		t.Error(err)
	}
	again := proto.CloneOf(ev)
	if err := o.Complete(again); err != nil || !proto.Equal(ev, again) {
		t.Errorf("a complete event is changed: %v", err)
	}
}

func BenchmarkInspect(b *testing.B) {
	enc, err := event.Encode(sample())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("inspect", func(b *testing.B) {
		b.SetBytes(int64(len(enc)))
		for b.Loop() {
			if _, err := event.Inspect(enc); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unmarshal", func(b *testing.B) {
		b.SetBytes(int64(len(enc)))
		var ev pb.Event
		for b.Loop() {
			if err := proto.Unmarshal(enc, &ev); err != nil {
				b.Fatal(err)
			}
		}
	})
}
