package identify

import (
	"math"
	"strings"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/snmp/module"
)

// maxSensors bounds one reading.
const maxSensors = 2048

// sensors are those of ENTITY-SENSOR-MIB (RFC 3433), of CISCO-ENTITY-SENSOR-MIB, which
// is its forerunner, and the supplies of printers (RFC 3805).
func sensors(tables *module.Tables) []*pb.SnmpSensor {
	out := entitySensors(tables, "entPhySensor")
	if len(out) == 0 {
		out = entitySensors(tables, "entSensor")
	}
	return append(out, supplies(tables)...)
}

func entitySensors(tables *module.Tables, name string) []*pb.SnmpSensor {
	rows, parts := tables.Rows(name+"Table"), tables.Rows("entPhysicalTable")
	var out []*pb.SnmpSensor
	for i := range rows.List[:min(len(rows.List), maxSensors)] {
		row := &rows.List[i]
		kind, unit := sensorKind(rows.Text(row, name+"Type"))
		value := rows.Value(row, name+"Value")
		if kind == "" || !value.Known {
			continue
		}
		s := &pb.SnmpSensor{
			Kind: kind, Unit: unit, Status: rows.Text(row, name+status(name)),
			Value: scaled(value.Float, rows.Value(row, name+"Scale").Float, rows.Value(row, name+"Precision").Float),
		}
		// What RFC 3433, section 3.3, has for "not to be measured".
		if math.Abs(value.Float) >= 1_000_000_000 || s.GetStatus() == "unavailable" {
			continue
		}
		if part, ok := parts.Find(row.Index); ok {
			if s.Name = parts.Text(part, "entPhysicalName"); s.GetName() == "" {
				s.Name = parts.Text(part, "entPhysicalDescr")
			}
		}
		if s.GetName() == "" {
			s.Name = kind + " " + row.Index
		}
		out = append(out, s)
	}
	return out
}

// status is how the two MIBs call the column.
func status(name string) string {
	if name == "entSensor" {
		return "Status"
	}
	return "OperStatus"
}

// sensorKind is what EntitySensorDataType measures, and in which unit of UCUM.
func sensorKind(kind string) (string, string) {
	switch kind {
	case "voltsAC", "voltsDC":
		return "voltage", "V"
	case "amperes":
		return "current", "A"
	case "watts":
		return "power", "W"
	case "celsius":
		return "temperature", "Cel"
	case "percentRH":
		return "humidity", "%"
	case "rpm":
		return "fan", "{rpm}"
	case "dBm":
		return "optical", "dB[mW]"
	default:
		return "", ""
	}
}

// scaled applies EntitySensorDataScale, where 9 is units and each step a thousand, and
// EntitySensorPrecision, the digits behind the point (RFC 3433, section 3.1).
func scaled(value, scale, precision float64) float64 {
	if scale >= 1 && scale <= 17 {
		value *= math.Pow(1000, scale-9)
	}
	if precision >= -8 && precision <= 9 {
		value /= math.Pow(10, precision)
	}
	return value
}

// supplies are how full a printer's toner and the like are, in percent. A level of -3
// says that some is left, -2 and -1 that nobody knows.
func supplies(tables *module.Tables) []*pb.SnmpSensor {
	rows := tables.Rows("prtMarkerSuppliesTable")
	var out []*pb.SnmpSensor
	for i := range rows.List[:min(len(rows.List), maxSensors)] {
		row := &rows.List[i]
		level, most := rows.Value(row, "prtMarkerSuppliesLevel"), rows.Value(row, "prtMarkerSuppliesMaxCapacity")
		if !level.Known || level.Float < 0 || most.Float <= 0 || level.Float > most.Float {
			continue
		}
		name := strings.TrimSpace(rows.Text(row, "prtMarkerSuppliesDescription"))
		if name == "" {
			name = "supply " + row.Index
		}
		out = append(out, &pb.SnmpSensor{Name: name, Kind: "supply", Value: 100 * level.Float / most.Float, Unit: "%"})
	}
	return out
}
