package dashboard_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/dashboard"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// listedDevices is a Devices service over a list that a test writes.
type listedDevices struct {
	pb.UnimplementedDevicesServer

	mu   sync.Mutex
	list []*pb.KnownDevice
	// breaks, when it is set, is the page that fails.
	breaks string
}

func (l *listedDevices) set(n int, breaks string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.breaks = nil, breaks
	for i := range n {
		l.list = append(l.list, &pb.KnownDevice{
			Up: i%2 == 0, Findings: uint32(i), Observers: []string{"gate"}, Snmp: &pb.SnmpReading{SysName: "sw", Interfaces: []*pb.SnmpInterface{{Index: 1, Name: "eth0"}}},
			Device: &pb.DeviceInventory{
				Uid: fmt.Sprint("uid-", i), Hostname: fmt.Sprint("pc-", i), Ip: []string{fmt.Sprint("10.0.0.", i)}, DeviceClass: "printer",
				FormerUids: []string{fmt.Sprint("old-", i)}, Ports: []*pb.Port{{Port: 22, Protocol: "tcp", Service: "ssh", Banner: "SSH-2.0"}},
				Plugged: []*pb.SwitchPort{{DeviceName: "sw-1", Port: "Gi1", SinceTime: timestamppb.Now()}},
			},
		})
	}
}

func (l *listedDevices) ListDevices(_ context.Context, req *pb.ListDevicesRequest) (*pb.ListDevicesResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if req.GetFilter() == "port:x" {
		return nil, status.Error(codes.InvalidArgument, "port:x is no port")
	}
	if l.breaks != "" && req.GetPageToken() == l.breaks {
		return nil, status.Error(codes.Unavailable, "it has gone")
	}
	from, _ := strconv.Atoi(req.GetPageToken())
	to := min(len(l.list), from+min(int(req.GetLimit()), 10))
	resp := &pb.ListDevicesResponse{
		Devices: l.list[from:to], Matching: uint32(len(l.list)), Total: uint32(len(l.list)), CompleteTo: 7, Lacks: []string{"no scanner looks"},
		Classes: []*pb.DeviceCount{{Name: "printer", Devices: uint32(len(l.list))}},
	}
	if to < len(l.list) {
		resp.NextPageToken = strconv.Itoa(to)
	}
	return resp, nil
}

func (l *listedDevices) FindDevice(_ context.Context, req *pb.FindDeviceRequest) (*pb.FindDeviceResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.list {
		if d := k.GetDevice(); d.GetUid() == req.GetText() || d.GetIp()[0] == req.GetText() {
			return &pb.FindDeviceResponse{Devices: []*pb.KnownDevice{k}, History: []*pb.DeviceChange{{DeviceUid: d.GetUid(), Type: "device.moved", Message: "moved"}}}, nil
		}
	}
	return nil, status.Error(codes.NotFound, "no device is called so")
}

func (l *listedDevices) Topology(_ context.Context, req *pb.TopologyRequest) (*pb.TopologyResponse, error) {
	if req.GetDeviceUid() != "" {
		return nil, status.Error(codes.NotFound, "no device is called so")
	}
	return &pb.TopologyResponse{
		Nodes: []*pb.TopologyNode{{DeviceUid: "a", Name: "sw-1"}}, Links: []*pb.TopologyLink{{FromUid: "a", ToUid: "b", FromPort: "Gi1", Source: "lldp"}},
	}, nil
}

// TestDevices: a list with marks, one device, where it is, and the topology.
func TestDevices(t *testing.T) {
	s := newSite(t)
	s.hub.devices.set(3, "")
	viewer, analyst := s.signedIn(t, "viewer"), s.signedIn(t, "analyst")
	marks := map[string]any{"uids": []string{"uid-0", "old-1"}, "known": true, "owner": "IT", "add_tags": []string{"lab"}}
	var marked dashboard.MarkedAnswer
	if code := analyst.do("POST", "/api/devices/marks", marks, &marked); code != 200 || marked.Changed != 2 {
		t.Fatal(code, marked)
	}
	if code := viewer.do("POST", "/api/devices/marks", marks, nil); code != http.StatusForbidden {
		t.Errorf("a viewer marks: %d", code)
	}
	var a dashboard.DevicesAnswer
	if code := viewer.do("GET", "/api/devices?limit=2", nil, &a); code != 200 || len(a.Devices) != 2 || a.NextPage != "2" || a.Total != 3 || a.CompleteTo != 7 || len(a.Lacks) != 1 {
		t.Fatalf("%d %+v", code, a)
	}
	first := a.Devices[0]
	if first.Name != "pc-0" || !first.Mark.Known || first.Mark.Owner != "IT" || first.Mark.ChangedBy != "analyst" || !a.Devices[1].Mark.Known ||
		len(first.OpenPorts) != 1 || first.OpenPorts[0].Service != "ssh" || first.Plugged[0].SwitchName != "sw-1" || !first.SNMP || a.Classes[0].Name != "printer" {
		t.Errorf("%+v", first)
	}
	for query, want := range map[string]string{
		"known=no": "pc-2", "known=yes&limit=1": "pc-0", "tag=LAB&page=1": "pc-1", "owner=it&page=1": "pc-1", "owner=nobody": "",
	} {
		var a dashboard.DevicesAnswer
		code := viewer.do("GET", "/api/devices?"+query, nil, &a)
		name := ""
		if len(a.Devices) > 0 {
			name = a.Devices[0].Name
		}
		if code != 200 || name != want {
			t.Errorf("%s: %d, %q", query, code, name)
		}
	}
	if code := viewer.do("GET", "/api/devices?filter=port:x", nil, nil); code != http.StatusBadRequest {
		t.Errorf("a filter that is none: %d", code)
	}
	// What was said under a former uid stays, and is kept under the present one.
	var tagged dashboard.DevicesAnswer
	if code := analyst.do("POST", "/api/devices/marks", map[string]any{"uids": []string{"uid-1"}, "add_tags": []string{"new"}}, &marked); code != 200 || marked.Changed != 1 {
		t.Errorf("%d %+v", code, marked)
	}
	if viewer.do("GET", "/api/devices?tag=new", nil, &tagged); len(tagged.Devices) != 1 || !tagged.Devices[0].Mark.Known || tagged.Devices[0].Mark.Owner != "IT" {
		t.Errorf("%+v", tagged)
	}
	if code := analyst.do("POST", "/api/devices/marks", map[string]any{"uids": []string{"uid-1"}, "known": false}, &marked); code != 200 {
		t.Error(code)
	}
	if viewer.do("GET", "/api/devices?known=no&tag=new", nil, &tagged); len(tagged.Devices) != 1 {
		t.Errorf("what was said cannot be taken back: %+v", tagged)
	}
	var one dashboard.DeviceAnswer
	if code := viewer.do("GET", "/api/devices/uid-1", nil, &one); code != 200 || one.Device.Ports[0].Banner != "SSH-2.0" || one.Device.Reading.Interfaces[0].Name != "eth0" ||
		len(one.History) != 1 || !strings.Contains(one.Device.Query, `device.uid:="old-1"`) {
		t.Errorf("%d %+v", code, one)
	}
	var where dashboard.WhereAnswer
	if code := viewer.do("GET", "/api/devices/where?q=10.0.0.2", nil, &where); code != 200 || !strings.HasPrefix(where.Found[0].Where, "pc-2 (10.0.0.2) is at port Gi1 of sw-1 since ") {
		t.Errorf("%d %+v", code, where)
	}
	var drawn dashboard.TopologyAnswer
	if code := viewer.do("GET", "/api/devices/topology", nil, &drawn); code != 200 || len(drawn.Nodes) != 1 || drawn.Links[0].Source != "lldp" {
		t.Errorf("%d %+v", code, drawn)
	}
	for _, path := range []string{"/api/devices/nobody", "/api/devices/where?q=nobody", "/api/devices/topology?uid=nobody"} {
		if code := viewer.do("GET", path, nil, nil); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
}

// TestLiveDevices: who follows devices is told of them.
func TestLiveDevices(t *testing.T) {
	s := newSite(t)
	s.hub.devices.set(3, "")
	b := s.signedIn(t, "viewer").tab(t)
	b.say(`{"op":"subscribe","id":"d","topic":"devices"}`)
	if m := b.until("devices", func(m *message) bool { return m.Type == "devices" }); m.ID != "d" {
		t.Errorf("%+v", m)
	}
}

// TestExportDevices: every device comes once, in each format; an export that breaks off
// does not look whole.
func TestExportDevices(t *testing.T) {
	s := newSite(t)
	s.hub.devices.set(35, "")
	c := s.signedIn(t, "viewer")
	read := func(query string) (text string, err error) {
		t.Helper()
		r := c.send("GET", "/api/devices/export?"+query, nil)
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Disposition"), "attachment") {
			t.Errorf("%s: %d %v", query, r.StatusCode, r.Header)
		}
		return string(b), err
	}
	for query, want := range map[string][3]string{
		"format=csv": {"uid,name", "uid-34,pc-34", "uid-34,pc-34"}, "format=json": {`{"uid":"uid-0"`, `"name":"pc-34"`, `"name":"pc-34"`},
		"format=nmap-xml": {"<?xml", `addr="10.0.0.34"`, "</nmaprun>"},
	} {
		text, err := read(query)
		lines := 0
		for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
			if strings.Contains(sc.Text(), "10.0.0.") {
				lines++
			}
		}
		if err != nil || lines != 35 || !strings.HasPrefix(text, want[0]) || !strings.Contains(text, want[1]) || !strings.Contains(text[len(text)/2:], want[2]) {
			t.Errorf("%s: %v, %d devices\n%.500s", query, err, lines, text)
		}
	}
	s.hub.devices.set(35, "20")
	if r, err := c.http.Get(c.url + "/api/devices/export?format=csv"); err == nil {
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err == nil {
			t.Errorf("an export that broke off looks whole: %d bytes", len(text))
		}
	}
	if code := c.do("GET", "/api/devices/export?filter=port:x", nil, nil); code != http.StatusBadRequest {
		t.Errorf("a filter that is none: %d", code)
	}
}
