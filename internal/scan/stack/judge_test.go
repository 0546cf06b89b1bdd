package stack

import (
	"strings"
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/scan/probe"
)

func TestDevice(t *testing.T) {
	j, err := New()
	if err != nil {
		t.Fatal(err)
	}
	linux := &probe.Traits{Open: true, TTL: 63, DontFragment: true, Window: 65160, MSS: 1460, Scale: 7, Options: "MSTNW"}
	for _, c := range []struct {
		name       string
		known      *pb.DeviceInventory
		traits     *probe.Traits
		clues      []Clue
		os, class  string
		version    string
		confidence float64
	}{
		{name: "nothing known", known: &pb.DeviceInventory{}},
		{name: "traits alone", known: &pb.DeviceInventory{}, traits: linux, os: "Linux", confidence: 0.8},
		{
			name: "Debian by OpenSSH", known: &pb.DeviceInventory{Ports: []*pb.Port{{Port: 22, Protocol: "tcp", Service: "ssh", Product: "OpenSSH"}}},
			traits: linux, clues: []Clue{{OS: "Debian", OSVersion: "12", Source: "OpenSSH on port 22/tcp"}},
			os: "Debian", version: "12", class: "server", confidence: 0.9,
		},
		{
			name: "Windows by its stack", known: &pb.DeviceInventory{Ports: []*pb.Port{{Port: 135, Protocol: "tcp", Service: "msrpc"}, {Port: 445, Protocol: "tcp", Service: "microsoft-ds"}}, Hostname: "DESKTOP-AB12CD3"},
			traits: &probe.Traits{Open: true, TTL: 128, Window: 65535, Scale: 8, Options: "MNWST"}, os: "Windows", class: "workstation", confidence: 0.9,
		},
		{
			name: "a printer", known: &pb.DeviceInventory{Vendor: "Brother Industries", Evidence: []string{"announces by mDNS _ipp._tcp"}, Ports: []*pb.Port{{Port: 631, Protocol: "tcp", Service: "ipp"}, {Port: 9100, Protocol: "tcp"}}},
			class: "printer", confidence: 0.9,
		},
		{
			name: "services that were named by their ports alone", known: &pb.DeviceInventory{Ports: []*pb.Port{
				{Port: 5432, Protocol: "tcp", Service: "postgresql", Remarks: []string{"not confirmed: named by its port alone"}},
				{Port: 9100, Protocol: "tcp", Service: "jetdirect", Remarks: []string{"not confirmed: named by its port alone"}},
			}},
		},
		{name: "a phone by DHCP", known: &pb.DeviceInventory{Evidence: []string{"asks by DHCP for the options 1 3 6 15 26 28 51 58 59 43 114 108"}}, os: "Android", class: "phone", confidence: 0.7},
		{
			name: "what SNMP said stands against a claim", known: &pb.DeviceInventory{Sources: []string{"snmp"}, OsName: "JunOS", DeviceClass: "router"},
			clues: []Clue{{OS: "Windows", Class: "workstation", Source: "a banner"}}, os: "JunOS", class: "router", confidence: 0.9,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := j.Device(c.known, c.traits, c.clues)
			if d.GetOsName() != c.os || d.GetDeviceClass() != c.class || d.GetConfidence() < c.confidence || c.version != "" && d.GetOsVersion() != c.version {
				t.Errorf("judged %v", d)
			}
			if c.os != "" && c.name != "what SNMP said stands against a claim" && len(d.GetEvidence()) == 0 {
				t.Error("no evidence")
			}
		})
	}
	d := j.Device(&pb.DeviceInventory{}, linux, []Clue{{OS: "Debian", OSVersion: "12", Source: "OpenSSH on port 22/tcp"}})
	if len(d.GetCpe()) != 1 || d.GetCpe()[0] != "cpe:2.3:o:debian:debian_linux:12:*:*:*:*:*:*:*" || !strings.Contains(strings.Join(d.GetEvidence(), "; "), "says Debian 12") {
		t.Errorf("judged %v", d)
	}
}

// FuzzRules: no text of rules, and no device, stops the judge.
func FuzzRules(f *testing.F) {
	f.Add("rules:\n  - {when: {tcp: 'a(?P<os>.)'}, os: x, weight: 1, because: y, example: {tcp: ab}}\n", "ab")
	f.Add("rules: []\nfamilies: {Linux: [Debian]}\n", "")
	f.Fuzz(func(_ *testing.T, text, fact string) {
		j := &Judge{family: map[string]string{}, cpe: map[string]string{}}
		if j.add("fuzz", []byte(text)) == nil {
			j.Device(&pb.DeviceInventory{Vendor: fact, Hostname: fact, Evidence: []string{fact}}, &probe.Traits{Open: true, Options: fact}, nil)
		}
	})
}
