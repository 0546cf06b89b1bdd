package play

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/amoskys/amoskys/internal/snmp"
	"github.com/amoskys/amoskys/internal/snmp/ber"
)

// Bounds of one recording.
const (
	maxEntries = 1 << 20
	maxLine    = 1 << 20 // bytes
	maxFaults  = 100     // told; more are counted
)

// Record is what a device answers: its variables in order, encoded as they are sent.
// It does not change and may serve many devices.
type Record struct {
	entries []entry
	// Skipped is how many lines were left out; Faults tells the first of them.
	Skipped int
	Faults  []error
}

type entry struct {
	arcs []uint32
	pair []byte // the variable as a message holds it: a SEQUENCE of name and value
}

// Parse reads a recording in the format of snmpsim: a variable a line, its OID, tag
// and value with bars between them. A tag is a number of X.690 or RFC 2578 (2 INTEGER,
// 4 OCTET STRING, 5 NULL, 6 OID, 64 IpAddress, 65 Counter32, 66 Gauge32, 67 TimeTicks,
// 68 Opaque, 70 Counter64, 71 Unsigned32); with an x behind it the value is in
// hexadecimal, with an e it has escapes (\x00, \n, \\). Lines may be in any order; of
// two with one OID the first counts. Empty lines and those that begin with # are
// nothing; one that cannot be read is left out and told in Faults.
func Parse(r io.Reader) (*Record, error) {
	rec := &Record{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimRight(lines.Text(), "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		if len(rec.entries) == maxEntries {
			return nil, fmt.Errorf("a recording of more than %d variables", maxEntries)
		}
		e, err := parseLine(line)
		if err != nil {
			rec.skip(fmt.Errorf("line %d: %w", number, err))
			continue
		}
		rec.entries = append(rec.entries, e)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read a recording: %w", err)
	}
	rec.order()
	return rec, nil
}

func (r *Record) skip(err error) {
	if r.Skipped++; len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, err)
	}
}

func (r *Record) order() {
	slices.SortStableFunc(r.entries, func(a, b entry) int { return slices.Compare(a.arcs, b.arcs) })
	r.entries = slices.CompactFunc(r.entries, func(a, b entry) bool { return slices.Equal(a.arcs, b.arcs) })
}

// Len is how many variables there are.
func (r *Record) Len() int { return len(r.entries) }

func parseLine(line string) (entry, error) {
	name, rest, found := strings.Cut(line, "|")
	tag, value, found2 := strings.Cut(rest, "|")
	if !found || !found2 {
		return entry{}, errors.New("it takes OID|TAG|VALUE")
	}
	encoded, err := encodeValue(tag, value)
	if err != nil {
		return entry{}, fmt.Errorf("%.200s: %w", name, err)
	}
	return named(name, encoded)
}

// named joins a name, written in numbers, and an encoded value.
func named(name string, value []byte) (entry, error) {
	oid, err := snmp.ParseOID(name)
	if err != nil {
		return entry{}, err
	}
	arcs, _ := snmp.Arcs(oid)
	return newEntry(arcs, value), nil
}

// newEntry joins a name and an encoded value.
func newEntry(arcs []uint32, value []byte) entry {
	name := ber.AppendOID(nil, arcs)
	pair := ber.AppendHead(make([]byte, 0, len(name)+len(value)+4), ber.Sequence, len(name)+len(value))
	return entry{arcs: arcs, pair: append(append(pair, name...), value...)}
}

// encodeValue encodes the value of a line by its tag.
func encodeValue(tag, value string) ([]byte, error) {
	raw := []byte(value)
	digits := strings.TrimRight(tag, "xe")
	n, err := strconv.ParseUint(digits, 10, 8)
	if err != nil || len(tag)-len(digits) > 1 {
		return nil, fmt.Errorf("tag %.20q is none that is known", tag)
	}
	switch tag[len(digits):] {
	case "x":
		if raw, err = hex.DecodeString(value); err != nil {
			return nil, fmt.Errorf("value %.40q is not hexadecimal", value)
		}
	case "e":
		if raw, err = unescape(value); err != nil {
			return nil, err
		}
	}
	plain := digits == tag
	switch n {
	case ber.OctetString, ber.Opaque:
		return ber.AppendValue(nil, byte(n), raw), nil
	case ber.Null:
		return []byte{ber.Null, 0}, nil
	case ber.IPAddress:
		return encodeAddress(raw, plain)
	case ber.ObjectID:
		return encodeOID(value)
	default:
		return encodeNumber(byte(n), value)
	}
}

func encodeAddress(raw []byte, text bool) ([]byte, error) {
	if text {
		a, err := netip.ParseAddr(string(raw))
		if err != nil || !a.Is4() {
			return nil, fmt.Errorf("value %.40q is no IPv4 address", raw)
		}
		raw = a.AsSlice()
	}
	if len(raw) != 4 {
		return nil, fmt.Errorf("an IpAddress of %d octets", len(raw))
	}
	return ber.AppendValue(nil, ber.IPAddress, raw), nil
}

func encodeOID(value string) ([]byte, error) {
	oid, err := snmp.ParseOID(value)
	if err != nil {
		return nil, err
	}
	arcs, _ := snmp.Arcs(oid)
	return ber.AppendOID(nil, arcs), nil
}

func encodeNumber(tag byte, value string) ([]byte, error) {
	bits := 32
	switch tag {
	case ber.Integer:
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("value %.40q is no INTEGER", value)
		}
		return ber.AppendInteger(nil, tag, n), nil
	case ber.Counter64:
		bits = 64
	case ber.Counter32, ber.Gauge32, ber.TimeTicks, ber.Unsigned32:
	default:
		return nil, fmt.Errorf("tag %d is none that is known", tag)
	}
	n, err := strconv.ParseUint(value, 10, bits)
	if err != nil {
		return nil, fmt.Errorf("value %.40q is no number of tag %d", value, tag)
	}
	return ber.AppendUnsigned(nil, tag, n), nil
}

// unescape reads the escapes that Python writes for bytes.
func unescape(s string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		if i++; i == len(s) {
			return nil, errors.New("the value ends within an escape")
		}
		if s[i] == 'x' {
			if len(s) < i+3 {
				return nil, errors.New("the value ends within an escape")
			}
			b, err := hex.DecodeString(s[i+1 : i+3])
			if err != nil {
				return nil, fmt.Errorf("escape %q", s[i-1:i+3])
			}
			out, i = append(out, b[0]), i+2
			continue
		}
		j := strings.IndexByte(`abtnvfr\'"`, s[i])
		if j < 0 {
			return nil, fmt.Errorf("escape %q", s[i-1:i+1])
		}
		out = append(out, "\a\b\t\n\v\f\r\\'\""[j])
	}
	return out, nil
}

// Text reads a recording from a string, in which there must be no fault. It is for
// recordings written out in tests.
func Text(text string) (*Record, error) {
	r, err := Parse(strings.NewReader(text))
	if err == nil {
		err = errors.Join(r.Faults...)
	}
	return r, err
}

// With returns a recording that has the variables of both; where both have one, that
// of over counts.
func (r *Record) With(over *Record) *Record {
	all := &Record{entries: slices.Concat(over.entries, r.entries)}
	all.order()
	return all
}

// at is the index of the variable with this name, and whether there is one; else of
// the first behind it.
func (r *Record) at(arcs []uint32) (int, bool) {
	return slices.BinarySearchFunc(r.entries, arcs, func(e entry, arcs []uint32) int { return slices.Compare(e.arcs, arcs) })
}

// next is the index of the first variable behind this name.
func (r *Record) next(arcs []uint32) int {
	i, found := r.at(arcs)
	if found {
		i++
	}
	return i
}

// Write writes the recording in the format that Parse reads, with all values but
// numbers, names and text in hexadecimal.
func (r *Record) Write(w io.Writer) error {
	var line bytes.Buffer
	for _, e := range r.entries {
		line.Reset()
		v := e.variable()
		switch b := v.Bytes(); {
		case v.Type == snmp.OctetString && printable(b):
			fmt.Fprintf(&line, "%s|4|%s\n", v.OID, b)
		case b != nil:
			fmt.Fprintf(&line, "%s|%dx|%x\n", v.OID, v.Type, b)
		default:
			fmt.Fprintf(&line, "%s|%d|%s\n", v.OID, v.Type, v.Text())
		}
		if _, err := w.Write(line.Bytes()); err != nil {
			return fmt.Errorf("write a recording: %w", err)
		}
	}
	return nil
}

func printable(b []byte) bool {
	return !slices.ContainsFunc(b, func(x byte) bool { return x < ' ' || x > '~' })
}

// variable decodes an entry.
func (e entry) variable() snmp.Variable {
	v := snmp.Variable{OID: join(e.arcs), Type: snmp.Unknown}
	pair, _, _ := ber.Take(e.pair, ber.Sequence)
	_, value, _ := ber.Take(pair, ber.ObjectID)
	content, _, ok := ber.Take(value, value[0])
	if !ok {
		return v
	}
	v.Type = snmp.Type(value[0])
	switch value[0] {
	case ber.Integer:
		n, _, _ := ber.TakeInteger(value)
		v.Value = n
	case ber.OctetString, ber.Opaque:
		v.Value = slices.Clone(content)
		if v.Value == nil {
			v.Value = []byte{}
		}
	case ber.ObjectID:
		arcs, _ := ber.Arcs(nil, content)
		v.Value = join(arcs)
	case ber.IPAddress:
		if a, isAddress := netip.AddrFromSlice(content); isAddress {
			v.Value = a.String()
		}
	case ber.Null:
	default:
		n, _ := ber.Unsigned(content)
		v.Value = n
	}
	return v
}

func join(arcs []uint32) string {
	var b []byte
	for i, n := range arcs {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, uint64(n), 10)
	}
	return string(b)
}
