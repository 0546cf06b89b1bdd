package devices

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
	"github.com/amoskys/amoskys/internal/stream/streamtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is a log of events about devices, an hour ago and on.
type network struct {
	t   *testing.T
	log stream.Log
	now time.Time // of the next event
	n   int
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	return &network{t: t, log: streamtest.NewModel(), now: time.Now().Add(-time.Hour).Truncate(time.Second)}
}

// say appends an event of an agent of kind on host gate, about others.
func (n *network) say(kind string, ev *pb.Event) {
	n.t.Helper()
	if ev.GetObserver() == nil && ev.GetHost() == nil {
		ev.Observer = &pb.Host{Name: "gate"}
	}
	ev.Agent = &pb.Agent{Id: kind + "_agent", Kind: kind}
	n.append(ev)
}

func (n *network) append(events ...*pb.Event) {
	n.t.Helper()
	var payload []byte
	for _, ev := range events {
		n.n++
		n.now = n.now.Add(time.Second)
		ev.Id = fmt.Appendf(nil, "%016d", n.n)
		if ev.GetTime() == nil {
			ev.Time = timestamppb.New(n.now)
		}
		b, err := event.Encode(ev)
		if err != nil {
			n.t.Fatal(err)
		}
		payload = protowire.AppendBytes(protowire.AppendTag(payload, 3, protowire.BytesType), b)
	}
	r := &stream.Record{Publisher: "spiffe://amoskys.local/agent/gate", Received: n.now, Count: len(events), Payload: [][]byte{payload}}
	if _, err := stream.Append(context.Background(), n.log, r); err != nil {
		n.t.Fatal(err)
	}
}

// scanned is an event of the scanner: all that it knows of a device.
func (n *network) scanned(typ string, d *pb.DeviceInventory) {
	n.t.Helper()
	if len(d.GetSources()) == 0 {
		d.Sources = []string{"arp", "tcp"}
	}
	n.say(kindScanner, &pb.Event{Type: typ, About: &pb.Device{Uid: d.GetUid()}, Body: &pb.Event_Device{Device: d}})
}

// pc is device i as a scanner tells it.
func pc(i int) *pb.DeviceInventory {
	return &pb.DeviceInventory{
		Uid: fmt.Sprintf("mac-00005e0053%02x", i), Ip: []string{fmt.Sprint("10.0.0.", i)}, Mac: []string{fmt.Sprintf("00:00:5e:00:53:%02x", i)},
		Hostname: fmt.Sprint("pc-", i), Vendor: "Acme", DeviceClass: "workstation", OsName: "Linux",
		Ports: []*pb.Port{{Port: 22, Protocol: "tcp", Service: "ssh", Product: "OpenSSH", Version: "9.6", Banner: "SSH-2.0-OpenSSH_9.6"}},
	}
}

// start runs an inventory over the log until the test ends or stop is called.
func (n *network) start(dir string, change ...func(*Options)) (in *Inventory, stop func()) {
	n.t.Helper()
	o := Options{Source: &reader.Local{Log: n.log}, Path: dir, SaveEvery: time.Hour, readPause: time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	in, err := New(o)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			n.t.Error(err)
		}
	})
	n.t.Cleanup(stop)
	return in, stop
}

// upTo waits until the inventory has all of the log.
func (n *network) upTo(in *Inventory) {
	n.t.Helper()
	tail := n.log.Stat().NextOffset
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		in.mu.Lock()
		place := in.state.place
		in.mu.Unlock()
		if r := in.reader.Load(); place >= tail && r != nil && r.Status().State != stream.ReaderBehind {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			n.t.Fatalf("at %d of %d after 20 s", place, tail)
		}
	}
}

func list(t *testing.T, in *Inventory, filter string) *pb.ListDevicesResponse {
	t.Helper()
	resp, err := in.ListDevices(t.Context(), &pb.ListDevicesRequest{Filter: filter})
	if err != nil {
		t.Fatalf("%q: %v", filter, err)
	}
	return resp
}

// names are the names of what matches, in its order.
func names(t *testing.T, in *Inventory, filter string) string {
	t.Helper()
	var out []string
	for _, k := range list(t, in, filter).GetDevices() {
		out = append(out, nameOf(k.GetDevice()))
	}
	return strings.Join(out, " ")
}

func find(t *testing.T, in *Inventory, text string) *pb.FindDeviceResponse {
	t.Helper()
	resp, err := in.FindDevice(t.Context(), &pb.FindDeviceRequest{Text: text})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return resp
}

// TestFold follows a log in which every type of event tells of devices.
func TestFold(t *testing.T) {
	n := newNetwork(t)
	for i := range 3 {
		n.scanned(event.TypeDeviceDiscovered, pc(i+1))
	}
	changed := pc(1)
	changed.Ports = append(changed.GetPorts(), &pb.Port{Port: 80, Protocol: "tcp", Service: "http"})
	n.scanned(event.TypeDeviceChanged, changed)
	n.say("snmp", &pb.Event{
		Type: event.TypeSNMPReading, About: &pb.Device{Uid: "mac-00005e00530a", Ip: []string{"10.0.0.10"}, Mac: []string{"00:00:5e:00:53:0a"}},
		Body: &pb.Event_Snmp{Snmp: &pb.SnmpReading{
			Target: "10.0.0.10", SysName: "sw-1", Vendor: "Switchmaker", Interfaces: []*pb.SnmpInterface{{Index: 1, Name: "Gi1"}},
			Neighbors: []*pb.DeviceLink{{Source: "lldp", Port: "Gi1", Mac: "00:00:5e:00:53:0b", Name: "sw-2", RemotePort: "Gi9", Capabilities: []string{"bridge"}}},
		}},
	})
	moved := pc(2)
	moved.Sources = []string{"snmp"}
	moved.Plugged = []*pb.SwitchPort{{DeviceUid: "mac-00005e00530a", DeviceName: "sw-1", DeviceIp: "10.0.0.10", Port: "Gi1/0/7", Vlan: 10, Source: "fdb", SinceTime: timestamppb.New(n.now)}}
	n.say("snmp", &pb.Event{Type: event.TypeDeviceMoved, Message: "pc-2 moved to Gi1/0/7", Body: &pb.Event_Device{Device: moved}})
	n.say("flow", &pb.Event{Type: event.TypeFinding, Severity: pb.Severity_SEVERITY_HIGH, Body: &pb.Event_Finding{Finding: &pb.DetectionFinding{
		Title: "port scan", Observables: map[string]string{"source.ip": "10.0.0.2", "network.protocol": "tcp", "destination.ip": "192.0.2.1"},
	}}})
	n.say("snmp", &pb.Event{Type: event.TypeSNMPInterfaceDown, Message: "Gi1 is down", About: &pb.Device{Ip: []string{"10.0.0.10"}}, Body: &pb.Event_Snmp{Snmp: &pb.SnmpReading{}}})
	n.scanned(event.TypeDeviceGone, pc(3))
	n.append(&pb.Event{
		Type: event.TypeAgentHealth, Agent: &pb.Agent{Id: "proc_agent", Kind: "proc"}, Host: &pb.Host{Name: "pc-host", Ip: []string{"10.0.0.1", "172.17.0.1"}, OsType: "linux", OsVersion: "Debian 13"},
		Body: &pb.Event_AgentHealth{AgentHealth: &pb.AgentHealth{}},
	})
	in, _ := n.start(t.TempDir())
	n.upTo(in)

	all := list(t, in, "")
	if all.GetTotal() != 5 || all.GetMatching() != 5 || all.GetCompleteTo() != n.log.Stat().NextOffset || len(all.GetLacks()) != 0 {
		t.Errorf("%d of %d, complete to %d, lacks %q", all.GetMatching(), all.GetTotal(), all.GetCompleteTo(), all.GetLacks())
	}
	if c := all.GetClasses(); len(c) == 0 || c[0].GetName() != "workstation" || c[0].GetDevices() != 3 {
		t.Errorf("classes: %v", c)
	}
	one := find(t, in, "10.0.0.1").GetDevices()[0]
	if one.GetHost() != "pc-host" || len(one.GetDevice().GetPorts()) != 2 || !one.GetUp() || one.GetDevice().GetPorts()[0].GetBanner() == "" || len(one.GetObservers()) != 2 {
		t.Errorf("pc-1: %v", one)
	}
	two := find(t, in, "00-00-5E-00-53-02")
	k := two.GetDevices()[0]
	if k.GetFindings() != 1 || len(k.GetDevice().GetPlugged()) != 1 || k.GetDevice().GetPlugged()[0].GetPort() != "Gi1/0/7" || len(k.GetDevice().GetPorts()) != 1 {
		t.Errorf("pc-2: %v", k)
	}
	var told []string
	for _, c := range two.GetHistory() {
		told = append(told, c.GetType()+": "+c.GetMessage())
	}
	for _, want := range []string{"finding.created: port scan", "device.moved: pc-2 moved to Gi1/0/7", "device.discovered: "} {
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("history of pc-2 lacks %q: %q", want, told)
		}
	}
	if k := find(t, in, "pc-3").GetDevices()[0]; k.GetUp() {
		t.Errorf("pc-3 is gone, and up: %v", k)
	}
	sw := find(t, in, "sw-1")
	if k := sw.GetDevices()[0]; k.GetSnmp().GetInterfaces()[0].GetName() != "Gi1" || len(k.GetSnmp().GetNeighbors()) != 0 || k.GetDevice().GetVendor() != "Switchmaker" {
		t.Errorf("sw-1: %v", k)
	}
	if k := find(t, in, "sw-2").GetDevices()[0]; k.GetDevice().GetDeviceClass() != "switch" {
		t.Errorf("sw-2: %v", k)
	}
	if k := find(t, in, "pc-host").GetDevices(); len(k) != 1 {
		t.Errorf("the host is %d devices", len(k))
	}
	drawn, err := in.Topology(t.Context(), &pb.TopologyRequest{})
	if err != nil || len(drawn.GetNodes()) != 3 || len(drawn.GetLinks()) != 2 {
		t.Errorf("topology: %v %v", drawn, err)
	}
	if _, err := in.FindDevice(t.Context(), &pb.FindDeviceRequest{Text: "10.9.9.9"}); status.Code(err) != codes.NotFound {
		t.Errorf("nobody: %v", err)
	}
}

// TestRestart: what was folded is there again, and events since are folded once.
func TestRestart(t *testing.T) {
	n := newNetwork(t)
	dir := t.TempDir()
	n.scanned(event.TypeDeviceDiscovered, pc(1))
	in, stop := n.start(dir)
	n.upTo(in)
	stop()
	n.scanned(event.TypeDeviceDiscovered, pc(2))
	finding := func(status string) {
		n.say("flow", &pb.Event{Type: "finding.scanner.duplicate_address", Body: &pb.Event_Finding{Finding: &pb.DetectionFinding{Title: "scan", Status: status, Observables: map[string]string{"source.ip": "10.0.0.1"}}}})
	}
	finding("new")
	in, stop = n.start(dir)
	n.upTo(in)
	stop()
	finding("new")
	in, _ = n.start(dir)
	n.upTo(in)
	k := find(t, in, "pc-1")
	if got := names(t, in, ""); got != "pc-2 pc-1" && got != "pc-1 pc-2" || k.GetDevices()[0].GetFindings() != 2 || len(k.GetHistory()) != 2 { // a finding that comes again within a day is one line
		t.Errorf("%q, %v", got, k)
	}
	finding(event.FindingResolved)
	n.upTo(in)
	k = find(t, in, "pc-1")
	if len(k.GetHistory()) != 3 || k.GetDevices()[0].GetFindings() != 2 || !strings.HasPrefix(k.GetHistory()[0].GetMessage(), "over: ") {
		t.Errorf("a finding that is over: %v", k)
	}
}

// nowhere is a log that is never read.
type nowhere struct{ reader.Source }
