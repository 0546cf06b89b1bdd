package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/amoskys/amoskys/internal/logsql/row"
)

// WriteStoreRows writes the rows that RunStore stores, for others to be fed with: JSON
// lines of names and values, all of them strings, in the order in which they are stored.
// _time is in nanoseconds since 1970.
func WriteStoreRows(ctx context.Context, o StoreOptions, to io.Writer) error {
	source, err := newStoreSource(&o)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(to, 1<<20)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	w := newStoreRows()
	for left := o.Events; left > 0 && ctx.Err() == nil; left -= rowsTogether {
		for _, b := range source.next(min(left, rowsTogether)) {
			for i, encoded := range b.events {
				r, err := w.writer.Row(encoded, b.publisher, b.first+uint64(i), b.logged)
				if err != nil {
					return fmt.Errorf("make a row: %w", err)
				}
				line := map[string]string{row.Time: strconv.FormatInt(r.Time, 10)}
				for _, f := range r.Fields {
					line[f.Name] = string(f.Value)
				}
				if err := lines.Encode(line); err != nil {
					return fmt.Errorf("write rows: %w", err)
				}
			}
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return ctx.Err()
}
