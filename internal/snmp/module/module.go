// Package module says which tables of a device are read, and what they mean.
//
// A walk module is a part of a YAML file: tables, their index and columns, types, units,
// enumerations, how columns become metrics (snmp_*), and which of them are parts of a
// reading (processors, memory, storage, sensors). Those for standard MIBs and for
// common makers are built in; files in a folder of the user's add to them or replace
// one of the same name. docs/snmp.md describes the format.
//
// The format is our own. What snmp_exporter's generator does with MIB files, a module
// says in plain text, since a MIB does not tell which of its columns matter.
package module

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/amoskys/amoskys/internal/config"
)

// Module is what is read together from the devices that it is for.
type Module struct {
	// Name is how configuration and `amoskys snmp` call it, such as "if-mib".
	Name string `yaml:"module"`
	// About is one sentence for people.
	About string `yaml:"about"`
	// Source names the RFC or the MIB that the numbers come from.
	Source string `yaml:"source"`
	// For lists what devices it is for, each an OID that the device's sysObjectID
	// begins with, or "enterprise N" for a device that keeps anything at all below
	// 1.3.6.1.4.1.N. Empty is every device.
	For []string `yaml:"for"`
	// Groups are scalars, each read with one request.
	Groups []Group `yaml:"groups"`
	// Tables are walked, in this order.
	Tables []Table `yaml:"tables"`
	// Traps names notifications: OID to name.
	Traps map[string]string `yaml:"traps"`
}

// Group is scalars of one place. Their instance is 0.
type Group struct {
	Name string `yaml:"name"`
	// OID is dotted. "object" in front stands for the device's sysObjectID, and
	// "object-1" for that without its last number, as makers put the same objects
	// below each of their models.
	OID     string   `yaml:"oid"`
	Columns []Column `yaml:"columns"`
	Into    []Into   `yaml:"into"`
	// Metrics is false where the group is read for what it says and not to be counted.
	Metrics *bool `yaml:"metrics"`
}

// Table is a conceptual table (RFC 2578, section 7.1.12).
type Table struct {
	Name string `yaml:"name"`
	// OID is that of the entry: table.1 as a rule. It may begin as that of a Group.
	OID string `yaml:"oid"`
	// Index are the parts of a row's index, in order.
	Index   []IndexPart `yaml:"index"`
	Columns []Column    `yaml:"columns"`
	// Labels are columns, of this table or "table.column" of one whose index is this
	// one's beginning, that are put on each metric beside the index.
	Labels []string `yaml:"labels"`
	Into   []Into   `yaml:"into"`
	// Metrics is false for tables that are facts, such as neighbours.
	Metrics *bool `yaml:"metrics"`
	// Slow tables are large and change slowly, such as forwarding tables: a poller
	// reads them less often.
	Slow bool `yaml:"slow"`
}

// Column is one object.
type Column struct {
	// ID is the number below the entry's OID, or several with dots.
	ID   string `yaml:"id"`
	Name string `yaml:"name"`
	Type Type   `yaml:"type"`
	// Unit is written as UCUM has it, such as "By", "Cel" or "%".
	Unit string `yaml:"unit"`
	// Scale multiplies the value; 0 is 1.
	Scale float64 `yaml:"scale"`
	// Enum names values.
	Enum map[string]string `yaml:"enum"`
	// Metric is the name without "snmp_"; by default it is made from Name, as
	// ifInErrors is if_in_errors. "none" makes no metric.
	Metric string `yaml:"metric"`
	// Match is a regular expression that takes the value out of a text: its first
	// group, or all that it matches.
	Match string `yaml:"match"`
	// Unless names a column, "table.column", that makes this one needless where the
	// device has it: the 64-bit counter of a 32-bit one.
	Unless string `yaml:"unless"`

	match *regexp.Regexp
}

// IndexPart is one part of a row's index (RFC 2578, section 7.7).
type IndexPart struct {
	Name string    `yaml:"name"`
	Type IndexType `yaml:"type"`
	// Length is how many arcs a part of type octets has; 0 is by a length in front.
	Length int `yaml:"length"`
	// Rest says that the part has no length in front and takes all that is left
	// (IMPLIED).
	Rest bool `yaml:"rest"`
}

// Into says what part of a reading the rows of a table or a group are.
type Into struct {
	// CPU is a column with the load of a processor in percent, or, with IdleCPU, with
	// what is left of it. Of several, "a + b", the first that is known counts.
	CPU     string  `yaml:"cpu"`
	IdleCPU string  `yaml:"idle_cpu"`
	Memory  *Space  `yaml:"memory"`
	Storage *Space  `yaml:"storage"`
	Sensor  *Sensor `yaml:"sensor"`
	// PoE is the power that a port gives.
	PoE *PortPower `yaml:"poe"`
	// Fact sets a fact of the device: "version", "hardware", "serial", "os" or "name".
	Fact string `yaml:"fact"`
	// From is the column of a fact.
	From string `yaml:"from"`
	// Only keeps the rows in which each of these columns or parts of the index has
	// the value given, or one of several with bars between them.
	Only map[string]string `yaml:"only"`
	// Where keeps the rows in which this column has a number above zero.
	Where string `yaml:"where"`
	// Else says that it counts only where nothing before told any of its kind.
	Else bool `yaml:"else"`
}

// Space is memory or a file system. Of Used, Free, Total and Percent two are enough;
// with Percent alone it is counted as of 100.
type Space struct {
	// Name is a column or a text in quotes.
	Name    string `yaml:"name"`
	Used    string `yaml:"used"`
	Free    string `yaml:"free"`
	Total   string `yaml:"total"`
	Percent string `yaml:"percent"`
	// FreePercent is what is left in percent.
	FreePercent string `yaml:"free_percent"`
	// Unit is how many bytes one of it is, or a column that says so.
	Unit string `yaml:"unit"`
}

// Sensor is a value in a sensor's column.
type Sensor struct {
	Name  string `yaml:"name"`
	Kind  string `yaml:"kind"`
	Value string `yaml:"value"`
	Unit  string `yaml:"unit"`
	// Status is a column; its enumeration has to say "ok", "warning", "critical",
	// "unavailable" or "nonoperational".
	Status string `yaml:"status"`
	// Absent lists values that mean that there is no sensor.
	Absent []string `yaml:"absent"`
}

// PortPower is the power that a port gives, and which interface that is. One of Interface
// and Entity is enough.
type PortPower struct {
	// Watts is a column; its scale makes watts of it.
	Watts string `yaml:"watts"`
	// Interface is a column or a part of the index: an ifIndex, or where there is no such
	// interface, the number of a port of a bridge (RFC 4188).
	Interface string `yaml:"interface"`
	// Entity is a column with the part of ENTITY-MIB that the interface is called after.
	Entity string `yaml:"entity"`
}

// file is what a YAML file holds.
type file struct {
	Modules []Module `yaml:"modules"`
}

// Validate reports what makes the modules of a file useless or ambiguous.
func (f *file) Validate(v *config.Check) {
	if len(f.Modules) == 0 {
		v.Add("modules", "is empty; list at least one module")
	}
	for i := range f.Modules {
		f.Modules[i].Validate(v.Under(fmt.Sprintf("modules[%d]", i)))
	}
}

// Namer finds the OID of a name, such as "IF-MIB::ifXEntry". mib.Names is one.
type Namer interface {
	OID(text string) (string, error)
}

// Decode reads the modules of one file, in which names stand for OIDs that names knows; nil
// knows none. Faults name file, line and key.
func Decode(name string, text []byte, names Namer) ([]*Module, error) {
	f := &file{}
	if err := config.Decode(name, text, f, config.DecodeOptions{Env: config.NoEnv}); err != nil {
		return nil, err
	}
	var faults []error
	for i := range f.Modules {
		faults = append(faults, f.Modules[i].resolve(names))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	out := make([]*Module, len(f.Modules))
	for i := range f.Modules {
		f.Modules[i].prepare()
		out[i] = &f.Modules[i]
	}
	return out, nil
}
