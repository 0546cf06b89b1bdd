package latest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/event/reading"
	"github.com/amoskys/amoskys/internal/live/latest"
	"github.com/amoskys/amoskys/internal/obs"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/reader"
	"github.com/amoskys/amoskys/internal/stream"
)

// Formats as their users ask for them.
const (
	asText        = "text/plain;version=0.0.4"
	asOpenMetrics = "application/openmetrics-text;version=1.0.0"
	asPrometheus  = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)

// everything has a sample of each family that the page shows, of two agents.
func everything(t *testing.T) *exporter {
	t.Helper()
	x := newExporter(t, latest.Options{})
	own := obs.NewRegistry()
	own.MustRegister(x.values)
	x.page = latest.Page(own, x.values)
	for _, agent := range []string{"b", "a"} {
		polled := made(agent, event.TypeSNMPReading, &pb.Event{Body: &pb.Event_Snmp{Snmp: &pb.SnmpReading{
			Target: "192.0.2.1:161", SysName: "sw1", Uptime: durationpb.New(time.Minute), ResponseTime: durationpb.New(time.Second),
			CpuPercent: []float64{10}, Memory: []*pb.SnmpMemory{{Name: "ram", UsedBytes: 1, TotalBytes: 2}},
			Interfaces: []*pb.SnmpInterface{{Index: 1, Name: "Gi0/1", Alias: "to \"core\"", OperStatus: "up", BytesIn: 1 << 60}},
		}}})
		health := made(agent, event.TypeAgentHealth, &pb.Event{Body: &pb.Event_AgentHealth{AgentHealth: &pb.AgentHealth{Uptime: durationpb.New(time.Minute)}}})
		x.take(sample(agent, 1, 0.5), polled, health, batch(agent,
			metric("flow_created", 3), metric("flow_packets_dropped", 1), metric("flow_ended", 2, "reason", "fin"),
			metric("flow_duration_seconds_bucket", 1, "le", "10.0"), metric("flow_duration_seconds_bucket", 1, "le", "0.5"),
			metric("flow_duration_seconds_bucket", 2, "le", "+Inf"), metric("flow_duration_seconds_count", 2), metric("flow_duration_seconds_sum", 12.5),
			metric("flow_bytes_in", 1, "interface", "eth0", "category", "web"), metric("flow_bytes_out", 1, "interface", "eth0", "category", "web"),
			metric("flow_packets_in", 1, "interface", "eth0", "category", "web"), metric("flow_packets_out", 1, "interface", "eth0", "category", "web"),
			metric("device_count", 1, "class", "printer"), metric("device_up", 1, "ip", "192.0.2.9"), metric("device_open_ports", 1, "ip", "192.0.2.9"),
			metric("device_last_seen_timestamp_seconds", 1, "ip", "192.0.2.9"), metric("node_load1", 0.5), metric("app_requests_total", 7),
		))
	}
	return x
}

// parsed is what Prometheus takes from a page: series, values and kinds of families.
func parsed(t *testing.T, body []byte, contentType string) (series map[string]float64, kinds map[string]model.MetricType) {
	t.Helper()
	p, err := textparse.New(body, contentType, labels.NewSymbolTable(), textparse.ParserOptions{FallbackContentType: "text/plain"})
	if err != nil {
		t.Fatal(err)
	}
	series, kinds = map[string]float64{}, map[string]model.MetricType{}
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return series, kinds
		}
		if err != nil {
			t.Fatalf("%s: %v", contentType, err)
		}
		switch entry {
		case textparse.EntrySeries:
			var l labels.Labels
			_, _, v := p.Series()
			p.Labels(&l)
			if _, twice := series[l.String()]; twice {
				t.Errorf("%s stands twice", l)
			}
			series[l.String()] = v
		case textparse.EntryType:
			name, kind := p.Type()
			if _, twice := kinds[string(name)]; twice && !strings.HasPrefix(string(name), "go_") { // client_golang's own have two
				t.Errorf("family %s stands twice", name)
			}
			kinds[string(name)] = kind
		default:
		}
	}
}

// TestExemplars: Prometheus reads those of the hub's own histograms in OpenMetrics, and the
// text format has none.
func TestExemplars(t *testing.T) {
	x := newExporter(t, latest.Options{})
	own := prometheus.NewRegistry()
	latency := obs.NewTraced(prometheus.HistogramOpts{Name: "eventbus_latency_ms", Help: "Latency.", Buckets: []float64{1, 10}})
	own.MustRegister(latency)
	latency.ObserveAs(3, time.Now(), func() prometheus.Labels { return prometheus.Labels{"offset": "42"} })
	latency.ObserveAs(30, time.Now(), func() prometheus.Labels { return prometheus.Labels{"offset": "43"} })
	x.page = latest.Page(own, x.values)
	if body := x.get("Accept", asText).Body.String(); strings.Contains(body, "# {") || !strings.Contains(body, "eventbus_latency_ms_count 2\n") {
		t.Error(body)
	}
	got := x.get("Accept", asPrometheus)
	p, err := textparse.New(got.Body.Bytes(), got.Header().Get("Content-Type"), labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var l labels.Labels
		var one exemplar.Exemplar
		if entry == textparse.EntrySeries {
			p.Labels(&l)
			if p.Exemplar(&one) {
				found = append(found, fmt.Sprint(l.Get("le"), one.Labels, one.Value, one.HasTs))
			}
		}
	}
	if diff := cmp.Diff([]string{`10.0{offset="42"} 3 true`, `+Inf{offset="43"} 30 true`}, found); diff != "" {
		t.Error(diff)
	}
}

// TestFormats: Prometheus reads the same series in both formats, under the names of the
// guide, whatever it asks for.
func TestFormats(t *testing.T) {
	x := everything(t)
	var pages []map[string]float64
	for _, accept := range []string{asText, asOpenMetrics, asPrometheus, ""} {
		w := x.get("Accept", accept)
		series, kinds := parsed(t, w.Body.Bytes(), w.Header().Get("Content-Type"))
		maps.DeleteFunc(series, func(name string, _ float64) bool { return !strings.Contains(name, "agent=") })
		pages = append(pages, series)
		for _, f := range reading.Families() {
			want := model.MetricType(f.Kind.String())
			name := f.Name
			if strings.Contains(w.Header().Get("Content-Type"), "openmetrics") && f.Kind == reading.Counter {
				name = strings.TrimSuffix(name, "_total")
			}
			shown := !f.Detail && !strings.Contains(f.Name, "eventbus_")
			if got, ok := kinds[name]; ok != shown || ok && got != want {
				t.Errorf("%s: %s is %q, want %q", accept, name, got, want)
			}
		}
	}
	for i, page := range pages[1:] {
		if diff := cmp.Diff(pages[0], page); diff != "" {
			t.Errorf("format %d: %s", i+1, diff)
		}
	}
	if len(pages[0]) != 2*44 {
		t.Errorf("%d series", len(pages[0]))
	}
}

// TestHistogram: the parts of a histogram are in the order that OpenMetrics asks for.
func TestHistogram(t *testing.T) {
	x := everything(t)
	var got []string
	for line := range strings.SplitSeq(x.get().Body.String(), "\n") {
		if strings.Contains(line, "flow_duration_seconds") {
			got = append(got, line)
		}
	}
	want := `# HELP flow_duration_seconds Time from the first to the last packet of flows that ended.
# TYPE flow_duration_seconds histogram
flow_duration_seconds_bucket{agent="a",host="h1",le="0.5"} 1
flow_duration_seconds_bucket{agent="a",host="h1",le="10.0"} 1
flow_duration_seconds_bucket{agent="a",host="h1",le="+Inf"} 2
flow_duration_seconds_count{agent="a",host="h1"} 2
flow_duration_seconds_sum{agent="a",host="h1"} 12.5
flow_duration_seconds_bucket{agent="b",host="h1",le="0.5"} 1
flow_duration_seconds_bucket{agent="b",host="h1",le="10.0"} 1
flow_duration_seconds_bucket{agent="b",host="h1",le="+Inf"} 2
flow_duration_seconds_count{agent="b",host="h1"} 2
flow_duration_seconds_sum{agent="b",host="h1"} 12.5`
	if diff := cmp.Diff(want, strings.Join(got, "\n")); diff != "" {
		t.Error(diff)
	}
}

// TestLint has promtool's linter look at the page. What it does not like are the names and
// labels that the guide, and Prometheus' own exporter of SNMP, give.
func TestLint(t *testing.T) {
	w := everything(t).get("Accept", asText)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if len(families) < 40 {
		t.Errorf("%d families", len(families))
	}
	problems, err := promlint.New(bytes.NewReader(w.Body.Bytes())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	const camel = "label names should be written in 'snake_case' not 'camelCase'"
	const count = `non-histogram and non-summary metrics should not have "_count" suffix`
	known := map[string]string{
		"snmp_interface_up": camel, "snmp_interface_bytes_in": camel, "snmp_interface_bytes_out": camel, "snmp_interface_errors": camel,
		"process_thread_count": count, "device_count": count,
	}
	for _, p := range problems {
		if known[p.Metric] != p.Text {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// TestPacked: the page is packed for who takes that.
func TestPacked(t *testing.T) {
	x := everything(t)
	w := x.get("Accept", asText, "Accept-Encoding", "deflate, gzip;q=1.0")
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil || !bytes.Contains(b, []byte("\nprocess_cpu_percent{")) {
		t.Errorf("%v: %d bytes", err, len(b))
	}
	if w := x.get("Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("who takes no gzip gets some")
	}
}

// TestSamples: what the page shows is there for who does not read pages.
func TestSamples(t *testing.T) {
	x := everything(t)
	for prefix, want := range map[string]int{"snmp_interface_bytes_": 4, "flow_duration_seconds": 10, "flow_duration_seconds_bucket": 6, "nothing": 0} {
		got := x.values.Samples(prefix)
		if len(got) != want {
			t.Errorf("%s: %d samples, want %d", prefix, len(got), want)
		}
		for _, s := range got {
			if !strings.HasPrefix(s.GetName(), prefix) || s.GetLabels()["agent"] == "" || s.GetLabels()["host"] == "" || s.GetHelp() == "" {
				t.Errorf("%s: %v", prefix, s)
			}
		}
	}
	shown := 0
	for line := range strings.Lines(x.get("Accept", asText).Body.String()) {
		if !strings.HasPrefix(line, "#") && strings.Contains(line, `agent="`) {
			shown++
		}
	}
	if n := len(x.values.Samples("")); n != shown || n == 0 {
		t.Errorf("%d samples, and the page shows %d", n, shown)
	}
}

// crowd are agents with processes each, all of which were read.
func crowd(b *testing.B, agents, processes int) (x *exporter, events [][]*pb.Event) {
	b.Helper()
	x = newExporter(b, latest.Options{})
	own := obs.NewRegistry()
	own.MustRegister(x.values)
	x.page = latest.Page(own, x.values)
	for a := range agents {
		var of []*pb.Event
		for p := range processes {
			ev := sample("proc_agent", uint32(p), float64(p))
			ev.Host.Name = fmt.Sprintf("h%d", a)
			of = append(of, ev)
		}
		events = append(events, of)
		x.take(of...)
	}
	return x, events
}

// discard is a client that takes everything.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkPage makes the page of 200 agents with 200 processes each, and beside it that of
// a plain registry which has the same series.
func BenchmarkPage(b *testing.B) {
	x, _ := crowd(b, 200, 200)
	pages := []struct {
		name string
		page http.Handler
	}{{"ours", x.page}, {"registry", promhttp.HandlerFor(sameSeries(b, x.get("Accept", asText).Body), promhttp.HandlerOpts{EnableOpenMetrics: true})}}
	for _, format := range []struct{ name, accept string }{{"text", asText}, {"openmetrics", asOpenMetrics}} {
		for _, encoding := range []string{"identity", "gzip"} {
			for _, of := range pages {
				b.Run(format.name+"/"+encoding+"/"+of.name, func(b *testing.B) {
					r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil)
					if err != nil {
						b.Fatal(err)
					}
					r.Header.Set("Accept", format.accept)
					r.Header.Set("Accept-Encoding", encoding)
					b.ReportAllocs()
					for b.Loop() {
						of.page.ServeHTTP(&discard{http.Header{}}, r)
					}
				})
			}
		}
	}
}

// sameSeries is a registry with the series of a page, as a program would have them that
// keeps its metrics in one.
func sameSeries(b *testing.B, page io.Reader) *prometheus.Registry {
	b.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(page)
	if err != nil {
		b.Fatal(err)
	}
	registry, series := prometheus.NewRegistry(), 0
	for name, family := range families {
		var names []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			names = append(names, l.GetName())
		}
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: family.GetHelp()}, names)
		registry.MustRegister(vec)
		for _, m := range family.GetMetric() {
			labels := prometheus.Labels{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			vec.With(labels).Set(m.GetGauge().GetValue() + m.GetUntyped().GetValue() + m.GetCounter().GetValue())
			series++
		}
	}
	if series < 20_000 {
		b.Fatalf("%d series are not those of the page", series)
	}
	return registry
}

// BenchmarkConsume takes the readings of 200 agents with 200 processes each, block by
// block, as they come from the log.
func BenchmarkConsume(b *testing.B) {
	x, events := crowd(b, 200, 200)
	blocks := make([][]byte, 0, len(events))
	for _, of := range events {
		blocks = append(blocks, block(b, x.now, of...).Payload)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		e := block(b, x.now)
		e.Payload, e.Count, e.Next = blocks[n%len(blocks)], 200, 200
		if err := x.values.Consume(b.Context(), &reader.Batch{Blocks: []stream.Entry{e}}); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(200*n), "ns/event")
}

// TestPrometheusConfig: Prometheus takes the configuration that we give for it.
func TestPrometheusConfig(t *testing.T) {
	c, err := config.LoadFile(filepath.Join("..", "..", "..", "deploy", "prometheus", "prometheus.yml"), false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	scrapes, err := c.GetScrapeConfigs()
	if err != nil || len(scrapes) != 2 {
		t.Fatalf("%v, %v", scrapes, err)
	}
	if s := scrapes[0]; s.Scheme != "https" || s.HTTPClientConfig.TLSConfig.CertFile == "" || s.SampleLimit < 30_000 || s.HonorLabels {
		t.Errorf("%+v", s)
	}
}
