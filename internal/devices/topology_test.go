package devices

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestTopologySources: ways and switch ports are drawn, what those do not silence is not
// made up, and that two are on one segment is said of those alone of which nothing better
// is known.
func TestTopologySources(t *testing.T) {
	n := newNetwork(t)
	linked := func(i int, links ...*pb.DeviceLink) *pb.DeviceInventory {
		d := pc(i)
		d.Links = links
		return d
	}
	segment := &pb.DeviceLink{Source: "arp", Ip: "10.0.0.254"}
	gw, sw, plugged := linked(254), linked(253, segment), linked(2, segment)
	plugged.Plugged = []*pb.SwitchPort{{DeviceUid: sw.GetUid(), Port: "Gi1/0/2", Source: "fdb"}}
	for _, d := range []*pb.DeviceInventory{
		gw, sw, linked(1, segment), plugged,
		linked(9, &pb.DeviceLink{Source: "traceroute", Ip: "10.0.0.254", Description: "over a router that does not answer"}),
		linked(10, &pb.DeviceLink{Source: "traceroute", Ip: "10.9.9.9"}),
	} {
		n.scanned(event.TypeDeviceDiscovered, d)
	}
	in, _ := n.start(t.TempDir())
	n.upTo(in)
	drawn, err := in.Topology(t.Context(), &pb.TopologyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, node := range drawn.GetNodes() {
		names[node.GetDeviceUid()] = node.GetName()
	}
	var got []string
	for _, l := range drawn.GetLinks() {
		got = append(got, strings.Join([]string{l.GetSource(), names[l.GetFromUid()], names[l.GetToUid()], l.GetDescription()}, " "))
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{
		"arp pc-1 pc-254 ", "fdb pc-2 pc-253 ", "traceroute pc-9 pc-254 over a router that does not answer",
	}, got); diff != "" {
		t.Error(diff)
	}
}

// TestListUIDs: devices are found by uids that they have or had, and a change of one has
// another revision, which a sighting alone has not.
func TestListUIDs(t *testing.T) {
	n := newNetwork(t)
	n.scanned(event.TypeDeviceDiscovered, pc(1))
	n.scanned(event.TypeDeviceDiscovered, pc(2))
	serial := pc(2)
	serial.SerialNumber, serial.Uid, serial.FormerUids = "SN-20260101", "sn-acme-sn20260101", []string{pc(2).GetUid()}
	n.scanned(event.TypeDeviceChanged, serial)
	in, _ := n.start(t.TempDir())
	n.upTo(in)
	resp, err := in.ListDevices(t.Context(), &pb.ListDevicesRequest{Uids: []string{pc(2).GetUid(), serial.GetUid(), "nobody", "10.0.0.1"}})
	if err != nil || len(resp.GetDevices()) != 1 || resp.GetDevices()[0].GetDevice().GetHostname() != "pc-2" || resp.GetTotal() != 2 {
		t.Errorf("%v, %v", resp, err)
	}
	if _, err := in.ListDevices(t.Context(), &pb.ListDevicesRequest{Uids: []string{"a"}, Filter: "b"}); err == nil {
		t.Error("uids and a filter at once")
	}
	before := list(t, in, "")
	n.scanned(event.TypeDeviceChanged, pc(1))
	n.upTo(in)
	if same := list(t, in, ""); same.GetRevision() != before.GetRevision() {
		t.Errorf("another revision of a device that was only seen")
	}
	n.scanned(event.TypeDeviceGone, pc(1))
	n.upTo(in)
	if gone := list(t, in, ""); gone.GetRevision() == before.GetRevision() || gone.GetDown() != 1 {
		t.Errorf("revision %d after %d, %d down", gone.GetRevision(), before.GetRevision(), gone.GetDown())
	}
}

// TestTopologyOfSites: hosts of two networks with the same addresses are linked with the
// router of their own, and with none where that is not known.
func TestTopologyOfSites(t *testing.T) {
	n := newNetwork(t)
	in, _ := n.start(t.TempDir())
	n.upTo(in)
	see := func(site string, i int, ip string, links ...*pb.DeviceLink) {
		d := pc(i)
		d.Ip, d.Ports, d.Links, d.Sources = []string{ip}, nil, links, []string{"arp"}
		in.state.book.Observe(in.o.Now(), site+"/scanner", d)
	}
	segment := func() *pb.DeviceLink { return &pb.DeviceLink{Source: "arp", Ip: "10.0.0.254"} }
	in.mu.Lock()
	for at, site := range []string{"north", "south"} {
		see(site, 10*at+1, "10.0.0.254")
		see(site, 10*at+2, "10.0.0.2", segment())
	}
	see("west", 30, "10.0.0.2", segment())
	in.mu.Unlock()
	drawn, err := in.Topology(t.Context(), &pb.TopologyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range drawn.GetLinks() {
		got = append(got, l.GetFromUid()+" "+l.GetToUid())
	}
	slices.Sort(got)
	want := []string{pc(1).GetUid() + " " + pc(2).GetUid(), pc(11).GetUid() + " " + pc(12).GetUid()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
