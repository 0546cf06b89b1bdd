package module

import (
	"context"
	"errors"
	"slices"

	"github.com/amoskys/amoskys/internal/snmp"
)

// columnWalker is what a Getter may offer beside: several columns of a table read at
// once, which takes a fraction of the requests. snmp.Client does.
type columnWalker interface {
	WalkColumns(ctx context.Context, roots []string, each func(snmp.Variable) error) error
}

// together reads columns of a table at once.
func (w *walk) together(ctx context.Context, g columnWalker, rows *Rows, table *Table, columns []int) (answers int, err error) {
	roots := make([]string, len(columns))
	for i, column := range columns {
		roots[i] = rows.OID + "." + table.Columns[column].ID
	}
	at := 0 // columns come in turn, so the next one is the likeliest
	err = g.WalkColumns(ctx, roots, func(v snmp.Variable) error {
		for range roots {
			at = (at + 1) % len(roots)
			if _, below := snmp.Index(roots[at], v.OID); below {
				answers++
				return w.take(rows, columns[at], roots[at], v)
			}
		}
		return nil
	})
	if errors.Is(err, ErrStop) {
		err = nil
	}
	return answers, err
}

// order puts rows in the order of their indexes, in whatever order columns with holes
// brought them.
func (r *Rows) order() {
	byIndex := func(a, b Row) int { return snmp.CompareOIDs(a.Index, b.Index) }
	if slices.IsSortedFunc(r.List, byIndex) {
		return
	}
	slices.SortFunc(r.List, byIndex)
	for i := range r.List {
		r.at[r.List[i].Index] = i
	}
}
