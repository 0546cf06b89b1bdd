package export

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"google.golang.org/protobuf/encoding/protowire"
)

// TestOTLP: the collector's own library reads what is written.
func TestOTLP(t *testing.T) {
	b := &batch{
		series: []*series{
			{labels: labels.FromStrings("__name__", "amoskys_agent_events_total", "agent", "proc", "host", "h", "kind", "proc")},
			{labels: labels.FromStrings("__name__", "device_up", "agent", "scanner", "host", "h", "ip", "10.0.0.1")},
			{labels: labels.FromStrings("__name__", "x:sum")},
		},
		points: []point{{0, 2000, 7}, {0, 1000, 5}, {1, 1000, 1}, {1, 2000, math.Float64frombits(value.StaleNaN)}, {2, 3000, math.Inf(1)}},
	}
	body, header := (&otlp{version: "1.2"}).encode(b)
	if header["Content-Encoding"] != "gzip" {
		t.Error(header)
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	const service = `1{1="service.namespace" 2{1="amoskys"}} 1{1="service.name" 2{1=`
	want := strings.Join([]string{
		`1{1{` + service + `"rules"}}} 2{1{1="amoskys" 2="1.2"} 2{1="x:sum" 5{1{3=3000000000 4=+Inf}}}}}`,
		`1{1{` + service + `"proc"}} 1{1="host.name" 2{1="h"}}} 2{1{1="amoskys" 2="1.2"} 2{1="amoskys_agent_events_total" 2="Events that an agent published since it started." 3="{event}"` +
			` 7{1{3=1000000000 4=5 7{1="kind" 2{1="proc"}}} 1{3=2000000000 4=7 7{1="kind" 2{1="proc"}}} 2=2 3=1}}}}`,
		`1{1{` + service + `"scanner"}} 1{1="host.name" 2{1="h"}}} 2{1{1="amoskys" 2="1.2"} 2{1="device_up" 2="1 for a device of the network that was seen lately, else 0."` +
			` 5{1{3=1000000000 4=1 7{1="ip" 2{1="10.0.0.1"}}} 1{3=2000000000 8=1 7{1="ip" 2{1="10.0.0.1"}}}}}}}`,
	}, " ")
	if got := dump(plain); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	answer := message(nil, partialSuccess, text(number(nil, rejectedPoints, 3), rejectedReason, "too old"))
	if n, why := (&otlp{}).refused(nil, answer, 5); n != 3 || why != "too old" {
		t.Error(n, why)
	}
	if n, _ := (&remoteWrite2{}).refused(http.Header{"X-Prometheus-Remote-Write-Samples-Written": {"2"}}, nil, 5); n != 3 {
		t.Error(n)
	}
}

// dump shows a message without its schema: 1{…} is a message, 1="…" a text; fixed numbers
// are times in field 3 and doubles otherwise.
func dump(b []byte) string {
	var words []string
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "?"
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(field, kind, b)
		if size < 0 {
			return "?"
		}
		switch kind {
		case protowire.BytesType:
			v, _ := protowire.ConsumeBytes(b)
			if inner := dump(v); strings.Contains(inner, "?") {
				words = append(words, fmt.Sprintf("%d=%q", field, v))
			} else {
				words = append(words, fmt.Sprintf("%d{%s}", field, inner))
			}
		case protowire.Fixed64Type:
			v, _ := protowire.ConsumeFixed64(b)
			if field == pointTime {
				words = append(words, fmt.Sprintf("%d=%d", field, v))
			} else {
				words = append(words, fmt.Sprintf("%d=%g", field, math.Float64frombits(v)))
			}
		default:
			v, _ := protowire.ConsumeVarint(b)
			words = append(words, fmt.Sprintf("%d=%d", field, v))
		}
		b = b[size:]
	}
	return strings.Join(words, " ")
}

// FuzzRefused: an answer may hold anything.
func FuzzRefused(f *testing.F) {
	for _, s := range []string{"", "\x0a\x02\x08\x03", "\x0a\x0b\x08\x03\x12\x07too old", "\x0a\xff", "\x08\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, _ := (&otlp{}).refused(nil, b, 5); n < 0 || n > 5 {
			t.Error(n)
		}
	})
}

// FuzzDecodePlace: a file may hold anything.
func FuzzDecodePlace(f *testing.F) {
	for _, s := range []string{`{"segment":5,"offset":7}`, `{"segment":-5}`, `{"offset":1e300}`, "x", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := decodePlace(b); err == nil && (p.Segment < 0 || p.Offset < 0) {
			t.Error(p)
		}
	})
}
