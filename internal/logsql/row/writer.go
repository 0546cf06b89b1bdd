package row

import (
	"bytes"
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/amoskys/amoskys/internal/event"
)

// Field is one value of a row. The value is valid as long as the row.
type Field struct {
	Name  string
	Value []byte
}

// Row is an event as the engine keeps it.
type Row struct {
	Time   int64   // nanoseconds since 1970
	Fields []Field // none is empty, no name twice
	// Stream are the fields that make the row's stream, those of Streams that it has.
	Stream []Field
	// Cut says that values were cut; Whole that Event makes the event of the log again.
	// Only an event of more than 1.1 MB is cut and not whole.
	Cut, Whole bool
}

// Limits of a row, in bytes.
const (
	// MaxBytes bounds the names and values of a row with what the engine counts for each:
	// it drops rows above 2 MiB.
	MaxBytes = 1_900_000
	// fieldBytes is what the engine counts for a field beside name and value.
	fieldBytes = 6
	// leastShown is what of a row stays for values where the event's bytes are in it.
	leastShown = 400_000
)

// Bounds say which times of events are believed: those up to Past before, and Future
// after, the hub received them. They hang on no clock, so that an event has the same
// row whenever it is made.
type Bounds struct{ Past, Future time.Duration }

// Writer makes rows, one at a time, and allocates nothing once it has grown.
type Writer struct {
	// Log is the number of the log that is read, 0 for the first.
	Log     uint64
	bounds  Bounds
	columns []column // by FieldID
	attrs   event.Attrs

	row    Row
	values []byte // what the row's values lie in, where not in the event
	order  []int  // places in attrs.List
	at     int64  // the event's time
	whole  bool   // the fields make the event
	odd    []oddValue
	size   int    // as the engine counts
	round  uint64 // of this row
}

// column is what a field of the catalogue is in a row.
type column struct {
	name    string // empty: not under its own name
	list    bool
	entries bool // of a map
	time    bool // the event's
	number  bool
	round   uint64
}

// oddValue is a value that the engine may give back changed.
type oddValue struct {
	at     int // its place in row.Fields
	number bool
}

// NewWriter returns a writer. Bounds of zero let no time pass but the hub's own.
func NewWriter(b Bounds) *Writer {
	w := &Writer{bounds: b}
	for _, f := range event.FieldCatalog() {
		c := column{name: columnOf(f), list: f.Repeats(), entries: f.Type == event.FieldMap, time: f.Path == "time", number: f.Type == event.FieldNumber}
		if c.name == Publisher {
			c.name = "" // the record's, not what an event says of itself
		}
		w.columns = append(w.columns, c)
	}
	return w
}

// Row makes a row of an event that the hub has admitted. It is valid until the next
// call and aliases encoded. Of bytes that are no event it returns an error.
func (w *Writer) Row(encoded []byte, publisher string, offset uint64, logged time.Time) (*Row, error) {
	w.row = Row{Fields: w.row.Fields[:0], Stream: w.row.Stream[:0]}
	w.values, w.size, w.whole, w.at = w.values[:0], len(Time)+64, true, 0
	w.odd = w.odd[:0]
	w.round++
	if err := w.attrs.ReadStored(encoded, ""); err != nil {
		return nil, err //nolint:wrapcheck // it says what is wrong with the event
	}
	for i := range w.attrs.List {
		w.attribute(i)
	}
	w.number(Offset, offset)
	if w.Log > 0 {
		w.number(Log, w.Log)
	}
	w.number(Logged, uint64(logged.UnixNano()))
	if publisher != "" {
		from := len(w.values)
		w.values = append(w.values, publisher...)
		w.end(Publisher, from)
	}
	w.setTime(logged)
	w.addExact()
	w.row.Whole = w.whole && w.attrs.Whole()
	if !w.row.Whole || w.size > MaxBytes {
		w.complete(encoded)
	}
	w.findStream()
	return &w.row, nil
}

// add adds a value.
func (w *Writer) add(name string, value []byte) {
	w.row.Fields = append(w.row.Fields, Field{Name: name, Value: value})
	w.size += len(name) + len(value) + fieldBytes
}

// end adds what was appended to values since from.
func (w *Writer) end(name string, from int) {
	w.add(name, w.values[from:len(w.values):len(w.values)])
}

func (w *Writer) number(name string, n uint64) {
	from := len(w.values)
	w.values = strconv.AppendUint(w.values, n, 10)
	w.end(name, from)
}

// attribute adds the attribute at a place of the list, with all others of its name.
func (w *Writer) attribute(i int) {
	attr := &w.attrs.List[i]
	c := &w.columns[attr.ID]
	switch {
	case c.time:
		w.at = nanosecondsOf(&attr.Value)
	case c.name == "" || c.round == w.round:
	case c.entries:
		c.round = w.round
		w.object(i, c.name)
	case c.list:
		c.round = w.round
		w.array(i, c.name)
	default:
		w.scalar(&attr.Value, c)
	}
}

// nanosecondsOf returns the largest time for one that has no nanoseconds since 1970.
func nanosecondsOf(v *event.Value) int64 {
	at, _ := v.Time()
	if at.Year() < 1970 || at.Year() > 2261 {
		return math.MaxInt64
	}
	return at.UnixNano()
}

func (w *Writer) scalar(v *event.Value, c *column) {
	text, ok := v.Text()
	if !ok {
		from := len(w.values)
		w.values = appendValue(w.values, v)
		text = w.values[from:len(w.values):len(w.values)]
	}
	if len(text) == 0 { // set, and empty: the engine knows no such thing
		w.whole = false
		return
	}
	if !keeps(text) {
		w.odd = append(w.odd, oddValue{len(w.row.Fields), c.number})
	}
	w.add(c.name, text)
}

// addExact adds what the engine would change, and brings numbers to what it would make of
// them. A text stays as it is, so that a version 1.0 or 22.10 is found as what it is: the
// engine takes texts for numbers only where a block of rows has more than 8 different ones
// and all are decimals.
func (w *Writer) addExact() {
	if len(w.odd) == 0 {
		return
	}
	from, sep := len(w.values), byte('{')
	for _, odd := range w.odd {
		f := &w.row.Fields[odd.at]
		w.values = AppendString(append(w.values, sep), []byte(f.Name))
		w.values = AppendString(append(w.values, ':'), f.Value)
		sep = ','
	}
	w.values = append(w.values, '}')
	w.end(Exact, from)
	for _, odd := range w.odd {
		f := &w.row.Fields[odd.at]
		if odd.number && isDecimal(f.Value) {
			from := len(w.values)
			w.values = appendRounded(w.values, f.Value)
			f.Value = w.values[from:len(w.values):len(w.values)]
		}
	}
}

// appendValue appends a value as Field.Set reads it.
func appendValue(dst []byte, v *event.Value) []byte {
	if n, ok := v.Nanoseconds(); ok {
		return strconv.AppendInt(dst, n, 10)
	}
	return v.Append(dst)
}

// array adds the values of an attribute that repeats, as JSON.
func (w *Writer) array(first int, name string) {
	list := w.attrs.List
	from, sep := len(w.values), byte('[')
	for i := first; i < len(list); i++ {
		if list[i].ID == list[first].ID {
			w.values = appendElement(append(w.values, sep), &list[i].Value)
			sep = ','
		}
	}
	w.values = append(w.values, ']')
	w.end(name, from)
}

// object adds the entries of a map as JSON, sorted by key. Of a key that several maps
// have, the last value counts.
func (w *Writer) object(first int, name string) {
	list := w.attrs.List
	w.order = w.order[:0]
	sorted := true
	for i := first; i < len(list); i++ {
		if list[i].ID != list[first].ID {
			continue
		}
		if n := len(w.order); n > 0 && bytes.Compare(list[w.order[n-1]].Key, list[i].Key) >= 0 {
			sorted = false
		}
		w.order = append(w.order, i)
	}
	if !sorted {
		slices.SortStableFunc(w.order, func(x, y int) int { return bytes.Compare(list[x].Key, list[y].Key) })
	}
	from, sep := len(w.values), byte('{')
	for n, i := range w.order {
		if n+1 < len(w.order) && bytes.Equal(list[i].Key, list[w.order[n+1]].Key) {
			continue
		}
		w.values = AppendString(append(w.values, sep), list[i].Key)
		w.values = appendElement(append(w.values, ':'), &list[i].Value)
		sep = ','
	}
	w.values = append(w.values, '}')
	w.end(name, from)
}

// setTime sets the row's time, and the event's own where it is another.
func (w *Writer) setTime(logged time.Time) {
	received := logged.UnixNano()
	w.row.Time = w.at
	if w.at <= 0 || w.at < received-int64(w.bounds.Past) || w.at > received+int64(w.bounds.Future) {
		w.row.Time = received
		for i := range w.attrs.List {
			if attr := &w.attrs.List[i]; w.columns[attr.ID].time {
				from := len(w.values)
				w.values = attr.Value.Append(w.values)
				w.end(EventTime, from)
				return
			}
		}
	}
}

// findStream notes the fields of the stream.
func (w *Writer) findStream() {
	for _, name := range [...]string{"agent", "host", "type"} {
		for i := range w.row.Fields {
			if w.row.Fields[i].Name == name {
				w.row.Stream = append(w.row.Stream, w.row.Fields[i])
				break
			}
		}
	}
}

// complete adds the event's bytes, and cuts values where a row is too large for the
// engine. An event so large that its bytes alone fill a row is cut and not whole.
func (w *Writer) complete(encoded []byte) {
	bytesNeeded := base64.RawStdEncoding.EncodedLen(len(encoded)) + len(Encoded) + fieldBytes
	w.row.Whole = bytesNeeded+min(w.size, leastShown) <= MaxBytes
	room := MaxBytes
	if w.row.Whole {
		room -= bytesNeeded
	}
	w.cut(room)
	if w.row.Whole {
		from := len(w.values)
		w.values = base64.RawStdEncoding.AppendEncode(w.values, encoded)
		w.end(Encoded, from)
	}
}

// cut shortens the longest values until the row's take no more than room, and says which.
func (w *Writer) cut(room int) {
	if w.size <= room && w.row.Whole {
		return
	}
	const namesRoom = 16 << 10 // more than all names take
	longest := MaxBytes
	for w.sizeWith(longest) > room-namesRoom {
		longest /= 2
	}
	from := len(w.values)
	note := func(name string) {
		if len(w.values) > from {
			w.values = append(w.values, ' ')
		}
		w.values = append(w.values, name...)
	}
	for i := range w.row.Fields {
		if f := &w.row.Fields[i]; len(f.Value) > longest {
			note(f.Name)
		}
	}
	if !w.row.Whole {
		note(Encoded)
	}
	w.row.Cut = true
	w.end(Cut, from)
	for i := range w.row.Fields {
		if f := &w.row.Fields[i]; len(f.Value) > longest {
			f.Value = w.shorten(f.Value, longest)
		}
	}
	w.size = w.sizeWith(longest)
}

// sizeWith is the row's size with no value longer than longest.
func (w *Writer) sizeWith(longest int) int {
	size := len(Time) + 64
	for i := range w.row.Fields {
		size += len(w.row.Fields[i].Name) + min(len(w.row.Fields[i].Value), longest) + fieldBytes
	}
	return size
}

// shorten copies a value's beginning, whole characters of it, and marks it.
func (w *Writer) shorten(v []byte, most int) []byte {
	end := most - len(CutMark)
	for end > 0 && !utf8.RuneStart(v[end]) {
		end--
	}
	from := len(w.values)
	w.values = append(append(w.values, v[:end]...), CutMark...)
	return w.values[from:len(w.values):len(w.values)]
}
