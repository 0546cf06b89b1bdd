package devices

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func TestFilter(t *testing.T) {
	n := newNetwork(t)
	printer := &pb.DeviceInventory{
		Uid: "mac-00005e005309", Ip: []string{"10.0.1.9", "2001:db8::9"}, Mac: []string{"00:00:5e:00:53:09"}, Hostname: "Print-1", Vendor: "Old Printers", DeviceClass: "printer",
		Ports: []*pb.Port{{Port: 9100, Protocol: "tcp", Service: "jetdirect"}, {Port: 161, Protocol: "udp", Service: "snmp", Product: "Net-SNMP"}},
	}
	n.scanned(event.TypeDeviceDiscovered, printer)
	n.scanned(event.TypeDeviceDiscovered, pc(1))
	n.scanned(event.TypeDeviceDiscovered, pc(2))
	n.scanned(event.TypeDeviceGone, pc(2))
	in, _ := n.start(t.TempDir())
	n.upTo(in)
	for filter, want := range map[string]string{
		"":                       "pc-2 pc-1 Print-1",
		"PRINT":                  "Print-1",
		"class:Printer":          "Print-1",
		"-class:printer":         "pc-2 pc-1",
		`vendor:"old printers"`:  "Print-1",
		"old jetdirect":          "Print-1",
		"old openssh":            "",
		"os:linux up:true":       "pc-1",
		"up:no":                  "pc-2",
		"port:22":                "pc-2 pc-1",
		"port:161/udp":           "Print-1",
		"port:161/tcp":           "",
		"port:9000-9200":         "Print-1",
		"service:net-snmp":       "Print-1",
		"subnet:10.0.0.0/24":     "pc-2 pc-1",
		"subnet:2001:db8::/32":   "Print-1",
		"ip:10.0.0.1":            "pc-1",
		"00-00-5E-00-53-09":      "Print-1",
		"00:00:5e:00:53:09":      "Print-1",
		"2001:db8::9":            "Print-1",
		"mac:0000.5e00.5301":     "pc-1",
		"name:pc -ip:10.0.0.1":   "pc-2",
		"findings:true":          "",
		"plugged:sw":             "",
		`"pc-1"`:                 "pc-1",
		"host:pc":                "",
		`"colour:red"`:           "",
		"device.open_ports:9100": "Print-1",
		"device.os_type:linux":   "pc-2 pc-1",
		"device.mac_address:0000.5e00.5301 hostname:pc": "pc-1",
		"fe80::9":                   "",
		strings.Repeat("p ", 32):    "pc-2 pc-1 Print-1",
		"model:x":                   "",
		"- Print-1":                 "Print-1",
		"-name:pc -name:print":      "",
		"class:workstation openssh": "pc-2 pc-1",
	} {
		if got := names(t, in, filter); got != want {
			t.Errorf("%q finds %q, not %q", filter, got, want)
		}
	}
	for _, filter := range []string{"up:maybe", "port:x", "port:70000", "port:9-1", "port:1/sctp", "colour:red", "vendor=cisco", "-device.colour:red", "subnet:10.0.0.0/33", "ip:here", `"open`, "class:", strings.Repeat("p ", 33), strings.Repeat("p", 1025)} {
		if _, err := in.ListDevices(t.Context(), &pb.ListDevicesRequest{Filter: filter}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%q: %v", filter, err)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, text := range []string{"class:printer port:22", `-vendor:"a b" 10.0.0.1`, "subnet:10.0.0.0/8 up:no", `"`, "port:1-", "findings:1 \xff"} {
		f.Add(text)
	}
	d := pc(1)
	m := &beside{host: "web-1"}
	s := &shown{d: d, m: m, up: true, now: time.Unix(1_700_000_000, 0), text: textOf(d, m)}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseFilter(text)
		if err != nil {
			if parsed != nil {
				t.Error("a filter beside its error")
			}
			return
		}
		parsed.takes(s)
	})
}

// TestPages: every device comes once, though they are seen anew between pages; a token
// that is another's is refused, and one of a list that is forgotten goes on.
func TestPages(t *testing.T) {
	n := newNetwork(t)
	for i := range 25 {
		n.scanned(event.TypeDeviceDiscovered, pc(i+1))
	}
	in, _ := n.start(t.TempDir())
	n.upTo(in)
	ask := func(filter, page string) *pb.ListDevicesResponse {
		t.Helper()
		resp, err := in.ListDevices(t.Context(), &pb.ListDevicesRequest{Filter: filter, Limit: 10, PageToken: page})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	var got []string
	for page, first := "", true; first || page != ""; first = false {
		resp := ask("pc", page)
		for _, k := range resp.GetDevices() {
			got = append(got, k.GetDevice().GetHostname())
		}
		n.scanned(event.TypeDeviceChanged, pc(1)) // the last comes to the front
		n.upTo(in)
		page = resp.GetNextPageToken()
	}
	slices.Sort(got)
	if len(got) != 25 || len(slices.Compact(got)) != 25 {
		t.Errorf("%d: %q", len(got), got)
	}
	page := ask("pc", "").GetNextPageToken()
	if _, err := in.ListDevices(t.Context(), &pb.ListDevicesRequest{Filter: "other", PageToken: page}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a page of another list: %v", err)
	}
	in.mu.Lock()
	in.pages = newPages()
	in.mu.Unlock()
	if resp := ask("pc", page); len(resp.GetDevices()) != 10 || resp.GetNextPageToken() == "" {
		t.Errorf("of a list that is forgotten: %v", resp)
	}
}

func TestShares(t *testing.T) {
	n := newNetwork(t)
	in, _ := n.start(t.TempDir(), func(o *Options) { o.Caller = func(context.Context) string { return "ann" } })
	var ends []func()
	for range maxQuestionsOfOne {
		end, err := in.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	if _, err := in.ListDevices(t.Context(), &pb.ListDevicesRequest{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one too many: %v", err)
	}
	for _, end := range ends {
		end()
	}
	list(t, in, "")
}

// TestLacks: an empty inventory says what to do, and one that only hears says so.
func TestLacks(t *testing.T) {
	n := newNetwork(t)
	in, _ := n.start(t.TempDir())
	n.upTo(in)
	if got := list(t, in, "").GetLacks(); !slices.Equal(got, []string{"no scan found anything within a day: " + howToScan}) {
		t.Errorf("%q", got)
	}
	heard := pc(1)
	heard.Sources = []string{"dhcp"}
	n.scanned(event.TypeDeviceDiscovered, heard)
	n.upTo(in)
	if got := list(t, in, "").GetLacks(); len(got) != 1 || !strings.Contains(got[0], "scanners only listen") {
		t.Errorf("%q", got)
	}
}

// TestHostile: what cannot be is counted, and nothing else comes of it.
func TestHostile(t *testing.T) {
	n := newNetwork(t)
	n.append(&pb.Event{Type: event.TypeDeviceDiscovered, Host: &pb.Host{Name: "web-1"}, Agent: &pb.Agent{Id: "proc", Kind: "proc"}, Body: &pb.Event_Device{Device: pc(1)}})
	n.say(kindScanner, &pb.Event{Type: event.TypeDeviceDiscovered})
	n.say(kindScanner, &pb.Event{Type: "device.invented", Body: &pb.Event_Device{Device: pc(1)}})
	n.say("snmp", &pb.Event{Type: event.TypeSNMPReading})
	n.say("snmp", &pb.Event{Type: event.TypeSNMPTrap, About: &pb.Device{Ip: []string{"10.0.0.77"}}})
	future := pc(2)
	n.say(kindScanner, &pb.Event{Type: event.TypeDeviceDiscovered, Time: timestamppb.New(n.now.Add(1000 * time.Hour)), Body: &pb.Event_Device{Device: future}})
	bomb := pc(3)
	for i := range 2000 {
		bomb.Names = append(bomb.Names, fmt.Sprint("name-", i, strings.Repeat("x", 200)))
		bomb.Ports = append(bomb.Ports, &pb.Port{Port: uint32(i + 100), Protocol: "tcp"})
		bomb.Aliases = append(bomb.Aliases, fmt.Sprint("alias-", i))
	}
	n.scanned(event.TypeDeviceDiscovered, bomb)
	huge := &pb.SnmpReading{Target: "10.0.0.2", SysDescr: strings.Repeat("x", maxReading)}
	n.say("snmp", &pb.Event{Type: event.TypeSNMPReading, About: &pb.Device{Ip: []string{"10.0.0.2"}}, Body: &pb.Event_Snmp{Snmp: huge}})
	for range 3 * maxLines {
		n.say("snmp", &pb.Event{Type: event.TypeSNMPInterfaceDown, Message: strings.Repeat("m", 500), About: &pb.Device{Uid: pc(2).GetUid()}})
	}
	in, _ := n.start(t.TempDir())
	n.upTo(in)
	all := list(t, in, "")
	if all.GetTotal() != 2 {
		t.Errorf("%d devices: %s", all.GetTotal(), names(t, in, ""))
	}
	two := find(t, in, "10.0.0.2")
	if at := two.GetDevices()[0].GetDevice().GetLastSeenTime().AsTime(); at.After(time.Now()) {
		t.Errorf("seen in the future: %s", at)
	}
	if len(two.GetHistory()) != maxLines || len(two.GetHistory()[0].GetMessage()) > maxLine+4 || two.GetDevices()[0].GetSnmp() != nil {
		t.Errorf("%d lines, reading %t", len(two.GetHistory()), two.GetDevices()[0].GetSnmp() != nil)
	}
	if d := find(t, in, "10.0.0.3").GetDevices()[0].GetDevice(); len(d.GetNames()) > 16 || len(d.GetPorts()) > 1024 {
		t.Errorf("%d names, %d ports", len(d.GetNames()), len(d.GetPorts()))
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.state.readingBytes != 0 {
		t.Errorf("%d bytes of readings", in.state.readingBytes)
	}
}
