package export

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"
	"google.golang.org/protobuf/encoding/protowire"
)

// bySeries are the points of a batch by their series, in order of time.
func (b *batch) bySeries() [][]point {
	all := make([][]point, len(b.series))
	for _, p := range b.points {
		all[p.of] = append(all[p.of], p)
	}
	for _, points := range all {
		slices.SortStableFunc(points, func(x, y point) int { return cmp.Compare(x.at, y.at) })
	}
	return all
}

// remoteWrite1 writes prometheus.WriteRequest, in Snappy's block format.
type remoteWrite1 struct{}

// Fields of prometheus.WriteRequest and what is in it.
const (
	requestSeries                 = 1
	seriesLabels, seriesSamples   = 1, 2
	labelName, labelValue         = 1, 2
	sampleValue, sampleTime       = 1, 2
	request2Symbols               = 4
	request2Series                = 5
	series2Labels, series2Samples = 1, 2
)

func (*remoteWrite1) encode(b *batch) ([]byte, map[string]string) {
	var out, one, part []byte
	for i, points := range b.bySeries() {
		one = one[:0]
		b.series[i].labels.Range(func(l labels.Label) {
			part = protowire.AppendString(protowire.AppendTag(part[:0], labelName, protowire.BytesType), l.Name)
			part = protowire.AppendString(protowire.AppendTag(part, labelValue, protowire.BytesType), l.Value)
			one = protowire.AppendBytes(protowire.AppendTag(one, seriesLabels, protowire.BytesType), part)
		})
		one = appendSamples(one, points)
		out = protowire.AppendBytes(protowire.AppendTag(out, requestSeries, protowire.BytesType), one)
	}
	return s2.EncodeSnappy(nil, out), map[string]string{
		"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0",
	}
}

// appendSamples appends samples, which both versions have as field 2 of a series.
func appendSamples(one []byte, points []point) []byte {
	var part []byte
	for _, p := range points {
		part = protowire.AppendFixed64(protowire.AppendTag(part[:0], sampleValue, protowire.Fixed64Type), bits(p.value))
		part = protowire.AppendVarint(protowire.AppendTag(part, sampleTime, protowire.VarintType), uint64(p.at))
		one = protowire.AppendBytes(protowire.AppendTag(one, seriesSamples, protowire.BytesType), part)
	}
	return one
}

func (*remoteWrite1) refused(http.Header, []byte, int) (int, string) { return 0, "" }

// remoteWrite2 writes io.prometheus.write.v2.Request, in Snappy's block format.
type remoteWrite2 struct{}

func (*remoteWrite2) encode(b *batch) ([]byte, map[string]string) {
	symbols, list := map[string]uint64{"": 0}, []string{""}
	symbol := func(text string) uint64 {
		n, there := symbols[text]
		if !there {
			n = uint64(len(list))
			symbols[text] = n
			list = append(list, text)
		}
		return n
	}
	var all, one, refs []byte
	for i, points := range b.bySeries() {
		refs = refs[:0]
		b.series[i].labels.Range(func(l labels.Label) {
			refs = protowire.AppendVarint(protowire.AppendVarint(refs, symbol(l.Name)), symbol(l.Value))
		})
		one = protowire.AppendBytes(protowire.AppendTag(one[:0], series2Labels, protowire.BytesType), refs)
		one = appendSamples(one, points)
		all = protowire.AppendBytes(protowire.AppendTag(all, request2Series, protowire.BytesType), one)
	}
	var out []byte
	for _, text := range list {
		out = protowire.AppendString(protowire.AppendTag(out, request2Symbols, protowire.BytesType), text)
	}
	return s2.EncodeSnappy(nil, append(out, all...)), map[string]string{
		"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request", "Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "2.0.0",
	}
}

func (*remoteWrite2) refused(h http.Header, _ []byte, sent int) (int, string) {
	n, told := written(h, sent)
	if !told || n == sent {
		return 0, ""
	}
	return sent - n, "it wrote fewer than it was sent"
}

// written is how many samples of a request a receiver says that it wrote: one of remote
// write 2 answers with 400 where it left some out.
func written(h http.Header, sent int) (n int, told bool) {
	n, err := strconv.Atoi(h.Get("X-Prometheus-Remote-Write-Samples-Written"))
	return n, err == nil && n >= 0 && n <= sent
}
