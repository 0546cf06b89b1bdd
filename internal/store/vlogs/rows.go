package vlogs

import (
	"encoding/binary"
	"slices"
	"time"
)

// Bounds of the engine on a row. It drops what is beyond them with a warning, so whoever
// makes rows keeps to them.
const (
	MaxFields    = 1000    // a row
	MaxName      = 128     // bytes of a name
	MaxRow       = 2 << 20 // bytes of a row's names and values
	nanosPerDay  = int64(24 * time.Hour)
	maxDaysKnown = 64
)

// Rows is a buffer of rows in the engine's own format of insertion (/insert/native), to
// be used again and again: it allocates only while it grows. A row is
//
//	8 bytes     tenant, which is none
//	bytes       stream tags: their number, then name and value of each
//	8 bytes     time, nanoseconds since 1970, the high byte first
//	varint      number of fields; here always 2 bytes, to be filled in
//	bytes...    name and value of each field
//
// where bytes are a varint length and the bytes. The zero value is empty and ready.
type Rows struct {
	buf    []byte
	count  int     // where the number of fields of the last row lies
	starts []int   // where each row begins, in the buffer of the whole of which this is a part
	base   int     // and this part
	n      int     // rows
	days   []int64 // days since 1970 that have rows, each once, at most maxDaysKnown
	many   bool    // there were more
}

// Tag is a part of a row's stream, with its value as bytes.
type Tag struct {
	Name  string
	Value []byte
}

// Begin starts a row. The tags of its stream must be in the order of their names, and be
// among its fields as well. A row without fields is not stored.
func (r *Rows) Begin(streamTags []Field, unixNano int64) {
	beginRow(r, streamTags, unixNano, func(t *Field) (string, string) { return t.Name, t.Value })
}

// BeginBytes is Begin for values that are no text yet.
func (r *Rows) BeginBytes(streamTags []Tag, unixNano int64) {
	beginRow(r, streamTags, unixNano, func(t *Tag) (string, []byte) { return t.Name, t.Value })
}

func beginRow[T any, V string | []byte](r *Rows, tags []T, unixNano int64, of func(*T) (string, V)) {
	r.starts = append(r.starts, r.base+len(r.buf))
	r.buf = append(r.buf, 0, 0, 0, 0, 0, 0, 0, 0)
	size := uvarintSize(uint64(len(tags)))
	for i := range tags {
		name, value := of(&tags[i])
		size += uvarintSize(uint64(len(name))) + len(name) + uvarintSize(uint64(len(value))) + len(value)
	}
	r.buf = binary.AppendUvarint(r.buf, uint64(size))
	r.buf = binary.AppendUvarint(r.buf, uint64(len(tags)))
	for i := range tags {
		name, value := of(&tags[i])
		r.text(name)
		r.buf = binary.AppendUvarint(r.buf, uint64(len(value)))
		r.buf = append(r.buf, value...)
	}
	r.buf = binary.BigEndian.AppendUint64(r.buf, uint64(unixNano))
	r.count = len(r.buf)
	r.buf = append(r.buf, 0x80, 0)
	r.n++
	r.noteDay(unixNano)
}

// Field adds a field to the row that was begun last. Name "_msg" is the message. A field
// beyond MaxFields is left out.
func (r *Rows) Field(name string, value []byte) {
	if r.oneMore() {
		r.text(name)
		r.buf = binary.AppendUvarint(r.buf, uint64(len(value)))
		r.buf = append(r.buf, value...)
	}
}

// Text is Field for a value that is text.
func (r *Rows) Text(name, value string) {
	if r.oneMore() {
		r.text(name)
		r.text(value)
	}
}

// Len is how many rows there are.
func (r *Rows) Len() int { return r.n }

// Bytes is how large they are, encoded.
func (r *Rows) Bytes() int { return len(r.buf) }

// Encoded are the rows as Insert sends them, good until the next change.
func (r *Rows) Encoded() []byte { return r.buf }

// Reset forgets the rows and keeps the memory.
func (r *Rows) Reset() {
	r.buf, r.starts, r.days, r.n, r.many = r.buf[:0], r.starts[:0], r.days[:0], 0, false
}

// Part are the rows from one on and before another. They share the memory, and are good
// until the whole is changed.
func (r *Rows) Part(from, to int) Rows {
	begin, end := len(r.buf), len(r.buf)
	if from < r.n {
		begin = r.starts[from] - r.base
	}
	if to < r.n {
		end = r.starts[to] - r.base
	}
	return Rows{buf: r.buf[begin:end], starts: r.starts[from:to], base: r.base + begin, n: to - from, days: r.days, many: r.many}
}

// oneMore counts a field and reports whether it fits.
func (r *Rows) oneMore() bool {
	count := r.buf[r.count : r.count+2]
	n := int(count[0]&0x7f) | int(count[1])<<7
	if n >= MaxFields {
		return false
	}
	n++
	count[0], count[1] = byte(n)|0x80, byte(n>>7)
	return true
}

func (r *Rows) text(s string) {
	r.buf = binary.AppendUvarint(r.buf, uint64(len(s)))
	r.buf = append(r.buf, s...)
}

// noteDay remembers into which partition the row goes.
func (r *Rows) noteDay(unixNano int64) {
	day := unixNano / nanosPerDay
	if unixNano < day*nanosPerDay {
		day--
	}
	if slices.Contains(r.days, day) {
		return
	}
	if len(r.days) == maxDaysKnown {
		r.many = true
		return
	}
	r.days = append(r.days, day)
}

func uvarintSize(u uint64) int {
	n := 1
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}
