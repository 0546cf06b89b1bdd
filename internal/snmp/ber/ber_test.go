package ber_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/amoskys/amoskys/internal/snmp/ber"
)

func TestNumbersAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{0, 1, -1, 127, 128, -128, -129, 255, 256, 32767, 32768, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64} {
		b := ber.AppendInteger(nil, ber.Integer, n)
		if got, rest, ok := ber.TakeInteger(b); !ok || got != n || len(rest) != 0 {
			t.Errorf("%d became %x and then %d, %t", n, b, got, ok)
		}
	}
	for _, n := range []uint64{0, 127, 128, math.MaxUint32, 1 << 63, math.MaxUint64} {
		b := ber.AppendUnsigned(nil, ber.Counter64, n)
		content, _, _ := ber.Take(b, ber.Counter64)
		if got, ok := ber.Unsigned(content); !ok || got != n {
			t.Errorf("%d became %x and then %d, %t", n, b, got, ok)
		}
	}
}

// The examples are of X.690, section 8.19, and of RFC 3417's world.
func TestOIDsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	for encoded, arcs := range map[string][]uint32{
		"\x06\x03\x88\x37\x03":             {2, 999, 3},
		"\x06\x03\x2b\x06\x01":             {1, 3, 6, 1},
		"\x06\x06\x2b\x8f\xff\xff\xff\x7f": {1, 3, 4294967295},
		"\x06\x01\x00":                     {0, 0},
	} {
		if got := ber.AppendOID(nil, arcs); string(got) != encoded {
			t.Errorf("%v became %x, want %x", arcs, got, encoded)
		}
		content, _, _ := ber.Take([]byte(encoded), ber.ObjectID)
		if got, ok := ber.Arcs(nil, content); !ok || !slices.Equal(got, arcs) {
			t.Errorf("%x became %v, %t", encoded, got, ok)
		}
	}
	for _, bad := range []string{"", "\x80", "\x2b\x80", "\x2b\x90\x80\x80\x80\x00", string(bytes.Repeat([]byte{1}, 128))} {
		if got, ok := ber.Arcs(nil, []byte(bad)); ok {
			t.Errorf("%x became %v", bad, got)
		}
	}
}

func TestTakeLooksPastNoEnd(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 127, 128, 255, 256, 65535, 65536} {
		b := append(ber.AppendValue(nil, ber.OctetString, make([]byte, n)), 7)
		content, rest, ok := ber.Take(b, ber.OctetString)
		if !ok || len(content) != n || len(rest) != 1 {
			t.Errorf("%d octets became %d, %t", n, len(content), ok)
		}
		if _, _, ok := ber.Take(b[:len(b)-2], ber.OctetString); n > 0 && ok {
			t.Errorf("a value of %d octets that lacks one was taken", n)
		}
	}
	for _, bad := range []string{"", "\x04", "\x04\x80", "\x04\x85\x00\x00\x00\x00\x00", "\x04\x84\xff\xff\xff\xff", "\x04\x81", "\x05\x00"} {
		if _, _, ok := ber.Take([]byte(bad), ber.OctetString); ok {
			t.Errorf("%x was taken", bad)
		}
	}
}
