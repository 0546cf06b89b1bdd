package snmp

import (
	"strings"

	"github.com/gosnmp/gosnmp"
)

// convert writes a variable of the library as ours.
func convert(p gosnmp.SnmpPDU) Variable {
	v := Variable{OID: strings.TrimPrefix(p.Name, "."), Type: Type(p.Type)}
	switch x := p.Value.(type) {
	case int:
		v.Value = int64(x)
	case uint:
		v.Value = uint64(x)
	case uint32:
		v.Value = uint64(x)
	case uint64:
		v.Value = x
	case []byte:
		v.Value = x
	case string:
		v.Value = strings.TrimPrefix(x, ".")
	case float32:
		v.Value = float64(x)
	case float64:
		v.Value = x
	}
	if v.Type == Integer || v.Value != nil {
		return v
	}
	switch v.Type {
	case Null, NoSuchObject, NoSuchInstance, EndOfMIB, IPAddress:
	default:
		v.Type = Unknown // the library could not read it
	}
	return v
}

// absent reports whether the device says that it has no such variable.
func (t Type) absent() bool {
	return t == NoSuchObject || t == NoSuchInstance || t == EndOfMIB
}

// size is how much of names and values v holds, in bytes.
func (v Variable) size() int {
	n := len(v.OID) + 8
	switch x := v.Value.(type) {
	case []byte:
		n += len(x)
	case string:
		n += len(x)
	}
	return n
}
