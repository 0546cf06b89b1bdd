package stream_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/amoskys/amoskys/internal/codec"
	"github.com/amoskys/amoskys/internal/stream"
)

// TestMissing: what an entry should hold and does not give back is a gap, from the place
// on that its reader has got to.
func TestMissing(t *testing.T) {
	three := []byte{3<<3 | 2, 1, 'a', 3<<3 | 2, 1, 'b', 3<<3 | 2, 1, 'c'}
	for _, tt := range []struct {
		name  string
		entry stream.Entry
		got   string        // of the events
		gap   stream.Offset // where the gap begins, 0 for none; it ends behind the entry
		why   string
	}{
		{"whole", stream.Entry{Payload: three}, "abc", 0, ""},
		{"packed", stream.Entry{Codec: codec.S2, Payload: codec.S2.Pack(nil, three)}, "abc", 0, ""},
		{"from its middle", stream.Entry{Payload: three, From: 12}, "c", 0, ""},
		{"cut short", stream.Entry{Payload: three[:7]}, "ab", 12, "fewer events"},
		{"cut short before what was asked for", stream.Entry{Payload: three[:4], From: 12}, "", 12, "fewer events"},
		{"empty", stream.Entry{}, "", 10, "fewer events"},
		{"not packed", stream.Entry{Codec: codec.S2, Payload: three}, "", 10, "does not unpack"},
		{"of an unknown codec", stream.Entry{Codec: 9, Payload: three}, "", 10, "unknown codec 9"},
		{"too large", stream.Entry{Codec: codec.S2, Payload: []byte{0xff, 0xff, 0xff, 0xff, 0x0f}}, "", 10, "too large"},
		{"not packed, from its middle", stream.Entry{Codec: codec.S2, Payload: three, From: 11}, "", 11, "damaged"},
	} {
		e := tt.entry
		e.First, e.Count, e.Next = 10, 3, 13
		var got []byte
		next := stream.Offset(0)
		for off, ev := range e.Events() {
			got, next = append(got, ev...), off+1
		}
		gap := e.Missing(next)
		switch {
		case string(got) != tt.got:
			t.Errorf("%s: events %q", tt.name, got)
		case tt.gap == 0 && gap != nil, tt.gap != 0 && gap == nil:
			t.Errorf("%s: gap %v", tt.name, gap)
		case gap != nil && (gap.From != tt.gap || gap.To != 13 || gap.Cause != stream.CauseDamaged || !strings.Contains(gap.Reason, tt.why)):
			t.Errorf("%s: gap %+v", tt.name, gap)
		}
		if gap := e.Missing(13); gap != nil {
			t.Errorf("%s: behind its end: %v", tt.name, gap)
		}
		e.Release()
		if slices.Equal(e.Payload, three) && e.Codec == codec.None && e.From == 0 {
			if b, err := e.Fields(); err != nil || !slices.Equal(b, three) {
				t.Errorf("%s: after Release: %v", tt.name, err)
			}
		}
	}
}
