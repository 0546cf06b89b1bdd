package tell_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/amoskys/amoskys/internal/devices/tell"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

func at(hour int) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(2026, 5, 1, hour, 0, 0, 0, time.UTC))
}

func laptop() *pb.KnownDevice {
	return &pb.KnownDevice{Up: true, Findings: 2, Device: &pb.DeviceInventory{
		Uid: "mac-00005e005301", Hostname: "laptop-ann", Names: []string{"laptop-ann", "=cmd()"}, Ip: []string{"10.0.0.7", "2001:db8::7"},
		Mac: []string{"00:00:5e:00:53:01"}, Vendor: "Acme & Sons", OsName: "Linux", OsVersion: "6.1", Confidence: 0.9, Sources: []string{"arp"},
		FirstSeenTime: at(1), LastSeenTime: at(9),
		Ports: []*pb.Port{{Port: 22, Protocol: "tcp", Service: "ssh", Product: "OpenSSH", Version: "9.6", Cpe: "cpe:/a:openbsd:openssh:9.6"}},
		Plugged: []*pb.SwitchPort{
			{DeviceName: "sw-1", DeviceIp: "10.0.0.2", Port: "Gi1/0/7", Vlan: 10, SinceTime: at(8)},
			{DeviceIp: "10.0.0.3", IfIndex: 4, SinceTime: at(2), UntilTime: at(8)},
		},
	}}
}

func TestWhere(t *testing.T) {
	d := laptop().GetDevice()
	want := "laptop-ann (10.0.0.7, 2001:db8::7, 00:00:5e:00:53:01) is at port Gi1/0/7 of sw-1 (10.0.0.2), VLAN 10 since 2026-05-01 08:00 UTC; " +
		"before that it was at port with ifIndex 4 of 10.0.0.3 since 2026-05-01 02:00 UTC until 2026-05-01 08:00 UTC"
	if diff := cmp.Diff(want, tell.Where(d, nil)); diff != "" {
		t.Error(diff)
	}
	d.Plugged = nil
	if got := tell.Where(d, time.UTC); got == "" || got == want {
		t.Errorf("without a place: %q", got)
	}
	if got := tell.Where(&pb.DeviceInventory{Uid: "u", Plugged: []*pb.SwitchPort{{UntilTime: at(1)}}}, nil); got != "u was last at an unknown port of an unknown switch until 2026-05-01 01:00 UTC" {
		t.Errorf("nearly nothing known: %q", got)
	}
}

func TestCSV(t *testing.T) {
	var b bytes.Buffer
	w := tell.NewCSV(&b)
	for _, err := range []error{w.Begin(), w.Device(laptop(), &pb.DeviceMark{Known: true, Owner: "@ann", Tags: []string{"lab"}}), w.End()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatal(rows, err)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	for name, want := range map[string]string{
		"name": "laptop-ann", "ip": "10.0.0.7 2001:db8::7", "ports": "22/tcp ssh OpenSSH 9.6", "last_seen": "2026-05-01T09:00:00Z", "up": "true",
		"switch": "sw-1", "switch_port": "Gi1/0/7", "vlan": "10", "known": "true", "owner": "'@ann", "tags": "lab",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, not %q", name, got[name], want)
		}
	}
}

// TestCSVOfWhereADeviceWas: a place that it has left is not told as its place.
func TestCSVOfWhereADeviceWas(t *testing.T) {
	var b bytes.Buffer
	w, k := tell.NewCSV(&b), laptop()
	k.Device.Plugged[0].UntilTime = at(9)
	for _, err := range []error{w.Device(k, nil), w.End()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(b.String(), "sw-1") {
		t.Errorf("it is at %s", b.String())
	}
}

// TestNmapXML reads back what nmap's readers look for.
func TestNmapXML(t *testing.T) {
	var b bytes.Buffer
	w := tell.NewNmapXML(&b, at(10).AsTime())
	for _, err := range []error{w.Begin(), w.Device(laptop(), nil), w.Device(&pb.KnownDevice{Device: &pb.DeviceInventory{Uid: "\x00<&>"}}, nil), w.End()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var run struct {
		Hosts []struct {
			Status struct {
				State string `xml:"state,attr"`
			} `xml:"status"`
			Addresses []struct {
				Addr string `xml:"addr,attr"`
				Type string `xml:"addrtype,attr"`
			} `xml:"address"`
			Ports []struct {
				ID      int `xml:"portid,attr"`
				Service struct {
					Name, Product string
					CPE           []string `xml:"cpe"`
				} `xml:"service"`
			} `xml:"ports>port"`
		} `xml:"host"`
		Total struct {
			Up int `xml:"up,attr"`
		} `xml:"runstats>hosts"`
	}
	if err := xml.Unmarshal(b.Bytes(), &run); err != nil {
		t.Fatal(err, b.String())
	}
	if len(run.Hosts) != 2 || run.Hosts[0].Status.State != "up" || len(run.Hosts[0].Addresses) != 3 || run.Hosts[0].Addresses[1].Type != "ipv6" ||
		len(run.Hosts[0].Ports) != 1 || run.Hosts[0].Ports[0].ID != 22 || len(run.Hosts[0].Ports[0].Service.CPE) != 1 || run.Total.Up != 1 {
		t.Errorf("%+v", run)
	}
}
