package identify_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/identify"
	"github.com/amoskys/amoskys/internal/snmp/module"
)

// part is what a recording may have, and whether its reading says so.
type part struct {
	name string
	// column has at least one value that wanted takes, in a recording that has the part.
	column string
	wanted func(snmp.Variable) bool
	told   func(*pb.SnmpReading) bool
}

func anything(snmp.Variable) bool { return true }

func positive(v snmp.Variable) bool { n, ok := v.Int(); return ok && n > 0 }

func sensorOf(kinds ...string) func(*pb.SnmpReading) bool {
	return func(r *pb.SnmpReading) bool {
		return slices.ContainsFunc(r.GetSensors(), func(s *pb.SnmpSensor) bool { return slices.Contains(kinds, s.GetKind()) })
	}
}

func parts() []part {
	return []part{
		{"HOST-RESOURCES processors", "1.3.6.1.2.1.25.3.3.1.2", anything, func(r *pb.SnmpReading) bool { return len(r.GetCpuPercent()) > 0 }},
		{"HOST-RESOURCES disks", "1.3.6.1.2.1.25.2.3.1.2", func(v snmp.Variable) bool { return v.Text() == "1.3.6.1.2.1.25.2.1.4" }, func(r *pb.SnmpReading) bool { return len(r.GetStorage()) > 0 }},
		{"UCD-SNMP memory", "1.3.6.1.4.1.2021.4.5", positive, func(r *pb.SnmpReading) bool { return len(r.GetMemory()) > 0 }},
		{"UCD-SNMP disks", "1.3.6.1.4.1.2021.9.1.6", positive, func(r *pb.SnmpReading) bool { return len(r.GetStorage()) > 0 }},
		{"ENTITY models", "1.3.6.1.2.1.47.1.1.1.1.13", func(v snmp.Variable) bool { return strings.TrimSpace(v.Text()) != "" }, func(r *pb.SnmpReading) bool { return r.GetHardware() != "" }},
		{"ENTITY-SENSOR values", "1.3.6.1.2.1.99.1.1.1.4", positive, func(r *pb.SnmpReading) bool { return len(r.GetSensors()) > 0 }},
		{"BGP4 peers", "1.3.6.1.2.1.15.3.1.2", anything, func(r *pb.SnmpReading) bool { return len(r.GetBgpPeers()) > 0 }},
		{"UPS battery", "1.3.6.1.2.1.33.1.2.4", anything, sensorOf("battery")},
		{"UPS load", "1.3.6.1.2.1.33.1.4.4.1.5", anything, sensorOf("power")},
		{"printer supplies", "1.3.6.1.2.1.43.11.1.1.9", positive, sensorOf("supply")},
		{"PoE of all ports", "1.3.6.1.2.1.105.1.3.1.1.4", anything, sensorOf("power")},
		{"PoE of each port", "1.3.6.1.4.1.9.6.1.101.108.1.1.5", positive, func(r *pb.SnmpReading) bool {
			return slices.ContainsFunc(r.GetInterfaces(), func(i *pb.SnmpInterface) bool { return i.GetPoeWatts() > 0 })
		}},
		{"LLDP neighbours", "1.0.8802.1.1.2.1.4.1.1.5", anything, func(r *pb.SnmpReading) bool { return len(r.GetNeighbors()) > 0 }},
		{"CDP neighbours", "1.3.6.1.4.1.9.9.23.1.2.1.1.6", anything, func(r *pb.SnmpReading) bool { return len(r.GetNeighbors()) > 0 }},
	}
}

// TestConformanceOfModules holds for each part of a reading how many recordings of the corpus
// have it, and how many of their readings say so. CORPORA_VERBOSE=1 names the others.
func TestConformanceOfModules(t *testing.T) {
	corpora := os.Getenv("CORPORA")
	if corpora == "" {
		t.Skip("make conformance sets CORPORA to the folder of the public corpora")
	}
	files, err := filepath.Glob(filepath.Join(corpora, "snmprec", "*.snmprec"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recordings in %s", corpora)
	}
	prober, err := identify.NewBuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	all := parts()
	have, told, lost := make([]int, len(all)), make([]int, len(all)), make([][]string, len(all))
	for _, file := range files {
		r := recording(t, file)
		reading, _, err := prober.Probe(t.Context(), r)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		for i, p := range all {
			if !hasPart(t.Context(), r, p) {
				continue
			}
			if have[i]++; p.told(reading) {
				told[i]++
			} else {
				lost[i] = append(lost[i], strings.TrimSuffix(filepath.Base(file), ".snmprec"))
			}
		}
	}
	for i, p := range all {
		fmt.Fprintf(os.Stdout, "snmprec        %s: %d of %d recordings\n", p.name, told[i], have[i])
		if os.Getenv("CORPORA_VERBOSE") != "" && len(lost[i]) > 0 {
			fmt.Fprintln(os.Stdout, "              ", lost[i])
		}
		// Some recordings have a part in pieces: models of modules and of no chassis, neighbours
		// without a port of their own.
		if 100*told[i] < 70*have[i] {
			t.Errorf("%s: %d of %d, the bar is 70%%", p.name, told[i], have[i])
		}
	}
}

func hasPart(ctx context.Context, g snmp.Getter, p part) bool {
	found := false
	_ = g.Walk(ctx, p.column, func(v snmp.Variable) error { // a recording has no faults
		if found = p.wanted(v); found {
			return module.ErrStop
		}
		return nil
	})
	return found
}
