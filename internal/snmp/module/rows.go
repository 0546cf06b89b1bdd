package module

import (
	"slices"
	"strings"
)

// Row is one row of a table.
type Row struct {
	// Index is as it stands behind a column's OID; empty for a group.
	Index string
	// Parts are the parts of the index, as text, in the order of the table.
	Parts []string
	// Values are in the order of the columns.
	Values []Value
}

// Rows is what a device has in one table or group.
type Rows struct {
	// Module is where the table was described.
	Module *Module
	Name   string
	// OID is that of the entry.
	OID     string
	Columns []Column
	Index   []IndexPart
	Labels  []string
	Into    []Into
	List    []Row

	position map[string]int // of a column
	at       map[string]int // of a row, by index
}

func newRows(m *Module, name, oid string, columns []Column) *Rows {
	r := &Rows{Module: m, Name: name, OID: oid, Columns: columns, position: map[string]int{}, at: map[string]int{}}
	for i := range columns {
		r.position[columns[i].Name] = i
	}
	return r
}

// Value is what a row has in a column; unknown where there is no such column.
func (r *Rows) Value(row *Row, column string) Value {
	i, ok := r.position[column]
	if !ok || i >= len(row.Values) {
		return Value{}
	}
	return row.Values[i]
}

// Text is the text that a row has in a column, or "".
func (r *Rows) Text(row *Row, column string) string { return r.Value(row, column).Text }

// Find is the row with this index.
func (r *Rows) Find(index string) (*Row, bool) {
	i, ok := r.at[index]
	if !ok {
		return nil, false
	}
	return &r.List[i], true
}

// Part is a part of a row's index by name, or "".
func (r *Rows) Part(row *Row, name string) string {
	i := slices.IndexFunc(r.Index, func(p IndexPart) bool { return p.Name == name })
	if i < 0 || i >= len(row.Parts) {
		return ""
	}
	return row.Parts[i]
}

// row finds or makes the row of an index; nil where there are too many.
func (r *Rows) row(index string, most int) *Row {
	if i, ok := r.at[index]; ok {
		return &r.List[i]
	}
	if len(r.List) >= most {
		return nil
	}
	r.at[index] = len(r.List)
	r.List = append(r.List, Row{Index: index, Values: make([]Value, len(r.Columns))})
	return &r.List[len(r.List)-1]
}

// has counts the rows that have a value in a column.
func (r *Rows) has(column string) int {
	n := 0
	for i := range r.List {
		if r.Value(&r.List[i], column).Known {
			n++
		}
	}
	return n
}

// Tables is what a device has in all tables that were read.
type Tables struct {
	// Incomplete says of each table that was not read, or not whole, why.
	Incomplete []string
	// LeftOut counts rows whose index did not have the shape of their table, and rows
	// beyond the bound.
	LeftOut int

	byName map[string]*Rows
	order  []*Rows
}

// NewTables returns an empty set.
func NewTables() *Tables { return &Tables{byName: map[string]*Rows{}} }

// Rows are the rows of a table or group by name; those of one that was not read are
// empty, never nil.
func (t *Tables) Rows(name string) *Rows {
	if r, ok := t.byName[name]; ok {
		return r
	}
	return newRows(nil, name, "", nil)
}

// All are the tables that were read, in the order of reading.
func (t *Tables) All() []*Rows { return t.order }

func (t *Tables) add(r *Rows) {
	if _, have := t.byName[r.Name]; have {
		return
	}
	t.byName[r.Name] = r
	t.order = append(t.order, r)
}

// column resolves "table.column", or "column" of the table at hand.
func (t *Tables) column(r *Rows, name string) (*Rows, string) {
	table, column, ok := strings.Cut(name, ".")
	if !ok {
		return r, name
	}
	return t.Rows(table), column
}
