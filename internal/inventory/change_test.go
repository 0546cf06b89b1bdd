package inventory

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// TestPorts: what opened, closed and is another version is told, and a scan says nothing
// of ports that it did not look for.
func TestPorts(t *testing.T) {
	b := New(Options{})
	with := func(ports ...*pb.Port) *pb.DeviceInventory {
		d := arp(mac1, "192.0.2.1")
		d.Ports, d.Sources = ports, []string{"tcp"}
		return d
	}
	p22 := func(version string) *pb.Port {
		return &pb.Port{Port: 22, Protocol: "tcp", Service: "ssh", Product: "OpenSSH", Version: version}
	}
	p80 := &pb.Port{Port: 80, Protocol: "tcp", Service: "http"}
	low := func(protocol string, port uint32) bool { return protocol == "tcp" && port < 1000 }
	b.ObserveScan(day0, us, with(p80, p22("8.9")), low)
	tests := []struct {
		name       string
		see        *pb.DeviceInventory
		attributes []string
		message    string
	}{
		{"the same", with(p22("8.9"), p80), nil, ""},
		{"known by number alone", with(&pb.Port{Port: 22, Protocol: "tcp"}, p80), nil, ""},
		{"another version", with(p22("9.2"), p80), []string{"services"}, "tcp/22 is OpenSSH 9.2, was OpenSSH 8.9"},
		{"one closed", with(p22("9.2")), []string{"ports"}, "tcp/80 (http) closed"},
		{"one beyond", with(p22("9.2"), &pb.Port{Port: 8080, Protocol: "tcp"}), []string{"ports"}, "tcp/8080 opened"},
		{"that one was not looked for", with(p22("9.2")), nil, ""},
		{"another host key", with(&pb.Port{Port: 22, Protocol: "tcp", HostKey: "SHA256:a"}), []string{"services"}, "more is known of tcp/22"},
		{"again another host key", with(&pb.Port{Port: 22, Protocol: "tcp", HostKey: "SHA256:b"}), []string{"host_key"}, "tcp/22 has another host key"},
		{"no port that there is", with(p22("9.2"), &pb.Port{Port: 70000, Protocol: "tcp"}, &pb.Port{Port: 1, Protocol: "sctp"}), nil, ""},
	}
	for i, tt := range tests {
		changes := b.ObserveScan(day0.Add(time.Duration(i+1)*time.Minute), us, tt.see, low)
		if len(tt.attributes) == 0 {
			if len(changes) != 0 {
				t.Errorf("%s: %+v", tt.name, changes)
			}
			continue
		}
		if len(changes) != 1 || !slices.Equal(changes[0].Attributes, tt.attributes) || !strings.Contains(changes[0].Message, tt.message) {
			t.Errorf("%s: %+v", tt.name, changes)
		}
	}
	d := one(t, b, mac1)
	if len(d.GetPorts()) != 2 || d.GetPorts()[0].GetVersion() != "9.2" || d.GetPorts()[1].GetPort() != 8080 {
		t.Errorf("ports %v", d.GetPorts())
	}
}

// TestRemarks: those of the newest look stand, and a look that asked nothing takes none
// away.
func TestRemarks(t *testing.T) {
	all := func(string, uint32) bool { return true }
	see := func(p *pb.Port) *pb.DeviceInventory {
		d := arp(mac1, "192.0.2.1")
		p.Port, p.Protocol = 6379, "tcp"
		d.Ports, d.Sources = []*pb.Port{p}, []string{"tcp"}
		return d
	}
	b := New(Options{})
	b.ObserveScan(day0, us, see(&pb.Port{Service: "telnet", Remarks: []string{"not confirmed"}}), all)
	for i, tt := range []struct {
		name string
		see  *pb.Port
		want []string
		told bool
	}{
		{"guessed, then confirmed", &pb.Port{Service: "telnet"}, nil, true},
		{"open to all", &pb.Port{Service: "redis", Remarks: []string{"no password"}}, []string{"no password"}, true},
		{"asked nothing", &pb.Port{}, []string{"no password"}, false},
		{"it got a password", &pb.Port{Service: "redis"}, nil, true},
		{"as before", &pb.Port{Service: "redis"}, nil, false},
	} {
		changes := b.ObserveScan(day0.Add(time.Duration(i+1)*time.Minute), us, see(tt.see), all)
		if got := one(t, b, mac1).GetPorts()[0].GetRemarks(); !slices.Equal(got, tt.want) || len(changes) > 0 != tt.told {
			t.Errorf("%s: remarks %q, changes %+v", tt.name, got, changes)
		}
	}
}

// TestLinks: a link that a switch's table has no longer goes after a while, by the word of
// who told it; a state that another tells takes away its own alone.
func TestLinks(t *testing.T) {
	b, at := New(Options{}), day0
	see := func(source string, names ...string) *pb.DeviceInventory {
		d := arp(mac1, "192.0.2.1")
		d.Sources = []string{source}
		for _, n := range names {
			d.Links = append(d.Links, &pb.DeviceLink{Source: "lldp", Name: n})
		}
		return d
	}
	for i, tt := range []struct {
		after    time.Duration
		observer string
		whole    bool
		see      *pb.DeviceInventory
		want     []string
	}{
		{0, "gate/snmp_agent", false, see("snmp", "a", "b"), []string{"a", "b"}},
		{time.Hour, "gate/snmp_agent", false, see("snmp", "a"), []string{"a", "b"}},
		{time.Minute, us, true, see("lldp", "c"), []string{"a", "b", "c"}},
		{time.Hour, us, true, see("lldp", "d"), []string{"a", "b", "d"}},
		{2 * time.Hour, "gate/snmp_agent", false, see("snmp"), []string{"a", "b", "d"}},
		{time.Minute, us, false, see("lldp", "d"), []string{"a", "b", "d"}},
		{time.Minute, "gate/snmp_agent", false, see("snmp", "a"), []string{"a", "d"}},
	} {
		at = at.Add(tt.after)
		if tt.whole {
			b.ObserveState(at, tt.observer, tt.see)
		} else {
			b.Observe(at, tt.observer, tt.see)
		}
		var got []string
		for _, l := range one(t, b, mac1).GetLinks() {
			got = append(got, l.GetName())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("step %d: links %q, want %q", i, got, tt.want)
		}
	}
}

// TestStateOfAnother: a Book that folds what another tells has the same devices in the
// end, and takes away what that has no more.
func TestStateOfAnother(t *testing.T) {
	first, second := New(Options{}), New(Options{})
	at := day0
	pass := func(changes []Change) {
		for _, c := range changes {
			second.ObserveState(at, us, c.Device)
		}
	}
	steps := []*pb.DeviceInventory{
		named(arp(mac1, "10.0.0.1"), "mdns", "alpha.local"), named(arp(mac1, "10.0.0.2"), "mdns", "beta.local"),
		ssh(arp(mac2, "10.0.0.3"), "SHA256:a"),
		{Ip: []string{"10.0.0.4"}, Sources: []string{"icmp"}},
		arp(mac3, "10.0.0.4"),
		{Ip: []string{"10.0.0.4"}, SerialNumber: "SN12345678", Vendor: "Example", Sources: []string{"snmp"}},
	}
	for _, d := range steps {
		at = at.Add(time.Minute)
		pass(first.Observe(at, us, d))
	}
	at = at.Add(time.Hour)
	pass(first.Observe(at, us, arp(mac3, "10.0.0.3"))) // takes it from another
	if diff := cmp.Diff(uids(first), uids(second)); diff != "" {
		t.Fatal(diff)
	}
	for d := range first.Devices() {
		got := proto.CloneOf(one(t, second, d.GetUid()))
		got.LastSeenTime = d.GetLastSeenTime()
		if diff := cmp.Diff(d, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", d.GetUid(), diff)
		}
	}
}

func TestMergeKeepsFormerUIDs(t *testing.T) {
	b := New(Options{})
	changes := tell(b, step{see: arp(mac1, "192.0.2.1")}, step{see: arp(mac2, "192.0.2.2")},
		step{see: &pb.DeviceInventory{Mac: []string{mac2, mac1}, EngineId: "80001F8880AABBCCDD", Sources: []string{"snmp"}}})
	d := one(t, b, "engine-80001f8880aabbccdd")
	if got := d.GetFormerUids(); len(got) != 2 {
		t.Errorf("former uids %v", got)
	}
	for _, uid := range []string{"mac-00005e005301", "mac-00005e005302"} {
		if one(t, b, uid) != d {
			t.Errorf("%s is lost", uid)
		}
	}
	last := changes[len(changes)-1]
	if len(last.Merged) != 1 || last.Type != event.TypeDeviceChanged {
		t.Errorf("change %+v", last)
	}
}

func TestGoneAndBack(t *testing.T) {
	b := New(Options{GoneAfter: time.Hour, ForgetAfter: 48 * time.Hour})
	b.Observe(day0, us, arp(mac1, "192.0.2.1"))
	if c := b.Expire(day0.Add(time.Hour)); len(c) != 0 {
		t.Errorf("too early: %+v", c)
	}
	gone := b.Expire(day0.Add(2 * time.Hour))
	if len(gone) != 1 || gone[0].Type != event.TypeDeviceGone || !b.Gone("mac-00005e005301") {
		t.Fatalf("changes %+v", gone)
	}
	if c := b.Expire(day0.Add(3 * time.Hour)); len(c) != 0 {
		t.Errorf("gone twice: %+v", c)
	}
	back := b.Observe(day0.Add(4*time.Hour), us, arp(mac1, "192.0.2.1"))
	if len(back) != 1 || !slices.Equal(back[0].Attributes, []string{"returned"}) || b.Gone("mac-00005e005301") {
		t.Errorf("changes %+v", back)
	}
	b.Expire(day0.Add(100 * time.Hour))
	if b.Len() != 0 || len(b.keys) != 0 {
		t.Errorf("%d devices, keys %v", b.Len(), b.keys)
	}
}

// TestClockGoesBack: a clock that was years ahead makes no device that stays for years.
func TestClockGoesBack(t *testing.T) {
	b := New(Options{})
	b.Observe(day0.AddDate(20, 0, 0), us, arp(mac1, "192.0.2.1"))
	b.Observe(day0, us, arp(mac2, "192.0.2.2"))
	b.Expire(day0)
	if s := b.Stats(); s.ClockBack < 2 {
		t.Errorf("stats %+v", s)
	}
	b.Expire(day0.Add(25 * time.Hour))
	if s := b.Stats(); s.Gone != 2 {
		t.Errorf("stats %+v", s)
	}
}

func TestHistoryOfAddresses(t *testing.T) {
	b := New(Options{MaxHistory: 2})
	tell(b, step{see: arp(mac1, "192.0.2.1")}, step{after: time.Hour, see: arp(mac1, "192.0.2.2")}, step{after: time.Hour, see: arp(mac1, "192.0.2.3")})
	var got []string
	for _, h := range b.History("mac-00005e005301") {
		got = append(got, h.IP+" "+h.MAC)
	}
	if diff := cmp.Diff([]string{"192.0.2.2 " + mac1, "192.0.2.3 " + mac1}, got); diff != "" {
		t.Error(diff)
	}
	if c := b.Expire(day0.Add(4 * 24 * time.Hour)); len(c) != 1 || c[0].Type != event.TypeDeviceGone {
		t.Errorf("changes %+v", c)
	}
}

// TestLinksByAddress: links with routers are told apart by their addresses, and one that is
// not told any more goes by the word of who told it.
func TestLinksByAddress(t *testing.T) {
	b, at := New(Options{}), day0
	for i, tt := range []struct {
		after    time.Duration
		observer string
		source   string
		routers  []string
		want     string
	}{
		{0, us, "traceroute", []string{"10.0.0.1"}, "traceroute 10.0.0.1"},
		{time.Minute, us, "traceroute", []string{"10.0.0.2"}, "traceroute 10.0.0.1, traceroute 10.0.0.2"},
		{4 * time.Hour, us, "arp", []string{"10.0.0.9"}, "traceroute 10.0.0.1, traceroute 10.0.0.2, arp 10.0.0.9"},
		{time.Minute, "far/device_scanner", "traceroute", []string{"10.0.0.3"}, "traceroute 10.0.0.1, traceroute 10.0.0.2, arp 10.0.0.9, traceroute 10.0.0.3"},
		{time.Minute, us, "traceroute", []string{"10.0.0.2"}, "traceroute 10.0.0.2, arp 10.0.0.9, traceroute 10.0.0.3"},
	} {
		at = at.Add(tt.after)
		d := arp(mac1, "192.0.2.1")
		for _, r := range tt.routers {
			d.Links = append(d.Links, &pb.DeviceLink{Source: tt.source, Ip: r})
		}
		b.Observe(at, tt.observer, d)
		var got []string
		for _, l := range one(t, b, mac1).GetLinks() {
			got = append(got, l.GetSource()+" "+l.GetIp())
		}
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("step %d: %s, want %s", i, strings.Join(got, ", "), tt.want)
		}
	}
}

// TestEvidenceOfOthers: what a device was seen to do for others outlasts a scan of itself,
// which finds none of that; what a scan found does not.
func TestEvidenceOfOthers(t *testing.T) {
	b := New(Options{})
	d := arp(mac1, "192.0.2.1")
	d.Evidence = []string{"passes packets on to other networks", "tcp/80 says Apache"}
	b.Observe(day0, us, d)
	again := arp(mac1, "192.0.2.1")
	again.Evidence = []string{"tcp/22 says OpenSSH"}
	b.ObserveScan(day0.Add(time.Minute), us, again, func(string, uint32) bool { return true })
	if got := one(t, b, mac1).GetEvidence(); !slices.Equal(got, []string{"passes packets on to other networks", "tcp/22 says OpenSSH"}) {
		t.Errorf("the evidence is %q", got)
	}
}

// TestAddressesUnderAWrongClock: an address is not lost because the clock was set ahead while
// another one of its device was seen.
func TestAddressesUnderAWrongClock(t *testing.T) {
	passed := time.Minute
	b := New(Options{Age: func(time.Time) time.Duration { return passed }})
	b.Observe(day0, us, arp(mac1, "192.0.2.1", "2001:db8::1"))
	ahead := day0.Add(10 * 365 * 24 * time.Hour)
	b.Observe(ahead, us, arp(mac1, "192.0.2.1"))
	if c := b.Expire(ahead); len(c) != 0 || len(one(t, b, mac1).GetIp()) != 2 {
		t.Errorf("it has %v: %+v", one(t, b, mac1).GetIp(), c)
	}
}

// TestOwnLink: a device that was heard at another address of its own is not its neighbour.
func TestOwnLink(t *testing.T) {
	b := New(Options{})
	d := arp(mac1, "192.0.2.9")
	d.Links = []*pb.DeviceLink{{Source: "arp", Ip: "192.0.2.1"}, {Source: "arp", Ip: "192.0.2.2"}}
	b.Observe(day0, us, d)
	b.Observe(day0.Add(time.Minute), us, arp(mac1, "192.0.2.1"))
	if links := one(t, b, mac1).GetLinks(); len(links) != 1 || links[0].GetIp() != "192.0.2.2" {
		t.Errorf("it is linked with %v", links)
	}
}
