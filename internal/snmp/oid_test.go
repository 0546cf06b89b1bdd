package snmp_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/snmp"
)

func TestParseOID(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1.3.6.1": "1.3.6.1", ".1.3.6.1.2.1": "1.3.6.1.2.1", "1.03": "1.3", "1.3.4294967295": "1.3.4294967295",
		"1.3.4294967296": "is above 4294967295", "1": "two numbers", "": "write numbers", "1.3.": "write numbers", "1..3": "write numbers",
		"ifTable": "write numbers", "1.40": "no name begins with 1.40", "3.1": "no name begins with 3", "1.+3": "write numbers", "1.-3": "write numbers",
		"1" + strings.Repeat(".1", 127): "1" + strings.Repeat(".1", 127), "1" + strings.Repeat(".1", 128): "more than 128",
	} {
		got, err := snmp.ParseOID(text)
		if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%.40q: %q, want %q", text, got, want)
		}
	}
}

func TestCompareOIDs(t *testing.T) {
	t.Parallel()
	ordered := []string{"1.3", "1.3.6", "1.3.6.1", "1.3.6.1.2", "1.3.6.1.9", "1.3.6.1.10", "1.3.6.1.10.0", "1.3.6.1.4294967295", "1.3.7", "1.10"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := snmp.CompareOIDs(a, b), min(max(i-j, -1), 1); got != want {
				t.Errorf("%s and %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	const column = "1.3.6.1.2.1.2.2.1.2"
	for oid, want := range map[string]string{column + ".3": "3", column + ".4.5": "4.5", column: "", column + "0.1": "", "1.3.6.1.2.1.2.2.1.3.1": "", "1": ""} {
		if got, ok := snmp.Index(column, oid); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %t", oid, got, ok)
		}
	}
	if arcs, ok := snmp.Arcs("4294967295.0"); !ok || !slices.Equal(arcs, []uint32{4294967295, 0}) {
		t.Errorf("got %v, %t", arcs, ok)
	}
	for _, text := range []string{"", "4294967296", "a", "1."} {
		if _, ok := snmp.Arcs(text); ok {
			t.Errorf("%q is an index", text)
		}
	}
}

func TestVariable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		value    any
		text     string
		number   int64
		unsigned uint64
	}{
		"text":       {[]byte("sw-1"), "sw-1", 0, 0},
		"padded":     {[]byte("sw-1\x00\x00"), "sw-1", 0, 0},
		"octets":     {[]byte{0, 0, 0xc0, 0xff, 0xee, 0}, "00:00:c0:ff:ee:00", 0, 0},
		"zeros":      {[]byte{0, 0}, "00:00", 0, 0},
		"empty":      {[]byte{}, "", 0, 0},
		"no UTF-8":   {[]byte("caf\xe9"), "63:61:66:e9", 0, 0},
		"negative":   {int64(-1), "-1", -1, 0},
		"large":      {uint64(1<<64 - 1), "18446744073709551615", 0, 1<<64 - 1},
		"small":      {uint64(7), "7", 7, 7},
		"float":      {1.5, "1.5", 0, 0},
		"identifier": {"1.3.6", "1.3.6", 0, 0},
		"missing":    {nil, "", 0, 0},
	} {
		v := snmp.Variable{Value: test.value}
		if v.Text() != test.text || v.Missing() != (test.value == nil) {
			t.Errorf("%s: %q", name, v.Text())
		}
		if n, ok := v.Int(); ok && n != test.number {
			t.Errorf("%s: Int %d", name, n)
		}
		if n, ok := v.Uint(); ok && n != test.unsigned {
			t.Errorf("%s: Uint %d", name, n)
		}
	}
}
