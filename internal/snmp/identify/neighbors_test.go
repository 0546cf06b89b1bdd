package identify_test

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp/identify"
	"github.com/amoskys/amoskys/internal/snmp/module"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

// accessSwitch is a switch of our own making: port 1 is interface 10001, and so on.
const accessSwitch = `1.0.8802.1.1.2.1.3.7.1.2.5|2|5
1.0.8802.1.1.2.1.3.7.1.3.5|4|Gi1/0/1
1.0.8802.1.1.2.1.4.1.1.4.0.5.1|2|4
1.0.8802.1.1.2.1.4.1.1.5.0.5.1|4x|020000000a01
1.0.8802.1.1.2.1.4.1.1.6.0.5.1|2|3
1.0.8802.1.1.2.1.4.1.1.7.0.5.1|4x|020000000a02
1.0.8802.1.1.2.1.4.1.1.8.0.5.1|4|uplink 3
1.0.8802.1.1.2.1.4.1.1.9.0.5.1|4|core
1.0.8802.1.1.2.1.4.1.1.12.0.5.1|4x|2800
1.0.8802.1.1.2.1.4.2.1.3.0.5.1.2.16.254.128.0.0.0.0.0.0.0.0.0.0.0.0.0.1|2|2
1.0.8802.1.1.2.1.4.2.1.3.0.5.1.1.4.10.0.0.1|2|2
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.9.1.1
1.3.6.1.2.1.2.2.1.2.10001|4|GigabitEthernet1/0/1
1.3.6.1.2.1.2.2.1.2.10002|4|GigabitEthernet1/0/2
1.3.6.1.2.1.4.22.1.2.10001.10.0.0.9|4x|020000000009
1.3.6.1.2.1.4.22.1.4.10001.10.0.0.9|2|3
1.3.6.1.2.1.4.22.1.2.10001.10.0.0.8|4x|020000000008
1.3.6.1.2.1.4.22.1.4.10001.10.0.0.8|2|2
1.3.6.1.2.1.17.1.4.1.2.1|2|10001
1.3.6.1.2.1.17.1.4.1.2.2|2|10002
1.3.6.1.2.1.17.7.1.2.2.1.2.100.2.0.0.0.0.9|2|2
1.3.6.1.2.1.17.7.1.2.2.1.3.100.2.0.0.0.0.9|2|3
1.3.6.1.2.1.17.7.1.2.2.1.2.100.2.0.0.0.0.1|2|1
1.3.6.1.2.1.17.7.1.2.2.1.3.100.2.0.0.0.0.1|2|4
1.3.6.1.2.1.17.7.1.2.2.1.2.100.3.0.0.0.0.9|2|2
1.3.6.1.2.1.17.7.1.2.2.1.3.100.3.0.0.0.0.9|2|3
1.3.6.1.2.1.17.7.1.4.2.1.3.0.20|66|100
1.3.6.1.2.1.31.1.1.1.1.10001|4|Gi1/0/1
1.3.6.1.2.1.31.1.1.1.1.10002|4|Gi1/0/2
1.3.6.1.4.1.9.9.23.1.2.1.1.4.10002.1|4x|0a000007
1.3.6.1.4.1.9.9.23.1.2.1.1.6.10002.1|4|SEP0200
1.3.6.1.4.1.9.9.23.1.2.1.1.7.10002.1|4|Port 1
1.3.6.1.4.1.9.9.23.1.2.1.1.8.10002.1|4|a phone
1.3.6.1.4.1.9.9.23.1.2.1.1.9.10002.1|4x|00000090
`

func TestNeighbors(t *testing.T) {
	t.Parallel()
	prober, err := identify.NewBuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	o, id, err := prober.Observe(t.Context(), snmptest.Load(t, accessSwitch), module.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []*pb.DeviceLink{
		{Source: "lldp", IfIndex: 10001, Port: "Gi1/0/1", Name: "core", Ip: "10.0.0.1", Mac: "02:00:00:00:0a:01", RemotePort: "uplink 3", Capabilities: []string{"bridge", "router"}},
		{Source: "cdp", IfIndex: 10002, Port: "Gi1/0/2", Name: "SEP0200", Ip: "10.0.0.7", RemotePort: "Port 1", Description: "a phone", Capabilities: []string{"station", "telephone"}},
	}
	if diff := cmp.Diff(want, o.Reading.GetNeighbors(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]identify.Forwarding{{MAC: "02:00:00:00:00:09", IfIndex: 10002, VLAN: 20}}, identify.Forwardings(o.Tables)); diff != "" {
		t.Error(diff)
	}
	addresses := identify.Addresses(o.Tables)
	if len(addresses) != 1 || addresses[0] != (identify.Address{IP: netip.MustParseAddr("10.0.0.9"), MAC: "02:00:00:00:00:09", IfIndex: 10001}) {
		t.Errorf("addresses: %v", addresses)
	}
	if id.Vendor != "Cisco" || id.Class != "switch" {
		t.Errorf("it is %+v", id)
	}
}

func TestIdentifier(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		octets, subtype string
		chassis         bool
		id, kind        string
	}{
		{"020000000001", "4", true, "02:00:00:00:00:01", "mac"},
		{"30323a30303a30303a30303a30303a3031", "4", true, "02:00:00:00:00:01", "mac"},
		{"010a000001", "5", true, "10.0.0.1", "ip"},
		{"67653000", "5", false, "ge0", "name"},
		{"020000000001", "7", false, "02:00:00:00:00:01", "mac"},
		{"ff", "7", false, "ff", "name"},
		{"", "4", true, "", "name"},
	} {
		if id, kind := identify.Identifier(test.octets, test.subtype, test.chassis); id != test.id || kind != test.kind {
			t.Errorf("%s of kind %s: %q %q, want %q %q", test.octets, test.subtype, id, kind, test.id, test.kind)
		}
	}
}

func FuzzIdentifier(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 0, 1}, "4", true)
	f.Add([]byte{1, 10, 0, 0, 1}, "5", true)
	f.Add([]byte("ge-0/0/1"), "5", false)
	f.Add([]byte{}, "", false)
	f.Fuzz(func(t *testing.T, octets []byte, subtype string, chassis bool) {
		if id, kind := identify.Identifier(hex.EncodeToString(octets), subtype, chassis); kind == "" || len(id) > 2*255 {
			t.Errorf("%q %q", id, kind)
		}
	})
}

// FuzzTables lets a device say anything about its neighbours and its forwarding table.
func FuzzTables(f *testing.F) {
	f.Add("0.5.1", []byte{2, 0, 0, 0, 10, 1}, "1.4.10.0.0.1", int64(4))
	f.Add("4294967295.4294967295.1", []byte{0xff}, "2.16.1", int64(-1))
	f.Add("1", []byte{}, "", int64(0))
	set, err := module.BuiltIn()
	if err != nil {
		f.Fatal(err)
	}
	modules, err := set.Named("if-mib", "lldp", "cdp", "bridge", "ip-neighbors")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, index string, octets []byte, address string, number int64) {
		record, err := play.Text(fuzzed(index, octets, address, number))
		if err != nil {
			return
		}
		tables, err := module.Walk(t.Context(), record, modules, module.Options{MaxRows: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range identify.Neighbors(tables) {
			if link.GetSource() == "" {
				t.Errorf("%v", link)
			}
		}
		identify.Forwardings(tables)
		identify.Addresses(tables)
		identify.OwnAddresses(tables)
	})
}
