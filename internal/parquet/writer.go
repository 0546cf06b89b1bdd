package parquet

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/amoskys/amoskys/internal/event"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Bounds on what is held in memory, in bytes but for rows.
const (
	pageBytes  = 64 << 10 // of one column, until it is packed
	groupBytes = 8 << 20  // packed pages, until they are written
	batchRows  = 64       // rows that are handed over at once
)

// Writer writes one file. It is for one goroutine.
type Writer struct {
	out     *parquet.Writer //nolint:staticcheck // the newer one wants a Go type for its rows
	columns []column
	byField []int // place in columns, by FieldID; -1 for none
	leaves  int

	attrs  event.Attrs
	values [][]parquet.Value // of the row that is being made, by leaf
	rows   []parquet.Row     // that wait
	used   int               // of rows
	since  int64             // size of the file when the last group began
}

// NewWriter begins a file. Fields are its columns, all there are when empty; what an
// event has beside them stands in Other. Nothing is written before the first group is
// full.
func NewWriter(w io.Writer, fields []*event.Field) *Writer {
	columns, schema := layout(fields)
	out := &Writer{
		columns: columns, byField: make([]int, len(event.FieldCatalog())), rows: make([]parquet.Row, batchRows),
		out: parquet.NewWriter(w, schema,
			parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1}),
			parquet.PageBufferSize(pageBytes), parquet.CreatedBy("amoskys", "", "")),
	}
	for i := range out.byField {
		out.byField[i] = -1
	}
	for i, c := range columns {
		if c.field != nil {
			out.byField[c.field.ID] = i
		}
		out.leaves = c.leaf + 1
		if c.form == formMap {
			out.leaves++
		}
	}
	out.values = make([][]parquet.Value, out.leaves)
	return out
}

// Note puts a text into the file's own description, such as what was asked for.
func (w *Writer) Note(key, text string) { w.out.SetKeyValueMetadata(key, text) }

// Write adds an event of the log. One that cannot be read is kept as bytes.
func (w *Writer) Write(e *pb.StoredEvent) error {
	for i := range w.values {
		w.values[i] = w.values[i][:0]
	}
	w.put(Offset, parquet.Int64Value(int64(e.GetOffset())))
	if n, ok := nanosOf(e.GetLoggedTime().AsTime()); ok && e.GetLoggedTime() != nil {
		w.put(LoggedTime, parquet.Int64Value(n))
	}
	if err := w.attrs.ReadStored(e.GetEvent(), e.GetPublisher()); err != nil {
		w.put(Unreadable, parquet.ByteArrayValue([]byte(err.Error())))
		w.put(Encoded, parquet.ByteArrayValue(e.GetEvent()))
		return w.endRow()
	}
	var other event.Attrs
	for i := range w.attrs.List {
		a := &w.attrs.List[i]
		if at := w.byField[a.ID]; at < 0 || !w.add(&w.columns[at], a) {
			other.List = append(other.List, *a)
		}
	}
	if len(other.List) > 0 {
		w.put(Other, parquet.ByteArrayValue(other.AppendJSON(nil, event.SchemaNative)))
	}
	return w.endRow()
}

// put sets one of the columns beside the catalogue.
func (w *Writer) put(name string, v parquet.Value) {
	for i := range w.columns {
		if c := &w.columns[i]; c.name == name && c.field == nil {
			w.values[c.leaf] = append(w.values[c.leaf], v.Level(0, 1, c.leaf))
			return
		}
	}
}

// add adds a value to its column; false where the column cannot hold it.
//
// Levels say how much of the path to a value is there, and at which level it repeats
// (https://parquet.apache.org/docs/file-format/nestedencoding/): a list that is there
// and has a value is defined to level 2, and values behind its first repeat at level 1.
func (w *Writer) add(c *column, a *event.Attr) bool {
	leaf := c.leaf
	switch {
	case c.form == formMap:
		rep := min(len(w.values[leaf]), 1)
		w.values[leaf] = append(w.values[leaf], parquet.ByteArrayValue(a.Key).Level(rep, 2, leaf))
		w.values[leaf+1] = append(w.values[leaf+1], parquet.ByteArrayValue(a.Value.Append(nil)).Level(rep, 2, leaf+1))
		return true
	case !c.list && len(w.values[leaf]) > 0: // of a message that repeats
		return false
	}
	v, ok := valueOf(c.form, &a.Value)
	if !ok {
		return false
	}
	if c.list {
		v = v.Level(min(len(w.values[leaf]), 1), 2, leaf)
	} else {
		v = v.Level(0, 1, leaf)
	}
	w.values[leaf] = append(w.values[leaf], v)
	return true
}

// valueOf makes a value of a column's form.
func valueOf(f form, v *event.Value) (parquet.Value, bool) {
	if f == formText {
		return parquet.ByteArrayValue(v.Append(nil)), true
	}
	switch x := v.Any().(type) {
	case bool:
		return parquet.BooleanValue(x), f == formBool
	case int64:
		return parquet.Int64Value(x), f == formSigned
	case uint64:
		return parquet.Int64Value(int64(x)), f == formUnsigned
	case float64:
		return parquet.DoubleValue(x), f == formDouble
	case time.Time:
		n, ok := nanosOf(x)
		return parquet.Int64Value(n), ok && f == formTime
	}
	return parquet.Value{}, false
}

// nanosOf is a time in nanoseconds since 1970; false for one before 1678 or behind 2261.
func nanosOf(at time.Time) (int64, bool) {
	const most = math.MaxInt64 / int64(time.Second)
	if s := at.Unix(); s >= most || s <= -most {
		return 0, false
	}
	return at.UnixNano(), true
}

// endRow hands the row over, with nulls where it has nothing.
func (w *Writer) endRow() error {
	row := w.rows[w.used][:0]
	for leaf, values := range w.values {
		if len(values) == 0 {
			row = append(row, parquet.Value{}.Level(0, 0, leaf))
		}
		row = append(row, values...)
	}
	w.rows[w.used] = row
	if w.used++; w.used < len(w.rows) {
		return nil
	}
	return w.handOver()
}

// handOver writes the rows that wait, and ends a group that is large enough.
func (w *Writer) handOver() error {
	if _, err := w.out.WriteRows(w.rows[:w.used]); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	w.used = 0
	if w.out.Size()-w.since < groupBytes {
		return nil
	}
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	w.since = w.out.Size()
	return nil
}

// Close writes what is left and the footer, which makes the file whole. Of one that is
// to be broken off it must not be called.
func (w *Writer) Close() error {
	if err := w.handOver(); err != nil {
		return err
	}
	if err := w.out.Close(); err != nil {
		return fmt.Errorf("end Parquet: %w", err)
	}
	return nil
}

// Fields finds the fields of names, for NewWriter; those beside the catalogue are in
// every file, and what is unknown is left out.
func Fields(names []string) []*event.Field {
	var out []*event.Field
	for _, name := range names {
		if f, _, ok := event.FieldByName(name); ok {
			out = append(out, f)
		}
	}
	return out
}
