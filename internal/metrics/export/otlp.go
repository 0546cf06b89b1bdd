package export

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/amoskys/amoskys/internal/event/reading"
)

func bits(v float64) uint64 { return math.Float64bits(v) }

// otlp writes ExportMetricsServiceRequest of opentelemetry-proto 1.x, packed with gzip. The
// labels agent and host become the resource: service.name, host.name. A counter is a
// cumulative monotonic sum whose start is not known; all else is a gauge; the end of a
// series is a point without a recorded value.
type otlp struct{ version string }

// Fields of the messages, by their names in opentelemetry/proto/metrics/v1/metrics.proto
// and its neighbours.
const (
	requestResourceMetrics                         = 1
	resourceOfMetrics, scopeMetrics                = 1, 2
	resourceAttributes                             = 1
	scopeOfMetrics, metricsOfScope                 = 1, 2
	scopeName, scopeVersion                        = 1, 2
	metricName, metricHelp, metricUnit             = 1, 2, 3
	metricGauge, metricSum                         = 5, 7
	dataPoints, sumTemporality, sumMonotonic       = 1, 2, 3
	pointTime, pointDouble, pointAttributes        = 3, 4, 7
	pointFlags                                     = 8
	keyOfValue, valueOfKey, stringValue            = 1, 2, 1
	cumulative, noRecordedValue                    = 2, 1
	partialSuccess, rejectedPoints, rejectedReason = 1, 1, 2
)

// who is a resource.
type who struct{ agent, host string }

func (o *otlp) encode(b *batch) ([]byte, map[string]string) {
	// By resource and metric, the points of one metric together.
	byWho := map[who]map[string][]int{}
	for i, s := range b.series {
		w, name := who{s.labels.Get("agent"), s.labels.Get("host")}, s.labels.Get(model.MetricNameLabel)
		if byWho[w] == nil {
			byWho[w] = map[string][]int{}
		}
		byWho[w][name] = append(byWho[w][name], i)
	}
	points := b.bySeries()
	var out []byte
	order := slices.SortedFunc(maps.Keys(byWho), func(x, y who) int { return cmp.Or(cmp.Compare(x.host, y.host), cmp.Compare(x.agent, y.agent)) })
	for _, w := range order {
		scope := message(nil, scopeOfMetrics, text(text(nil, scopeName, "amoskys"), scopeVersion, o.version))
		for _, name := range slices.Sorted(maps.Keys(byWho[w])) {
			scope = message(scope, metricsOfScope, metricOf(b, points, name, byWho[w][name]))
		}
		resource := message(nil, resourceOfMetrics, w.resource())
		out = message(out, requestResourceMetrics, message(resource, scopeMetrics, scope))
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(out) // into memory
	_ = z.Close()
	return packed.Bytes(), map[string]string{"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
}

func (w who) resource() (b []byte) {
	b = attribute(b, resourceAttributes, "service.namespace", "amoskys")
	b = attribute(b, resourceAttributes, "service.name", cmp.Or(w.agent, "rules"))
	if w.host != "" {
		b = attribute(b, resourceAttributes, "host.name", w.host)
	}
	return b
}

// metricOf is one metric with the points of some series.
func metricOf(b *batch, points [][]point, name string, of []int) []byte {
	family, known := reading.FamilyOf(name)
	m := text(nil, metricName, name)
	if known {
		m = text(text(m, metricHelp, family.Help), metricUnit, family.Unit)
	}
	counter := known && family.Kind == reading.Counter || !known && strings.HasSuffix(name, "_total")
	var data []byte
	for _, i := range of {
		var attributes []byte
		b.series[i].labels.Range(func(l labels.Label) {
			if l.Name != model.MetricNameLabel && l.Name != "agent" && l.Name != "host" {
				attributes = attribute(attributes, pointAttributes, l.Name, l.Value)
			}
		})
		for _, p := range points[i] {
			one := protowire.AppendFixed64(protowire.AppendTag(nil, pointTime, protowire.Fixed64Type), uint64(p.at)*1e6)
			if value.IsStaleNaN(p.value) {
				one = number(one, pointFlags, noRecordedValue)
			} else {
				one = protowire.AppendFixed64(protowire.AppendTag(one, pointDouble, protowire.Fixed64Type), bits(p.value))
			}
			data = message(data, dataPoints, append(one, attributes...))
		}
	}
	if !counter {
		return message(m, metricGauge, data)
	}
	return message(m, metricSum, number(number(data, sumTemporality, cumulative), sumMonotonic, 1))
}

func message(b []byte, field protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), m)
}

func text(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func number(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func attribute(b []byte, field protowire.Number, key, v string) []byte {
	return message(b, field, message(text(nil, keyOfValue, key), valueOfKey, text(nil, stringValue, v)))
}

// refused reads ExportMetricsPartialSuccess.
func (*otlp) refused(_ http.Header, body []byte, sent int) (n int, why string) {
	partial := fieldOf(body, partialSuccess)
	for rest := partial; len(rest) > 0; {
		field, kind, size := protowire.ConsumeTag(rest)
		if size < 0 {
			return 0, ""
		}
		rest = rest[size:]
		switch {
		case field == rejectedPoints && kind == protowire.VarintType:
			v, size := protowire.ConsumeVarint(rest)
			if size < 0 {
				return 0, ""
			}
			n, rest = int(min(v, uint64(sent))), rest[size:]
		case field == rejectedReason && kind == protowire.BytesType:
			v, size := protowire.ConsumeBytes(rest)
			if size < 0 {
				return n, why
			}
			why, rest = string(v), rest[size:]
		default:
			size := protowire.ConsumeFieldValue(field, kind, rest)
			if size < 0 {
				return n, why
			}
			rest = rest[size:]
		}
	}
	return n, why
}

// fieldOf is the first message of a field.
func fieldOf(b []byte, wanted protowire.Number) []byte {
	for len(b) > 0 {
		field, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return nil
		}
		b = b[size:]
		if field == wanted && kind == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b)
			return v
		}
		if size = protowire.ConsumeFieldValue(field, kind, b); size < 0 {
			return nil
		}
		b = b[size:]
	}
	return nil
}
