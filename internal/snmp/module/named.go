package module

import (
	"errors"
	"fmt"
	"strings"
)

// isNamed says that an OID is written by name: MODULE::object, and numbers behind it.
func isNamed(oid string) bool {
	_, object, ok := strings.Cut(oid, "::")
	return ok && object != ""
}

// resolve puts OIDs in place of the names in a module.
func (m *Module) resolve(names Namer) error {
	var faults []error
	number := func(oid *string) {
		if !isNamed(*oid) {
			return
		}
		if names == nil {
			faults = append(faults, fmt.Errorf("module %s: %q is a name, and no MIB files are read: set snmp.mibs, or write numbers", m.Name, *oid))
			return
		}
		found, err := names.OID(*oid)
		if err != nil {
			faults = append(faults, fmt.Errorf("module %s: %w: set snmp.mibs to the folder of its MIB file, or write numbers", m.Name, err))
			return
		}
		*oid = found
	}
	for i := range m.For {
		number(&m.For[i])
	}
	for i := range m.Groups {
		number(&m.Groups[i].OID)
	}
	for i := range m.Tables {
		number(&m.Tables[i].OID)
	}
	traps := make(map[string]string, len(m.Traps))
	for oid, name := range m.Traps {
		number(&oid)
		traps[oid] = name
	}
	m.Traps = traps
	return errors.Join(faults...)
}
