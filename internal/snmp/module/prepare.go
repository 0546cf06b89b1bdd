package module

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/amoskys/amoskys/internal/config"
)

// prepare fills in what a file may leave out.
func (m *Module) prepare() {
	for i := range m.Tables {
		prepareColumns(m.Tables[i].Columns, m.Tables[i].Metrics)
	}
	for i := range m.Groups {
		prepareColumns(m.Groups[i].Columns, m.Groups[i].Metrics)
	}
}

const noMetric = "none"

func prepareColumns(columns []Column, metrics *bool) {
	for i := range columns {
		c := &columns[i]
		if c.Match != "" {
			c.match = regexp.MustCompile(c.Match)
		}
		switch {
		case metrics != nil && !*metrics, c.Metric == noMetric, !c.Type.Numeric():
			c.Metric = ""
		case c.Metric == "":
			c.Metric = "snmp_" + snake(c.Name)
		default:
			c.Metric = "snmp_" + c.Metric
		}
	}
}

// snake writes ifHCInOctets as if_hc_in_octets.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case !unicode.IsUpper(r):
			b.WriteRune(r)
			continue
		case i > 0 && (unicode.IsLower(runes[i-1]) || unicode.IsDigit(runes[i-1])),
			i > 0 && i+1 < len(runes) && unicode.IsUpper(runes[i-1]) && unicode.IsLower(runes[i+1]):
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.ReplaceAll(b.String(), "-", "_")
}

// Bounds of one module.
const (
	maxTables  = 200
	maxColumns = 100
	maxPattern = 1000
)

// Validate reports what makes a module useless or ambiguous.
func (m *Module) Validate(v *config.Check) {
	v.Name("module", m.Name)
	v.NotEmpty("about", m.About)
	for i, text := range m.For {
		if _, _, ok := scope(text); !ok {
			v.Add(fmt.Sprintf("for[%d]", i), "%q is neither an OID nor \"enterprise N\"", text)
		}
	}
	if len(m.Tables) > maxTables || len(m.Groups) > maxTables {
		v.Add("tables", "a module has at most %d tables and groups; make several", maxTables)
	}
	names := map[string]bool{}
	for i := range m.Groups {
		g := &m.Groups[i]
		check := v.Under(fmt.Sprintf("groups[%d]", i))
		once(check, names, g.Name)
		validateColumns(check, g.OID, g.Columns)
		validateInto(check, g.Columns, nil, g.Into)
	}
	for i := range m.Tables {
		t := &m.Tables[i]
		check := v.Under(fmt.Sprintf("tables[%d]", i))
		once(check, names, t.Name)
		validateColumns(check, t.OID, t.Columns)
		validateInto(check, t.Columns, t.Index, t.Into)
		validateIndex(check, t.Index)
	}
	for oid, name := range m.Traps {
		if !validOID(oid) && !isNamed(oid) || name == "" {
			v.Add("traps", "%q is not an OID with a name", oid)
		}
	}
	if len(m.Groups) == 0 && len(m.Tables) == 0 && len(m.Traps) == 0 {
		v.Add("tables", "a module has at least one table, group or trap")
	}
}

func once(v *config.Check, names map[string]bool, name string) {
	v.Name("name", name)
	if names[name] {
		v.Add("name", "%q is given twice", name)
	}
	names[name] = true
}

func validateColumns(v *config.Check, oid string, columns []Column) {
	if place, ok := placed(oid, "1.3"); !ok || !validOID(place) && !isNamed(oid) {
		v.Add("oid", "%q is not an OID such as 1.3.6.1.2.1.2.2.1 or IF-MIB::ifEntry, nor one that begins with object", oid)
	}
	if len(columns) == 0 || len(columns) > maxColumns {
		v.Add("columns", "must be 1 to %d columns, not %d", maxColumns, len(columns))
	}
	names := map[string]bool{}
	for i := range columns {
		c := &columns[i]
		check := v.Under(fmt.Sprintf("columns[%d]", i))
		once(check, names, c.Name)
		if !validOID(c.ID) {
			check.Add("id", "%q is not a number, nor numbers with dots", c.ID)
		}
		if c.Type == "" {
			check.Add("type", "is missing; valid: %s", joined(columnTypes()))
		}
		if _, err := regexp.Compile(c.Match); err != nil || len(c.Match) > maxPattern {
			check.Add("match", "is not a regular expression of up to %d bytes: %v", maxPattern, err)
		}
		for key := range c.Enum {
			if _, err := strconv.ParseInt(key, 10, 64); err != nil {
				check.Add("enum", "%q is not a whole number", key)
			}
		}
	}
}

func validateIndex(v *config.Check, parts []IndexPart) {
	if len(parts) == 0 {
		v.Add("index", "a table has an index; what has none belongs under groups")
	}
	for i, part := range parts {
		check := v.Under(fmt.Sprintf("index[%d]", i))
		check.NotEmpty("name", part.Name)
		if part.Type == "" {
			check.Add("type", "is missing; valid: %s", joined(indexTypes()))
		}
		if part.Rest && i != len(parts)-1 {
			check.Add("rest", "only the last part of an index takes the rest")
		}
		check.Range("length", part.Length, 0, maxArcs)
	}
}

// validateInto reports names of columns that the table does not have.
func validateInto(v *config.Check, columns []Column, index []IndexPart, into []Into) {
	known := make([]string, len(columns))
	for i := range columns {
		known[i] = columns[i].Name
	}
	parts := known
	for _, part := range index {
		parts = append(parts, part.Name)
	}
	for i := range into {
		check := v.Under(fmt.Sprintf("into[%d]", i))
		for key, name := range into[i].columns() {
			for part := range strings.SplitSeq(name, "+") {
				if name != "" {
					check.OneOf(key, strings.TrimSpace(part), known...)
				}
			}
		}
		for name := range into[i].Only {
			check.OneOf("only", name, parts...)
		}
		if fact := into[i].Fact; fact != "" {
			check.OneOf("fact", fact, Facts()...)
		}
		if p := into[i].PoE; p != nil {
			check.NotEmpty("poe.watts", p.Watts)
			if p.Interface != "" {
				check.OneOf("poe.interface", p.Interface, parts...)
			}
			if p.Interface == "" && p.Entity == "" {
				check.Add("poe.interface", "is missing, and so is poe.entity: one of them says which interface it is")
			}
		}
		if s := into[i].Sensor; s != nil {
			check.OneOf("sensor.kind", s.Kind, SensorKinds()...)
		}
	}
}

// columns are the names that have to be columns, by key.
func (n *Into) columns() map[string]string {
	out := map[string]string{"cpu": n.CPU, "idle_cpu": n.IdleCPU, "where": n.Where}
	if n.Fact != "" {
		out["from"] = n.From
	}
	for key, space := range map[string]*Space{"memory": n.Memory, "storage": n.Storage} {
		if space != nil {
			out[key+".used"], out[key+".free"], out[key+".total"] = space.Used, space.Free, space.Total
			out[key+".percent"], out[key+".free_percent"] = space.Percent, space.FreePercent
		}
	}
	if n.Sensor != nil {
		out["sensor.value"], out["sensor.status"] = n.Sensor.Value, n.Sensor.Status
	}
	if n.PoE != nil {
		out["poe.watts"], out["poe.entity"] = n.PoE.Watts, n.PoE.Entity
	}
	return out
}

// Facts are what an Into can say of the device itself.
func Facts() []string { return []string{"version", "hardware", "serial", "os", "name"} }

// SensorKinds are the kinds of pb.SnmpSensor.
func SensorKinds() []string {
	return []string{"temperature", "fan", "power", "voltage", "current", "humidity", "battery", "optical", "supply"}
}

// placed puts a device's sysObjectID where an OID names it; false where the device has
// none.
func placed(oid, object string) (string, bool) {
	rest, named := strings.CutPrefix(oid, "object")
	if !named {
		return oid, true
	}
	if after, parent := strings.CutPrefix(rest, "-1"); parent {
		rest, object = after, object[:max(0, strings.LastIndexByte(object, '.'))]
	}
	return object + rest, object != "" && (rest == "" || rest[0] == '.')
}

func validOID(oid string) bool {
	arcs, err := Arcs(oid)
	return err == nil && len(arcs) > 0
}

// scope reads an entry of Module.For.
func scope(text string) (oid string, enterprise uint32, ok bool) {
	if number, isEnterprise := strings.CutPrefix(text, "enterprise "); isEnterprise {
		n, err := strconv.ParseUint(number, 10, 32)
		return "", uint32(n), err == nil
	}
	return text, 0, validOID(text) || isNamed(text)
}
