package mib

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const example = `-- Two modules of one file -- EXAMPLE-SMI DEFINITIONS
EXAMPLE-SMI DEFINITIONS ::= BEGIN
IMPORTS enterprises FROM SNMPv2-SMI MODULE-IDENTITY FROM SNMPv2-SMI;
example MODULE-IDENTITY
    LAST-UPDATED "202601010000Z"
    DESCRIPTION "It says ::= { wrong 1 } in a text -- and no comment"
    ::= { enterprises 99999 }
OBJECT-TYPE MACRO ::= BEGIN a OBJECT-TYPE ::= { example 77 } END
direct OBJECT IDENTIFIER ::= { iso org(3) dod(6) internet(1) private(4) enterprises(1) 99999 8 }
END
EXAMPLE-MIB DEFINITIONS ::= BEGIN
IMPORTS example FROM EXAMPLE-SMI;
fanTable OBJECT-TYPE SYNTAX SEQUENCE OF FanEntry ACCESS not-accessible ::= { example 4 }
fanEntry OBJECT-TYPE SYNTAX FanEntry INDEX { fan } ::= { fanTable 1 }
FanEntry ::= SEQUENCE { fan INTEGER, kind OBJECT IDENTIFIER, speed Gauge }
speed OBJECT-TYPE SYNTAX INTEGER { off(0), on(1) } ::= { fanEntry 3 }
fanFailed TRAP-TYPE ENTERPRISE example VARIABLES { speed } ::= 9
fanBroken NOTIFICATION-TYPE OBJECTS { speed } STATUS current ::= { example 0 2 }
round OBJECT IDENTIFIER ::= { about 1 }
about OBJECT IDENTIFIER ::= { round 1 }
large OBJECT IDENTIFIER ::= { example 99999999999 }
last OBJECT IDENTIFIER ::= { example 4294967295 }
END
`

func TestNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.mib", example)
	// Modules that import each other, and one that imports itself.
	write("b.mib", "A DEFINITIONS ::= BEGIN IMPORTS x FROM B; a OBJECT IDENTIFIER ::= { x 1 } END")
	write("c.mib", "B DEFINITIONS ::= BEGIN IMPORTS a FROM A; x OBJECT IDENTIFIER ::= { a 1 } END")
	write("d.mib", "C DEFINITIONS ::= BEGIN IMPORTS a FROM C; a OBJECT IDENTIFIER ::= { a 1 } END")
	names, faults, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for oid, want := range map[string]string{
		"1.3.6.1.4.1.99999":            "EXAMPLE-SMI::example",
		"1.3.6.1.4.1.99999.8.0":        "EXAMPLE-SMI::direct.0",
		"1.3.6.1.4.1.99999.4.1.3.7":    "EXAMPLE-MIB::speed.7",
		"1.3.6.1.4.1.99999.0.9":        "EXAMPLE-MIB::fanFailed",
		"1.3.6.1.4.1.99999.0.2":        "EXAMPLE-MIB::fanBroken",
		"1.3.6.1.4.1.99999.77":         "EXAMPLE-SMI::example.77",
		"1.3.6.1.4.1.99999.429":        "EXAMPLE-SMI::example.429",
		"1.3.6.1.4.1.99999.4294967295": "EXAMPLE-MIB::last",
		"1.3.6.1.4.1.9999":             "",
		"":                             "",
	} {
		if got := names.Name(oid); got != want {
			t.Errorf("%s is %q, want %q", oid, got, want)
		}
	}
	if len(faults) != 5 || names.Len() != 8 {
		t.Errorf("%d names, faults %v", names.Len(), faults)
	}
	if _, _, err := Load(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there")
	}
	var none *Names
	if none.Name("1.3") != "" || none.Len() != 0 {
		t.Error("no names have one")
	}
}

// TestHostile: long chains, long OIDs and files without an end take linear time.
func TestHostile(t *testing.T) {
	t.Parallel()
	var chain strings.Builder
	chain.WriteString("E DEFINITIONS ::= BEGIN\na0 OBJECT IDENTIFIER ::= { iso 1 }\n")
	for i := range 20_000 {
		chain.WriteString("a" + strings.Repeat("x", i%5) + " OBJECT IDENTIFIER ::= { a0 1 }\n")
	}
	for _, text := range []string{
		chain.String(), "F DEFINITIONS ::= BEGIN x OBJECT IDENTIFIER ::= { iso " + strings.Repeat("1 ", 200_000) + "} END",
		"G DEFINITIONS ::= BEGIN " + strings.Repeat("a OBJECT-TYPE ", 200_000), strings.Repeat("H DEFINITIONS ::= BEGIN ", 50_000),
		"I DEFINITIONS ::= BEGIN IMPORTS " + strings.Repeat("a, ", 200_000), strings.Repeat(`"`, 200_001), strings.Repeat("--", 200_000),
	} {
		p := &parser{modules: map[string]*module{}}
		p.parse(text)
		if n := p.resolve(); n.Len() > 10 {
			t.Errorf("%.40s…: %d names", text, n.Len())
		}
	}
}

// TestHostileText: many names of long OIDs, which cost little in a file, are bounded.
func TestHostileText(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("L DEFINITIONS ::= BEGIN\nd OBJECT IDENTIFIER ::= { iso" + strings.Repeat(" 4294967295", 120) + " }\n")
	for i := range 80_000 {
		fmt.Fprintf(&text, "d%d OBJECT IDENTIFIER ::= { d %d }\n", i, i)
	}
	p := &parser{modules: map[string]*module{}}
	p.parse(text.String())
	if n := p.resolve(); n.Len() > 60_000 || len(p.faults) != 1 {
		t.Errorf("%d names, faults %v", n.Len(), p.faults)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Add(`A DEFINITIONS ::= BEGIN x TRAP-TYPE ENTERPRISE { y } ::= 4294967296 "`)
	f.Fuzz(func(t *testing.T, text string) {
		p := &parser{modules: map[string]*module{}}
		p.parse(text)
		for oid := range p.resolve().byOID {
			if len(oid) > 11*200 {
				t.Fatalf("an OID of %d octets", len(oid))
			}
		}
	})
}
