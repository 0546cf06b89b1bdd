package reading_test

import (
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/eventtest"
	"github.com/amoskys/amoskys/internal/event/reading"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// polled is a reading of a switch.
func polled() *pb.Event {
	return made(event.TypeSNMPReading, &pb.Event{
		Observer: &pb.Host{Name: "h1"}, About: &pb.Device{Uid: "u1", Name: "sw1", Ip: []string{"192.0.2.1", "192.0.2.2"}},
		Body: &pb.Event_Snmp{Snmp: &pb.SnmpReading{
			Target: "192.0.2.1:161", SysName: "other", Uptime: durationpb.New(90 * time.Second), CpuPercent: []float64{10, 20},
			ResponseTime: durationpb.New(20 * time.Millisecond),
			Memory:       []*pb.SnmpMemory{{Name: "ram", UsedBytes: 1, TotalBytes: 2}, {Name: "ram", UsedBytes: 3}},
			Storage:      []*pb.SnmpMemory{{Name: "/", UsedBytes: 1, TotalBytes: 2}},
			Sensors:      []*pb.SnmpSensor{{Name: "CPU", Kind: "temperature", Value: 41.5, Unit: "Cel"}},
			Interfaces: []*pb.SnmpInterface{
				{Index: 3, Name: "Gi0/3", Alias: "uplink", OperStatus: "up", BytesIn: 1, BytesOut: 2, PacketsIn: 3, PacketsOut: 4, ErrorsIn: 5, ErrorsOut: 6, DiscardsIn: 7, DiscardsOut: 8},
			},
		}},
	})
}

func TestKinds(t *testing.T) {
	silent := polled()
	silent.About = nil
	silent.GetSnmp().SysName, silent.GetSnmp().Target, silent.GetSnmp().Error = "", "[2001:db8::1]:1161", "timeout"
	health := made(event.TypeAgentHealth, &pb.Event{Body: &pb.Event_AgentHealth{AgentHealth: &pb.AgentHealth{
		State: pb.AgentState_AGENT_STATE_DEGRADED, Uptime: durationpb.New(time.Minute), EventsTotal: 1, EventsDroppedTotal: 2,
		SpoolBytes: 3, SpoolEvents: 4, CpuPercent: 5.5, RssBytes: 6, ErrorsTotal: 7,
	}}})
	hub := made(event.TypeHubHealth, &pb.Event{Body: &pb.Event_HubHealth{HubHealth: &pb.HubHealth{
		Reachable: true, Status: "ok", QueueDepth: 1, ProbeLatency: durationpb.New(2500 * time.Microsecond), Connections: 3, ErrorsTotal: 4,
		ThroughputEps: 5, LogState: "ok", LogBytes: 6,
	}}})
	gone := made(event.TypeHubHealth, &pb.Event{Body: &pb.Event_HubHealth{HubHealth: &pb.HubHealth{Status: "unreachable", Error: "refused"}}})
	for name, c := range map[string]struct {
		ev   *pb.Event
		want string
	}{
		"snmp": {polled(), `some_agent@h1 kind=some subject=192.0.2.1:161 ended=false monitored=false dropped=2 at 12:00:00
snmp_up{device="sw1",ip="192.0.2.1"} 1 gauge
snmp_system_uptime{device="sw1",ip="192.0.2.1"} 90 gauge
snmp_response_seconds{device="sw1",ip="192.0.2.1"} 0.02 gauge
snmp_interface_up{device="sw1",ifAlias="uplink",ifIndex="3",ifName="Gi0/3",ip="192.0.2.1"} 1 gauge
snmp_interface_bytes_in{device="sw1",ifAlias="uplink",ifIndex="3",ifName="Gi0/3",ip="192.0.2.1"} 1 unknown
snmp_interface_bytes_out{device="sw1",ifAlias="uplink",ifIndex="3",ifName="Gi0/3",ip="192.0.2.1"} 2 unknown
snmp_interface_packets_in{device="sw1",ifAlias="uplink",ifIndex="3",ifName="Gi0/3",ip="192.0.2.1"} 3 unknown
snmp_interface_packets_out{device="sw1",ifAlias="uplink",ifIndex="3",ifName="Gi0/3",ip="192.0.2.1"} 4 unknown
snmp_interface_errors{device="sw1",direction="in",ifAlias="uplink",ifIndex="3",ifName="Gi0/3",ip="192.0.2.1"} 5 unknown
snmp_interface_errors{device="sw1",direction="out",ifAlias="uplink",ifIndex="3",ifName="Gi0/3",ip="192.0.2.1"} 6 unknown
snmp_interface_discards{device="sw1",direction="in",ifAlias="uplink",ifIndex="3",ifName="Gi0/3",ip="192.0.2.1"} 7 unknown
snmp_interface_discards{device="sw1",direction="out",ifAlias="uplink",ifIndex="3",ifName="Gi0/3",ip="192.0.2.1"} 8 unknown
snmp_system_memory{device="sw1",ip="192.0.2.1",kind="used",memory="ram"} 1 gauge
snmp_system_memory{device="sw1",ip="192.0.2.1",kind="total",memory="ram"} 2 gauge
snmp_storage_bytes{device="sw1",ip="192.0.2.1",kind="used",storage="/"} 1 gauge
snmp_storage_bytes{device="sw1",ip="192.0.2.1",kind="total",storage="/"} 2 gauge
snmp_sensor{device="sw1",ip="192.0.2.1",kind="temperature",sensor="CPU",unit="Cel"} 41.5 gauge
snmp_system_cpu_load{device="sw1",ip="192.0.2.1"} 15 gauge
`},
		"a device that is silent": {silent, `some_agent@h1 kind=some subject=[2001:db8::1]:1161 ended=false monitored=false dropped=0 at 12:00:00
snmp_up{device="[2001:db8::1]:1161",ip="[2001:db8::1]:1161"} 0 gauge
`},
		"agent": {health, `some_agent@h1 kind=some subject= ended=false monitored=false dropped=0 at 12:00:00
amoskys_agent_degraded{kind="some"} 1 gauge
amoskys_agent_stopping{kind="some"} 0 gauge
amoskys_agent_uptime_seconds{kind="some"} 60 gauge
amoskys_agent_events_total{kind="some"} 1 counter
amoskys_agent_events_dropped_total{kind="some"} 2 counter
amoskys_agent_spool_bytes{kind="some"} 3 gauge
amoskys_agent_spool_events{kind="some"} 4 gauge
amoskys_agent_cpu_percent{kind="some"} 5.5 gauge
amoskys_agent_memory_bytes{kind="some"} 6 gauge
amoskys_agent_errors_total{kind="some"} 7 counter
`},
		"hub": {hub, `some_agent@h1 kind=some subject= ended=false monitored=false dropped=0 at 12:00:00
amoskys_eventbus_reachable{} 1 gauge
eventbus_latency_ms{} 2.5 gauge
eventbus_queue_depth{} 1 gauge
eventbus_connections{} 3 gauge
eventbus_errors_total{} 4 counter
eventbus_throughput_eps{} 5 gauge
amoskys_eventbus_log_bytes{} 6 gauge
`},
		"a hub that does not answer": {gone, `some_agent@h1 kind=some subject= ended=false monitored=false dropped=0 at 12:00:00
amoskys_eventbus_reachable{} 0 gauge
`},
	} {
		t.Run(name, func(t *testing.T) {
			var r reading.Reader
			s, ok := r.Read(encode(t, c.ev), "")
			if !ok {
				t.Fatal("nothing is read")
			}
			if diff := cmp.Diff(c.want, text(s)); diff != "" {
				t.Error(diff)
			}
			inTable(t, s)
		})
	}
}

// TestManyInterfaces: an interface without anything takes two bytes of an event, and what is
// beyond the bound takes no memory here.
func TestManyInterfaces(t *testing.T) {
	ev := polled()
	ev.GetSnmp().Interfaces = make([]*pb.SnmpInterface, 200_000)
	for i := range ev.GetSnmp().GetInterfaces() {
		ev.GetSnmp().Interfaces[i] = &pb.SnmpInterface{}
	}
	b := encode(t, ev)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var r reading.Reader
	s, ok := r.Read(b, "")
	runtime.ReadMemStats(&after)
	if !ok || len(s.Samples) > reading.MaxSamples || s.Dropped < 9*200_000-reading.MaxSamples {
		t.Errorf("%d samples, %d dropped", len(s.Samples), s.Dropped)
	}
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 16 {
		t.Errorf("%d MB for an event of %d KB", n, len(b)>>10)
	}
}

// inTable holds samples of events that have a body of their own against the table.
func inTable(t *testing.T, s *reading.Set) {
	t.Helper()
	for _, x := range s.Samples {
		f, ok := reading.FamilyOf(x.Name)
		if !ok || f.Kind != x.Kind || f.Detail != x.Detail {
			t.Errorf("%s is %v, the table has %v", x.Name, x.Kind, f)
		}
		for _, l := range x.Labels {
			if !slices.Contains(f.Labels, l.Name) {
				t.Errorf("%s has the label %s, which the table lacks", x.Name, l.Name)
			}
		}
	}
}

// TestFamilies: what has no _total is no counter, and names are Prometheus'.
func TestFamilies(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range reading.Families() {
		if f.Kind == reading.Counter != strings.HasSuffix(f.Name, "_total") {
			t.Errorf("%s is a %v", f.Name, f.Kind)
		}
		if seen[f.Name] || !isName(f.Name) || f.Help == "" || !slices.IsSorted(f.Labels) {
			t.Errorf("%+v", f)
		}
		seen[f.Name] = true
	}
	if f, ok := reading.FamilyOf("flow_duration_seconds_bucket"); !ok || f.Kind != reading.Histogram {
		t.Error("the parts of a histogram are not its own")
	}
}

func isName(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// FuzzRead: whatever bytes come, a set is what it promises to be; and of events as our
// own encoder writes them, it has the numbers that the decoded event has.
func FuzzRead(f *testing.F) {
	for _, ev := range eventtest.Filled() {
		for _, typ := range []string{event.TypeProcessSample, event.TypeSNMPReading, event.TypeDeviceGone} {
			ev.Type = typ
			b, err := event.Encode(ev)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add(encode(f, sample(42, 1.5, 1<<20)))
	f.Add(encode(f, polled()))
	f.Add(encode(f, batch(metric("a.b", math.NaN(), 1, "agent", "x", "c-d", "é"))))
	var r reading.Reader
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := r.Read(b, "spiffe://amoskys/agent/h1/a1")
		if ok {
			promised(t, s)
		}
		if _, err := event.Inspect(b); err != nil {
			return
		}
		ev, err := event.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		s, ok = r.Read(encode(t, ev), "")
		u, isSample := ev.GetProcess().GetUsage(), ev.GetType() == event.TypeProcessSample && ev.GetProcess() != nil
		switch {
		case !isSample || ev.GetTime().GetSeconds() < 0 || ev.GetTime().GetSeconds() >= 253_402_300_800:
		case ok != (u != nil):
			t.Fatalf("read %v of %v", ok, ev)
		case ok:
			want := math.Float64bits(u.GetCpuPercent())
			if math.IsNaN(u.GetCpuPercent()) {
				want = math.Float64bits(math.NaN())
			}
			if math.Float64bits(s.Samples[0].Value) != want || s.Samples[1].Value != float64(u.GetRssBytes()) {
				t.Fatalf("%v of %v", s.Samples, u)
			}
		}
	})
}

// promised fails where a set is not what it promises to be.
func promised(t *testing.T, s *reading.Set) {
	t.Helper()
	if s.Source == 0 || len(s.Samples) > reading.MaxSamples || s.Ended && len(s.Samples) > 0 {
		t.Fatalf("source %d, %d samples", s.Source, len(s.Samples))
	}
	for _, text := range []string{s.Agent, s.Host, s.Kind, s.Subject} {
		if len(text) > reading.MaxLabelValue || !utf8.ValidString(text) {
			t.Fatalf("%q", text)
		}
	}
	series := map[string]bool{}
	for _, x := range s.Samples {
		if !isName(x.Name) || len(x.Name) > reading.MaxName+1 || len(x.Labels) > reading.MaxLabels {
			t.Fatalf("%+v", x)
		}
		if x.Kind == reading.Counter && !strings.HasSuffix(x.Name, "_total") || math.Float64bits(x.Value) == 0x7ff0000000000002 {
			t.Fatalf("%+v", x)
		}
		key := x.Name
		for i, l := range x.Labels {
			if !isName(l.Name) || l.Value == "" || len(l.Value) > reading.MaxLabelValue || !utf8.ValidString(l.Value) ||
				i > 0 && x.Labels[i-1].Name >= l.Name || l.Name == "agent" || l.Name == "host" {
				t.Fatalf("%+v", x)
			}
			key += "\xff" + l.Name + "\xff" + l.Value
		}
		if series[key] {
			t.Fatalf("twice: %+v", x)
		}
		series[key] = true
	}
}
