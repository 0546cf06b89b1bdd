package vlogs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"
	"github.com/google/go-cmp/cmp"

	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// TestRowsAreTheEngines: the engine's own decoder reads what was written.
func TestRowsAreTheEngines(t *testing.T) {
	var rows vlogs.Rows
	tags := []vlogs.Tag{{Name: "agent", Value: []byte("a")}, {Name: "host", Value: []byte(strings.Repeat("h", 300))}}
	for _, fields := range []int{0, 1, 127, 128, vlogs.MaxFields, vlogs.MaxFields + 5} {
		rows.Reset()
		rows.BeginBytes(tags, -5)
		want := []logstorage.Field{}
		for i := range fields {
			name, value := fmt.Sprint("f", i), strings.Repeat("v", i*7%400)
			if i%2 == 0 {
				rows.Text(name, value)
			} else {
				rows.Field(name, []byte(value))
			}
			if i < vlogs.MaxFields {
				want = append(want, logstorage.Field{Name: name, Value: value})
			}
		}
		got := logstorage.GetInsertRow()
		rest, err := got.UnmarshalInplace(rows.Encoded())
		if err != nil || len(rest) > 0 || got.Timestamp != -5 {
			t.Fatalf("%d fields: %v, %d bytes left, time %d", fields, err, len(rest), got.Timestamp)
		}
		if diff := cmp.Diff(want, append([]logstorage.Field{}, got.Fields...)); diff != "" {
			t.Fatalf("%d fields: %s", fields, diff)
		}
		stream := logstorage.GetStreamTags()
		stream.Add("host", strings.Repeat("h", 300))
		stream.Add("agent", "a")
		if string(stream.MarshalCanonical(nil)) != got.StreamTagsCanonical {
			t.Errorf("%d fields: another stream %q", fields, got.StreamTagsCanonical)
		}
	}
}

// TestRowsAllocateNothing once they have grown.
func TestRowsAllocateNothing(t *testing.T) {
	var rows vlogs.Rows
	tags, value, now := []vlogs.Tag{{Name: "host", Value: []byte("h")}}, []byte("value"), time.Now().UnixNano()
	allocations := testing.AllocsPerRun(100, func() {
		rows.Reset()
		for range 100 {
			rows.BeginBytes(tags, now)
			for range 30 {
				rows.Field("name", value)
			}
		}
	})
	if allocations > 0 {
		t.Errorf("%v allocations for 100 rows", allocations)
	}
}

// FuzzParseRow: what is read as a row is what encoding/json reads.
func FuzzParseRow(f *testing.F) {
	for _, seed := range []string{
		`{"a":"b"}`, `{}`, `{"_msg":"a \"b\" \\ \n \u00e9 \ud83d\ude00 \ud83d x","c":""}`, `{"a":"b"`, `{"a":1}`, `{"a":"\u12"}`, `{"a":"b",}`, ``,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		row, err := vlogs.ParseRow(line)
		if err != nil || !utf8.ValidString(line) {
			return
		}
		want := map[string]string{}
		if json.Unmarshal([]byte(line), &want) != nil {
			return // it is not as strict about control characters
		}
		got := map[string]string{}
		for _, f := range row {
			got[f.Name] = f.Value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", line, diff)
		}
	})
}

// FuzzParseMetrics: it reads anything.
func FuzzParseMetrics(f *testing.F) {
	f.Add([]byte("# HELP x\nvl_a{type=\"b c\"} 1.5\nvl_b NaN\n\n x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for name := range vlogs.ParseMetrics(text) {
			if name == "" {
				t.Error("a metric without a name")
			}
		}
	})
}

// TestPartsOfRows are those rows, also of a part.
func TestPartsOfRows(t *testing.T) {
	var whole vlogs.Rows
	var single [6][]byte
	for i := range single {
		var one vlogs.Rows
		for _, r := range []*vlogs.Rows{&whole, &one} {
			r.Begin([]vlogs.Field{{Name: "host", Value: strings.Repeat("h", i)}}, int64(i))
			r.Text("a", strings.Repeat("x", i*i))
		}
		single[i] = slices.Clone(one.Encoded())
	}
	for from := range len(single) + 1 {
		for to := from; to <= len(single); to++ {
			part := whole.Part(from, to)
			if got := part.Encoded(); part.Len() != to-from || !bytes.Equal(got, bytes.Join(single[from:to], nil)) {
				t.Errorf("rows %d to %d are %d of %q", from, to, part.Len(), got)
			}
			for i := range part.Len() {
				if one := part.Part(i, i+1); !bytes.Equal(one.Encoded(), single[from+i]) {
					t.Errorf("row %d of %d to %d is %q", i, from, to, one.Encoded())
				}
			}
		}
	}
}
