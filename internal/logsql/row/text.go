package row

import (
	"bytes"
	"strconv"
	"time"
	"unsafe"

	"github.com/amoskys/amoskys/internal/event"
)

// appendElement appends a value as JSON: what has no number there is a string.
func appendElement(dst []byte, v *event.Value) []byte {
	if text, ok := v.Text(); ok {
		return AppendString(dst, text)
	}
	return v.AppendJSON(dst)
}

// AppendString appends a JSON string in which as much as may be stands as it is, so
// that a search finds it.
func AppendString(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i, c := range text {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, text[from:]...), '"')
}

// keeps reports whether the engine gives a value back as it is, or changed in a way that
// mend undoes. The engine keeps a column whose values all look like numbers, addresses
// or times as such, and prints them in its own way:
//
//	value                       comes back as
//	1_000, _                    1000, 0
//	-0                          0
//	1.50, 22.10                 1.5, 22.1
//	0.41                        0.41 or 0.41000000000000003, which mend undoes
//	more than 15 digits         with others at the end
//	01.2.3.4, 1a.2.3.4          1.2.3.4, 59.2.3.4
//	2026-02-30T00:00:00.000Z    2026-03-02T00:00:00.000Z
func keeps(v []byte) bool {
	if c := v[0]; (c < '0' || c > '9') && c != '-' && c != '_' {
		return true
	}
	if len(v) == len(milliseconds) && v[len(v)-1] == 'Z' && v[4] == '-' && v[19] == '.' {
		return isTime(v)
	}
	if bytes.Count(v, []byte{'.'}) == 3 && len(v) <= len("255.255.255.255") {
		return keepsAddress(v)
	}
	dots, bars := 0, 0
	for i, c := range v {
		switch {
		case c >= '0' && c <= '9':
		case c == '.':
			dots++
		case c == '_':
			bars++
		case c != '-' || i > 0:
			return true
		}
	}
	switch {
	case bars > 0:
		return false
	case dots == 0:
		return string(v) != "-0"
	case !isDecimal(v):
		return true
	}
	return v[len(v)-1] != '0' && significant(v) <= exactDigits
}

// milliseconds is the one form of times that the engine keeps as such.
const milliseconds = "2006-01-02T15:04:05.000Z"

func isTime(v []byte) bool {
	var again [len(milliseconds)]byte
	at, err := time.Parse(milliseconds, asString(v))
	return err == nil && bytes.Equal(at.AppendFormat(again[:0], milliseconds), v)
}

// keepsAddress holds what has three dots against what the engine takes for an IPv4
// address: it looks at the first of two characters alone.
func keepsAddress(v []byte) bool {
	proper := true
	for part := range bytes.SplitSeq(v, []byte{'.'}) {
		if len(part) == 0 || len(part) > 3 || part[0] < '0' || part[0] > '9' {
			return true // no address for the engine
		}
		n, err := strconv.Atoi(asString(part))
		proper = proper && err == nil && n <= 255 && (part[0] != '0' || len(part) == 1)
	}
	return proper
}

// exactDigits is how many digits of a decimal come back right.
const exactDigits = 15

// isDecimal reports whether v is one that the engine keeps as a number: digits, a dot,
// digits, without needless zeros in front.
func isDecimal(v []byte) bool {
	if len(v) > 0 && v[0] == '-' {
		v = v[1:]
	}
	whole, fraction, ok := bytes.Cut(v, []byte{'.'})
	if !ok || len(whole) == 0 || len(fraction) == 0 || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	for _, c := range v {
		if c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return bytes.Count(v, []byte{'.'}) == 1
}

// significant counts the digits of a decimal from the first that is not 0.
func significant(v []byte) int {
	n := 0
	for _, c := range v {
		if c >= '1' && c <= '9' || c == '0' && n > 0 {
			n++
		}
	}
	return n
}

// mend undoes what the engine does to a decimal that keeps lets pass.
func mend(v string) string {
	if v == "" || v[0] != '-' && (v[0] < '0' || v[0] > '9') || len(v) <= exactDigits || len(v) > longestDecimal {
		return v
	}
	if b := []byte(v); isDecimal(b) && significant(b) > exactDigits {
		return string(appendRounded(nil, b))
	}
	return v
}

// longestDecimal is more than the engine takes for one.
const longestDecimal = 40

// appendRounded appends a decimal with no more than exactDigits digits and no zeros at
// the end.
func appendRounded(dst, v []byte) []byte {
	var scratch [32]byte
	x, err := strconv.ParseFloat(asString(v), 64)
	if err != nil {
		return append(dst, v...)
	}
	rounded := strconv.AppendFloat(scratch[:0], x, 'e', exactDigits-1, 64)
	if x, err = strconv.ParseFloat(asString(rounded), 64); err != nil {
		return append(dst, v...)
	}
	return strconv.AppendFloat(dst, x, 'f', -1, 64)
}

// asString is b as a string for as long as the call that takes it.
func asString(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // read only, and nobody keeps it
}
