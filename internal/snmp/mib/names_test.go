package mib

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommon(t *testing.T) {
	t.Parallel()
	n := Common()
	if n.Len() < 450 {
		t.Errorf("%d names", n.Len())
	}
	for text, want := range map[string]string{
		"sysName.0": "1.3.6.1.2.1.1.5.0", "SNMPv2-MIB::sysName.0": "1.3.6.1.2.1.1.5.0", "IF-MIB::ifDescr.1": "1.3.6.1.2.1.2.2.1.2.1",
		"ifHCInOctets": "1.3.6.1.2.1.31.1.1.1.6", "ifXTable": "1.3.6.1.2.1.31.1.1", "hrProcessorLoad.196608": "1.3.6.1.2.1.25.3.3.1.2.196608",
		"prtMarkerSuppliesLevel.1.1": "1.3.6.1.2.1.43.11.1.1.9.1.1", "memAvailReal.0": "1.3.6.1.4.1.2021.4.6.0", "linkDown": "1.3.6.1.6.3.1.1.5.3",
		"lldpRemSysName": "1.0.8802.1.1.2.1.4.1.1.9", "nsExtendOutputFull": "1.3.6.1.4.1.8072.1.3.2.3.1.2", "dot1qTpFdbPort": "1.3.6.1.2.1.17.7.1.2.2.1.2",
		".1.3.6.1.2.1.1": "1.3.6.1.2.1.1", "1.3.6.1": "1.3.6.1", "ENTITY-SENSOR-MIB::entPhySensorValue": "1.3.6.1.2.1.99.1.1.1.4",
	} {
		if got, err := n.OID(text); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "noSuchName.0", "IF-MIB::sysName", "IF-MIB::", "::sysName", "sysName.x", "sysName.", "sysName.99999999999", "Sysname", "IF-MIB::7", "sysName.0.1." + strings.Repeat("1.", 200)} {
		if got, err := n.OID(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
	if got := n.Name("1.3.6.1.2.1.2.2.1.2.7"); got != "IF-MIB::ifDescr.7" {
		t.Error(got)
	}
	if _, err := n.OID("nobody"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a name that nobody has: %v", err)
	}
}

// TestNamesOfFiles: those of files come before the common ones, both names of one OID find it,
// and a name of two objects wants its module.
func TestNamesOfFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a": "RFC1213-MIB DEFINITIONS ::= BEGIN sysName OBJECT IDENTIFIER ::= { mib-2 1 5 } END",
		"b": "SNMPv2-MIB DEFINITIONS ::= BEGIN sysName OBJECT IDENTIFIER ::= { mib-2 1 5 } fan OBJECT IDENTIFIER ::= { iso 7 } END",
		"c": "ACME-MIB DEFINITIONS ::= BEGIN fan OBJECT IDENTIFIER ::= { iso 3 8 } END",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, faults, err := Load(dir)
	if err != nil || len(faults) > 0 {
		t.Fatal(err, faults)
	}
	n := files.Over(Common())
	for text, want := range map[string]string{
		"sysName.0": "1.3.6.1.2.1.1.5.0", "SNMPv2-MIB::sysName": "1.3.6.1.2.1.1.5", "RFC1213-MIB::sysName": "1.3.6.1.2.1.1.5",
		"ACME-MIB::fan.1": "1.3.8.1", "SNMPv2-MIB::fan": "1.7", "ifDescr": "1.3.6.1.2.1.2.2.1.2",
	} {
		if got, err := n.OID(text); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	if _, err := n.OID("fan"); err == nil || !strings.Contains(err.Error(), "ACME-MIB::fan") {
		t.Errorf("fan is of two: %v", err)
	}
	if n.Exact("1.3.6.1.2.1.1.5") != "RFC1213-MIB::sysName" || n.Exact("1.3.6.1.2.1.1.5.0") != "" || n.Name("1.3.6.1.2.1.1.6.0") != "SNMPv2-MIB::sysLocation.0" {
		t.Error("names of OIDs")
	}
	var none *Names
	if none.Over(n) != n || none.Exact("1.3") != "" {
		t.Error("no names")
	}
}

func FuzzOID(f *testing.F) {
	n := Common()
	f.Add("IF-MIB::ifDescr.1")
	f.Add(".1.3.6.1.2.1.1.5.0")
	f.Fuzz(func(t *testing.T, text string) {
		oid, err := n.OID(text)
		if err != nil {
			return
		}
		if name := n.Name(oid); name != "" {
			if again, err := n.OID(name); err != nil || again != oid {
				t.Fatalf("%q is %s, called %s, which is %s, %v", text, oid, name, again, err)
			}
		}
	})
}
