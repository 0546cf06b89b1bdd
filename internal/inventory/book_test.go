package inventory

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

const us = "gate/device_scanner"

// Addresses are those for documentation; ones that stand for private or randomised ones
// are what they are.
const (
	mac1, mac2, mac3 = "00:00:5e:00:53:01", "00:00:5e:00:53:02", "00:00:5e:00:53:03"
	random1, random2 = "02:00:5e:00:53:01", "06:00:5e:00:53:02"
)

var day0 = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func arp(mac string, ips ...string) *pb.DeviceInventory {
	return &pb.DeviceInventory{Mac: []string{mac}, Ip: ips, Sources: []string{"arp"}}
}

func named(d *pb.DeviceInventory, source string, names ...string) *pb.DeviceInventory {
	d.Names, d.Sources = names, []string{source}
	return d
}

func id(d *pb.DeviceInventory, source, alias string) *pb.DeviceInventory {
	d.Aliases, d.Sources = []string{alias}, []string{source}
	return d
}

func ssh(d *pb.DeviceInventory, key string) *pb.DeviceInventory {
	d.Ports = []*pb.Port{{Port: 22, Protocol: "tcp", HostKey: key}}
	d.Sources = []string{"tcp", "ssh"}
	return d
}

// uids are those of all devices, sorted.
func uids(b *Book) []string {
	var all []string
	for d := range b.Devices() {
		all = append(all, d.GetUid())
	}
	slices.Sort(all)
	return all
}

func one(t *testing.T, b *Book, text string) *pb.DeviceInventory {
	t.Helper()
	found := b.Find(text)
	if len(found) != 1 {
		t.Fatalf("%q names %d devices, want one of %v", text, len(found), uids(b))
	}
	return found[0]
}

// story is a list of what is observed, a minute apart unless it says otherwise.
type step struct {
	after    time.Duration
	observer string
	see      *pb.DeviceInventory
}

func tell(b *Book, steps ...step) (changes []Change) {
	at := day0
	for _, s := range steps {
		at = at.Add(max(s.after, time.Minute))
		if s.observer == "" {
			s.observer = us
		}
		changes = append(changes, b.Observe(at, s.observer, s.see)...)
	}
	return changes
}

// TestWhoIsOneDevice has the cases in which inventories are known to be wrong.
func TestWhoIsOneDevice(t *testing.T) {
	snmp := func(serial, engine string, ips ...string) *pb.DeviceInventory {
		return &pb.DeviceInventory{Ip: ips, SerialNumber: serial, EngineId: engine, Vendor: "Example", Sources: []string{"snmp"}}
	}
	tests := []struct {
		name  string
		steps []step
		want  []string // uids
	}{
		{"one address", []step{{see: arp(mac1, "192.0.2.1")}, {see: arp(mac1, "192.0.2.1")}}, []string{"mac-00005e005301"}},
		{"an address changes by DHCP", []step{{see: arp(mac1, "192.0.2.1")}, {after: time.Hour, see: arp(mac1, "192.0.2.9")}}, []string{"mac-00005e005301"}},
		{
			"an address goes to another device",
			[]step{{see: arp(mac1, "192.0.2.1")}, {after: time.Hour, see: arp(mac2, "192.0.2.1")}},
			[]string{"mac-00005e005301", "mac-00005e005302"},
		},
		{
			"hosts behind one MAC call themselves differently (macvlan on a radio)",
			[]step{{see: named(arp(mac1, "10.0.0.1"), "mdns", "alpha.local")}, {see: named(arp(mac1, "10.0.0.2"), "mdns", "beta.local")}, {see: arp(mac1, "10.0.0.2")}},
			[]string{"ip-10.0.0.2-gate", "mac-00005e005301"},
		},
		{
			"a host with two addresses that calls itself the same at both is one",
			[]step{{see: named(arp(mac1, "10.0.0.1"), "mdns", "alpha.local")}, {see: named(arp(mac1, "10.0.0.2"), "dhcp", "alpha")}},
			[]string{"mac-00005e005301"},
		},
		{
			"a host that is renamed at the same address is one",
			[]step{{see: named(arp(mac1, "10.0.0.1"), "dhcp", "alpha")}, {see: named(arp(mac1, "10.0.0.1"), "dhcp", "beta")}},
			[]string{"mac-00005e005301"},
		},
		{
			"hosts behind one MAC have other host keys (proxy ARP)",
			[]step{{see: ssh(arp(mac1, "192.0.2.1"), "SHA256:a")}, {see: ssh(arp(mac1, "192.0.2.2"), "SHA256:b")}},
			[]string{"ip-192.0.2.2", "mac-00005e005301"},
		},
		{
			"a router answers for more addresses than one host has (proxy ARP, a router seen from afar)",
			[]step{
				{see: arp(mac1, "192.0.2.1")},
				{see: arp(mac1, "198.51.100.2")},
				{see: arp(mac1, "198.51.100.3")},
				{see: arp(mac1, "198.51.100.4")},
				{see: arp(mac1, "198.51.100.5")},
				{see: arp(mac1, "198.51.100.6")},
				{see: arp(mac1, "198.51.100.7")},
				{see: arp(mac1, "198.51.100.3")},
			},
			[]string{"ip-198.51.100.2", "ip-198.51.100.3", "ip-198.51.100.4", "ip-198.51.100.5", "ip-198.51.100.6", "ip-198.51.100.7", "mac-00005e005301"},
		},
		{
			"IPv6 addresses of one host, which it changes, are one device",
			[]step{{see: arp(mac1, "192.0.2.1", "fe80::1", "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5", "2001:db8::6", "2001:db8::7")}},
			[]string{"mac-00005e005301"},
		},
		{
			"several addresses with one serial number",
			[]step{{see: snmp("SN12345678", "", "192.0.2.1")}, {see: snmp("SN12345678", "", "198.51.100.1")}},
			[]string{"sn-example-sn12345678"},
		},
		{
			"several addresses with one SNMP engine",
			[]step{{see: snmp("", "80001f8880aabbccdd", "192.0.2.1")}, {see: snmp("", "80001f8880aabbccdd", "198.51.100.1")}},
			[]string{"engine-80001f8880aabbccdd"},
		},
		{
			"one engine that was copied with the configuration to two chassis",
			[]step{{see: snmp("SN12345678", "80001f8880aabbccdd", "192.0.2.1")}, {see: snmp("SN22345678", "80001f8880aabbccdd", "198.51.100.1")}},
			[]string{"sn-example-sn12345678", "sn-example-sn22345678"},
		},
		{
			"serial numbers that are none",
			[]step{{see: snmp("To be filled by O.E.M.", "", "192.0.2.1")}, {see: snmp("To be filled by O.E.M.", "", "192.0.2.2")}, {see: snmp("0000000000", "", "192.0.2.3")}},
			[]string{"ip-192.0.2.1", "ip-192.0.2.2", "ip-192.0.2.3"},
		},
		{
			"addresses of a device that were devices of their own until it said whose they are",
			[]step{
				{see: arp(mac1, "192.0.2.1")},
				{see: arp(mac2, "198.51.100.1")},
				{see: &pb.DeviceInventory{Mac: []string{mac1, mac2}, Ip: []string{"192.0.2.1", "198.51.100.1"}, SerialNumber: "SN12345678", Vendor: "Example", Sources: []string{"snmp"}}},
			},
			[]string{"sn-example-sn12345678"},
		},
		{
			"cable and radio of a laptop with one host key and name",
			[]step{{see: ssh(named(arp(mac1, "192.0.2.1"), "ssh", "annas-laptop"), "SHA256:a")}, {see: ssh(named(arp(mac2, "192.0.2.2"), "ssh", "annas-laptop"), "SHA256:a")}},
			[]string{"mac-00005e005301"},
		},
		{
			"cable and radio of a laptop with one DHCP id",
			[]step{{see: id(arp(mac1, "192.0.2.1"), "dhcp", "duid:0001aa")}, {see: id(arp(mac2, "192.0.2.2"), "dhcp", "duid:0001aa")}},
			[]string{"mac-00005e005301"},
		},
		{
			"cable and radio at one address in turn, which proves nothing",
			[]step{{see: arp(mac1, "192.0.2.1")}, {after: time.Hour, see: arp(mac2, "192.0.2.1")}, {after: time.Hour, see: arp(mac1, "192.0.2.1")}},
			[]string{"mac-00005e005301", "mac-00005e005302"},
		},
		{
			"machines from one image, with one host key",
			[]step{{see: ssh(named(arp(mac1, "192.0.2.1"), "ssh", "web1"), "SHA256:a")}, {see: ssh(named(arp(mac2, "192.0.2.2"), "ssh", "web2"), "SHA256:a")}},
			[]string{"mac-00005e005301", "mac-00005e005302"},
		},
		{
			"machines from one image, with one DHCP id and different names",
			[]step{
				{see: &pb.DeviceInventory{Mac: []string{mac1}, Names: []string{"web1"}, Aliases: []string{"duid:0001aa"}, Sources: []string{"dhcp"}}},
				{see: &pb.DeviceInventory{Mac: []string{mac2}, Names: []string{"web2"}, Aliases: []string{"duid:0001aa"}, Sources: []string{"dhcp"}}},
			},
			[]string{"mac-00005e005301", "mac-00005e005302"},
		},
		{
			"things that all come with one name",
			[]step{{see: named(arp(random1, "192.0.2.1"), "dhcp", "iPhone")}, {after: time.Hour, see: named(arp(random2, "192.0.2.2"), "dhcp", "iPhone")}},
			[]string{"mac-02005e005301", "mac-06005e005302"},
		},
		{
			"a randomised address that changes, with one name",
			[]step{{see: named(arp(random1, "192.0.2.1"), "dhcp", "Annas-iPhone")}, {after: time.Hour, see: named(arp(random2, "192.0.2.2"), "mdns", "Annas-iPhone.local")}},
			[]string{"mac-02005e005301"},
		},
		{
			"randomised addresses with one name at the same time",
			[]step{{see: named(arp(random1, "192.0.2.1"), "dhcp", "Annas-iPhone")}, {see: named(arp(random2, "192.0.2.2"), "dhcp", "Annas-iPhone")}},
			[]string{"mac-02005e005301", "mac-06005e005302"},
		},
		{
			"a randomised address that changes, with one mDNS id",
			[]step{{see: id(arp(random1, "192.0.2.1"), "mdns", "mdns:aa:bb")}, {see: id(arp(random2, "192.0.2.2"), "mdns", "mdns:aa:bb")}},
			[]string{"mac-02005e005301"},
		},
		{
			"routers that stand in for each other",
			[]step{{see: arp("00:00:5e:00:01:0a", "192.0.2.254")}, {see: arp(mac1, "192.0.2.1")}, {see: arp("00:00:5e:00:01:0a", "192.0.2.253")}},
			[]string{"ip-192.0.2.253", "ip-192.0.2.254", "mac-00005e005301"},
		},
		{
			"a device that was known by its address before its MAC",
			[]step{{see: &pb.DeviceInventory{Ip: []string{"192.0.2.1"}, Sources: []string{"icmp"}}}, {see: arp(mac1, "192.0.2.1")}},
			[]string{"mac-00005e005301"},
		},
		{
			"one private address in two places",
			[]step{
				{observer: "gate/device_scanner", see: &pb.DeviceInventory{Ip: []string{"10.0.0.1"}, Sources: []string{"icmp"}}},
				{observer: "other/device_scanner", see: &pb.DeviceInventory{Ip: []string{"10.0.0.1"}, Sources: []string{"icmp"}}},
				{observer: "gate/snmp_agent", see: &pb.DeviceInventory{Ip: []string{"10.0.0.1"}, Sources: []string{"snmp"}}},
			},
			[]string{"ip-10.0.0.1-gate", "ip-10.0.0.1-other"},
		},
		{
			"bridges inside hosts that all have one address",
			[]step{
				{see: &pb.DeviceInventory{Mac: []string{mac1, "02:42:ac:11:00:01"}, Ip: []string{"192.0.2.1", "172.17.0.1"}, Sources: []string{"snmp"}}},
				{see: &pb.DeviceInventory{Mac: []string{mac2, "02:42:ac:11:00:01"}, Ip: []string{"192.0.2.2", "172.17.0.1"}, Sources: []string{"snmp"}}},
			},
			[]string{"mac-00005e005301", "mac-00005e005302"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := New(Options{})
			tell(b, tt.steps...)
			if diff := cmp.Diff(tt.want, uids(b)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKnownFactsStand(t *testing.T) {
	tests := []struct {
		name  string
		steps []step
		want  *pb.DeviceInventory
	}{
		{
			"an empty fact overwrites nothing",
			[]step{
				{see: &pb.DeviceInventory{Mac: []string{mac1}, Vendor: "Example", Model: "X1", SerialNumber: "SN12345678", Sources: []string{"snmp"}}},
				{see: &pb.DeviceInventory{Mac: []string{mac1}, Sources: []string{"snmp"}}},
			},
			&pb.DeviceInventory{Vendor: "Example", Model: "X1"},
		},
		{
			"a guess does not take the place of SNMP's word",
			[]step{
				{see: &pb.DeviceInventory{Mac: []string{mac1}, Vendor: "Example", Sources: []string{"snmp"}}},
				{see: &pb.DeviceInventory{Mac: []string{mac1}, Vendor: "Guess", Sources: []string{"arp"}}},
			},
			&pb.DeviceInventory{Vendor: "Example"},
		},
		{
			"SNMP's word takes the place of a guess",
			[]step{
				{see: &pb.DeviceInventory{Mac: []string{mac1}, Vendor: "Guess", OsName: "Linux", Confidence: 0.6, Sources: []string{"tcp"}}},
				{see: &pb.DeviceInventory{Mac: []string{mac1}, Vendor: "Example", OsName: "ExampleOS", OsVersion: "3", Sources: []string{"snmp"}}},
			},
			&pb.DeviceInventory{Vendor: "Example", OsName: "ExampleOS", OsVersion: "3"},
		},
		{
			"two observers of one rank do not take turns",
			[]step{
				{see: &pb.DeviceInventory{Mac: []string{mac1}, Vendor: "One", Sources: []string{"tcp"}}},
				{observer: "b/x", see: &pb.DeviceInventory{Mac: []string{mac1}, Vendor: "Two", Sources: []string{"tcp"}}},
			},
			&pb.DeviceInventory{Vendor: "One"},
		},
		{
			"a guess stands where SNMP has long been silent",
			[]step{
				{see: &pb.DeviceInventory{Mac: []string{mac1}, Vendor: "Example", Sources: []string{"snmp"}}},
				{after: 8 * 24 * time.Hour, see: &pb.DeviceInventory{Mac: []string{mac1}, Vendor: "Guess", Sources: []string{"arp"}}},
			},
			&pb.DeviceInventory{Vendor: "Guess"},
		},
		{
			"the version of another system says nothing",
			[]step{
				{see: &pb.DeviceInventory{Mac: []string{mac1}, OsName: "Linux", OsVersion: "6.1", Sources: []string{"tcp"}}},
				{see: &pb.DeviceInventory{Mac: []string{mac1}, OsName: "ExampleOS", Sources: []string{"snmp"}}},
			},
			&pb.DeviceInventory{OsName: "ExampleOS"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := New(Options{})
			tell(b, tt.steps...)
			d := one(t, b, mac1)
			got := &pb.DeviceInventory{Vendor: d.GetVendor(), Model: d.GetModel(), OsName: d.GetOsName(), OsVersion: d.GetOsVersion()}
			if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBestNameFirst(t *testing.T) {
	b := New(Options{})
	tell(b,
		step{see: named(arp(mac1, "192.0.2.1"), "netbios", "ALPHA")},
		step{see: named(arp(mac1, "192.0.2.1"), "dns", "alpha.example.com")},
		step{see: named(arp(mac1, "192.0.2.1"), "mdns", "alpha.local")},
		step{see: named(arp(mac1, "192.0.2.1"), "dhcp", "192.0.2.1", "evil\x1b[31m")},
	)
	d := one(t, b, "ALPHA.EXAMPLE.COM")
	want := []string{"alpha.example.com", "evil[31m", "alpha.local", "ALPHA"}
	if diff := cmp.Diff(want, d.GetNames()); diff != "" || d.GetHostname() != want[0] {
		t.Errorf("host name %q, names %s", d.GetHostname(), diff)
	}
	for _, text := range []string{"alpha", "192.0.2.1", "00-00-5E-00-53-01", "00005E005301", "mac-00005e005301"} {
		if one(t, b, text) != d {
			t.Errorf("%q names another", text)
		}
	}
}
