package module

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/amoskys/amoskys/internal/snmp"
)

// Bounds of a walk.
const (
	// MaxRows is how many rows of one table are kept, unless Options say otherwise.
	MaxRows = 65_536
	// maxCells is how many values of all tables together are kept, known or not.
	maxCells = 1 << 20
	// getAtOnce is how many scalars one request asks for. Weak agents refuse more
	// (tooBig), and some of them do not even say so.
	getAtOnce = 12
	// silentTables is after how many tables in a row without any answer a device is
	// taken to be gone.
	silentTables = 3
)

// Options say how much is read.
type Options struct {
	// MaxRows bounds each table; 0 is MaxRows.
	MaxRows int
	// NoSlow leaves out tables that change slowly.
	NoSlow bool
	// Object is the device's sysObjectID, below which some makers' objects are.
	Object string
}

// Walk reads the groups and tables of modules, in order. A table that fails costs
// itself alone: what was read of it is kept, and Incomplete says why. The error is that
// of ctx, or the last one of a device that answers no more.
func Walk(ctx context.Context, g snmp.Getter, modules []*Module, o Options) (*Tables, error) {
	if o.MaxRows <= 0 {
		o.MaxRows = MaxRows
	}
	w := &walk{getter: g, options: o, tables: NewTables()}
	for _, m := range modules {
		if err := w.groups(ctx, m); err != nil {
			return w.tables, err
		}
	}
	for _, m := range modules {
		for i := range m.Tables {
			if m.Tables[i].Slow && o.NoSlow {
				continue
			}
			if err := w.table(ctx, m, &m.Tables[i]); err != nil {
				return w.tables, err
			}
		}
	}
	return w.tables, nil
}

type walk struct {
	getter  snmp.Getter
	options Options
	tables  *Tables
	silent  int // tables in a row that failed without any answer
	cells   int // that tables have room for
}

// failed notes why something is not whole. It returns an error where nothing more is to
// be expected.
func (w *walk) failed(ctx context.Context, what string, answers int, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	w.tables.Incomplete = append(w.tables.Incomplete, fmt.Sprintf("%s: %v", what, err))
	if errors.Is(err, ErrFull) {
		return fmt.Errorf("read %s: %w", what, err)
	}
	if answers > 0 {
		w.silent = 0
		return nil
	}
	if w.silent++; w.silent >= silentTables {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

// groups reads all scalars of a module.
func (w *walk) groups(ctx context.Context, m *Module) error {
	type place struct {
		rows   *Rows
		column int
	}
	var oids []string
	var places []place
	for i := range m.Groups {
		group := &m.Groups[i]
		oid, ok := placed(group.OID, w.options.Object)
		if !ok {
			continue
		}
		rows := newRows(m, group.Name, oid, group.Columns)
		rows.Into = group.Into
		w.tables.add(rows)
		rows.row("", 1)
		for column := range group.Columns {
			oids = append(oids, oid+"."+group.Columns[column].ID+".0")
			places = append(places, place{rows, column})
		}
	}
	for start := 0; start < len(oids); start += getAtOnce {
		end := min(start+getAtOnce, len(oids))
		got, err := w.getter.Get(ctx, oids[start:end]...)
		if err != nil {
			if stop := w.failed(ctx, m.Name, len(got), err); stop != nil {
				return stop
			}
			continue
		}
		w.silent = 0
		for i, v := range got[:min(len(got), end-start)] {
			if v.OID == oids[start+i] {
				p := places[start+i]
				p.rows.List[0].Values[p.column] = p.rows.Columns[p.column].read(v)
			}
		}
	}
	return nil
}

var errTooMany = errors.New("more rows than are kept")

// ErrFull is a device of which all tables together have more values than are kept; nothing
// more is read of it.
var ErrFull = errors.New("more values than are kept of one device")

// table walks the columns of a table: those that are always wanted, then those that
// are wanted where another lacks values.
func (w *walk) table(ctx context.Context, m *Module, table *Table) error {
	oid, ok := placed(table.OID, w.options.Object)
	if !ok {
		return nil
	}
	rows := newRows(m, table.Name, oid, table.Columns)
	rows.Index, rows.Labels, rows.Into = table.Index, table.Labels, table.Into
	w.tables.add(rows)
	defer rows.order()
	var always, perhaps []int
	for column := range table.Columns {
		if table.Columns[column].Unless == "" {
			always = append(always, column)
		} else {
			perhaps = append(perhaps, column)
		}
	}
	if stop, err := w.columns(ctx, rows, table, always); stop {
		return err
	}
	perhaps = slices.DeleteFunc(perhaps, func(column int) bool { return w.needless(rows, table.Columns[column].Unless) })
	_, err := w.columns(ctx, rows, table, perhaps)
	return err
}

// columns walks some columns of a table, at once where the Getter can. It reports
// whether the table's other columns are to be left, as they would wait for the same
// time-outs, and returns an error where nothing more is to be expected at all.
func (w *walk) columns(ctx context.Context, rows *Rows, table *Table, columns []int) (stop bool, err error) {
	if g, ok := w.getter.(columnWalker); ok && len(columns) > 1 {
		answers, err := w.together(ctx, g, rows, table, columns)
		if err != nil {
			return true, w.failed(ctx, table.Name, answers, err)
		}
		w.silent = 0
		return false, nil
	}
	for _, column := range columns {
		answers := 0
		root := rows.OID + "." + table.Columns[column].ID
		err := w.getter.Walk(ctx, root, func(v snmp.Variable) error {
			answers++
			return w.take(rows, column, root, v)
		})
		if err != nil && !errors.Is(err, ErrStop) {
			return true, w.failed(ctx, table.Name, answers, err)
		}
		w.silent = 0
	}
	return false, nil
}

// needless reports whether another column has a value for each row that this table has.
func (w *walk) needless(rows *Rows, name string) bool {
	other, column := w.tables.column(rows, name)
	have := other.has(column)
	return have > 0 && have >= len(rows.List)
}

// take stores one variable.
func (w *walk) take(rows *Rows, column int, root string, v snmp.Variable) error {
	index, below := strings.CutPrefix(v.OID, root+".")
	if !below {
		return ErrStop
	}
	value := rows.Columns[column].read(v)
	if _, have := rows.at[index]; !have {
		parts, err := DecodeIndex(rows.Index, index)
		if err != nil {
			w.tables.LeftOut++
			return nil //nolint:nilerr // counted; the rows behind it are wanted
		}
		if w.cells += len(rows.Columns); w.cells > maxCells {
			w.tables.LeftOut++
			return ErrFull
		}
		row := rows.row(index, w.options.MaxRows)
		if row == nil {
			w.tables.LeftOut++
			return errTooMany
		}
		row.Parts = parts
	}
	rows.List[rows.at[index]].Values[column] = value
	return nil
}
