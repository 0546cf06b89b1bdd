package identify_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/identify"
	"github.com/amoskys/amoskys/internal/snmp/play"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

// TestConformance reads every recording of the corpus as a device, and holds what is
// found against what was found there. It needs the folder that CORPORA names:
//
//	CORPORA=../shared/corpora go test -run TestConformance -v ./internal/snmp/identify
//
// CORPORA_VERBOSE=1 prints each difference.
func TestConformance(t *testing.T) {
	corpora := os.Getenv("CORPORA")
	if corpora == "" {
		t.Skip("make conformance sets CORPORA to the folder of the public corpora")
	}
	files, err := filepath.Glob(filepath.Join(corpora, "snmprec", "*.snmprec")) // sorted
	if err != nil || len(files) == 0 {
		t.Skipf("no recordings in %s", corpora)
	}
	prober, err := identify.NewBuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	even, odd := scores{}, scores{}
	ask := responder(t, files)
	for i, file := range files {
		want := expected(t, strings.TrimSuffix(file, ".snmprec")+".json")
		reading, id, err := prober.Probe(t.Context(), ask(file))
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		half := even
		if i%2 == 1 {
			half = odd
		}
		half.judge(filepath.Base(file), want, reading, id)
	}
	all := scores{}
	for _, half := range []scores{even, odd} {
		for what, s := range half {
			s2 := all[what]
			all[what] = score{s2.right + s.right, s2.of + s.of}
		}
	}
	for _, half := range []struct {
		name string
		s    scores
	}{{"even files", even}, {"odd files", odd}, {"all", all}} {
		fmt.Fprintf(os.Stdout, "snmprec        %s (%d recordings): %s\n", half.name, len(files), half.s)
	}
	for what, least := range floors() {
		if s := all[what]; s.of > 0 && 100*s.right < least*s.of {
			t.Errorf("%s: %d of %d, the bar is %d%%", what, s.right, s.of, least)
		}
	}
}

// responder plays all recordings as devices by SNMP, each behind a community of its
// own, and returns what asks one of them.
func responder(t *testing.T, files []string) func(file string) snmp.Getter {
	devices := make([]*play.Device, len(files))
	for i, file := range files {
		devices[i] = play.NewDevice(filepath.Base(file), recording(t, file))
	}
	_, addr := snmptest.Start(t, devices...)
	return func(file string) snmp.Getter {
		client, err := snmp.Open(t.Context(), snmp.Target{Addr: addr, Credential: snmp.Credential{Community: filepath.Base(file)}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return client
	}
}

func recording(t *testing.T, file string) *play.Record {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r, err := play.Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// floors are the shares that have to be right, in percent.
func floors() map[string]int {
	return map[string]int{"vendor": 95, "OS": 85, "interfaces": 97, "CPU": 80, "memory": 80}
}

type score struct{ right, of int }

type scores map[string]score

func (s scores) note(file, what string, right bool, got, want any) {
	one := s[what]
	one.of++
	if right {
		one.right++
	} else if os.Getenv("CORPORA_VERBOSE") != "" {
		fmt.Fprintf(os.Stdout, "%s: %s: got %v, want %v\n", strings.TrimSuffix(file, ".snmprec"), what, got, want)
	}
	s[what] = one
}

func (s scores) String() string {
	var out []string
	for _, what := range []string{"vendor", "OS", "interfaces", "CPU", "memory"} {
		if one := s[what]; one.of > 0 {
			out = append(out, fmt.Sprintf("%s %d/%d %.1f%%", what, one.right, one.of, 100*float64(one.right)/float64(one.of)))
		}
	}
	return strings.Join(out, ", ")
}

// truth is what the corpus expects of one recording.
type truth struct {
	vendor, os            string
	interfaces            int // -1 where it does not say
	hasCPU, hasMemory     bool
	version, hardware, sn string
}

func expected(t *testing.T, file string) truth {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var parts map[string]struct {
		Discovery json.RawMessage `json:"discovery"`
	}
	if err := json.Unmarshal(text, &parts); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	type device struct {
		OS                        string `json:"os"`
		Icon                      string `json:"icon"`
		Version, Hardware, Serial string
	}
	section := func(part, list string) []device {
		var lists map[string]json.RawMessage
		var out []device
		if json.Unmarshal(parts[part].Discovery, &lists) == nil {
			_ = json.Unmarshal(lists[list], &out)
		}
		return out
	}
	want := truth{interfaces: -1}
	if devices := section("os", "devices"); len(devices) == 1 {
		want.os = devices[0].OS
		want.vendor, _, _ = strings.Cut(devices[0].Icon, ".")
		want.version, want.hardware, want.sn = devices[0].Version, devices[0].Hardware, devices[0].Serial
	}
	if ports := section("ports", "ports"); len(ports) > 0 {
		want.interfaces = len(ports)
	}
	want.hasCPU = len(section("processors", "processors")) > 0
	want.hasMemory = len(section("mempools", "mempools")) > 0
	return want
}

func (s scores) judge(file string, want truth, r *pb.SnmpReading, id identify.Identity) {
	if want.vendor != "" {
		s.note(file, "vendor", alike(id.Vendor, want.vendor, vendorNames()), id.Vendor, want.vendor)
	}
	if want.os != "" {
		s.note(file, "OS", alike(id.OS, want.os, systemNames()), id.OS, want.os)
	}
	if want.interfaces >= 0 {
		s.note(file, "interfaces", len(r.GetInterfaces()) == want.interfaces, len(r.GetInterfaces()), want.interfaces)
	}
	if want.hasCPU {
		s.note(file, "CPU", len(r.GetCpuPercent()) > 0, r.GetCpuPercent(), "some")
	}
	if want.hasMemory {
		s.note(file, "memory", len(r.GetMemory()) > 0, r.GetMemory(), "some")
	}
}

// alike compares names as people would: letters and digits alone, one within the other,
// or listed as the same thing.
func alike(got, want string, same map[string][]string) bool {
	g, w := bare(got), bare(want)
	if g == "" || w == "" {
		return false
	}
	if strings.Contains(g, w) || strings.Contains(w, g) {
		return true
	}
	return slices.ContainsFunc(same[want], func(name string) bool { return strings.Contains(g, bare(name)) })
}

func bare(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return -1
		}
	}, text)
}

// vendorNames are who is behind a picture that the corpus has in place of a vendor.
func vendorNames() map[string][]string {
	return map[string][]string{
		"junos": {"Juniper"}, "windows": {"Microsoft"}, "ibmos": {"IBM"}, "aix": {"IBM"}, "edgeos": {"Ubiquiti"},
		"extremeboss": {"Extreme"}, "extremevoss": {"Extreme"}, "broadworks": {"BroadSoft"}, "eip": {"EfficientIP"},
		"centos": {"Linux"}, "raspbian": {"Linux"}, "ray": {"RACOM"}, "rs": {"Rohde & Schwarz"}, "netagent2": {"Phoenixtec"},
		"siteboss": {"Asentria"}, "viprinux": {"Viprinet"}, "hwg-poseidon": {"HW group"}, "marathonups": {"Marathon"},
		"benuos": {"Benu"}, "ctm": {"Last Mile Gear"}, "papouch-tme": {"Papouch"}, "generex-ups": {"Generex"},
	}
}

// systemNames are what the corpus calls a system by another name than its maker does.
func systemNames() map[string][]string { return map[string][]string{} }
