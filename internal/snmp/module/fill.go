package module

import (
	"math"
	"slices"
	"strings"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Known are facts of a device that tables gave, by the names that Facts lists.
type Known map[string]string

// maxParts bounds processors, sensors and spaces of one reading.
const maxParts = 2048

// Fill adds to a reading what Into says of the tables: processors, memory, storage and
// sensors. Of those that several modules tell, the first module with any is believed;
// what is for a maker's devices comes before what is for all. It returns the facts.
func (t *Tables) Fill(reading *pb.SnmpReading) Known {
	known := Known{}
	f := filler{reading: reading, known: known, said: map[string]*Module{}}
	for _, general := range []bool{false, true} {
		for _, rows := range t.order {
			if rows.Module != nil && (len(rows.Module.For) == 0) == general {
				f.rows(rows)
			}
		}
	}
	return known
}

type filler struct {
	reading *pb.SnmpReading
	known   Known
	said    map[string]*Module // who told of processors, of memory, of storage
}

func (f *filler) rows(rows *Rows) {
	for i := range rows.Into {
		into := &rows.Into[i]
		if into.Else && f.told(into) {
			continue
		}
		for j := range rows.List {
			row := &rows.List[j]
			if !into.wants(rows, row) {
				continue
			}
			f.row(rows, row, into)
		}
	}
}

// told reports whether there is something of a kind already.
func (f *filler) told(n *Into) bool {
	r := f.reading
	return (n.CPU != "" || n.IdleCPU != "") && len(r.GetCpuPercent()) > 0 ||
		n.Memory != nil && len(r.GetMemory()) > 0 || n.Storage != nil && len(r.GetStorage()) > 0 ||
		n.Sensor != nil && len(r.GetSensors()) > 0
}

// wants reports whether a row has the values that Only and Where ask for.
func (n *Into) wants(rows *Rows, row *Row) bool {
	for column, want := range n.Only {
		text := rows.Part(row, column)
		if _, isColumn := rows.position[column]; isColumn {
			text = rows.Text(row, column)
		}
		if !slices.Contains(strings.Split(want, "|"), text) {
			return false
		}
	}
	return n.Where == "" || rows.Value(row, n.Where).Float > 0
}

// first reports whether a module may tell of something: nobody else did.
func (f *filler) first(what string, m *Module) bool {
	if by, ok := f.said[what]; ok && by != m {
		return false
	}
	f.said[what] = m
	return true
}

func (f *filler) row(rows *Rows, row *Row, into *Into) {
	if percent, ok := into.load(rows, row); ok && len(f.reading.GetCpuPercent()) < maxParts && f.first("cpu", rows.Module) {
		f.reading.CpuPercent = append(f.reading.CpuPercent, percent)
	}
	if into.Memory != nil && len(f.reading.GetMemory()) < maxParts {
		if space := into.Memory.read(rows, row); space != nil && f.first("memory", rows.Module) {
			f.reading.Memory = append(f.reading.Memory, space)
		}
	}
	if into.Storage != nil && len(f.reading.GetStorage()) < maxParts {
		if space := into.Storage.read(rows, row); space != nil && f.first("storage", rows.Module) {
			f.reading.Storage = append(f.reading.Storage, space)
		}
	}
	if into.Sensor != nil && len(f.reading.GetSensors()) < maxParts {
		if sensor := into.Sensor.read(rows, row); sensor != nil {
			f.reading.Sensors = append(f.reading.Sensors, sensor)
		}
	}
	if text := rows.Text(row, into.From); into.Fact != "" && text != "" && f.known[into.Fact] == "" {
		f.known[into.Fact] = text
	}
}

// load is the load of a processor in percent.
func (n *Into) load(rows *Rows, row *Row) (float64, bool) {
	value := firstKnown(rows, row, n.CPU)
	if n.CPU == "" {
		value = firstKnown(rows, row, n.IdleCPU)
		value.Float = 100 - value.Float
	}
	// Agents give -1, 2^32-1 or the like for a processor that is not there.
	if !value.Known || value.Float < 0 || value.Float > 100.5 {
		return 0, false
	}
	return min(value.Float, 100), true
}

// firstKnown is the first of the columns "a + b" that the row has.
func firstKnown(rows *Rows, row *Row, columns string) Value {
	for name := range strings.SplitSeq(columns, "+") {
		if value := rows.Value(row, strings.TrimSpace(name)); value.Known {
			return value
		}
	}
	return Value{}
}

// amount is the sum of columns, "a + b".
func amount(rows *Rows, row *Row, columns string) (float64, bool) {
	if columns == "" {
		return 0, false
	}
	sum, known := 0.0, false
	for name := range strings.SplitSeq(columns, "+") {
		if value := rows.Value(row, strings.TrimSpace(name)); value.Known {
			sum, known = sum+value.Float, true
		}
	}
	return sum, known && sum >= 0 && !math.IsInf(sum, 0)
}

// read is nil where the row does not say how large it is, or nothing that can be.
func (s *Space) read(rows *Rows, row *Row) *pb.SnmpMemory {
	used, hasUsed := amount(rows, row, s.Used)
	free, hasFree := amount(rows, row, s.Free)
	total, hasTotal := amount(rows, row, s.Total)
	percent, hasPercent := amount(rows, row, s.Percent)
	if left, ok := amount(rows, row, s.FreePercent); ok {
		percent, hasPercent = 100-left, left <= 100
	}
	switch {
	case hasUsed && hasTotal:
	case hasFree && hasTotal:
		used = total - free
	case hasUsed && hasFree:
		total = used + free
	case hasPercent && hasTotal && percent <= 100.5:
		used = total * percent / 100
	case hasPercent && percent <= 100.5:
		used, total = percent, 100
	default:
		return nil
	}
	unit := s.unit(rows, row)
	if total <= 0 || used < 0 || total*unit > math.MaxInt64 {
		return nil
	}
	return &pb.SnmpMemory{
		Name: named(rows, row, s.Name), UsedBytes: uint64(min(used, total) * unit), TotalBytes: uint64(total * unit),
	}
}

// unit is how many bytes one is.
func (s *Space) unit(rows *Rows, row *Row) float64 {
	switch s.Unit {
	case "", "By":
		return 1
	case "KiBy":
		return 1 << 10
	case "MiBy":
		return 1 << 20
	case "GiBy":
		return 1 << 30
	}
	if value := rows.Value(row, s.Unit); value.Known && value.Float > 0 {
		return value.Float
	}
	return 1
}

// named is a column's text, or name itself where there is no such column, with the
// index behind it where a table has several.
func named(rows *Rows, row *Row, name string) string {
	if _, isColumn := rows.position[name]; isColumn {
		if text := rows.Text(row, name); text != "" {
			return text
		}
		return strings.TrimSpace(rows.Name + " " + row.Index)
	}
	if name == "" {
		name = rows.Name
	}
	if len(rows.List) > 1 {
		return name + " " + row.Index
	}
	return name
}

// read is nil where there is no sensor.
func (s *Sensor) read(rows *Rows, row *Row) *pb.SnmpSensor {
	value := rows.Value(row, s.Value)
	status := rows.Text(row, s.Status)
	if !value.Known || math.IsNaN(value.Float) || slices.Contains(s.Absent, value.Text) || slices.Contains(s.Absent, status) {
		return nil
	}
	switch status {
	case "ok", "warning", "critical", "unavailable", "nonoperational":
	default:
		status = ""
	}
	unit := s.Unit
	if i, ok := rows.position[s.Value]; ok && unit == "" {
		unit = rows.Columns[i].Unit
	}
	return &pb.SnmpSensor{Name: named(rows, row, s.Name), Kind: s.Kind, Value: value.Float, Unit: unit, Status: status}
}

// Power is what one port gives, and what the device calls the port: an ifIndex or the port
// of a bridge, or a part of ENTITY-MIB, each in digits.
type Power struct {
	Watts             float64
	Interface, Entity string
}

// maxPower is the most that one port can give, in watts, with room: IEEE 802.3bt has 90.
const maxPower = 1000

// Powers are what ports give, as Into says of the tables.
func (t *Tables) Powers() []Power {
	var out []Power
	for _, rows := range t.order {
		for i := range rows.Into {
			p := rows.Into[i].PoE
			if p == nil {
				continue
			}
			for j := range rows.List {
				row := &rows.List[j]
				watts := rows.Value(row, p.Watts)
				if !watts.Known || watts.Float < 0 || watts.Float > maxPower || !rows.Into[i].wants(rows, row) || len(out) == maxParts {
					continue
				}
				port := rows.Part(row, p.Interface)
				if _, isColumn := rows.position[p.Interface]; isColumn {
					port = rows.Text(row, p.Interface)
				}
				out = append(out, Power{Watts: watts.Float, Interface: port, Entity: rows.Text(row, p.Entity)})
			}
		}
	}
	return out
}
