package identify_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/snmp/identify"
)

// TestMatch holds what devices say of themselves, in words of our own in the shape that
// makers document, against what they are.
func TestMatch(t *testing.T) {
	t.Parallel()
	facts, err := identify.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	type told struct{ Vendor, OS, Version, Hardware, Class string }
	for _, test := range []struct {
		object, descr string
		enterprises   []uint32
		want          told
	}{
		{"1.3.6.1.4.1.9.1.1", "Cisco IOS Software, X100 Software (X100-ADV-M), Version 15.1(4)M, RELEASE SOFTWARE (fc1)", nil, told{"Cisco", "IOS", "15.1(4)M", "", "switch"}},
		{"1.3.6.1.4.1.9.1.1", "Cisco IOS Software [Gibraltar], X Software (X_IOSXE), Version 16.12.1, RELEASE", nil, told{"Cisco", "IOS XE", "16.12.1", "", "router"}},
		{"1.3.6.1.4.1.9.1.1", "Cisco Adaptive Security Appliance Version 9.8(2)", nil, told{"Cisco", "ASA", "9.8(2)", "", "firewall"}},
		{"1.3.6.1.4.1.2636.1.1.1.4.1", "Juniper Networks, Inc. ex2000-24t Ethernet Switch, kernel JUNOS 18.1R1.2, Build date: x", nil, told{"Juniper", "Junos", "18.1R1.2", "ex2000-24t", "switch"}},
		{"1.3.6.1.4.1.30065.1.1", "Arista Networks EOS version 4.20.1F running on an Arista Networks DCS-7050", nil, told{"Arista", "Arista EOS", "4.20.1F", "DCS-7050", "switch"}},
		{"1.3.6.1.4.1.14988.1", "RouterOS RB4011", nil, told{"MikroTik", "RouterOS", "", "RB4011", "router"}},
		{"1.3.6.1.4.1.8072.3.2.10", "Linux box 6.1.0-9-amd64 #1 SMP x86_64", nil, told{"Linux", "Linux", "6.1.0-9-amd64", "", ""}},
		{"1.3.6.1.4.1.8072.3.2.10", "Linux nas 4.4.59 #1 SMP x86_64", []uint32{2021, 6574}, told{"Synology", "Synology DSM", "", "", "storage"}},
		{"1.3.6.1.4.1.311.1.1.3.1.1", "Hardware: x - Software: Windows Version 6.3 (Build 1 Free)", nil, told{"Microsoft", "Windows", "6.3 (Build 1 Free)", "", "workstation"}},
		{"1.3.6.1.4.1.12356.101.1.1", "name of a branch", nil, told{"Fortinet", "FortiOS (FortiGate)", "", "", "firewall"}},
		// No rule and no entry: IANA knows whose number it is.
		{"1.3.6.1.4.1.61905.1", "something", nil, told{identify.Organization(61905), identify.Organization(61905) + " firmware", "", "", ""}},
		{"", "", nil, told{}},
		{"0.0", "x", nil, told{}},
	} {
		enterprises := append([]uint32{identify.Enterprise(test.object)}, test.enterprises...)
		id := facts.Match(identify.System{Object: test.object, Descr: test.descr, Enterprises: enterprises})
		if diff := cmp.Diff(test.want, told{id.Vendor, id.OS, id.OSVersion, id.Hardware, id.Class}); diff != "" {
			t.Errorf("%s %q: %s%v", test.object, test.descr, diff, id.Evidence)
		}
	}
}

func TestFolderOfFacts(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"ours.yaml":  "rules:\n  - {name: cisco-ios, objects: [1.3.6.1.4.1.9], descr: ['Cisco IOS (?P<version>\\S+)'], os: Our IOS}\nmakers:\n  - {vendor: Ours, enterprises: [61905], class: sensor}\n",
		"wrong.yaml": "rules:\n  - {name: x, descr: ['(?P<verion>x)']}\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	facts, err := identify.Load(folder)
	if err == nil || !strings.Contains(err.Error(), "wrong.yaml:2:") || !strings.Contains(err.Error(), `did you mean "version"?`) {
		t.Errorf("the file that is wrong: %v", err)
	}
	if id := facts.Match(identify.System{Object: "1.3.6.1.4.1.9.1.1", Descr: "Cisco IOS 1.2"}); id.OS != "Our IOS" || id.OSVersion != "1.2" || id.Vendor != "Cisco" {
		t.Errorf("our rule: %+v", id)
	}
	if id := facts.Match(identify.System{Object: "1.3.6.1.4.1.61905.1"}); id.Vendor != "Ours" || id.Class != "sensor" || id.OS != "Ours firmware" {
		t.Errorf("our maker: %+v", id)
	}
}

func FuzzMatch(f *testing.F) {
	facts, err := identify.BuiltIn()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("1.3.6.1.4.1.9.1.1", "Cisco IOS Software, X Software (X-M), Version 15.1(4)M, RELEASE", uint32(9))
	f.Add("1.3.6.1.4.1.8072.3.2.10", "Linux nas 4.4.59 #1 SMP", uint32(6574))
	f.Add("1.3.6.1.4.1.", "\x00\xff", uint32(0))
	f.Add("", "", uint32(4294967295))
	f.Fuzz(func(t *testing.T, object, descr string, enterprise uint32) {
		id := facts.Match(identify.System{Object: object, Descr: descr, Name: descr, Enterprises: []uint32{enterprise}})
		if len(id.OSVersion) > len(descr)+100 {
			t.Errorf("a version longer than what the device said: %q", id.OSVersion)
		}
	})
}

func FuzzFacts(f *testing.F) {
	f.Add([]byte("makers:\n  - {vendor: a, enterprises: [1]}\nrules:\n  - {name: x, descr: ['(?P<os>.*)']}\n"))
	f.Add([]byte("rules:\n  - {name: x, has: [1.3], read: [{fact: version, oid: 1.3.6, match: '('}]}\n"))
	f.Fuzz(func(_ *testing.T, text []byte) {
		facts, err := identify.Decode("fuzz.yaml", text)
		if err != nil {
			return
		}
		facts.Match(identify.System{Object: "1.3.6.1.4.1.1.1", Descr: "a b c"})
	})
}
