package module_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/mib"
	"github.com/amoskys/amoskys/internal/snmp/module"
	"github.com/amoskys/amoskys/internal/snmp/snmptest"
)

func TestBuiltIn(t *testing.T) {
	t.Parallel()
	set, err := module.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]string{}
	metrics := 0
	for _, m := range set.All() {
		metrics += len(m.Metrics())
		for _, table := range m.Tables {
			if other, twice := tables[table.Name]; twice {
				t.Errorf("table %s is in %s and %s: the second would not be read", table.Name, other, m.Name)
			}
			tables[table.Name] = m.Name
		}
		for _, group := range m.Groups {
			if other, twice := tables[group.Name]; twice {
				t.Errorf("group %s is in %s and %s", group.Name, other, m.Name)
			}
			tables[group.Name] = m.Name
		}
	}
	for _, m := range set.All() {
		for _, table := range m.Tables {
			for _, label := range table.Labels {
				if of, _, ok := strings.Cut(label, "."); ok && tables[of] == "" {
					t.Errorf("%s: label %s is of no table", table.Name, label)
				}
			}
			for _, c := range table.Columns {
				if of, _, ok := strings.Cut(c.Unless, "."); ok && tables[of] == "" {
					t.Errorf("%s.%s: %s is of no table", table.Name, c.Name, c.Unless)
				}
			}
		}
	}
	if names := []string{"system", "if-mib"}; set.All()[0].Name != names[0] || set.All()[1].Name != names[1] {
		t.Errorf("read first: %s, %s; others refer to %v", set.All()[0].Name, set.All()[1].Name, names)
	}
	if got := set.Trap("1.3.6.1.6.3.1.1.5.3"); got != "linkDown" {
		t.Errorf("trap: %q", got)
	}
	t.Logf("%d modules, %d tables and groups, %d metrics", len(set.All()), len(tables), metrics)
}

// custom is a user's module that has one of everything.
const custom = `modules:
  - module: pump
    about: Pumps in the cellar
    for: [1.3.6.1.4.1.99999]
    groups:
      - name: pumpHouse
        oid: 1.3.6.1.4.1.99999.1
        columns:
          - {id: "1", name: houseLoad, type: number, unit: "%", match: 'load=([0-9.]+)'}
          - {id: "2", name: houseSerial, type: text}
        into:
          - cpu: houseLoad
          - {fact: serial, from: houseSerial}
      - name: pumpModel
        oid: object.7
        columns:
          - {id: "1", name: modelFree, type: gauge}
          - {id: "2", name: modelTotal, type: gauge}
        into:
          - memory: {name: Memory, free: modelFree, total: modelTotal, unit: KiBy}
    tables:
      - name: pumpTable
        oid: 1.3.6.1.4.1.99999.2.1
        index: [{name: pump, type: text}, {name: valve, type: integer}]
        labels: [pumpName]
        columns:
          - {id: "2", name: pumpName, type: text}
          - {id: "3", name: pumpHeat, type: integer, unit: Cel, scale: 0.1}
          - {id: "4", name: pumpState, type: integer, enum: {"1": ok, "2": critical}}
          - {id: "5", name: pumpTurns, type: counter}
        into:
          - {sensor: {name: pumpName, kind: temperature, value: pumpHeat, status: pumpState}, only: {valve: "7"}}
    traps:
      1.3.6.1.4.1.99999.9.1: pumpStopped
`

// cellar is a device that has them.
const cellar = `1.3.6.1.4.1.99999.1.1.0|4|load=12.5 %
1.3.6.1.4.1.99999.1.2.0|4|P-1
1.3.6.1.4.1.99999.2.1.2.2.97.98.7|4|north
1.3.6.1.4.1.99999.2.1.2.2.97.98.8|4|south
1.3.6.1.4.1.99999.2.1.2.9.97|4|torn
1.3.6.1.4.1.99999.2.1.3.2.97.98.7|2|-45
1.3.6.1.4.1.99999.2.1.3.2.97.98.8|2|999
1.3.6.1.4.1.99999.2.1.4.2.97.98.7|2|2
1.3.6.1.4.1.99999.2.1.5.2.97.98.7|65|4294967295
1.3.6.1.4.1.99999.4.7.1.0|66|25
1.3.6.1.4.1.99999.4.7.2.0|66|100
`

func walkCellar(t *testing.T) *module.Tables {
	t.Helper()
	modules, err := module.Decode("pump.yaml", []byte(custom), nil)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := module.Walk(t.Context(), snmptest.Load(t, cellar), modules, module.Options{Object: "1.3.6.1.4.1.99999.4"})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func TestFill(t *testing.T) {
	t.Parallel()
	tables := walkCellar(t)
	r := &pb.SnmpReading{}
	known := tables.Fill(r)
	if known["serial"] != "P-1" || len(r.GetCpuPercent()) != 1 || r.GetCpuPercent()[0] != 12.5 {
		t.Errorf("facts %v, processors %v", known, r.GetCpuPercent())
	}
	if m := r.GetMemory(); len(m) != 1 || m[0].GetUsedBytes() != 75*1024 || m[0].GetTotalBytes() != 100*1024 || m[0].GetName() != "Memory" {
		t.Errorf("memory: %v", m)
	}
	if s := r.GetSensors(); len(s) != 1 || s[0].GetValue() != -4.5 || s[0].GetUnit() != "Cel" || s[0].GetStatus() != "critical" || s[0].GetName() != "north" {
		t.Errorf("sensors: %v", s)
	}
	if tables.LeftOut != 1 {
		t.Errorf("%d rows left out, one has an index of another shape", tables.LeftOut)
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	var got []string
	for s := range walkCellar(t).Samples() {
		if s.Name == "snmp_pump_turns" || s.Name == "snmp_pump_heat" {
			got = append(got, strings.Join(append([]string{s.Name}, s.Labels...), " "))
			if s.Counter != (s.Name == "snmp_pump_turns") {
				t.Errorf("%s: counter %v", s.Name, s.Counter)
			}
		}
	}
	slices.Sort(got)
	want := []string{
		"snmp_pump_heat pump ab valve 7 pumpName north",
		"snmp_pump_heat pump ab valve 8 pumpName south",
		"snmp_pump_turns pump ab valve 7 pumpName north",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestWideCounters: the 32-bit counters are not asked for where each row has a 64-bit
// one, and are where one lacks it.
func TestWideCounters(t *testing.T) {
	t.Parallel()
	set, err := module.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	modules, err := set.Named("if-mib")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, more string
		narrow     bool
	}{
		{name: "all wide", more: "1.3.6.1.2.1.31.1.1.1.6.2|70|5\n"},
		{name: "one without", narrow: true},
	} {
		text := "1.3.6.1.2.1.2.2.1.2.1|4|a\n1.3.6.1.2.1.2.2.1.2.2|4|b\n1.3.6.1.2.1.2.2.1.10.1|65|1\n1.3.6.1.2.1.2.2.1.10.2|65|2\n" +
			"1.3.6.1.2.1.31.1.1.1.6.1|70|4\n" + test.more
		tables, err := module.Walk(t.Context(), snmptest.Load(t, text), modules, module.Options{})
		if err != nil {
			t.Fatal(err)
		}
		rows := tables.Rows("ifTable")
		row, ok := rows.Find("2")
		if !ok || rows.Value(row, "ifInOctets").Known != test.narrow {
			t.Errorf("%s: 32-bit counter read: %v", test.name, !test.narrow)
		}
	}
}

// failing is a device of which one table cannot be read.
type failing struct {
	snmp.Getter
	below string
}

var errSilent = errors.New("no answer")

func (f failing) Walk(ctx context.Context, root string, each func(snmp.Variable) error) error {
	if strings.HasPrefix(root, f.below) {
		return errSilent
	}
	return f.Getter.Walk(ctx, root, each)
}

func TestTableThatFails(t *testing.T) {
	t.Parallel()
	modules, err := module.Decode("pump.yaml", []byte(custom), nil)
	if err != nil {
		t.Fatal(err)
	}
	device := failing{snmptest.Load(t, cellar), "1.3.6.1.4.1.99999.2.1.4"}
	tables, err := module.Walk(t.Context(), device, modules, module.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if rows := tables.Rows("pumpTable"); len(rows.List) != 2 || rows.Text(&rows.List[0], "pumpHeat") != "-45" {
		t.Errorf("what was read before is gone: %+v", rows.List)
	}
	if diff := cmp.Diff([]string{"pumpTable: no answer"}, tables.Incomplete); diff != "" {
		t.Error(diff)
	}
	set, err := module.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := module.Walk(t.Context(), failing{snmptest.Load(t, ""), ""}, set.All(), module.Options{}); !errors.Is(err, errSilent) {
		t.Errorf("a device that answers nothing: %v", err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"unknown key", "modules:\n  - module: a\n    abuot: x\n", `a.yaml:3:5: modules[0].abuot: unknown key, did you mean "about"?`},
		{"type", "modules:\n  - module: a\n    about: x\n    groups:\n      - {name: g, oid: 1.3.6, columns: [{id: \"1\", name: c, type: interger}]}\n", `"interger" is not a type`},
		{"column", "modules:\n  - module: a\n    about: x\n    groups:\n      - {name: g, oid: 1.3.6, columns: [{id: \"1\", name: load, type: gauge}], into: [{cpu: laod}]}\n", `did you mean "load"?`},
		{"oid", "modules:\n  - module: a\n    about: x\n    groups:\n      - {name: g, oid: 1.3.x, columns: [{id: \"1\", name: c, type: gauge}]}\n", `"1.3.x" is not an OID`},
		{"nothing", "modules: []\n", "list at least one module"},
		{"index", "modules:\n  - module: a\n    about: x\n    tables:\n      - {name: g, oid: 1.3.6, columns: [{id: \"1\", name: c, type: gauge}]}\n", "a table has an index"},
		{"match", "modules:\n  - module: a\n    about: x\n    groups:\n      - {name: g, oid: 1.3.6, columns: [{id: \"1\", name: c, type: number, match: \"(\"}]}\n", "not a regular expression"},
		{"object", "modules:\n  - module: a\n    about: x\n    groups:\n      - {name: g, oid: objects.1, columns: [{id: \"1\", name: c, type: gauge}]}\n", "begins with object"},
	} {
		if _, err := module.Decode("a.yaml", []byte(test.text), nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// TestFolder: a user's module of a built-in one's name takes its place, and a file that
// is wrong costs itself alone.
func TestFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"pump.yaml":  strings.Replace(custom, "module: pump", "module: ups", 1),
		"wrong.yaml": "modules: [1",
		"README":     "no module",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := module.Load(folder, nil)
	if err == nil || !strings.Contains(err.Error(), "wrong.yaml") {
		t.Errorf("the file that is wrong: %v", err)
	}
	all, err := set.Named("ups")
	if err != nil || len(all) != 1 || all[0].About != "Pumps in the cellar" {
		t.Errorf("ups is %v, %v", all, err)
	}
	if _, err := set.Named("no-such"); err == nil {
		t.Error("a module that is none")
	}
	if _, err := module.Load(filepath.Join(folder, "absent"), nil); err != nil {
		t.Errorf("a folder that does not exist: %v", err)
	}
}

// TestNames: a module may write OIDs by the names of MIBs, and those of common ones are the
// OIDs that the built-in modules have.
func TestNames(t *testing.T) {
	t.Parallel()
	const text = `modules:
  - module: named
    about: Interfaces by name
    for: [UCD-SNMP-MIB::ucdavis]
    tables:
      - name: interfaces
        oid: IF-MIB::ifXEntry
        index: [{name: ifIndex, type: integer}]
        columns: [{id: "1", name: ifName, type: text}]
    traps:
      IF-MIB::linkDown: interfaceDown
`
	all, err := module.Decode("named.yaml", []byte(text), mib.Common())
	if err != nil {
		t.Fatal(err)
	}
	if m := all[0]; m.Tables[0].OID != "1.3.6.1.2.1.31.1.1.1" || m.Traps["1.3.6.1.6.3.1.1.5.3"] != "interfaceDown" || m.For[0] != "1.3.6.1.4.1.2021" {
		t.Errorf("%+v", m)
	}
	for name, names := range map[string]module.Namer{"none": nil, "unknown": mib.Common()} {
		if _, err := module.Decode("named.yaml", []byte(strings.ReplaceAll(text, "ifXEntry", "acmeEntry")), names); err == nil || !strings.Contains(err.Error(), "snmp.mibs") {
			t.Errorf("%s: %v", name, err)
		}
	}
	set, err := module.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	check := func(name, oid string) {
		if got, err := mib.Common().OID(name); err == nil && !strings.HasPrefix(name, "avg") {
			if checked++; got != oid {
				t.Errorf("%s is %s in the modules, and %s by name", name, oid, got)
			}
		}
	}
	for _, m := range set.All() {
		for _, table := range m.Tables {
			for _, c := range table.Columns {
				check(c.Name, table.OID+"."+c.ID)
			}
		}
		for _, g := range m.Groups {
			for _, c := range g.Columns {
				check(c.Name, g.OID+"."+c.ID)
			}
		}
	}
	if checked < 100 {
		t.Errorf("%d names were compared", checked)
	}
}

// endless is a device of which no table ends.
type endless struct{ snmp.Getter }

func (endless) Walk(_ context.Context, root string, each func(snmp.Variable) error) error {
	for i := 1; ; i++ {
		if err := each(snmp.Variable{OID: root + "." + strconv.Itoa(i), Type: snmp.Integer, Value: int64(1)}); err != nil {
			return err
		}
	}
}

// TestTablesWithoutEndAreBounded: what all tables of a device keep has a bound too, and
// once it is met nothing more is asked.
func TestTablesWithoutEndAreBounded(t *testing.T) {
	t.Parallel()
	set, err := module.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	modules, err := set.Named("system", "if-mib", "entity", "ucd-snmp")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := module.Walk(t.Context(), endless{snmptest.Load(t, "")}, modules, module.Options{})
	if !errors.Is(err, module.ErrFull) {
		t.Errorf("a device without end: %v", err)
	}
	cells := 0
	for _, rows := range tables.All() {
		cells += len(rows.List) * len(rows.Columns)
	}
	if cells == 0 || cells > 1<<20+1000 {
		t.Errorf("%d values are kept", cells)
	}
}
