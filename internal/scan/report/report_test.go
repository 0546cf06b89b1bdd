package report

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/scan"
)

func example() []Device {
	return []Device{
		{
			IP: "192.0.2.9", MAC: "02:00:00:00:00:09", Vendor: "Example", Hostname: "nas.example", Names: []string{"nas.example", "NAS"}, OS: "Linux 6.1",
			How: []string{"arp", "tcp"}, RTTMS: 0.25, Closed: 998,
			Ports: []Port{
				{Port: 22, Protocol: "tcp", Service: "ssh", Product: "OpenSSH", Version: "9.2", CPE: "cpe:2.3:a:openbsd:openssh:9.2:*:*:*:*:*:*:*"},
				{Port: 443, Protocol: "tcp", Service: "https", Remarks: []string{Unproven}},
				{Port: 161, Protocol: "udp"},
			},
		},
		{IP: "2001:db8::7", How: []string{"ndp"}, Ports: []Port{}, AllOpen: true},
	}
}

// TestNmapXML reads back what was written.
func TestNmapXML(t *testing.T) {
	var out bytes.Buffer
	run := Run{Version: "1", Arguments: "amoskys scan", Start: time.Unix(1e9, 0), End: time.Unix(1e9+2, 0), Total: 256, Down: 254}
	if err := WriteNmapXML(&out, run, example()); err != nil {
		t.Fatal(err)
	}
	var got []Device
	if _, err := ReadNmapXML(bytes.NewReader(out.Bytes()), func(d Device) error {
		got = append(got, d)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := example()
	for i := range want { // which this form does not carry
		want[i].How, want[i].RTTMS, want[i].AllOpen = []string{"nmap"}, 0, false
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestReadNmap reads what nmap -sV -O wrote, in part, and what is not nmap's.
func TestReadNmap(t *testing.T) {
	const file = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE nmaprun>
<nmaprun scanner="nmap" args="nmap -sV -O 192.0.2.0/30" start="1700000000" version="7.93" xmloutputversion="1.05">
<host><status state="down" reason="no-response"/><address addr="192.0.2.2" addrtype="ipv4"/></host>
<host starttime="1700000000"><status state="up" reason="arp-response" reason_ttl="0"/>
<address addr="192.0.2.1" addrtype="ipv4"/><address addr="02:00:5E:00:53:01" addrtype="mac" vendor="Example"/>
<hostnames><hostname name="gw.example" type="PTR"/></hostnames>
<ports><extraports state="closed" count="997"/>
<port protocol="tcp" portid="443"><state state="open" reason="syn-ack" reason_ttl="64"/><service name="http" product="nginx" version="1.22.1" tunnel="ssl" method="probed" conf="10"><cpe>cpe:/a:igor_sysoev:nginx:1.22.1</cpe></service></port>
<port protocol="tcp" portid="25"><state state="filtered" reason="no-response"/></port>
<port protocol="sctp" portid="9"><state state="open" reason="init-ack"/></port></ports>
<os><osmatch name="OpenWrt 21.02" accuracy="97"><osclass type="WAP" vendor="OpenWrt" osfamily="Linux"><cpe>cpe:/o:linux:linux_kernel:5.4</cpe></osclass></osmatch></os>
</host>`
	want := []Device{{
		IP: "192.0.2.1", MAC: "02:00:5e:00:53:01", Vendor: "Example", Hostname: "gw.example", Names: []string{"gw.example"}, OS: "OpenWrt 21.02", Class: "access_point",
		How: []string{"nmap"}, Closed: 997, Filtered: 1, CPE: []string{"cpe:2.3:o:linux:linux_kernel:5.4:*:*:*:*:*:*:*"},
		Ports: []Port{{Port: 443, Protocol: "tcp", Service: "https", Product: "nginx", Version: "1.22.1", CPE: "cpe:2.3:a:igor_sysoev:nginx:1.22.1:*:*:*:*:*:*:*"}},
	}}
	for _, c := range []struct{ name, end, fault string }{{"whole", "</nmaprun>", ""}, {"cut", "", "unexpected EOF"}} {
		var got []Device
		_, err := ReadNmapXML(strings.NewReader(file+c.end), func(d Device) error {
			got = append(got, d)
			return nil
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(c.name, diff)
		}
		if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, other := range []string{"", "<html></html>", "{}", "<host/>"} {
		if _, err := ReadNmapXML(strings.NewReader(other), nil); !errors.Is(err, ErrNotNmap) {
			t.Errorf("%q: %v", other, err)
		}
	}
}

func TestCSV(t *testing.T) {
	var out bytes.Buffer
	d := example()
	d[1].Hostname = "=cmd|' /C calc'!A0"
	if err := WriteCSV(&out, d); err != nil {
		t.Fatal(err)
	}
	want := `ip,mac,vendor,hostname,os,class,port,protocol,service,product,version,remarks
192.0.2.9,02:00:00:00:00:09,Example,nas.example,Linux 6.1,,22,tcp,ssh,OpenSSH,9.2,
192.0.2.9,02:00:00:00:00:09,Example,nas.example,Linux 6.1,,443,tcp,https,,,not confirmed: named by its port alone
192.0.2.9,02:00:00:00:00:09,Example,nas.example,Linux 6.1,,161,udp,,,,
2001:db8::7,,,'=cmd|' /C calc'!A0,,,,,,,,
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestOf(t *testing.T) {
	h := scan.Host{
		IP: netip.MustParseAddr("192.0.2.9"), MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, RTT: 250 * time.Microsecond, How: []string{"arp"},
		Names: []scan.Name{{Name: "a.example", Source: "dns"}, {Name: "A", Source: "netbios"}}, Ports: []scan.Open{{Port: 22, Protocol: "tcp"}, {Port: 53, Protocol: "udp"}},
	}
	d := Of(&h)
	if d.Hostname != "a.example" || d.MAC != "02:00:00:00:00:09" || d.RTTMS != 0.25 || d.Summary() != "22, 53/udp" {
		t.Errorf("%+v, %s", d, d.Summary())
	}
	all := []Device{{IP: "10.0.0.10"}, {IP: "2001:db8::1"}, {IP: "10.0.0.9"}}
	if Sort(all); all[0].IP != "10.0.0.9" || all[2].IP != "2001:db8::1" {
		t.Errorf("%+v", all)
	}
}

func FuzzReadNmapXML(f *testing.F) {
	var out bytes.Buffer
	if err := WriteNmapXML(&out, Run{}, example()); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte(`<nmaprun><host><address addr="1.2.3.4" addrtype="ipv4"/><ports><port protocol="tcp" portid="99999"/></ports></host>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ReadNmapXML(bytes.NewReader(b), func(d Device) error {
			if _, err := netip.ParseAddr(d.IP); err != nil || d.Ports == nil {
				t.Errorf("%+v", d)
			}
			return nil
		})
	})
}

// TestLeftOut: what of a file is not understood is counted, and no address that nobody has is
// a host.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	host := func(addr, ports string) string {
		return `<host><status state="up"/><address addr="` + addr + `" addrtype="ipv4"/><ports>` + ports + `</ports></host>`
	}
	port := func(protocol, id string) string {
		return `<port protocol="` + protocol + `" portid="` + id + `"><state state="open"/></port>`
	}
	file := "<nmaprun>" + host("x", "") + host("0.0.0.0", "") + host("255.255.255.255", "") + `<host><status state="down"/></host>` +
		host("192.0.2.1", port("tcp", "22")+port("tcp", "22")+port("udp", "22")+port("tcp", "65536")+port("sctp", "80")) + "</nmaprun>"
	var found []Device
	left, err := ReadNmapXML(strings.NewReader(file), func(d Device) error { found = append(found, d); return nil })
	if err != nil || left != (LeftOut{Hosts: 3, Ports: 3}) || len(found) != 1 || len(found[0].Ports) != 2 {
		t.Errorf("left out %+v, found %+v, %v", left, found, err)
	}
	if left.String() == "" || (LeftOut{}).String() != "" {
		t.Error("what is left out is told when nothing is")
	}
	if _, err := ReadNmapXML(strings.NewReader(`<?xml version="1.0" encoding="ISO-8859-1"?><nmaprun/>`), nil); err == nil || !strings.Contains(err.Error(), "only UTF-8") {
		t.Errorf("another encoding: %v", err)
	}
}
