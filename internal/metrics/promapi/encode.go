package promapi

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// encoder writes JSON as it is made, in parts of some tens of kilobytes. Its first error
// ends it.
type encoder struct {
	w   io.Writer
	buf []byte
	err error
}

// partBytes is from how many bytes on a part is written.
const partBytes = 32 << 10

// spill writes what is there once it is much.
func (e *encoder) spill() bool {
	if len(e.buf) >= partBytes {
		e.flush()
	}
	return e.err == nil
}

func (e *encoder) flush() {
	if e.err == nil && len(e.buf) > 0 {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

func (e *encoder) raw(text string) { e.buf = append(e.buf, text...) }

// text writes a JSON string.
func (e *encoder) text(s string) { e.buf = appendText(e.buf, s) }

// appendText appends a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendText(buf []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, err := json.Marshal(s)
			if err != nil {
				quoted = []byte(`""`) // a string cannot fail
			}
			return append(buf, quoted...)
		}
	}
	return append(append(append(buf, '"'), s...), '"')
}

// data writes a value as encoding/json does.
func (e *encoder) data(v any) {
	encoded, err := json.Marshal(v)
	if err != nil && e.err == nil {
		e.err = fmt.Errorf("write an answer: %w", err)
	}
	e.buf = append(e.buf, encoded...)
	e.spill()
}

// labels writes an object of names and values, in the order of their names.
func (e *encoder) labels(l labels.Labels) {
	e.buf = append(e.buf, '{')
	first := true
	l.Range(func(label labels.Label) {
		if !first {
			e.buf = append(e.buf, ',')
		}
		first = false
		e.text(label.Name)
		e.buf = append(e.buf, ':')
		e.text(label.Value)
	})
	e.buf = append(e.buf, '}')
}

// time writes milliseconds as seconds, with no more digits than are needed.
func (e *encoder) time(ms int64) { e.buf = appendTime(e.buf, ms) }

func appendTime(buf []byte, ms int64) []byte {
	u := uint64(ms)
	if ms < 0 {
		buf, u = append(buf, '-'), -u
	}
	buf = strconv.AppendUint(buf, u/1000, 10)
	if part := u % 1000; part != 0 {
		buf = append(buf, '.', byte('0'+part/100), byte('0'+part/10%10), byte('0'+part%10))
		for buf[len(buf)-1] == '0' {
			buf = buf[:len(buf)-1]
		}
	}
	return buf
}

// value writes a number as a string, so that NaN, +Inf and -Inf have a place in JSON.
func (e *encoder) value(f float64) {
	e.buf = appendValue(append(e.buf, '"'), f)
	e.buf = append(e.buf, '"')
}

func appendValue(buf []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(buf, f, format, -1, 64)
}

// point writes [time, value].
func (e *encoder) point(ms int64, f float64) {
	e.buf = append(e.buf, '[')
	e.time(ms)
	e.buf = append(e.buf, ',')
	e.value(f)
	e.buf = append(e.buf, ']')
}

func (e *encoder) histogramPoint(ms int64, h *histogram.FloatHistogram) {
	e.buf = append(e.buf, '[')
	e.time(ms)
	e.buf = append(e.buf, ',')
	e.histogram(h)
	e.buf = append(e.buf, ']')
}

// histogram writes {count, sum, buckets}. A bucket is [rule, lower, upper, count], where
// the rule says which bounds belong to it: 0 the upper, 1 the lower, 2 neither, 3 both.
// Empty buckets are left out.
func (e *encoder) histogram(h *histogram.FloatHistogram) {
	e.raw(`{"count":`)
	e.value(h.Count)
	e.raw(`,"sum":`)
	e.value(h.Sum)
	open := `,"buckets":[`
	for it := h.AllBucketIterator(); it.Next(); {
		b := it.At()
		if b.Count == 0 {
			continue
		}
		e.raw(open)
		open = ","
		rule := "2"
		switch {
		case b.LowerInclusive && b.UpperInclusive:
			rule = "3"
		case b.LowerInclusive:
			rule = "1"
		case b.UpperInclusive:
			rule = "0"
		}
		e.raw("[" + rule + ",")
		e.value(b.Lower)
		e.buf = append(e.buf, ',')
		e.value(b.Upper)
		e.buf = append(e.buf, ',')
		e.value(b.Count)
		e.buf = append(e.buf, ']')
	}
	if open == "," {
		e.buf = append(e.buf, ']')
	}
	e.buf = append(e.buf, '}')
}

// result writes the value of a question.
func (e *encoder) result(v parser.Value) {
	switch v := v.(type) {
	case promql.Scalar:
		e.point(v.T, v.V)
	case promql.String:
		e.buf = append(e.buf, '[')
		e.time(v.T)
		e.buf = append(e.buf, ',')
		e.text(v.V)
		e.buf = append(e.buf, ']')
	case promql.Vector:
		e.vector(v)
	case promql.Matrix:
		e.matrix(v)
	default:
		e.raw("null")
	}
}

func (e *encoder) vector(v promql.Vector) {
	e.buf = append(e.buf, '[')
	for i := range v {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.raw(`{"metric":`)
		e.labels(v[i].Metric)
		if h := v[i].H; h != nil {
			e.raw(`,"histogram":`)
			e.histogramPoint(v[i].T, h)
		} else {
			e.raw(`,"value":`)
			e.point(v[i].T, v[i].F)
		}
		e.buf = append(e.buf, '}')
		if !e.spill() {
			return
		}
	}
	e.buf = append(e.buf, ']')
}

func (e *encoder) matrix(m promql.Matrix) {
	e.buf = append(e.buf, '[')
	for i := range m {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.raw(`{"metric":`)
		e.labels(m[i].Metric)
		open := `,"values":[`
		for _, p := range m[i].Floats {
			e.raw(open)
			open = ","
			e.point(p.T, p.F)
			if !e.spill() {
				return
			}
		}
		if open == "," {
			e.buf = append(e.buf, ']')
		}
		open = `,"histograms":[`
		for _, p := range m[i].Histograms {
			e.raw(open)
			open = ","
			e.histogramPoint(p.T, p.H)
			if !e.spill() {
				return
			}
		}
		if open == "," {
			e.buf = append(e.buf, ']')
		}
		e.buf = append(e.buf, '}')
	}
	e.buf = append(e.buf, ']')
}

// sizeOf is about how many bytes a value takes as JSON, and not less than half of it.
func sizeOf(v parser.Value) int64 {
	const point = 24 // [1700000000.123,"0.5"],
	size := int64(0)
	switch v := v.(type) {
	case promql.Vector:
		for i := range v {
			size += labelBytes(v[i].Metric) + point + histogramBytes(v[i].H)
		}
	case promql.Matrix:
		for i := range v {
			size += labelBytes(v[i].Metric) + point*int64(len(v[i].Floats))
			for _, p := range v[i].Histograms {
				size += point + histogramBytes(p.H)
			}
		}
	case promql.String:
		size = int64(len(v.V))
	}
	return size
}

func labelBytes(l labels.Labels) int64 {
	size := int64(20)
	l.Range(func(label labels.Label) { size += int64(len(label.Name) + len(label.Value) + 6) })
	return size
}

func histogramBytes(h *histogram.FloatHistogram) int64 {
	if h == nil {
		return 0
	}
	return 40 + 40*int64(len(h.PositiveBuckets)+len(h.NegativeBuckets)+1)
}
